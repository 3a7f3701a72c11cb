"""Bencode, torrents, magnet links, and what a user writes in the command line."""

from __future__ import annotations

import contextlib
import hashlib

from swarm.base import bencode
from swarm.base.bitfield import Bitfield
from swarm.base.endpoint import parse_host_port
from swarm.base.errors import BencodeError, MetainfoError, SettingsError
from swarm.base.ids import InfoHash, client_name
from swarm.base.units import parse_size
from swarm.cli.dht_node import target_of
from swarm.cli.sources import magnet_of, selected_files
from swarm.metainfo import magnet
from swarm.metainfo.builder import TorrentOptions, build_metainfo
from swarm.metainfo.torrent import Metainfo
from swarm.session.magnets.metadata_fetch import metainfo_of
from tests.fuzz.target import Target, settles
from tests.property.test_metainfo import check_safe

_INFO: dict[bytes, bencode.Encodable] = {
    b"name": b"tour",
    b"piece length": 16384,
    b"pieces": b"h" * 40,
    b"files": [
        {b"length": 20000, b"path": [b"a", b"one.txt"], b"path.utf-8": [b"a", b"one.txt"]},
        {b"length": 12768, b"path": [b".pad", b"12768"], b"attr": b"p"},
        {b"length": 0, b"path": [b"a", b"link"], b"attr": b"l"},
    ],
}
_TORRENT = bencode.encode(
    {
        b"announce": b"http://tracker.example/announce",
        b"announce-list": [[b"http://one.example/a", b"udp://two.example:80"], [b"https://three.example"]],
        b"comment": b"c",
        b"creation date": 1700000000,
        b"encoding": b"shift_jis",
        b"info": _INFO,
        b"url-list": [b"http://seed.example/"],
    }
)
_SINGLE = bencode.encode(
    {b"info": {b"length": 5, b"name": b"\x83e.bin", b"piece length": 4, b"pieces": b"h" * 40, b"private": 1}}
)
_LINK = magnet.make(
    InfoHash(b"h" * 20),
    name="a name",
    trackers=["http://tracker.example/announce", "udp://two.example:80"],
    web_seeds=["http://seed.example/"],
    peers=[("1.2.3.4", 80), ("::1", 6881)],
)
_SELECTED = Metainfo.parse(_TORRENT)


def _bencode(raw: bytes) -> None:
    value = settles(raw, bencode.decode, bencode.encode, BencodeError)
    try:
        spans = bencode.decode_with_spans(raw)[1]
    except BencodeError:
        assert not isinstance(value, dict)
        return
    assert isinstance(value, dict)
    for key, (start, end) in spans.items():
        assert bencode.decode(raw[start:end]) == value[key]


def _metainfo(raw: bytes) -> None:
    try:
        torrent = Metainfo.parse(raw)
    except MetainfoError as error:
        assert str(error).isprintable(), error
        return
    check_safe(torrent)
    assert hashlib.sha1(torrent.info_bytes).digest() == torrent.info_hash
    # What a magnet link's metadata, or the cache, becomes: the same torrent but for its encoding.
    built = Metainfo.parse(build_metainfo(torrent.info_bytes, TorrentOptions()))
    assert (built.info_hash, built.geometry) == (torrent.info_hash, torrent.geometry)


def _cached_metadata(raw: bytes) -> None:
    """Bytes that hash to what was asked for, and so are believed: any info dictionary at all."""
    options = TorrentOptions(trackers=(("http://t/a",),))
    with contextlib.suppress(MetainfoError):
        torrent = metainfo_of(raw, options)[1]
        check_safe(torrent)
        assert torrent.info_hash == hashlib.sha1(raw).digest() and torrent.trackers == options.trackers


def _magnet(raw: bytes) -> None:
    try:
        link = magnet.parse(raw.decode("utf-8", "surrogateescape"))
    except MetainfoError as error:
        assert "\n" not in str(error)
        return
    made = magnet.make(
        link.info_hash, name=link.name, trackers=link.trackers, web_seeds=link.web_seeds, peers=link.peers
    )
    again = magnet.parse(made)
    assert (again.info_hash, again.peers) == (link.info_hash, link.peers)
    # Halves of surrogate pairs, which no UTF-8 has, are written as question marks.
    if link.name.isprintable():
        assert again.name == link.name
    assert all(0 < port < 65536 for _, port in (*link.peers, *link.dht_nodes))
    assert list(link.selected) == sorted(set(link.selected))


def _command_line(raw: bytes) -> None:
    """Everything that a user may write as an argument: a value or one line."""
    text = raw.decode("utf-8", "surrogateescape")
    with contextlib.suppress(SettingsError):
        chosen = selected_files(_SELECTED, [text])
        assert chosen and all(0 <= index < len(_SELECTED.files) for index in chosen)
    with contextlib.suppress(ValueError):
        host, port = parse_host_port(text)
        assert host and 0 <= port < 65536
    with contextlib.suppress(ValueError):
        assert parse_size(text) >= 0
    with contextlib.suppress(MetainfoError):
        magnet_of(text)
    with contextlib.suppress(SettingsError):
        assert len(target_of(text)) == 20


def _bitfield(raw: bytes) -> None:
    piece_count = 8 * len(raw) - 3
    with contextlib.suppress(ValueError):
        field = Bitfield.from_bytes(raw, piece_count)
        assert field.to_bytes() == raw
        assert field.count == len(list(field)) == piece_count - len(list(field.missing()))
    assert client_name(raw[:20]).isprintable()


TORRENT_TARGETS = (
    Target("bencode", _bencode, (_TORRENT, b"li-1e0:de1:ae", b"d1:ai0e1:bli18446744073709551616eee")),
    Target("metainfo", _metainfo, (_TORRENT, _SINGLE), max_bytes=2048),
    Target("cached-metadata", _cached_metadata, (bencode.encode(_INFO),), max_bytes=1024),
    Target(
        "magnet",
        _magnet,
        (
            _LINK.encode(),
            b"magnet:?xt=urn:btih:MZVWKZTHNBUWU23MNVXG64DRONSXI5TX&so=0,2,4-6&x.pe=[::1]:80&xl=12&dht=a:1",
            b"magnet:?xt=urn:btmh:1220" + b"61" * 32 + b"&dn=%E3%81%82",
        ),
        max_bytes=1024,
    ),
    Target(
        "command-line",
        _command_line,
        (b"1,2-3", b"a/*.txt", b"127.0.0.1:80", b"[::1]:6881", b"1.5G", b"6" * 40, b"Mz2" * 11),
        max_bytes=512,
    ),
    Target("bitfield", _bitfield, (b"\xff\xf8", b"-qB4500-abcdefghijkl", b"M7-4-2--abcdefghijkl"), 64),
)
