"""The content of sample_torrents/ and its torrents, made by code: the same bytes on every machine."""

from __future__ import annotations

import argparse
import binascii
import struct
import sys
import tempfile
import zlib
from pathlib import Path

from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent

FOLDER = Path(__file__).resolve().parents[1] / "sample_torrents"
#: Where `swarm tracker` listens unless told otherwise.
TRACKER = "http://127.0.0.1:6969/announce"
#: Fixed, without version and date: the same torrents from every release.
CREATED_BY = "swarm tools/samples"

TEXT = """\
How a file gets to many machines
================================

One machine has the file. It cuts the file into pieces, writes down a fingerprint of every piece, and
gives the list of fingerprints to whoever asks. That list is the torrent.

A second machine reads the list and asks the first for a piece. When the piece is there, its fingerprint
is taken again. Only if it is the same is the piece kept; and from that moment on the second machine can
give the piece to a third, without the first having to do anything.

So each machine that takes also gives. Ten machines that fetch the same file do not fetch it ten times
from one place, they fetch it from each other. The pieces that few have are asked for first, so that no
piece dies with the machine that alone had it.

Nobody has to be trusted for this to work. A piece is right if its fingerprint is right, whoever sent it.
"""

BEES = "".join(
    f"{week},{4000 + 350 * week - 9 * week * week},{max(0, 12 * week - 80)}\n" for week in range(1, 41)
)

#: Path within the folder "tour" -> content.
TOUR = {
    "00 read me.txt": "A folder within a folder, names in other scripts, and a file with nothing in it.\n",
    "deep/er/still/leaf.txt": "You found it.\n",
    "emoji 🐝/bees.csv": "week,bees,honey in kg\n" + BEES,
    "empty.file": "",
    "español/mañana.txt": "El piñón, la cigüeña y el pingüino.\n",
    "ελληνικά/αλφάβητο.txt": "αβγδεζηθικλμνξοπρστυφχψω\n",
    "日本語/はじめに.txt": "いろはにほへと ちりぬるを\n",
}

WIDTH, HEIGHT = 240, 160


def picture() -> bytes:
    """A PNG of coloured rings; not compressed, because compressors differ from version to version."""
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)
        for x in range(WIDTH):
            distance = (x - WIDTH // 3) ** 2 + (y - HEIGHT // 2) ** 2
            rows += bytes((distance >> 4 & 255, x * y >> 6 & 255, (x ^ y) & 255))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", _stored(bytes(rows)))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))


def _stored(data: bytes) -> bytes:
    """A zlib stream of stored blocks (RFC 1950, RFC 1951 3.2.4)."""
    blocks = [data[at : at + 65535] for at in range(0, len(data), 65535)]
    stored = b"".join(
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, 1)
    )
    return b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(data))


def write_all(folder: Path) -> None:
    """Write every content and every torrent into `folder`."""
    (folder / "text.txt").write_bytes(TEXT.encode())
    (folder / "picture.png").write_bytes(picture())
    for name, content in TOUR.items():
        path = folder / "tour" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    plain = TorrentOptions(trackers=((TRACKER,),), piece_length=16384, created_by=CREATED_BY)
    torrents = {
        "text": ("text.txt", plain),
        "picture": (
            "picture.png",
            TorrentOptions(
                trackers=((TRACKER,),),
                web_seeds=("http://127.0.0.1:8000/picture.png",),
                piece_length=16384,
                comment="Eight pieces of 16 KiB, and a web server that has the file too",
                created_by=CREATED_BY,
            ),
        ),
        "tour": (
            "tour",
            TorrentOptions(
                trackers=((TRACKER, "http://[::1]:6969/announce"), ("http://127.0.0.1:6970/announce",)),
                piece_length=16384,
                comment="Unicode names, nested folders, an empty file",
                created_by=CREATED_BY,
            ),
        ),
        "private": (
            "text.txt",
            TorrentOptions(
                trackers=((TRACKER,),),
                piece_length=16384,
                source="samples",
                is_private=True,
                created_by=CREATED_BY,
            ),
        ),
    }
    for name, (content, options) in torrents.items():
        (folder / f"{name}.torrent").write_bytes(create_torrent(folder / content, options))


def differences(folder: Path) -> list[str]:
    """What in `folder` is missing or not as `write_all` would write it."""
    with tempfile.TemporaryDirectory(prefix="samples-") as name:
        made = Path(name)
        write_all(made)
        found = []
        for path in sorted(made.rglob("*")):
            there = folder / path.relative_to(made)
            if path.is_file() and (not there.is_file() or there.read_bytes() != path.read_bytes()):
                found.append(str(path.relative_to(made)))
        return found


def main() -> None:
    """Entry point of tools/samples."""
    parser = argparse.ArgumentParser(
        prog="tools/samples",
        description="Write the content and the torrents of sample_torrents/ anew: the same bytes every time.",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, say what differs (exit 1 if any)"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: sample_torrents/")
    arguments = parser.parse_args()
    if not arguments.check:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        write_all(arguments.folder)
        return
    found = differences(arguments.folder)
    for name in found:
        print(f"differs: {name}", file=sys.stderr)
    sys.exit(1 if found else 0)
