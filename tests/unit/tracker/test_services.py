"""The ports beside the announce port: numbers for everybody, orders for who has the token; TLS; proxies."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import json
import random
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarm.base.errors import TrackerError
from swarm.tracker.admin import AdminService
from swarm.tracker.admission import Admission
from swarm.tracker.server import TrackerServer
from swarm.tracker.stats import StatsService
from swarm.wire.tracker.http import decode_announce, decode_scrape

TORRENT = b"a" * 20
QUERY = "info_hash=" + "a" * 20 + "&peer_id=" + "b" * 20 + "&left=0&port="
ANYWHERE = ("127.0.0.1", 0)
AUTHORIZED = "Authorization: Bearer secret\r\n"


@contextlib.asynccontextmanager
async def tracker(**more: Any) -> AsyncIterator[TrackerServer]:
    services = [
        (ANYWHERE, "--stats", StatsService),
        (ANYWHERE, "--admin", lambda server: AdminService(server, "secret")),
    ]
    async with TrackerServer("127.0.0.1", 0, services=services, rng=random.Random(1), **more) as server:
        yield server


async def ask(
    url: str, method: str = "GET", headers: str = "", tls: ssl.SSLContext | None = None
) -> tuple[int, bytes, bytes]:
    """(status, head, body)."""
    found = re.fullmatch(r"https?://([^:/]+):(\d+)(/.*)", url)
    assert found is not None
    reader, writer = await asyncio.open_connection(found[1], int(found[2]), ssl=tls)
    asked = f"{method} {found[3]} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n"
    try:
        writer.write(asked.encode("latin-1"))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return int(head.split()[1]), head, body


def urls(server: TrackerServer) -> tuple[str, str, str]:
    """Of announces, of numbers, of orders."""
    return server.urls[0], server.services[0][1].rstrip("/"), server.services[1][1].rstrip("/")


class TestStats:
    async def test_metrics_are_those_of_prometheus(self) -> None:
        async with tracker() as server:
            announce, stats, _ = urls(server)
            await ask(f"{announce}?{QUERY}1")
            await ask(f"{announce}?nonsense")
            server.rules.expire(server.clock())
            status, head, body = await ask(f"{stats}/metrics")
        assert status == 200 and b"version=0.0.4" in head
        lines = body.decode().splitlines()
        for line in (
            "swarm_tracker_torrents 1.0",
            'swarm_tracker_peers{kind="seed"} 1.0',
            'swarm_tracker_peers{kind="leecher"} 0.0',
            'swarm_tracker_requests_total{kind="announce",protocol="http"} 2.0',
            'swarm_tracker_failures_total{protocol="http"} 1.0',
        ):
            assert line in lines

    async def test_health_readiness_and_a_page(self) -> None:
        async with tracker() as server:
            _, stats, _ = urls(server)
            assert (await ask(f"{stats}/health"))[::2] == (200, b"ok\n")
            assert (await ask(f"{stats}/ready"))[0] == 200
            status, head, body = await ask(f"{stats}/")
            assert status == 200 and b"text/html" in head and b"<td id='torrents'>0</td>" in body
            assert (await ask(f"{stats}/announce"))[0] == 404
            assert (await ask(f"{stats}/", method="POST"))[0] == 405


class TestAdmin:
    async def test_without_the_token_nothing_is_told(self) -> None:
        async with tracker() as server:
            admin = urls(server)[2]
            for headers in ("", "Authorization: Bearer wrong\r\n", "Authorization: Basic c2VjcmV0\r\n"):
                status, _, body = await ask(f"{admin}/stats", headers=headers)
                assert status == 401 and b"torrents" not in body

    async def test_lists_change_at_once(self) -> None:
        async with tracker(admission=Admission(allowed=[])) as server:
            announce, _, admin = urls(server)
            assert b"failure reason" in (await ask(f"{announce}?{QUERY}1"))[2]
            status, _, body = await ask(f"{admin}/allowed/{TORRENT.hex()}", "PUT", AUTHORIZED)
            assert status == 200 and json.loads(body) == {"infohash": TORRENT.hex(), "allowed": True}
            assert b"failure reason" not in (await ask(f"{announce}?{QUERY}1"))[2]
            _, _, body = await ask(f"{admin}/lists", headers=AUTHORIZED)
            assert json.loads(body) == {"allowed": [TORRENT.hex()], "denied": []}
            await ask(f"{admin}/denied/{TORRENT.hex()}", "PUT", AUTHORIZED)
            assert b"failure reason" in (await ask(f"{announce}?{QUERY}1"))[2]
            await ask(f"{admin}/denied/{TORRENT.hex()}", "DELETE", AUTHORIZED)
            assert b"failure reason" not in (await ask(f"{announce}?{QUERY}1"))[2]

    async def test_numbers_as_json(self) -> None:
        async with tracker() as server:
            announce, _, admin = urls(server)
            await ask(f"{announce}?{QUERY}1")
            _, _, body = await ask(f"{admin}/stats", headers=AUTHORIZED)
            assert json.loads(body)["peers"] == json.loads(body)["http_announces"] == 1
            _, _, body = await ask(f"{admin}/torrents/{TORRENT.hex()}", headers=AUTHORIZED)
            assert json.loads(body) == {"seeds": 1, "leechers": 0, "downloaders": 0, "downloads": 0}

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/", 404),
            ("GET", "/torrents/" + "00" * 20, 404),
            ("GET", "/torrents/%ff", 400),
            ("PUT", "/allowed/12", 400),
            ("PUT", "/allowed/" + "00" * 20, 409),
            ("PUT", "/stats", 404),
            ("POST", "/stats", 405),
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, method: str, path: str, status: int) -> None:
        async with tracker() as server:
            assert (await ask(urls(server)[2] + path, method, AUTHORIZED))[0] == status

    async def test_what_may_be_done_is_said_to_who_asks_for_something_else(self) -> None:
        async with tracker() as server:
            announce, _, admin = urls(server)
            assert b"\r\nAllow: GET\r\n" in (await ask(announce, "POST"))[1]
            assert b"\r\nAllow: GET, PUT, DELETE\r\n" in (await ask(f"{admin}/stats", "POST"))[1]


async def test_head_is_get_without_the_body() -> None:
    """Monitors ask so."""
    async with tracker() as server:
        announce, stats, admin = urls(server)
        for url in (
            announce.removesuffix("announce"),
            f"{stats}/health",
            f"{admin}/lists",
            f"{stats}/nothing",
        ):
            got, head = await ask(url, "GET", AUTHORIZED), await ask(url, "HEAD", AUTHORIZED)
            assert head[:2] == got[:2] and got[2] and not head[2]


class TestPasskeys:
    async def test_stand_before_announce_and_scrape(self) -> None:
        async with tracker(admission=Admission(passkeys=[b"k3y"])) as server:
            url = server.urls[0].removesuffix("/announce")
            assert b"failure reason" not in (await ask(f"{url}/k3y/announce?{QUERY}1"))[2]
            for path in ("/announce", "/other/announce", "/k3y/x/announce"):
                body = (await ask(f"{url}{path}?{QUERY}1"))[2]
                with pytest.raises(TrackerError, match="passkey") as raised:
                    decode_announce(body)
                assert raised.value.is_final
            scraped = decode_scrape((await ask(f"{url}/k3y/scrape?info_hash={'a' * 20}"))[2])
            assert len(scraped) == 1
            assert b"failure reason" in (await ask(f"{url}/scrape?info_hash={'a' * 20}"))[2]


class TestProxies:
    PROXIES = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.9.0.0/16"))

    @pytest.mark.parametrize(
        ("headers", "extra", "seen"),
        [
            ("X-Forwarded-For: 192.0.2.7\r\n", "", "192.0.2.7"),
            ("X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n", "", "192.0.2.7"),
            ("X-Forwarded-For: 192.0.2.7, 10.9.1.1\r\n", "", "192.0.2.7"),
            ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.9.1.1\r\n", "", "192.0.2.7"),
            ("X-Forwarded-For: 192.0.2.7:4711\r\n", "", "192.0.2.7"),
            ("X-Forwarded-For: [2001:db8::7]:80\r\n", "", "2001:db8::7"),
            ("X-Forwarded-For: nonsense, \xff\r\n", "", "127.0.0.1"),
            ("", "&ip=192.0.2.8", "192.0.2.8"),
            ("X-Forwarded-For: 192.0.2.7\r\n", "&ip=192.0.2.8", "192.0.2.7"),
            ("", "&ip=tracker.example", "127.0.0.1"),
        ],
    )
    async def test_of_ours_are_believed(self, headers: str, extra: str, seen: str) -> None:
        async with tracker(proxies=self.PROXIES) as server:
            _, _, body = await ask(f"{server.urls[0]}?{QUERY}1{extra}", headers=headers)
        assert decode_announce(body).external_ip == seen

    async def test_others_are_not(self) -> None:
        async with tracker(proxies=self.PROXIES[1:]) as server:
            headers = "X-Forwarded-For: 192.0.2.7\r\n"
            _, _, body = await ask(f"{server.urls[0]}?{QUERY}1&ip=192.0.2.8", headers=headers)
        assert decode_announce(body).external_ip == "127.0.0.1"


async def test_a_long_answer_is_packed_where_that_is_asked_for() -> None:
    async with tracker() as server:
        for port in range(1, 60):
            await ask(f"{server.urls[0]}?{QUERY.replace('left=0', 'left=1')}{port}")
        url = f"{server.urls[0]}?{QUERY}99&compact=0"
        _, head, body = await ask(url, headers="Accept-Encoding: deflate, gzip\r\n")
        assert b"Content-Encoding: gzip" in head
        assert len(decode_announce(gzip.decompress(body)).peers) == 50
        assert b"Content-Encoding" not in (await ask(url))[1]


async def test_a_warning_is_told_to_those_who_are_served() -> None:
    async with tracker() as server:
        server.rules.warning = b"closing on Monday"
        response = decode_announce((await ask(f"{server.urls[0]}?{QUERY}1"))[2])
    assert response.warning == "closing on Monday" and response.seeds == 1


def certificate(folder: Path) -> Path:
    """A fresh one for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tracker")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "tracker.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls_on_all_addresses_is_on_those_of_ipv6_too(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(path)
    theirs = ssl.create_default_context(cafile=str(path))
    theirs.check_hostname = False
    async with TrackerServer("0.0.0.0", 0, https=("0.0.0.0", 0), tls=ours) as server:
        if len(server.urls) == 1:
            pytest.skip("no IPv6 on this machine")
        assert server.https_url is not None
        port = int(server.https_url.split(":")[2].partition("/")[0])
        for host in ("127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection(host, port, ssl=theirs)
            writer.write(f"GET /announce?{QUERY}7 HTTP/1.0\r\n\r\n".encode())
            body = (await reader.read()).partition(b"\r\n\r\n")[2]
            assert decode_announce(body).external_ip == host
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_tls_and_plain_share_swarms(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(path)
    async with tracker(https=ANYWHERE, tls=ours) as server:
        assert server.https_url is not None and server.https_url.startswith("https://127.0.0.1:")
        await ask(f"{server.urls[0]}?{QUERY}1")
        theirs = ssl.create_default_context(cafile=str(path))
        _, _, body = await ask(f"{server.https_url}?{QUERY.replace('left=0', 'left=1')}2", tls=theirs)
        assert [str(peer) for peer in decode_announce(body).peers] == ["127.0.0.1:1"]
        # Whoever speaks plainly to the TLS port is dropped, and the others served on.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await ask(server.https_url.replace("https", "http"))
        assert (await ask(f"{server.https_url}?{QUERY}2", tls=theirs))[0] == 200
