"""The floor that no client can beat: send a file; receive, hash and write it. No protocol.

The sender hands the file from the page cache to the socket; the receiver reads whole pieces into a few
recycled buffers, and one other thread does SHA-1 and writes. Same JSON lines as libtorrent_peer.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import socket
import sys
import threading
import time
from pathlib import Path

#: Pieces received and not yet written; as many buffers are recycled.
_BUFFER_COUNT = 8
_SOCKET_BUFFER_BYTES = 4 << 20


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}), flush=True)


def send(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, path.open("rb") as file:
        # Once through, so that it is in the page cache, as a client that verifies first has it.
        while file.read(1 << 20):
            pass
        file.seek(0)
        say("listening", port=server.getsockname()[1])
        say("ready")
        link, _ = server.accept()
        with link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            link.sendfile(file)


def receive(port: int, path: Path, total_bytes: int, piece_length: int, hashes: bytes) -> None:
    say("listening", port=0)
    free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    full: queue.SimpleQueue[tuple[int, memoryview, int] | None] = queue.SimpleQueue()
    for _ in range(_BUFFER_COUNT):
        free.put(memoryview(bytearray(piece_length)))
    file = os.open(path, os.O_CREAT | os.O_WRONLY)

    def hash_and_write() -> None:
        while (job := full.get()) is not None:
            piece, buffer, length_bytes = job
            data = buffer[:length_bytes]
            if hashlib.sha1(data).digest() != hashes[20 * piece : 20 * piece + 20]:
                raise SystemExit(f"piece {piece} is wrong")
            os.pwrite(file, data, piece * piece_length)
            free.put(buffer)

    writer = threading.Thread(target=hash_and_write)
    writer.start()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
        link.connect(("127.0.0.1", port))
        say("ready")
        for piece, offset_bytes in enumerate(range(0, total_bytes, piece_length)):
            buffer = free.get()
            length_bytes = min(piece_length, total_bytes - offset_bytes)
            got_bytes = 0
            while got_bytes < length_bytes:
                got_bytes += link.recv_into(buffer[got_bytes:length_bytes])
            full.put((piece, buffer, length_bytes))
    full.put(None)
    writer.join()
    os.close(file)
    say("complete")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["seed", "leech"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--total-bytes", type=int)
    parser.add_argument("--piece-length", type=int)
    parser.add_argument("--hashes", type=Path, help="file of the pieces' SHA-1s, end to end")
    arguments = parser.parse_args()
    if arguments.role == "seed":
        send(arguments.path)
    else:
        hashes = arguments.hashes.read_bytes()
        receive(arguments.port, arguments.path, arguments.total_bytes, arguments.piece_length, hashes)
    # Stay, so that what it cost can still be read, until whoever started us closes stdin.
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
