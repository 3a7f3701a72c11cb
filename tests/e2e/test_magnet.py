"""Magnet links between real sessions: from an info-hash to the content, over the links first made."""

from __future__ import annotations

import asyncio
import hashlib
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from swarm import InfoHash, Metainfo, MetainfoError, SettingsError, SwarmError
from swarm.base.endpoint import Endpoint
from swarm.metainfo import magnet
from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent
from tests.e2e.scripted_peer import HAVE, Behaviour, Line, dialled, frame, scripted_peer
from tests.e2e.transfers import (
    Offer,
    assert_same,
    notices_of,
    offer_file,
    offer_folder,
    open_session,
    seed,
    settings_of,
    until,
    within,
)

KIB = 1024
#: The reserved bytes of who speaks BEP 10.
EXTENDED = bytes(5) + b"\x10" + bytes(2)


def link_of(offer: Offer, *ports: int) -> str:
    peers = [("127.0.0.1", port) for port in ports]
    return magnet.make(offer.metainfo.info_hash, name="what it is called", peers=peers)


async def test_magnet_link_becomes_the_content_over_one_link(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 3 * 1024 * 1024 + 5, 32 * 1024)
    async with (
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        seeded = await seed(seeder, offer)
        torrent = await leecher.add(link_of(offer, seeder.port), save_to=tmp_path / "leech")
        assert torrent.metainfo.info_bytes == offer.metainfo.info_bytes
        await within(torrent.completed())
        assert_same(tmp_path / "leech" / "file.bin", offer.path)
        # The link over which the metadata came brought the content too.
        assert seeded.runner is not None and seeded.runner._next_number == 1


async def test_handle_shows_how_it_goes_and_the_torrent_goes_on_with_its_link(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a.bin": 100_000, "b/c.bin": 300_000}, 16 * KIB)
    async with (
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        seeded = await seed(seeder, offer)
        fetch = leecher.fetch_metadata(link_of(offer))
        assert (fetch.name, fetch.state) == ("what it is called", "searching")
        fetch.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        metainfo = await fetch.metainfo()
        now = fetch.snapshot()
        assert (now.state, now.name, now.peers) == ("complete", "folder", 1)
        assert now.done_bytes == now.total_bytes == len(offer.metainfo.info_bytes)
        torrent = await leecher.add(metainfo, save_to=tmp_path / "leech", files=[1])
        await within(torrent.completed())
        assert not (tmp_path / "leech" / "folder" / "a.bin").exists()
        assert (tmp_path / "leech" / "folder" / "b" / "c.bin").read_bytes() == (
            offer.path / "b" / "c.bin"
        ).read_bytes()
        assert seeded.runner is not None and seeded.runner._next_number == 1


async def test_what_was_fetched_once_needs_no_peer_again(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "s1")) as seeder:
        await seed(seeder, offer)
        async with open_session(settings_of(tmp_path / "s2")) as leecher:
            fetch = leecher.fetch_metadata(link_of(offer, seeder.port))
            await within(fetch.metainfo())
            await fetch.close()
            assert fetch.snapshot().state == "complete"
    async with open_session(settings_of(tmp_path / "s2")) as leecher:
        again = leecher.fetch_metadata(offer.metainfo.info_hash)
        assert (await again.metainfo()).info_bytes == offer.metainfo.info_bytes
        assert Metainfo.parse(again.raw).info_hash == offer.metainfo.info_hash


async def test_peer_that_a_link_names_is_asked_where_the_metadata_was_kept(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "s1")) as seeder:
        await seed(seeder, offer)
        link = link_of(offer, seeder.port)
        for place in ("first", "again"):
            async with open_session(settings_of(tmp_path / "s2")) as leecher:
                torrent = await leecher.add(link, save_to=tmp_path / place)
                await within(torrent.completed())


@pytest.mark.parametrize("is_private", [True, False])
async def test_peer_that_a_link_names_is_none_of_a_private_torrent(tmp_path: Path, is_private: bool) -> None:
    """BEP 27; the peer that the user names himself is asked all the same."""
    plain = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    options = TorrentOptions(piece_length=16 * KIB, is_private=is_private)
    offer = Offer(plain.path, create_torrent(plain.path, options))
    callers = 0

    def called(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal callers
        callers += 1
        writer.close()

    named = await asyncio.start_server(called, "127.0.0.1", 0)
    async with named, open_session(settings_of(tmp_path / "s1")) as seeder:
        await seed(seeder, offer)
        async with open_session(settings_of(tmp_path / "s2")) as leecher:
            fetch = leecher.fetch_metadata(link_of(offer, seeder.port))
            await within(fetch.metainfo())
            await fetch.close()
        async with open_session(settings_of(tmp_path / "s2")) as leecher:
            link = link_of(offer, named.sockets[0].getsockname()[1])
            user_names = [("127.0.0.1", seeder.port)]
            torrent = await leecher.add(link, save_to=tmp_path / "leech", peers=user_names)
            await within(torrent.completed())
            assert (callers == 0) is is_private


async def test_link_over_which_the_metadata_of_a_private_torrent_came_ends(tmp_path: Path) -> None:
    plain = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    options = TorrentOptions(piece_length=16 * KIB, is_private=True)
    offer = Offer(plain.path, create_torrent(plain.path, options))
    async with (
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        seeded = await seed(seeder, offer)
        torrent = await leecher.add(link_of(offer, seeder.port), save_to=tmp_path / "leech")
        await until(lambda: torrent.runner is not None and seeded.snapshot().peers == 0)
        assert torrent.snapshot().done_bytes == 0
        # Whom the user names is a peer, whoever else has named it.
        assert torrent.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        await within(torrent.completed())


async def test_peers_that_come_to_us_give_it_too(tmp_path: Path) -> None:
    """Incoming links are let in while nothing is known but the info-hash."""
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    async with (
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        adding = asyncio.ensure_future(leecher.add(link_of(offer), save_to=tmp_path / "leech"))
        await until(lambda: leecher._fetches)
        seeded = await seed(seeder, offer)
        assert seeded.runner is not None
        seeded.runner.candidates_found([Endpoint("127.0.0.1", leecher.port)], "user")
        torrent = await adding
        await within(torrent.completed())
        assert_same(tmp_path / "leech" / "file.bin", offer.path)


async def test_link_may_choose_files_and_name_a_peer(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a.bin": 40_000, "b.bin": 50_000}, 16 * KIB)
    async with (
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        await seed(seeder, offer)
        torrent = await leecher.add(link_of(offer, seeder.port) + "&so=1,7-9", save_to=tmp_path / "leech")
        await within(torrent.completed())
        assert [path.name for path in (tmp_path / "leech" / "folder").iterdir()] == ["b.bin"]


async def test_what_is_no_link_or_is_here_already_is_refused(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "s1")) as session:
        with pytest.raises(MetainfoError, match="no info-hash"):
            await session.add("magnet:?dn=nothing")
        with pytest.raises(MetainfoError, match="not a magnet link"):
            session.fetch_metadata("nothing.torrent")
        fetch = session.fetch_metadata(InfoHash(bytes(20)))
        with pytest.raises(SwarmError, match="being fetched already"):
            session.fetch_metadata(InfoHash(bytes(20)))
        await fetch.close()
        with pytest.raises(SwarmError, match="was stopped before"):
            await fetch.metainfo()
        await seed(session, offer)
        with pytest.raises(SwarmError, match="in this session already"):
            await session.add(link_of(offer))


async def test_link_added_with_a_wrong_selection_leaves_nothing_behind(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    async with (
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        seeded = await seed(seeder, offer)
        link = link_of(offer, seeder.port)
        with pytest.raises(SettingsError, match="no file 4"):
            await leecher.add(link, save_to=tmp_path / "leech", files=[3])
        await until(lambda: not seeded.peers())
        fetch = leecher.fetch_metadata(link)
        torrent = await leecher.add(await fetch.metainfo(), save_to=tmp_path / "leech", files=[0])
        await within(torrent.completed())


async def test_metadata_that_is_right_but_no_torrent_is_refused_with_the_reason(tmp_path: Path) -> None:
    info = b"d6:lengthi5e4:name1:ae"
    behaviour = giving(info)
    async with open_session(settings_of(tmp_path / "s")) as session:
        torrent_hash = InfoHash(hashlib.sha1(info).digest())
        async with scripted_peer(StandIn(torrent_hash), behaviour) as peer:  # type: ignore[arg-type]
            with pytest.raises(MetainfoError, match="no piece"):
                await session.add(torrent_hash, peers=[("127.0.0.1", peer.port)])
        assert not session._fetches


# -- peers that lie ---------------------------------------------------------------------------------


class StandIn(NamedTuple):
    """For a scripted peer, which needs no more of a torrent."""

    info_hash: InfoHash


OUR_ID = 3  # what a peer calls `ut_metadata` when it speaks to us
THEIR_ID = 9


def extended(extended_id: int, payload: bytes) -> bytes:
    return frame(20, bytes((extended_id,)) + payload)


def giving(
    info: bytes, *, claims: int | None = None, changed: Callable[[int, bytes], bytes] = lambda _, data: data
) -> Behaviour:
    """A peer that gives `info`, or what `changed` (piece, message) makes of each answer."""

    async def behaviour(line: Line) -> None:
        await line.shake(reserved=EXTENDED)
        size = len(info) if claims is None else claims
        line.send(extended(0, b"d1:md11:ut_metadatai%dee13:metadata_sizei%dee" % (THEIR_ID, size)))
        while True:
            kind, payload = await line.receive()
            if kind != 20 or payload[0] != THEIR_ID:
                continue
            piece = int(payload.split(b"piecei")[1].split(b"e")[0])
            data = info[piece * 16384 : (piece + 1) * 16384]
            answer = b"d8:msg_typei1e5:piecei%de10:total_sizei%dee" % (piece, size) + data
            line.send(extended(OUR_ID, changed(piece, answer)))

    return behaviour


def flipped(piece: int, answer: bytes) -> bytes:
    return answer[:-1] + bytes((answer[-1] ^ 1,))


def rejected(piece: int, answer: bytes) -> bytes:
    return b"d8:msg_typei2e5:piecei%dee" % piece


def halfway_another_size(piece: int, answer: bytes) -> bytes:
    return answer if not piece else answer.replace(b"total_sizei", b"total_sizei1")


def too_short(piece: int, answer: bytes) -> bytes:
    return answer[:-1]


def nonsense(piece: int, answer: bytes) -> bytes:
    return b"hello"


@pytest.mark.parametrize(
    ("claims", "changed"),
    [
        (None, flipped),
        (None, rejected),
        (None, halfway_another_size),
        (None, too_short),
        (None, nonsense),
        (0, nonsense),
        (2**31, nonsense),
        (2**31 - 1, nonsense),
        (-1, nonsense),
        (32 << 20, too_short),
        (10_000, rejected),
    ],
)
async def test_liars_beside_an_honest_seed_change_nothing(
    claims: int | None, changed: Callable[[int, bytes], bytes], tmp_path: Path
) -> None:
    # 40 KiB of metadata, that is three pieces.
    offer = offer_file(tmp_path / "seed", 2048 * 16 * KIB, 16 * KIB)
    info = offer.metainfo.info_bytes
    async with (
        scripted_peer(offer.metainfo, giving(info, claims=claims, changed=changed)) as bad,
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        await seed(seeder, offer)
        fetch = leecher.fetch_metadata(link_of(offer, bad.port))
        await until(lambda: bad.met)
        fetch.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        async with asyncio.timeout(30):
            metainfo = await fetch.metainfo()
        assert metainfo.info_bytes == info


async def test_one_that_asks_again_and_again_is_dropped_by_a_seed(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "s")) as seeder:
        torrent = await seed(seeder, offer)
        async with dialled(seeder.port, offer.metainfo) as line:
            await line.shake(reserved=EXTENDED)
            line.send(extended(0, b"d1:md11:ut_metadatai9eee"))
            line.send(extended(OUR_ID, b"d8:msg_typei0e5:piecei0ee") * 1000)
            await line.until_closed()
        await until(lambda: "floods us with requests for the metadata" in notices_of(torrent))


async def test_what_a_peer_said_early_is_checked_when_the_pieces_are_known(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 40_000, 16 * KIB)
    wrong = frame(HAVE, struct.pack(">I", 1000))

    async def behaviour(line: Line) -> None:
        await line.shake(reserved=EXTENDED)
        line.send(wrong, extended(0, b"d1:mdee"))
        await line.until_closed()

    async with (
        scripted_peer(offer.metainfo, behaviour) as bad,
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        await seed(seeder, offer)
        fetch = leecher.fetch_metadata(link_of(offer, bad.port))
        await until(lambda: fetch.snapshot().peers == 1)
        fetch.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        torrent = await leecher.add(await fetch.metainfo(), save_to=tmp_path / "leech")
        await within(torrent.completed())
        await until(lambda: "it has piece 1000 of 3" in notices_of(torrent))


async def test_200_000_pieces_have_metadata_like_any_other(tmp_path: Path) -> None:
    """4 MB of metadata from one peer; the content would be 3 GiB, and is not looked at."""
    offer_info = (
        b"d6:lengthi%de4:name1:x12:piece lengthi16384e6:pieces4000000:" % (200_000 * 16384)
        + random.Random(1).randbytes(4_000_000)
        + b"e"
    )
    info_hash = InfoHash(hashlib.sha1(offer_info).digest())
    async with (
        scripted_peer(StandIn(info_hash), giving(offer_info)) as peer,  # type: ignore[arg-type]
        open_session(settings_of(tmp_path / "s")) as session,
    ):
        fetch = session.fetch_metadata(info_hash, peers=[("127.0.0.1", peer.port)])
        await within(fetch.metainfo())
        assert (await fetch.metainfo()).geometry.piece_count == 200_000
