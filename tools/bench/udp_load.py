"""A load of UDP announces, packets built by numpy and moved by recvmmsg and sendmmsg.

Python runs once per some hundred packets, so that the kernel is what limits it; `--echo` of
tools/bench/tracker shows how much it can do against a server that only mirrors.
"""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Packets under way for each socket: with four sockets as many as a default receive buffer (208 KiB) holds.
WINDOW = 48
#: Without an answer for so long, what is under way is taken as lost.
LOST_AFTER_S = 0.2
_SLOT = 2048
_PACKET = 98
_CONNECT = bytes.fromhex("0000041727101980") + bytes(4) + b"load"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Load:
    """What was measured. Latencies in milliseconds."""

    answered: int
    seconds: float
    lost: int
    p50_ms: float
    p99_ms: float
    refused: int
    max_ms: float = 0.0

    @property
    def per_s(self) -> float:
        return self.answered / self.seconds


class _Lane:
    """One connected socket with its part of the packets."""

    def __init__(self, port: int, packets: NDArray[np.uint8], answers: bool = True) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, option, 8 << 20)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(1)
        self.packets = packets
        if answers:
            packets[:, :8] = np.frombuffer(self._connected()[8:16], np.uint8)
        self.socket.setblocking(False)
        count = len(packets)
        packets[:, 12:16] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
        self.out_iovecs = np.empty((count, 2), np.uint64)
        self.out_iovecs[:, 0] = packets.ctypes.data + np.arange(count, dtype=np.uint64) * _PACKET
        self.out_iovecs[:, 1] = _PACKET
        self.out = self._headers(self.out_iovecs)
        self.slots = np.zeros((WINDOW, _SLOT), np.uint8)
        self.in_iovecs = np.empty((WINDOW, 2), np.uint64)
        self.in_iovecs[:, 0] = self.slots.ctypes.data + np.arange(WINDOW, dtype=np.uint64) * _SLOT
        self.in_iovecs[:, 1] = _SLOT
        self.into = self._headers(self.in_iovecs)
        self.sent_at = np.zeros(count)
        self.at = 0
        self.under_way = 0
        self.heard_at = time.perf_counter()

    def _connected(self) -> bytes:
        """The answer to a connect; a busy machine may lose a datagram or ten."""
        for _ in range(30):
            self.socket.send(_CONNECT)
            with contextlib.suppress(TimeoutError):
                return self.socket.recv(64)
        raise TimeoutError("no answer to a connect")

    @staticmethod
    def _headers(iovecs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        headers = np.zeros((len(iovecs), 8), np.uint64)
        headers[:, 2] = iovecs.ctypes.data + np.arange(len(iovecs), dtype=np.uint64) * 16
        headers[:, 3] = 1
        return headers

    def send(self, count: int) -> int:
        count = min(count, len(self.packets) - self.at)
        if count <= 0:
            return 0
        sent = _libc.sendmmsg(
            self.socket.fileno(), ctypes.c_void_p(self.out.ctypes.data + self.at * 64), count, 0
        )
        if sent > 0:
            self.sent_at[self.at : self.at + sent] = time.perf_counter()
            self.at = (self.at + sent) % len(self.packets)
            self.under_way += sent
        return max(0, int(sent))

    def receive(self) -> tuple[int, int, NDArray[np.float64] | None]:
        count = _libc.recvmmsg(
            self.socket.fileno(), ctypes.c_void_p(self.into.ctypes.data), WINDOW, socket.MSG_DONTWAIT, None
        )
        if count <= 0:
            return 0, 0, None
        now = time.perf_counter()
        self.heard_at = now
        self.under_way = max(0, self.under_way - count)
        numbers = self.slots[:count, 4:8].copy().view(">u4").ravel() % len(self.packets)
        refused = int((self.slots[:count, 3] == 3).sum())
        return count, refused, now - self.sent_at[numbers]


def announces(info_hashes: list[bytes], count: int, seed: int = 1, num_want: int = 50) -> NDArray[np.uint8]:
    """`count` announces of as many peers, spread over the swarms; one in four is a seed."""
    rng = np.random.default_rng(seed)
    packets = np.zeros((count, _PACKET), np.uint8)
    packets[:, 11] = 1
    hashes = np.frombuffer(b"".join(info_hashes), np.uint8).reshape(-1, 20)
    packets[:, 16:36] = hashes[rng.integers(0, len(hashes), count)]
    packets[:, 36:56] = rng.integers(0, 256, (count, 20), np.uint8)
    packets[:, 71] = rng.integers(0, 4, count) > 0
    packets[:, 92:96] = np.frombuffer(np.array([num_want], ">i4").tobytes(), np.uint8)
    packets[:, 96:98] = rng.integers(1024, 65536, count).astype(">u2").view(np.uint8).reshape(count, 2)
    return packets


def run(
    port: int,
    packets: NDArray[np.uint8],
    seconds: float,
    *,
    sockets: int = 4,
    rate: float | None = None,
    is_echo: bool = False,
) -> Load:
    """Announce for so long, as fast as answers come, or at `rate` a second.

    Args:
        packets: what `announces` made; they go round.
    """
    lanes = [_Lane(port, part.copy(), not is_echo) for part in np.array_split(packets, sockets)]
    poll = select.poll()
    for lane in lanes:
        poll.register(lane.socket, select.POLLIN)
    answered = lost = refused = 0
    samples: list[NDArray[np.float64]] = []
    start = time.perf_counter()
    sent_in_all = 0
    while (now := time.perf_counter()) - start < seconds:
        got = 0
        for lane in lanes:
            room = WINDOW - lane.under_way
            if rate is not None:
                room = min(room, int((now - start) * rate) - sent_in_all)
            # In runs: a packet now and then would measure system calls.
            if room >= (1 if rate is not None else WINDOW // 4):
                sent_in_all += lane.send(room)
            count, bad, latencies = lane.receive()
            got += count
            refused += bad
            if latencies is not None:
                samples.append(latencies)
            elif lane.under_way and now - lane.heard_at > LOST_AFTER_S:
                lost += lane.under_way
                lane.under_way = 0
                lane.heard_at = now
        answered += got
        if not got:
            poll.poll(1)
    seconds = time.perf_counter() - start
    for lane in lanes:
        lane.socket.close()
    all_ms = 1000 * np.concatenate(samples) if samples else np.zeros(1)
    p50, p99 = (float(np.percentile(all_ms, part)) for part in (50, 99))
    return Load(answered, seconds, lost, p50, p99, refused, float(all_ms.max()))
