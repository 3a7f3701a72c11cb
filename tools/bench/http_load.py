"""A load of HTTP announces at a fixed rate on kept connections, for latencies below the limit.

Requests are due at fixed times whether or not earlier ones were answered, and latency counts from then: a
tracker that stalls is charged for all who wait meanwhile.
"""

from __future__ import annotations

import random
import re
import select
import socket
import time
from urllib.parse import quote

import numpy as np

from tools.bench.udp_load import Load

_LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")


def requests(info_hashes: list[bytes], count: int) -> list[bytes]:
    """As `_WRK_SCRIPT` makes them."""
    rng = random.Random(5)
    quoted = [quote(one) for one in info_hashes]
    return [
        (
            f"GET /announce?info_hash={rng.choice(quoted)}&peer_id=-XX0000-{rng.randrange(10**6):012d}"
            f"&port={rng.randrange(1024, 65536)}&uploaded=0&downloaded=0&left={rng.randrange(4)}&compact=1"
            "&numwant=50&event=started HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        ).encode()
        for _ in range(count)
    ]


def run(port: int, asked: list[bytes], seconds: float, rate: float, connections: int = 64) -> Load:
    """Ask at `rate` a second for so long; a connection has one request under way."""
    poll = select.epoll()
    lanes: dict[int, socket.socket] = {}
    for _ in range(connections):
        made = socket.create_connection(("127.0.0.1", port))
        made.setblocking(False)
        lanes[made.fileno()] = made
        poll.register(made, select.EPOLLIN)
    free = list(lanes)
    due_at: dict[int, float] = {}
    latencies: list[float] = []
    start = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) < start + seconds or due_at:
        if now > start + seconds + 5:
            break
        while free and now < start + seconds and start + sent / rate <= now:
            lane = free.pop()
            lanes[lane].send(asked[sent % len(asked)])
            due_at[lane] = start + sent / rate
            sent += 1
        # Turning: a sleep would be a latency of its own.
        for lane, _ in poll.poll(0):
            answer = lanes[lane].recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length is not None and len(body) == int(length[1])
            latencies.append(time.perf_counter() - due_at.pop(lane))
            free.append(lane)
    for one in lanes.values():
        one.close()
    ms = 1000 * np.array(latencies)
    p50, p99 = (float(np.percentile(ms, part)) for part in (50, 99))
    return Load(len(ms), time.perf_counter() - start, sent - len(ms), p50, p99, 0, float(ms.max()))
