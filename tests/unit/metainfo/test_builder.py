"""A .torrent put together, and what no client would take."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.base import bencode
from swarm.base.errors import MetainfoError, SettingsError
from swarm.metainfo.builder import (
    TorrentOptions,
    are_plain,
    auto_piece_length,
    build_info,
    build_metainfo,
    check_piece_length,
)
from swarm.metainfo.torrent import Metainfo

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("total_bytes", "piece_length"),
    [
        (0, 16 * KIB),
        (1, 16 * KIB),
        (16 * MIB, 16 * KIB),
        (256 * MIB, 256 * KIB),
        (700 * MIB, 512 * KIB),
        (4 * GIB, 4 * MIB),
        (100 * GIB, 16 * MIB),
        (10 * 1024 * GIB, 16 * MIB),
    ],
)
def test_auto_piece_length_makes_one_to_two_thousand_pieces(total_bytes: int, piece_length: int) -> None:
    assert auto_piece_length(total_bytes) == piece_length


@pytest.mark.parametrize("piece_length", [0, 1, 8192, 3 * 16384, 2**29, -16384])
def test_piece_lengths_that_nobody_takes_are_refused(piece_length: int) -> None:
    with pytest.raises(MetainfoError, match="a piece length is a power of two"):
        check_piece_length(piece_length, 1)


def test_too_many_pieces_are_refused_with_what_to_do() -> None:
    with pytest.raises(MetainfoError, match="take a greater piece length"):
        check_piece_length(16384, 100 * GIB)


def test_built_torrent_reads_back() -> None:
    options = TorrentOptions(
        trackers=(("http://a", "http://b"), ("http://c",)),
        web_seeds=("http://w",),
        comment="ü",
        source="S",
        is_private=True,
        creation_date=5,
        cross_seed=b"random",
    )
    info = build_info(b"n", [(b"a/b", 3), (b"e", 0), (b"\xc3\xbc", 5)], 16384, b"h" * 20, options)
    torrent = Metainfo.parse(build_metainfo(info, options))
    assert torrent.info_bytes == info
    assert [(file.path, file.length) for file in torrent.files] == [(("a", "b"), 3), (("e",), 0), (("ü",), 5)]
    assert torrent.trackers == options.trackers
    assert (torrent.web_seeds, torrent.comment, torrent.source) == (("http://w",), "ü", "S")
    assert (torrent.is_private, torrent.creation_date) == (True, 5)
    assert bencode.encode(bencode.decode(info)) == info
    assert b"x_cross_seed6:random" in info


def test_one_tracker_needs_no_list_and_one_web_seed_none() -> None:
    options = TorrentOptions(trackers=(("http://a",),), web_seeds=("http://w",), created_by="")
    info = build_info(b"n", [(b"", 3)], 16384, b"h" * 20, options)
    assert build_metainfo(info, options) == (
        b"d8:announce8:http://a4:infod6:lengthi3e4:name1:n12:piece lengthi16384e6:pieces20:"
        + b"h" * 20
        + b"e"
        b"8:url-list8:http://we"
    )


def test_bytes_of_the_command_line_go_out_as_they_came() -> None:
    options = TorrentOptions(comment=b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert b"4:caf\xe9" in build_metainfo(b"de", options)


def test_a_torrent_of_nothing_is_refused() -> None:
    with pytest.raises(MetainfoError, match="at least one file"):
        build_info(b"n", [], 16384, b"", TorrentOptions())


@pytest.mark.parametrize(
    ("names", "is_plain"),
    [
        ([b"a", b"b/c.txt"], True),
        ([b"a", b"A"], False),
        ([b"a\\b"], False),
        ([b"a\x1b"], False),
        ([b"\xc3\xbc"], False),
        ([b"a" * 256], False),
    ],
)
def test_plain_names_are_known_at_a_look(names: list[bytes], is_plain: bool) -> None:
    assert are_plain(names) == is_plain


@pytest.mark.parametrize(
    "options",
    [{"trackers": "http://a/"}, {"trackers": ("http://a/",)}, {"web_seeds": "http://a/"}],
    ids=str,
)
def test_one_text_where_several_are_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="such as"):
        TorrentOptions(**options)
