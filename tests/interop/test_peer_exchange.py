"""libtorrent learns of peers from us, and we from it, with no tracker and no DHT; and it holepunches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from swarm import Session, Torrent
from swarm.base.endpoint import Endpoint
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import decode_extended_handshake
from swarm.wire.peer.holepunch import (
    Holepunch,
    HolepunchError,
    HolepunchKind,
    decode_holepunch,
    encode_holepunch,
)
from tests.e2e.scripted_peer import Line, dialled, frame
from tests.e2e.transfers import Offer, offer_file, open_session, settings_of
from tests.interop.conftest import client_or_skip

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

HOST = "127.0.0.1"
#: libtorrent tells once a minute.
PATIENCE_S = 90.0
EXTENDED = 20
OUR_HOLEPUNCH_ID = 7


@contextmanager
def libtorrent(offer: Offer, folder: Path, **settings: object) -> Iterator[tuple[Any, int]]:
    """On loopback, a leecher unless `folder` has the content: (its torrent's handle, its port)."""
    client_or_skip("libtorrent")
    import libtorrent as lt

    pack: Any = {
        "listen_interfaces": f"{HOST}:0",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "in_enc_policy": lt.enc_policy.disabled,
        "out_enc_policy": lt.enc_policy.disabled,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": 0,
        **settings,
    }
    session = lt.session(pack)
    folder.mkdir(exist_ok=True)
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(offer.raw)
    params.save_path = str(folder)
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    try:
        yield handle, session.listen_port()
    finally:
        session.remove_torrent(handle)
        del handle, session


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def known_to(handle: Any) -> dict[int, int]:
    """port -> source flags of the peers that it is connected to."""
    return {peer.ip[1]: peer.source for peer in handle.get_peer_info()}


@asynccontextmanager
async def ours(
    offer: Offer, folder: Path, *ports: int, is_exchanging: bool = True
) -> AsyncIterator[tuple[Session, Torrent]]:
    """A leecher of ours that knows these peers."""
    settings = settings_of(
        folder / "state", engine=EngineSettings(is_exchanging=is_exchanging), is_dht_enabled=False
    )
    async with open_session(settings) as session:
        peers = [(HOST, port) for port in ports]
        torrent = await session.add(offer.raw, save_to=folder / "content", peers=peers)
        await until(lambda: torrent.state == "downloading")
        yield session, torrent


async def test_libtorrent_learns_a_peer_from_us(tmp_path: Path) -> None:
    import libtorrent as lt

    offer = offer_file(tmp_path / "seed", 200_000, 16 * 1024)
    with libtorrent(offer, tmp_path / "lt") as (handle, _):
        async with (
            ours(offer, tmp_path / "middle") as (middle, known),
            # Listens to nobody, so that it does not come first.
            ours(offer, tmp_path / "other", middle.port, is_exchanging=False) as (other, _),
        ):
            await until(lambda: len(known.peers()) == 1)
            handle.connect_peer((HOST, middle.port))
            await until(lambda: other.port in known_to(handle))
            assert known_to(handle)[other.port] & lt.peer_info.pex


async def test_we_learn_a_peer_from_libtorrent(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 200_000, 16 * 1024)
    with libtorrent(offer, tmp_path / "lt") as (_, port):
        async with (
            ours(offer, tmp_path / "one", port) as (first, one),
            ours(offer, tmp_path / "two", port) as (second, two),
        ):
            await until(lambda: len(one.peers()) == len(two.peers()) == 2)
            ends = {peer.endpoint for peer in [*one.peers(), *two.peers()]}
            # One of them has dialled the other.
            assert ends & {f"{HOST}:{first.port}", f"{HOST}:{second.port}"}


async def test_libtorrent_brings_two_of_its_peers_together(tmp_path: Path) -> None:
    """Two raw peers of one libtorrent: one asks to meet the other, and both are told to connect (BEP 55)."""
    offer = offer_file(tmp_path / "seed", 200_000, 16 * 1024)
    with libtorrent(offer, tmp_path / "lt") as (handle, port):
        # While it checks its files it lets nobody in.
        await until(lambda: str(handle.status().state) == "downloading")
        async with dialled(port, offer.metainfo) as one, dialled(port, offer.metainfo) as two:
            relay_ids = [
                await greet(line, bytes((0x2D, *b"XX0001-holepunch-", 0x30 + number, 0x30)))
                for number, line in enumerate((one, two))
            ]
            (first, second) = (Endpoint(*line.writer.get_extra_info("sockname")) for line in (one, two))
            # Those who can holepunch are told so by their address of the link itself.
            ask = encode_holepunch(Holepunch(HolepunchKind.RENDEZVOUS, second))
            one.send(frame(EXTENDED, bytes((relay_ids[0],)) + ask))
            assert await next_holepunch(two) == Holepunch(HolepunchKind.CONNECT, first)
            assert await next_holepunch(one) == Holepunch(HolepunchKind.CONNECT, second)
            nobody = Endpoint("127.0.0.9", 9)
            ask = encode_holepunch(Holepunch(HolepunchKind.RENDEZVOUS, nobody))
            one.send(frame(EXTENDED, bytes((relay_ids[0],)) + ask))
            answer = await next_holepunch(one)
            assert answer == Holepunch(HolepunchKind.ERROR, nobody, HolepunchError.NOT_CONNECTED)


async def greet(line: Line, peer_id: bytes) -> int:
    """Shake hands as one who can holepunch; returns the number by which libtorrent wants to be sent that."""
    await line.shake(peer_id=peer_id, reserved=bytes((0, 0, 0, 0, 0, 0x10, 0, 0)))
    line.send(frame(EXTENDED, b"\0d1:md12:ut_holepunchi%deee" % OUR_HOLEPUNCH_ID))
    while True:
        kind, payload = await line.receive()
        if kind == EXTENDED and payload[0] == 0:
            return decode_extended_handshake(payload[1:]).extensions["ut_holepunch"]


async def next_holepunch(line: Line) -> Holepunch:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            kind, payload = await line.receive()
            if kind == EXTENDED and payload[0] == OUR_HOLEPUNCH_ID:
                return decode_holepunch(payload[1:])
