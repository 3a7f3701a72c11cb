"""The floor under any maker of torrents in Python: read everything and hash it, in threads, nothing else.

Run as `python hash_floor.py THREADS PIECE_LENGTH PATH`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path

CHUNK_BYTES = 1024 * 1024


def main() -> None:
    """Hash a file in slices, or the files of a folder in turn."""
    thread_count, piece_length, target = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    if target.is_dir():
        files = [os.path.join(folder, name) for folder, _, names in os.walk(target) for name in names]
        jobs = [
            threading.Thread(target=hash_files, args=(files[at::thread_count],)) for at in range(thread_count)
        ]
    else:
        total = target.stat().st_size
        share = -(-total // thread_count // piece_length) * piece_length
        jobs = [
            threading.Thread(
                target=hash_slice, args=(target, at * share, min((at + 1) * share, total), piece_length)
            )
            for at in range(thread_count)
        ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()


def hash_files(files: list[str]) -> None:
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        digest = hashlib.sha1()
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
        os.close(descriptor)


def hash_slice(path: Path, start: int, end: int, piece_length: int) -> None:
    view = memoryview(bytearray(CHUNK_BYTES))
    descriptor = os.open(path, os.O_RDONLY)
    for at in range(start, end, CHUNK_BYTES):
        count = os.preadv(descriptor, [view[: end - at]], at)
        for piece in range(0, count, piece_length):
            hashlib.sha1(view[piece : min(piece + piece_length, count)]).digest()
    os.close(descriptor)


if __name__ == "__main__":
    main()
