"""Torrents with pad files (BEP 47): padding is neither asked for nor written, and yet given to who asks."""

from __future__ import annotations

import asyncio
import struct
from hashlib import sha1
from pathlib import Path

from tests.e2e.going_on import finish, stop_with
from tests.e2e.scripted_peer import (
    BLOCK,
    INTERESTED,
    UNCHOKE,
    Line,
    frame,
    request,
    scripted_peer,
)
from tests.e2e.scripted_peer import PIECE as PIECE_MESSAGE
from tests.e2e.transfers import (
    Offer,
    notices_of,
    offer_padded,
    open_session,
    padded_content,
    seed,
    settings_of,
    until,
)

PIECE = 4 * BLOCK
#: Of their pieces only the first, the first two, all and the first two blocks hold any of them.
FILES = {"a": 100, "b": BLOCK + 1, "c/d": PIECE, "e": PIECE + 2 * BLOCK, "empty": 0, "last": 7}
#: What a peer must send.
FETCHED_BYTES = BLOCK + 2 * BLOCK + PIECE + PIECE + 2 * BLOCK + 7


def content_of(offer: Offer) -> bytes:
    return padded_content(offer.path, FILES, PIECE)


async def test_only_what_is_not_padding_is_downloaded(tmp_path: Path) -> None:
    offer = offer_padded(tmp_path / "seed", FILES, PIECE)
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == FETCHED_BYTES
    assert now.failed_pieces == now.wasted_bytes == 0
    assert now.done_bytes == now.total_bytes == len(content_of(offer))


async def test_pieces_that_are_padding_alone_are_here_from_the_first_moment(tmp_path: Path) -> None:
    """Such as no program makes; a pad file may be of any length."""
    offer = offer_padded(tmp_path / "seed", FILES, PIECE)
    # Padding of `a` that goes on for three more pieces.
    zeros = 3 * PIECE
    raw = offer.raw.replace(b"i%de" % (PIECE - 100), b"i%de" % (PIECE - 100 + zeros))
    hashes = offer.metainfo.piece_hashes
    zero_hash = sha1(bytes(PIECE)).digest()
    raw = raw.replace(
        b"%d:" % len(hashes) + hashes, b"%d:" % (len(hashes) + 60) + hashes[:20] + 3 * zero_hash + hashes[20:]
    )
    offer = Offer(offer.path, raw)
    assert offer.metainfo.total_bytes == len(content_of(offer)) + zeros
    async with open_session(settings_of(tmp_path / "state")) as leecher:
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech")
        await until(lambda: torrent.state == "downloading")
        assert torrent.snapshot().done_bytes == zeros
    assert (await finish(offer, tmp_path)).downloaded_bytes == FETCHED_BYTES


async def test_padding_is_given_to_who_asks_for_it(tmp_path: Path) -> None:
    offer = offer_padded(tmp_path / "seed", FILES, PIECE)
    content = content_of(offer)
    async with open_session(settings_of(tmp_path / "state")) as seeder:
        await seed(seeder, offer)
        reader, writer = await asyncio.open_connection("127.0.0.1", seeder.port)
        line = Line(reader, writer, offer.metainfo)
        await line.shake()
        line.send(frame(INTERESTED))
        got = bytearray(len(content))
        missing = 0
        async with asyncio.timeout(30):
            while (await line.receive())[0] != UNCHOKE:
                pass
            for at in range(0, len(content), BLOCK):
                length = min(BLOCK, len(content) - at)
                line.send(request(at // PIECE, at % PIECE, length))
                missing += length
            while missing:
                kind, payload = await line.receive()
                if kind == PIECE_MESSAGE:
                    piece, begin = struct.unpack(">II", payload[:8])
                    at = piece * PIECE + begin
                    got[at : at + len(payload) - 8] = payload[8:]
                    missing -= len(payload) - 8
        writer.close()
    assert got == content


async def test_blocks_beside_padding_are_kept_by_an_orderly_stop(tmp_path: Path) -> None:
    offer = offer_padded(tmp_path / "seed", FILES, PIECE)
    content = content_of(offer)

    async def give_some(line: Line) -> None:
        await line.shake()
        # The first blocks of `b`, and of the end of `e`.
        await line.serve(
            lambda piece, begin, length: (
                content[piece * PIECE : piece * PIECE + length] if piece in (1, 4) and not begin else None
            )
        )

    assert (await stop_with(offer, tmp_path, give_some, 2 * BLOCK)).done_bytes == 0
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == FETCHED_BYTES - 2 * BLOCK
    assert now.failed_pieces == now.checking_bytes == 0


async def test_who_sends_wrong_blocks_beside_padding_is_banned(tmp_path: Path) -> None:
    offer = offer_padded(tmp_path / "seed", FILES, PIECE)

    async def lie(line: Line) -> None:
        await line.shake(peer_id=b"-XX0001-liarliarliar")
        await line.serve(lambda piece, begin, length: b"!" * length if piece == 1 else None)

    async with (
        scripted_peer(offer.metainfo, lie) as liar,
        open_session(settings_of(tmp_path / "state")) as leecher,
    ):
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", liar.port)])
        await until(lambda: torrent.snapshot().failed_pieces == 1)
        assert f"127.0.0.1:{liar.port} banned" in notices_of(torrent)
    now = await finish(offer, tmp_path)
    assert now.failed_pieces == 0
    assert now.downloaded_bytes == FETCHED_BYTES
