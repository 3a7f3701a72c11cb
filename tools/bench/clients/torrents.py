"""Content to move and its .torrent, made with nothing of swarm, so that a fault of ours cannot hide here."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Torrent:
    """A .torrent on disk and the content it describes.

    Attributes:
        path: the .torrent.
        content: the file or folder; its name is the torrent's name.
        infohash: SHA-1 of the info dictionary.
        piece_hashes: 20 bytes a piece, end to end.
        link: a magnet link that leechers get instead of the .torrent; "" where they get that.
    """

    path: Path
    content: Path
    infohash: bytes
    total_bytes: int
    piece_length: int
    piece_hashes: bytes
    link: str = ""

    @property
    def source(self) -> str:
        """What a leecher is given: the magnet link where there is one, else the .torrent."""
        return self.link or str(self.path)

    def by_magnet(self, announce: str | None = None) -> Torrent:
        """The same torrent, of which leechers get only a magnet link, with one tracker or none."""
        tracker = "" if announce is None else f"&tr={quote(announce, safe='')}"
        return replace(self, link=f"magnet:?xt=urn:btih:{self.infohash.hex()}{tracker}")


def bencode(value: object) -> bytes:
    """BEP 3 bencoding of ints, bytes, lists and dictionaries with bytes as keys."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%b" % (len(value), value)
        case str():
            return bencode(value.encode())
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            pairs = sorted((key.encode(), item) for key, item in value.items())
            return b"d" + b"".join(bencode(key) + bencode(item) for key, item in pairs) + b"e"
    raise TypeError(f"cannot bencode {type(value).__name__}")


def write_random(path: Path, length_bytes: int, seed: int = 1) -> None:
    """Fill `path` with bytes that do not compress and differ from piece to piece, the same for each seed."""
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        left_bytes = length_bytes
        while left_bytes:
            chunk = rng.randbytes(min(left_bytes, _CHUNK_BYTES))
            file.write(chunk)
            left_bytes -= len(chunk)


def write_tree(folder: Path, lengths: Mapping[str, int], seed: int = 1) -> None:
    """Write a folder of random files: relative path -> length in bytes."""
    for number, (name, length_bytes) in enumerate(lengths.items()):
        write_random(folder / name, length_bytes, seed=seed * 1000 + number)


def content_files(content: Path) -> list[Path]:
    """The files of `content` in the order of a torrent made by us (sorted by path)."""
    if content.is_file():
        return [content]
    return sorted(path for path in content.rglob("*") if path.is_file())


def _pieces(files: Sequence[Path], piece_length: int) -> Iterator[bytes]:
    digest, left_bytes = hashlib.sha1(), piece_length
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(min(left_bytes, _CHUNK_BYTES)):
                digest.update(chunk)
                left_bytes -= len(chunk)
                if not left_bytes:
                    yield digest.digest()
                    digest, left_bytes = hashlib.sha1(), piece_length
    if left_bytes != piece_length:
        yield digest.digest()


def make_torrent(
    content: Path, path: Path, piece_length: int, announce: str | None = None, source: str = ""
) -> Torrent:
    """Write the v1 .torrent of `content` to `path`, with one tracker or none.

    Args:
        source: makes another torrent of the same content: a swarm of its own on the same tracker.

    Source: BEP 3.
    """
    files = content_files(content)
    lengths = [file.stat().st_size for file in files]
    pieces = b"".join(_pieces(files, piece_length))
    info: dict[str, object] = {"name": content.name, "piece length": piece_length, "pieces": pieces}
    if content.is_file():
        info["length"] = lengths[0]
    else:
        info["files"] = [
            {"length": length, "path": list(file.relative_to(content).parts)}
            for file, length in zip(files, lengths, strict=True)
        ]
    if source:
        info["source"] = source
    encoded = bencode(info)
    tracker = b"" if announce is None else bencode("announce") + bencode(announce)
    path.write_bytes(b"d" + tracker + bencode("info") + encoded + b"e")
    return Torrent(path, content, hashlib.sha1(encoded).digest(), sum(lengths), piece_length, pieces)


def first_difference(wanted: Path, found: Path, *, is_empty_expected: bool = True) -> str | None:
    """Compare two files or folders byte for byte; None, or what differs first.

    Args:
        is_empty_expected: files of no bytes have to be there too.
    """
    if wanted.is_file():
        pairs = [(wanted, found)]
    else:
        names = {file.relative_to(wanted) for file in content_files(wanted)}
        extra = {file.relative_to(found) for file in content_files(found)} - names
        if extra:
            return f"{sorted(extra)[0]} is not part of it"
        pairs = [(wanted / name, found / name) for name in sorted(names)]
    for left, right in pairs:
        if not is_empty_expected and left.stat().st_size == 0:
            continue
        if not right.is_file():
            return f"{right.name} is missing"
        if left.stat().st_size != right.stat().st_size:
            return f"{right.name} has {right.stat().st_size} bytes, not {left.stat().st_size}"
        with left.open("rb") as one, right.open("rb") as other:
            offset_bytes = 0
            while chunk := one.read(_CHUNK_BYTES):
                if chunk != other.read(_CHUNK_BYTES):
                    return f"{right.name} differs in the MiB at {offset_bytes}"
                offset_bytes += len(chunk)
    return None
