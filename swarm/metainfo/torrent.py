"""A .torrent as an immutable value, checked so that the rest of the program can trust it.

Read are BEP 3, 12 (tiers), 19 (web seeds), 27 (private), 47 (pad files), and of a hybrid torrent (BEP 52)
its v1 part. Where v2 comes, `geometry` and `piece_hashes` get their counterparts beside them; `files` and
everything else is shared.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from swarm.base.bencode import Value, decode_with_spans
from swarm.base.blocks import HASH_BYTES, Geometry, piece_hash
from swarm.base.dataclass import dataclass
from swarm.base.errors import BencodeError, MetainfoError
from swarm.base.ids import InfoHash
from swarm.metainfo import magnet as magnets
from swarm.metainfo.files import FileEntry
from swarm.metainfo.limits import (
    MAX_FILES,
    MAX_PIECE_BYTES,
    MAX_PIECES,
    MAX_TOTAL_BYTES,
    MAX_TRACKERS,
    MAX_WEB_SEEDS,
)
from swarm.metainfo.limits import MAX_METAINFO_BYTES as MAX_METAINFO_BYTES
from swarm.metainfo.paths import MAX_PATH_PARTS, decode_name, safe_part, safe_path, unique_paths


@dataclass(frozen=True, slots=True)
class Metainfo:
    """What a .torrent says, with names made safe.

    Args:
        info_hash: SHA-1 over `info_bytes`.
        name: one safe part of a path; the file, or the folder of all files.
        geometry: total bytes and pieces.
        piece_hashes: SHA-1 of each piece, 20 bytes a piece.
        files: at least one, end to end; symbolic links (BEP 47) are left out, they are never created.
        trackers: tiers of announce URLs in order (BEP 12).
        web_seeds: URLs (BEP 19).
        dht_nodes: (host, port) of DHT nodes (BEP 5).
        creation_date: seconds since 1970, None where it says none.
        info_bytes: the info dictionary as found.
    """

    info_hash: InfoHash
    name: str
    geometry: Geometry
    piece_hashes: bytes
    files: tuple[FileEntry, ...]
    is_multi_file: bool
    is_private: bool
    trackers: tuple[tuple[str, ...], ...]
    web_seeds: tuple[str, ...]
    dht_nodes: tuple[tuple[str, int], ...]
    comment: str
    created_by: str
    creation_date: int | None
    source: str
    info_bytes: bytes

    @classmethod
    def parse(cls, raw: bytes, *, is_own: bool = False) -> Metainfo:
        """Read a .torrent.

        Args:
            raw: the whole file.
            is_own: with the names that the content has where it was made (see `safe_part`), also where they
                are equal but for case, and not with those of a download.

        Raises:
            MetainfoError: not a torrent, or one that is not valid, not safe or beyond a limit.
        """
        with _collector_paused():
            return cls._parse(raw, is_own)

    @classmethod
    def _parse(cls, raw: bytes, is_own: bool) -> Metainfo:
        try:
            top, spans = decode_with_spans(raw, max_bytes=MAX_METAINFO_BYTES)
        except BencodeError as error:
            raise MetainfoError(f"not a .torrent: {error}") from None
        info = top.get(b"info")
        if not isinstance(info, dict):
            raise MetainfoError("not a .torrent: it has no info dictionary")
        if info.get(b"meta version") == 2 and b"pieces" not in info:
            raise MetainfoError("a torrent of BitTorrent v2 only; v1 and hybrid torrents are read so far")
        start, end = spans[b"info"]
        info_bytes = raw[start:end]
        encoding = _text(top, b"encoding")
        files, is_multi_file = _files(info, encoding, is_own)
        geometry, piece_hashes = _pieces(info, files[-1].offset + files[-1].length)
        info_hash = InfoHash(hashlib.sha1(info_bytes).digest())
        return cls(
            info_hash=info_hash,
            name=_name(info, encoding, info_hash, is_own),
            geometry=geometry,
            piece_hashes=piece_hashes,
            files=files,
            is_multi_file=is_multi_file,
            is_private=bool(_optional_integer(info, b"private")),
            trackers=_trackers(top),
            web_seeds=_web_seeds(top),
            dht_nodes=_dht_nodes(top),
            comment=_text(top, b"comment.utf-8") or _text(top, b"comment"),
            created_by=_text(top, b"created by"),
            creation_date=_optional_integer(top, b"creation date"),
            source=_text(info, b"source") or _text(top, b"source"),
            info_bytes=info_bytes,
        )

    @property
    def has_portable_names(self) -> bool:
        """Has a download the same names? Always so, but where it was parsed with `is_own`."""
        paths = [file.path for file in self.files if not file.is_pad]
        return (
            safe_part(self.name) == self.name
            and all(safe_path(path) == path for path in paths)
            and unique_paths(paths) == paths
        )

    @property
    def total_bytes(self) -> int:
        """Length of the content, pad files included."""
        return self.geometry.total_bytes

    def piece_hash(self, piece: int) -> bytes:
        """The SHA-1 that `piece` must have."""
        return piece_hash(self.piece_hashes, piece)

    def magnet(self) -> str:
        """The magnet link of this torrent, with its trackers and web seeds."""
        trackers = [tracker for tier in self.trackers for tracker in tier]
        return magnets.make(self.info_hash, name=self.name, trackers=trackers, web_seeds=self.web_seeds)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A large torrent is a million objects that live on: looking for garbage in them takes a third longer.

    Two threads may overlap in it: whoever found the collector running starts it again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _pieces(info: dict[bytes, Value], total_bytes: int) -> tuple[Geometry, bytes]:
    piece_length = info.get(b"piece length")
    if not isinstance(piece_length, int):
        raise MetainfoError("the torrent has no piece length")
    if not 0 < piece_length <= MAX_PIECE_BYTES:
        raise MetainfoError(f"a piece length of {piece_length} bytes is not between 1 and {MAX_PIECE_BYTES}")
    hashes = info.get(b"pieces")
    if not isinstance(hashes, bytes):
        raise MetainfoError("the torrent has no piece hashes")
    if len(hashes) % HASH_BYTES:
        raise MetainfoError(f"{len(hashes)} bytes of piece hashes are not a multiple of {HASH_BYTES}")
    geometry = Geometry(total_bytes, piece_length)
    if geometry.piece_count > MAX_PIECES:
        raise MetainfoError(f"{geometry.piece_count} pieces are more than {MAX_PIECES}")
    if len(hashes) != geometry.piece_count * HASH_BYTES:
        raise MetainfoError(
            f"{total_bytes} bytes make {geometry.piece_count} pieces of {piece_length}, "
            f"but there are hashes for {len(hashes) // HASH_BYTES}"
        )
    return geometry, hashes


def _name(info: dict[bytes, Value], encoding: str, info_hash: bytes, is_own: bool) -> str:
    raw = info.get(b"name.utf-8")
    if not isinstance(raw, bytes):
        raw = info.get(b"name")
    if not isinstance(raw, bytes):
        raise MetainfoError("the torrent has no name")
    name = safe_part(decode_name(raw, encoding), is_own=is_own)
    # Several torrents whose names have nothing in them may lie in one folder.
    return info_hash.hex() if name == "_" and raw != b"_" else name


def _files(info: dict[bytes, Value], encoding: str, is_own: bool) -> tuple[tuple[FileEntry, ...], bool]:
    listed = info.get(b"files")
    if listed is None:
        length = _length(info, "the torrent")
        return (FileEntry((), length, 0),), False
    if b"length" in info:
        raise MetainfoError("the torrent has both a length and a list of files")
    if not isinstance(listed, list) or not listed:
        raise MetainfoError("the torrent's list of files is none, or empty")
    if len(listed) > MAX_FILES:
        raise MetainfoError(f"{len(listed)} files are more than {MAX_FILES}")
    files = tuple(_file_entries(listed, encoding, is_own))
    if not files:
        raise MetainfoError("the torrent has symbolic links only")
    # Pad files are never written, so they may all have one name.
    real = [index for index, file in enumerate(files) if not file.is_pad]
    paths = [files[index].path for index in real]
    unique = unique_paths(paths, is_case_kept=is_own)
    if unique == paths:
        return files, True
    renamed = list(files)
    for index, path in zip(real, unique, strict=True):
        file = files[index]
        renamed[index] = FileEntry(path, file.length, file.offset)
    return tuple(renamed), True


def _file_entries(listed: list[Value], encoding: str, is_own: bool) -> Iterator[FileEntry]:
    offset = 0
    # Folders come again and again: each is decoded and made safe once.
    safe: dict[bytes, str] = {}
    for number, entry in enumerate(listed, 1):
        if not isinstance(entry, dict):
            raise MetainfoError(f"file {number} is not a dictionary")
        length = entry.get(b"length")
        if type(length) is not int or length < 0:
            length = _length(entry, f"file {number}")
        raw_parts = entry.get(b"path.utf-8") or entry.get(b"path")
        if not isinstance(raw_parts, list) or not raw_parts:
            raise MetainfoError(f"file {number} has no path")
        if len(raw_parts) > MAX_PATH_PARTS:
            raise MetainfoError(f"file {number} lies more than {MAX_PATH_PARTS} folders deep")
        parts = []
        for raw in raw_parts:
            part = safe.get(raw) if type(raw) is bytes else None
            if part is None:
                if not isinstance(raw, bytes):
                    raise MetainfoError(f"the path of file {number} is not a list of names")
                part = safe[raw] = safe_part(decode_name(raw, encoding), is_own=is_own)
            parts.append(part)
        attributes = entry.get(b"attr", b"")
        is_pad = False
        if attributes and isinstance(attributes, bytes):
            is_pad = b"p" in attributes
            if b"l" in attributes:
                # BEP 47: a symbolic link has no bytes of its own. It is left out: never created.
                if length:
                    raise MetainfoError(f"file {number} is a symbolic link with a length")
                continue
        yield FileEntry(tuple(parts), length, offset, is_pad)
        offset += length
        if offset > MAX_TOTAL_BYTES:
            raise MetainfoError("the files together are too large to be true")


def _length(entry: dict[bytes, Value], owner: str) -> int:
    length = entry.get(b"length")
    if not isinstance(length, int):
        raise MetainfoError(f"{owner} has no length")
    if not 0 <= length <= MAX_TOTAL_BYTES:
        raise MetainfoError(f"{owner} cannot have a length of {length}")
    return length


def _trackers(top: dict[bytes, Value]) -> tuple[tuple[str, ...], ...]:
    """BEP 12: where there is an announce-list, the single announce is not looked at."""
    listed = top.get(b"announce-list", [])
    if not isinstance(listed, list):
        raise MetainfoError("the announce-list is not a list")
    tiers: list[tuple[str, ...]] = []
    room = MAX_TRACKERS
    for tier in listed:
        # Some programs write a flat list of URLs: each is a tier.
        urls = _urls(tier if isinstance(tier, list) else [tier], "the announce-list", room)
        room -= len(urls)
        if urls:
            tiers.append(urls)
    announce = top.get(b"announce", b"")
    if not isinstance(announce, bytes):
        raise MetainfoError("the announce URL is not a string")
    if not tiers and announce:
        return (_urls([announce], "announce", 1),)
    return tuple(tiers)


def _web_seeds(top: dict[bytes, Value]) -> tuple[str, ...]:
    """BEP 19: one URL, or a list of them; an empty string means none."""
    listed = top.get(b"url-list", [])
    if isinstance(listed, bytes):
        listed = [listed]
    if not isinstance(listed, list):
        raise MetainfoError("the url-list is neither a URL nor a list")
    return _urls(listed, "the url-list", MAX_WEB_SEEDS)


def _dht_nodes(top: dict[bytes, Value]) -> tuple[tuple[str, int], ...]:
    """BEP 5: a list of [host, port]. A way in among others: what is neither is passed over, as in a link."""
    listed = top.get(b"nodes")
    pairs: list[tuple[str, int]] = []
    for entry in listed if isinstance(listed, list) else ():
        match entry:
            case [bytes(host), int(port)]:
                pairs.append((host.decode("latin-1"), port))
    return magnets.valid_endpoints(pairs)


def _urls(listed: list[Value], owner: str, limit: int) -> tuple[str, ...]:
    urls: dict[str, None] = {}
    for raw in listed:
        if not isinstance(raw, bytes):
            raise MetainfoError(f"{owner} holds something that is no URL")
        if len(urls) < limit and (text := raw.decode("utf-8", "replace").strip()):
            urls[text] = None
    return tuple(urls)


def _text(values: dict[bytes, Value], key: bytes) -> str:
    """A decoration that nothing depends on: where it is no string, it is not there."""
    raw = values.get(key)
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


def _optional_integer(values: dict[bytes, Value], key: bytes) -> int | None:
    value = values.get(key)
    return value if isinstance(value, int) else None
