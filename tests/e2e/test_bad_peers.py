"""Peers that break the rules: each is dropped with the reason kept, and the download beside it completes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from pathlib import Path

import pytest

from swarm import Torrent
from swarm.base.endpoint import Endpoint
from swarm.engine.settings import EngineSettings
from tests.e2e.scripted_peer import (
    BITFIELD,
    BLOCK,
    FAST,
    HAVE_NONE,
    INTERESTED,
    UNCHOKE,
    Behaviour,
    Line,
    block,
    dialled,
    frame,
    full_bitfield,
    request,
    scripted_peer,
)
from tests.e2e.transfers import (
    Offer,
    assert_same,
    notices_of,
    offer_file,
    open_session,
    seed,
    settings_of,
    until,
    within,
)

KIB = 1024


def offered(tmp_path: Path) -> Offer:
    return offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)


async def garbage(line: Line) -> None:
    line.send(b"GET / HTTP/1.1\r\nHost: you\r\n\r\n" * 10)
    await line.until_closed()


async def another_torrent(line: Line) -> None:
    await line.shake(info_hash=b"x" * 20)
    await line.until_closed()


async def messages_before_the_handshake(line: Line) -> None:
    line.send(frame(INTERESTED), frame(UNCHOKE), bytes(200))
    await line.until_closed()


async def handshake_byte_by_byte(line: Line) -> None:
    # One byte, and then nothing that would ever complete it.
    line.send(b"\x13")
    await line.until_closed()


async def length_of_4_gb(line: Line) -> None:
    await line.shake()
    line.send(b"\xff\xff\xff\xff")
    line.send(b"\x07" * 100)
    await line.until_closed()


async def blocks_never_asked_for(line: Line) -> None:
    await line.shake()
    line.send(
        frame(0), *(block(0, begin % (64 * KIB), bytes(BLOCK)) for begin in range(0, 40 * BLOCK, BLOCK))
    )
    await line.until_closed()


async def request_out_of_range(line: Line) -> None:
    await line.shake()
    line.send(frame(INTERESTED), request(16, 0, BLOCK), request(16, 48 * KIB, BLOCK))
    await line.until_closed()


async def request_of_piece_beyond_the_last(line: Line) -> None:
    await line.shake()
    line.send(request(1 << 31, 0))
    await line.until_closed()


async def bitfield_and_have_none(line: Line) -> None:
    await line.shake(reserved=FAST)
    line.send(full_bitfield(line.metainfo), frame(HAVE_NONE))
    await line.until_closed()


async def bitfield_with_spare_bits(line: Line) -> None:
    await line.shake()
    line.send(full_bitfield(line.metainfo)[:-1] + b"\xff")
    await line.until_closed()


async def bitfield_of_the_wrong_size(line: Line) -> None:
    await line.shake()
    line.send(frame(BITFIELD, bytes(9)))
    await line.until_closed()


async def fast_messages_without_the_extension(line: Line) -> None:
    await line.shake()
    line.send(frame(HAVE_NONE))
    await line.until_closed()


async def second_handshake(line: Line) -> None:
    await line.shake()
    await line.shake()
    await line.until_closed()


async def wrong_data_always(line: Line) -> None:
    await line.shake()
    await line.serve(lambda piece, begin, length: bytes(length))


#: behaviour -> a part of the reason that is told.
BAD: dict[Behaviour, str] = {
    garbage: "does not speak the BitTorrent protocol",
    another_torrent: "another torrent",
    messages_before_the_handshake: "does not speak the BitTorrent protocol",
    handshake_byte_by_byte: "did not finish the handshake",
    length_of_4_gb: "of 4294967295 bytes",
    blocks_never_asked_for: "that nobody asked for",
    request_out_of_range: "outside the torrent: piece 16",
    request_of_piece_beyond_the_last: "outside the torrent: piece 2147483648",
    bitfield_and_have_none: "said twice which pieces it has",
    bitfield_with_spare_bits: "spare bits of the bitfield are set",
    bitfield_of_the_wrong_size: "type 5 with a length of",
    fast_messages_without_the_extension: "without the fast extension",
    second_handshake: "a message of",
    wrong_data_always: "had wrong data from it",
}


@pytest.mark.parametrize("behaviour", BAD, ids=lambda behaviour: behaviour.__name__)
async def test_bad_peer_is_dropped_and_the_honest_one_completes_the_download(
    tmp_path: Path, behaviour: Behaviour
) -> None:
    offer = offered(tmp_path)
    settings = settings_of(tmp_path / "state", handshake_timeout_s=0.3)
    async with (
        scripted_peer(offer.metainfo, behaviour) as bad,
        open_session(settings) as seeder,
        open_session(settings) as leecher,
    ):
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", bad.port)])
        reason = BAD[behaviour]
        said: list[str] = []

        def is_told() -> bool:
            said.append(notices_of(torrent))
            return any(
                f"127.0.0.1:{bad.port}" in line and reason in line for line in "\n".join(said).splitlines()
            )

        await until(is_told)
        await until(lambda: bad.ended)
        assert torrent.state == "downloading"
        assert torrent.snapshot().done_bytes == 0
        await seed(seeder, offer)
        assert torrent.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        await within(torrent.completed())
        assert f"127.0.0.1:{seeder.port} banned" not in "\n".join(said) + notices_of(torrent)
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_liar_among_honest_peers_is_found_and_only_the_liar(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 3_000_000, 256 * KIB)
    content = offer.content()
    settings = settings_of(tmp_path / "state")
    lies = 0

    def mostly_right(piece: int, begin: int, length: int) -> bytes:
        nonlocal lies
        at = piece * 256 * KIB + begin
        data = content[at : at + length]
        if begin == 32 * KIB:
            lies += 1
            return data[:-1] + bytes([data[-1] ^ 1])
        return data

    def right(piece: int, begin: int, length: int) -> bytes:
        at = piece * 256 * KIB + begin
        return content[at : at + length]

    async def lie(line: Line) -> None:
        await line.shake(peer_id=b"-XX0001-liarliarliar")
        await line.serve(mostly_right)

    async def help_out(line: Line) -> None:
        await line.shake(peer_id=b"-XX0001-honesthonest")
        await line.serve(right)

    async with (
        scripted_peer(offer.metainfo, lie) as liar,
        scripted_peer(offer.metainfo, help_out) as honest,
        open_session(settings) as leecher,
    ):
        torrent = await leecher.add(
            offer.raw,
            save_to=tmp_path / "leech",
            peers=[("127.0.0.1", liar.port), ("127.0.0.1", honest.port)],
        )
        await within(torrent.completed())
        said = notices_of(torrent)
        assert f"127.0.0.1:{honest.port} banned" not in said
        assert (f"127.0.0.1:{liar.port} banned" in said) == bool(torrent.snapshot().failed_pieces)
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_large_block_over_the_blocks_of_others_does_not_frame_them(tmp_path: Path) -> None:
    """A block of 128 KiB answers a request of 16 KiB: what was not asked of its sender is not its to give."""
    offer = offer_file(tmp_path / "seed", 128 * KIB, 128 * KIB)
    content = offer.content()
    honest_has_sent = asyncio.Event()

    async def honest(line: Line) -> None:
        await line.shake(peer_id=b"-XX0001-honesthonest")

        def answer(piece: int, begin: int, length: int) -> bytes | None:
            # All but the first block.
            return content[begin : begin + length] if begin or forger.met == 0 else None

        await line.serve(answer)

    async def forge(line: Line) -> None:
        await line.shake(peer_id=b"-XX0001-forgerforger")
        line.send(full_bitfield(line.metainfo), frame(UNCHOKE))
        await honest_has_sent.wait()
        line.send(block(0, 0, bytes(128 * KIB)))
        await line.until_closed()

    settings = settings_of(tmp_path / "state", engine=EngineSettings(request_timeout_s=0.1, tick_s=0.05))
    async with (
        scripted_peer(offer.metainfo, forge) as forger,
        scripted_peer(offer.metainfo, honest) as helper,
        open_session(settings) as leecher,
        open_session(settings) as seeder,
    ):
        torrent = await leecher.add(
            offer.raw,
            save_to=tmp_path / "leech",
            peers=[("127.0.0.1", forger.port), ("127.0.0.1", helper.port)],
        )
        await until(lambda: torrent.snapshot().downloaded_bytes >= 7 * BLOCK)
        honest_has_sent.set()
        await seed(seeder, offer)
        assert torrent.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        await within(torrent.completed())
        assert f"127.0.0.1:{helper.port} banned" not in notices_of(torrent)
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_silent_peer_that_took_requests_does_not_hold_up_the_download(tmp_path: Path) -> None:
    offer = offered(tmp_path)

    async def take_and_say_nothing(line: Line) -> None:
        await line.shake()
        await line.serve(lambda piece, begin, length: None)

    engine = EngineSettings(request_timeout_s=0.1, tick_s=0.05)
    async with (
        scripted_peer(offer.metainfo, take_and_say_nothing) as silent,
        open_session(settings_of(tmp_path / "state")) as seeder,
        open_session(settings_of(tmp_path / "state", engine=engine)) as leecher,
    ):
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", silent.port)])
        await until(lambda: any(peer.asked_blocks for peer in torrent.peers()))
        await seed(seeder, offer)
        assert torrent.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        await within(torrent.completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


def backlog_bytes(torrent: Torrent) -> int:
    """What all links of the torrent hold for peers that have not taken it."""
    assert torrent.runner is not None
    links = torrent.runner._links.values()
    return sum(link._transport.get_write_buffer_size() for link in links if link._transport is not None)


async def test_peer_that_asks_for_everything_and_reads_nothing_gets_a_bounded_backlog(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 24 << 20, 1 << 20)
    engine = EngineSettings(send_window_max=2 << 20)
    async with open_session(settings_of(tmp_path / "state", engine=engine)) as seeder:
        torrent = await seed(seeder, offer)
        async with dialled(seeder.port, offer.metainfo) as line:
            await line.shake()
            line.send(frame(INTERESTED))
            while (await line.receive())[0] != UNCHOKE:
                pass
            # From here on it reads nothing, but asks and asks.
            line.reader._limit = 1  # type: ignore[attr-defined]  # the stream stops its transport at once
            most = 0
            for _ in range(20):
                for piece in range(24):
                    line.send(*(request(piece, begin) for begin in range(0, 1 << 20, BLOCK)))
                await line.writer.drain()
                await asyncio.sleep(0.01)
                most = max(most, backlog_bytes(torrent))
            assert 0 < most <= (2 << 20) + (1 << 20) + (512 << 10)
            # Others are served all the same.
            async with open_session(settings_of(tmp_path / "state")) as leecher:
                other = await leecher.add(
                    offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)]
                )
                await within(other.completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_peer_dropped_while_it_reads_nothing_is_gone_soon(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 24 << 20, 1 << 20)
    settings = settings_of(tmp_path / "state", close_timeout_s=0.05)
    async with open_session(settings) as seeder:
        torrent = await seed(seeder, offer)
        async with dialled(seeder.port, offer.metainfo) as line:
            await line.shake(reserved=FAST)
            line.send(frame(HAVE_NONE), frame(INTERESTED))
            while (await line.receive())[0] != UNCHOKE:
                pass
            line.reader._limit = 1  # type: ignore[attr-defined]
            for piece in range(24):
                line.send(*(request(piece, begin) for begin in range(0, 1 << 20, BLOCK)))
            await until(lambda: backlog_bytes(torrent) > 0)
            line.send(frame(HAVE_NONE))
            await until(lambda: not torrent.peers())
            await until(lambda: not seeder._links)


async def test_incoming_handshake_for_another_torrent_is_closed(tmp_path: Path) -> None:
    offer = offered(tmp_path)
    async with open_session(settings_of(tmp_path / "state")) as seeder:
        await seed(seeder, offer)
        async with dialled(seeder.port, offer.metainfo) as line:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await within(line.shake(info_hash=b"y" * 20))


async def test_incoming_handshake_that_never_ends_is_closed_at_its_deadline(tmp_path: Path) -> None:
    offer = offered(tmp_path)
    async with open_session(settings_of(tmp_path / "state", handshake_timeout_s=0.1)) as seeder:
        await seed(seeder, offer)
        async with dialled(seeder.port, offer.metainfo) as line:

            async def trickle() -> None:
                for byte in b"\x13BitTorrent protocol" + bytes(40):
                    line.send(bytes([byte]))
                    await asyncio.sleep(0.01)

            trickling = asyncio.ensure_future(trickle())
            await within(line.until_closed())
            trickling.cancel()
        assert not seeder._links


async def test_connections_that_are_reset_before_they_come_in_take_no_places(tmp_path: Path) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with open_session(settings_of(tmp_path / "state")) as session:
        for _ in range(10):
            # It comes and goes before the loop has a look.
            with socket.create_connection(("127.0.0.1", session.port)) as caller:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # They are accepted in the order in which they came: when this one was heard, all were.
        reader, writer = await asyncio.open_connection("127.0.0.1", session.port)
        writer.write(b"none of ours" * 10)
        with contextlib.suppress(ConnectionError):
            await within(reader.read())
        writer.close()
        await until(lambda: not len(session._links))
    assert not reported
