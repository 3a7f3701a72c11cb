"""Batches of datagrams in and out of one socket: one system call for many where the system has it.

`recvmmsg` and `sendmmsg` are called through ctypes on structures that are laid out once; the numbers
in them are read and written through memoryviews, since ctypes' own attributes cost more than the call.
Elsewhere plain sockets do the same one by one.

Sources: recvmmsg(2), sendmmsg(2), <bits/socket.h> of glibc and musl on 64-bit Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from swarm.wire.tracker.udp_server import SLOT_BYTES

#: Datagrams taken at a time; more do not make it faster, and others on the loop want their turn.
BATCH_MAX = 128
#: Room in the kernel for a burst; it may grant less (net.core.rmem_max).
BUFFER_BYTES = 8 << 20

#: sockaddr_in and sockaddr_in6.
NAME_V4_BYTES, NAME_V6_BYTES = 16, 28
_ADDRESS_V4, _ADDRESS_V6 = slice(4, 8), slice(8, 24)
_MMSGHDR_BYTES, _IOVEC_BYTES = 64, 16
#: Places in a mmsghdr, in 4- and 8-byte steps: msg_len; msg_name, msg_namelen, msg_iov, msg_iovlen.
_LENGTH_AT, _HEADER_WORDS = 14, 8


class Batch(NamedTuple):
    """What came in one call.

    Args:
        slots: `SLOT_BYTES` for each datagram, which begins its slot. Valid until the next `receive`.
        lengths: of the datagrams; more than `SLOT_BYTES` were cut off.
        names: where they came from: C's sockaddr_in or sockaddr_in6.
    """

    slots: memoryview
    lengths: list[int]
    names: list[bytes]


class Datagrams(Protocol):
    """A bound, non-blocking socket, read and written in batches."""

    def receive(self) -> Batch | None:
        """What is there, at most `BATCH_MAX`; None if nothing is."""
        ...

    def send(self, names: Sequence[bytes], answers: Sequence[bytes]) -> int:
        """Send each answer to the name at its place; returns how many left, the others are lost.

        At most `BATCH_MAX` at a time, of at most `SLOT_BYTES` each.
        """
        ...


def bind(host: str, port: int, family: socket.AddressFamily, *, is_shared: bool = False) -> socket.socket:
    """A bound socket, not blocking; `is_shared`: other processes may bind the same port.

    Raises:
        OSError: it cannot be bound.
    """
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        bound.setblocking(False)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def address_place(name: bytes) -> slice:
    """Where the 4 or 16 bytes of the address lie in a name; in all names of a socket they lie there."""
    return _ADDRESS_V4 if len(name) == NAME_V4_BYTES else _ADDRESS_V6


def batches_of(bound: socket.socket) -> Datagrams:
    """The fastest way this system has to read and write `bound`."""
    if _libc is not None:
        return MmsgDatagrams(bound, _libc)
    return PlainDatagrams(bound)


def _find_libc() -> Any:
    """libc with both calls, None where there is none or where its structures may look different."""
    if not sys.platform.startswith("linux") or sys.byteorder != "little" or sys.maxsize < 1 << 32:
        return None
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        for call in (libc.recvmmsg, libc.sendmmsg):
            call.restype = ctypes.c_int
        libc.recvmmsg.argtypes = [
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        libc.sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
        return libc
    return None


_libc = _find_libc()


class _Block:
    """Zeroed memory at a known, fixed address."""

    def __init__(self, length: int) -> None:
        self._memory = ctypes.create_string_buffer(length)
        self.address = ctypes.addressof(self._memory)
        self.bytes = memoryview(self._memory).cast("B")


class _Messages:
    """`BATCH_MAX` mmsghdr, each with one iovec and a place for a name."""

    def __init__(self, name_bytes: int) -> None:
        self.names = _Block(BATCH_MAX * name_bytes)
        self.headers = _Block(BATCH_MAX * _MMSGHDR_BYTES)
        self.iovecs = _Block(BATCH_MAX * _IOVEC_BYTES)
        self.words = self.headers.bytes.cast("Q")
        self.iovec_words = self.iovecs.bytes.cast("Q")
        self.name_lengths = self.words[1::_HEADER_WORDS]
        self._fresh_lengths = array("Q", [name_bytes]) * BATCH_MAX
        for number in range(BATCH_MAX):
            at = number * _HEADER_WORDS
            self.words[at] = self.names.address + number * name_bytes
            self.words[at + 2] = self.iovecs.address + number * _IOVEC_BYTES
            self.words[at + 3] = 1
        self.restore_name_lengths(BATCH_MAX)

    def restore_name_lengths(self, count: int) -> None:
        """The kernel overwrites them with each datagram that it delivers."""
        self.name_lengths[:count] = memoryview(self._fresh_lengths)[:count]


class MmsgDatagrams:
    """`Datagrams` through recvmmsg and sendmmsg."""

    def __init__(self, bound: socket.socket, libc: Any) -> None:
        self._fd = bound.fileno()
        self._recvmmsg, self._sendmmsg = libc.recvmmsg, libc.sendmmsg
        self._name_bytes = NAME_V6_BYTES if bound.family == socket.AF_INET6 else NAME_V4_BYTES
        self._in, self._out = _Messages(self._name_bytes), _Messages(self._name_bytes)
        self._slots, self._answers = _Block(BATCH_MAX * SLOT_BYTES), _Block(BATCH_MAX * SLOT_BYTES)
        self._lengths = self._in.headers.bytes.cast("I")[_LENGTH_AT :: _MMSGHDR_BYTES // 4]
        for number in range(BATCH_MAX):
            self._in.iovec_words[2 * number] = self._slots.address + number * SLOT_BYTES
            self._in.iovec_words[2 * number + 1] = SLOT_BYTES
        self._each_name = struct.Struct(f"{self._name_bytes}s")

    def receive(self) -> Batch | None:
        messages = self._in
        count = self._recvmmsg(self._fd, messages.headers.address, BATCH_MAX, 0, None)
        if count <= 0:
            return None  # nothing, or an ICMP error of an earlier answer
        names = self._each_name.iter_unpack(messages.names.bytes[: count * self._name_bytes])
        messages.restore_name_lengths(count)
        return Batch(
            self._slots.bytes[: count * SLOT_BYTES],
            self._lengths[:count].tolist(),
            [name for (name,) in names],
        )

    def send(self, names: Sequence[bytes], answers: Sequence[bytes]) -> int:
        count = len(answers)
        messages = self._out
        # One copy of all answers; the kernel is told where each begins.
        joined = b"".join(answers)
        self._answers.bytes[: len(joined)] = joined
        lengths = array("Q", map(len, answers))
        messages.iovec_words[0 : 2 * count : 2] = memoryview(
            array("Q", accumulate(lengths, initial=self._answers.address))
        )[:count]
        messages.iovec_words[1 : 2 * count : 2] = memoryview(lengths)
        messages.names.bytes[: count * self._name_bytes] = b"".join(names)
        at = lost = 0
        while at < count:
            done = self._sendmmsg(self._fd, messages.headers.address + at * _MMSGHDR_BYTES, count - at, 0)
            if done > 0:
                at += done
                continue
            if ctypes.get_errno() in (errno.EAGAIN, errno.ENOBUFS, errno.EBADF):
                return at - lost
            # This one has no way out (port 0, no route): the others shall not suffer for it.
            at += 1
            lost += 1
        return count - lost


class PlainDatagrams:
    """`Datagrams` through the socket module, on any system."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._is_v6 = bound.family == socket.AF_INET6
        self._slots = memoryview(bytearray(BATCH_MAX * SLOT_BYTES))

    def receive(self) -> Batch | None:
        lengths: list[int] = []
        names: list[bytes] = []
        for number in range(BATCH_MAX):
            slot = self._slots[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]
            try:
                length, address = self._socket.recvfrom_into(slot)
            except OSError:
                break
            lengths.append(length)
            names.append(self._name(address))
        if not lengths:
            return None
        return Batch(self._slots[: len(lengths) * SLOT_BYTES], lengths, names)

    def send(self, names: Sequence[bytes], answers: Sequence[bytes]) -> int:
        sent = 0
        for name, answer in zip(names, answers, strict=True):
            with contextlib.suppress(OSError):
                self._socket.sendto(answer, self._address(name))
                sent += 1
        return sent

    def _name(self, address: Any) -> bytes:
        if self._is_v6:
            host, port, flow, scope = address
            packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
            return struct.pack("=H2sI16sI", socket.AF_INET6, port.to_bytes(2, "big"), flow, packed, scope)
        return struct.pack(
            "=H2s4s8x", socket.AF_INET, address[1].to_bytes(2, "big"), socket.inet_aton(address[0])
        )

    def _address(self, name: bytes) -> tuple[Any, ...]:
        port = int.from_bytes(name[2:4], "big")
        if self._is_v6:
            scope = int.from_bytes(name[24:28], sys.byteorder)
            return (socket.inet_ntop(socket.AF_INET6, name[8:24]), port, 0, scope)
        return (socket.inet_ntoa(name[4:8]), port)
