"""The links of a session at their door: what an owner hears of those it has dialled."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarm.base.blocks import Geometry
from swarm.base.bucket import Bucket
from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash, PeerId
from swarm.session.connections import links as links_module
from swarm.session.connections.links import Links
from swarm.session.connections.listener import BACKLOG
from swarm.session.connections.peer_link import PeerLink
from swarm.session.notices import PeerNews
from swarm.storage.chunks import Chunk
from swarm.wire.peer.handshake import Handshake
from swarm.wire.peer.messages import Message
from tests.e2e.transfers import settings_of, until

HANDSHAKE = Handshake(InfoHash(b"h" * 20), PeerId(b"-SW0100-ourselves..."))


class Owner:
    """Whoever runs a torrent; notes what became of its dials."""

    geometry: Geometry | None = None
    is_stopped = False

    def __init__(self) -> None:
        self.up_bucket = Bucket(None, 0.0)
        self.down_bucket = Bucket(None, 0.0)
        self.opened: list[PeerLink] = []
        self.failed: list[tuple[Endpoint, str, bool]] = []
        self.out_of_reach: list[Endpoint] = []

    def link_opened(self, link: PeerLink, handshake: Handshake, *, is_greeted: bool = False) -> None:
        self.opened.append(link)

    def link_received(self, link: PeerLink, messages: Sequence[Message]) -> None:
        pass

    def link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None:
        pass

    def link_lost(self, link: PeerLink, reason: str) -> None:
        pass

    def dial_failed(
        self, endpoint: Endpoint, reason: str, *, is_tried: bool = True, has_way: bool = True
    ) -> None:
        self.failed.append((endpoint, reason, is_tried))
        if not has_way:
            self.out_of_reach.append(endpoint)


@asynccontextmanager
async def links_of(tmp_path: Path, connections_max: int) -> AsyncIterator[tuple[Links, list[PeerNews]]]:
    refused: list[PeerNews] = []
    settings = settings_of(tmp_path / "state", connections_max=connections_max)
    links = Links(
        settings, lambda info_hash: None, lambda *notice: None, refused.append, port=0, bind="127.0.0.1"
    )
    await links.open()
    try:
        yield links, refused
    finally:
        await links.close()
        await links.gone()


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not say")
async def test_crowd_that_comes_at_once_may_wait_to_be_accepted(tmp_path: Path) -> None:
    """The loop listens anew, with a limit of its own unless it is told ours."""
    system_max = int(Path("/proc/sys/net/core/somaxconn").read_text())
    async with links_of(tmp_path, 10) as (links, _):
        (listener,) = links._servers[0].sockets
        # Of a socket that listens `tcpi_sacked` of struct tcp_info is how many may wait.
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
        assert struct.unpack_from("=I", info, 28) == (min(BACKLOG, system_max),)


async def test_dial_where_nobody_listens_is_a_try_that_failed(tmp_path: Path, owner: Owner) -> None:
    async with links_of(tmp_path, 10) as (links, _):
        nobody = Endpoint("127.0.0.1", 1)
        links.dial(owner, HANDSHAKE, nobody)
        await until(lambda: owner.failed)
        assert [(endpoint, is_tried) for endpoint, _, is_tried in owner.failed] == [(nobody, True)]
        assert owner.out_of_reach == []
        assert len(links) == 0


async def test_dial_to_where_no_way_leads_from_here_says_so(tmp_path: Path, owner: Owner) -> None:
    # It is bound to an address of IPv4.
    async with links_of(tmp_path, 10) as (links, _):
        away = Endpoint("2001:db8::1", 6881)
        links.dial(owner, HANDSHAKE, away)
        await until(lambda: owner.failed)
        assert owner.out_of_reach == [away]


async def test_dial_beyond_the_limit_is_none_and_says_so(tmp_path: Path, owner: Owner) -> None:
    async with links_of(tmp_path, 1) as (links, _):
        _, writer = await asyncio.open_connection("127.0.0.1", links.port)
        await until(lambda: len(links) == 1)
        there = Endpoint("127.0.0.1", links.port)
        links.dial(owner, HANDSHAKE, there)
        await until(lambda: owner.failed)
        assert owner.failed == [(there, "there are enough connections", False)]
        assert len(links) == 1
        writer.close()


async def test_link_is_its_owner_s_until_it_ends(tmp_path: Path, owner: Owner) -> None:
    async with links_of(tmp_path, 10) as (links, _):
        met = asyncio.Event()

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(68)
            met.set()
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        links.dial(owner, HANDSHAKE, Endpoint(*server.sockets[0].getsockname()))
        assert [link.owner for link in links.of(owner)] == [owner]
        await met.wait()
        await until(lambda: not links.of(owner))
        server.close()


async def test_links_by_an_address_that_is_gone_are_not_waited_for(
    tmp_path: Path, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with links_of(tmp_path, 10) as (links, _):

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        links.dial(owner, HANDSHAKE, Endpoint(*server.sockets[0].getsockname()))
        await until(lambda: links.of(owner)[0].own_host == "127.0.0.1")
        await links.network_changed()
        assert links.of(owner)
        monkeypatch.setattr(links_module, "is_ours", lambda host: False)
        await links.network_changed()
        await until(lambda: not links.of(owner))
        server.close()


async def test_everybody_at_a_banned_address_is_turned_away_and_not_dialled(
    tmp_path: Path, owner: Owner
) -> None:
    settings = settings_of(tmp_path / "state")
    assert settings.engine.is_loopback_shared
    async with links_of(tmp_path, 10) as (links, _):
        liar = Endpoint("192.0.2.7", 6881)
        assert not links.is_refused(liar)
        links.ban(liar, "it lied")
        assert links.is_refused(Endpoint("192.0.2.7", 1234))
        links.dial(owner, HANDSHAKE, liar)
        await until(lambda: owner.failed)
        assert owner.failed == [(liar, "it is banned", True)]
