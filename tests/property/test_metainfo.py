"""Any bytes are a torrent that is safe to download, or a MetainfoError."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bencode import encode
from swarm.base.errors import MetainfoError
from swarm.metainfo import magnet
from swarm.metainfo.files import FileEntry, Layout
from swarm.metainfo.torrent import Metainfo

numbers = st.integers(-(2**63), 2**63) | st.integers(0, 200_000)
parts = st.binary(max_size=8) | st.sampled_from(
    [b"..", b".", b"/", b"\\", b"a", b"A", b"a.1", b"\x00", b"con", b""]
)
names = st.lists(parts, max_size=4)
anything: st.SearchStrategy[Any] = st.recursive(
    numbers | parts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts, inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        b"length": numbers | anything,
        b"path": names | anything,
        b"path.utf-8": names | anything,
        b"attr": st.sampled_from([b"p", b"l", b"xp", b""]) | anything,
    },
)
infos = st.fixed_dictionaries(
    {},
    optional={
        b"name": parts | anything,
        b"piece length": st.sampled_from([16384, 32768]) | numbers | anything,
        b"pieces": st.integers(0, 4).map(lambda count: b"h" * 20 * count) | anything,
        b"length": numbers | anything,
        b"files": st.lists(entries, max_size=4) | anything,
        b"private": anything,
        b"meta version": st.just(2) | anything,
    },
)
torrents = st.fixed_dictionaries(
    {b"info": infos | anything},
    optional=dict.fromkeys(
        (
            b"announce",
            b"announce-list",
            b"url-list",
            b"comment",
            b"creation date",
            b"encoding",
            b"created by",
        ),
        anything,
    ),
)


@given(st.binary(max_size=200) | torrents.map(encode))
def test_any_bytes_are_a_torrent_or_the_one_error(raw: bytes) -> None:
    try:
        torrent = Metainfo.parse(raw)
    except MetainfoError as error:
        assert "\n" not in str(error)
        return
    check_safe(torrent)


@given(st.lists(st.tuples(names.filter(bool), st.integers(0, 20_000)), min_size=1, max_size=8), parts)
def test_every_name_becomes_safe_and_unique(files: list[tuple[list[bytes], int]], name: bytes) -> None:
    total = sum(length for _, length in files)
    info: dict[bytes, Any] = {
        b"name": name,
        b"piece length": 16384,
        b"pieces": b"h" * 20 * -(-total // 16384),
        b"files": [{b"path": path, b"length": length} for path, length in files],
    }
    torrent = Metainfo.parse(encode({b"info": info}))
    assert torrent.total_bytes == total
    check_safe(torrent)


def check_safe(torrent: Metainfo) -> None:
    """What everybody else relies on."""
    geometry = torrent.geometry
    assert len(torrent.piece_hashes) == 20 * geometry.piece_count
    offset = 0
    for file in torrent.files:
        assert (file.offset, file.length >= 0) == (offset, True)
        offset += file.length
        assert bool(file.path) == torrent.is_multi_file
        for part in (torrent.name, *file.path):
            assert part not in ("", ".", "..")
            assert len(part.encode()) <= 255
            assert not any(char in "/\\" or ord(char) < 32 or 127 <= ord(char) < 160 for char in part)
    assert offset == geometry.total_bytes
    paths = ["/".join(file.path).casefold() for file in torrent.files if not file.is_pad]
    assert len(set(paths)) == len(paths)
    assert not any(other.startswith(path + "/") for path in paths for other in paths if path)
    magnet.parse(torrent.magnet())


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.data())
def test_ranges_cover_exactly_what_was_asked(lengths: list[int], data: st.DataObject) -> None:
    files = []
    end = 0
    for length in lengths:
        files.append(FileEntry(("x",), length, end))
        end += length
    layout = Layout(files)
    start = data.draw(st.integers(0, end))
    size = data.draw(st.integers(0, end - start))
    at = start
    for index, offset, length in layout.ranges(start, size):
        assert length > 0
        assert files[index].offset + offset == at
        assert offset + length <= files[index].length
        at += length
    assert at == start + size


@given(
    st.text(max_size=120).map(lambda text: "magnet:?xt=urn:btih:" + "ab" * 20 + text) | st.text(max_size=80)
)
def test_any_text_is_a_magnet_or_the_one_error(text: str) -> None:
    try:
        read = magnet.parse(text)
    except MetainfoError:
        return
    assert len(read.info_hash) == 20
