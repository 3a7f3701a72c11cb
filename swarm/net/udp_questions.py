"""A UDP socket on which UDP trackers are asked, and answers accepted only from the one that was asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
from collections.abc import Iterator

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.net.outlet import NO_ROUTE, Outlet
from swarm.wire.tracker import udp

#: Datagrams read before the loop gets to others.
_BATCH_MAX = 64
#: Socket options by which Linux gives back the datagrams that were refused (by ICMP), with their addresses.
_RECVERR = {False: (socket.IPPROTO_IP, 11), True: (socket.IPPROTO_IPV6, 25)}
_MSG_ERRQUEUE = 0x2000
#: Where the transaction id stands in a request.
_TRANSACTION_AT = 12


class Question:
    """One transaction with one tracker; it keeps its number however often it is sent.

    Attributes:
        number: the transaction id, 32 random bits.
    """

    def __init__(self, owner: QuestionSocket, tracker: Endpoint, number: int) -> None:
        self.number = number
        self.tracker = tracker
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._owner = owner

    async def send(self, datagram: bytes, wait_s: float) -> bytes:
        """Send `datagram`, and return the datagram that answers it, or what was sent before.

        Raises:
            TimeoutError: none has come within `wait_s`.
            TrackerError: it cannot be sent, or was refused.
        """
        self._owner.send(datagram, self.tracker)
        async with asyncio.timeout(wait_s):
            return await asyncio.shield(self.answer)


class QuestionSocket:
    """All questions over one address family; an answer counts only if it comes from the address asked.

    Args:
        outlet: where everything must leave.

    Raises:
        TrackerError: no such socket can be opened here.
    """

    def __init__(self, *, is_v6: bool, outlet: Outlet, rng: random.Random) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = rng
        self._questions: dict[tuple[str, int, int], Question] = {}
        #: Datagrams that no question waited for: late, forged, or noise.
        self.stray_count = 0
        try:
            self._socket = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:
            raise TrackerError(error.strerror or str(error)) from None
        try:
            self._socket.setblocking(False)
            if is_v6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if sys.platform == "linux":
                self._socket.setsockopt(*_RECVERR[is_v6], 1)
            outlet.hold(self._socket)
            self._socket.bind((outlet.address(is_v6=is_v6) or ("::" if is_v6 else "0.0.0.0"), 0))
        except OSError as error:
            self._socket.close()
            raise TrackerError(error.strerror or str(error)) from None
        self._loop.add_reader(self._socket, self._readable)

    @contextlib.contextmanager
    def question(self, tracker: Endpoint) -> Iterator[Question]:
        """A new question to `tracker`; its answers are accepted until the end of the block."""
        number = self._rng.getrandbits(32)
        key = (tracker.host, tracker.port, number)
        question = self._questions[key] = Question(self, tracker, number)
        try:
            yield question
        finally:
            self._questions.pop(key, None)
            question.answer.cancel()

    def send(self, datagram: bytes, tracker: Endpoint) -> None:
        """Send one datagram; it is lost where the kernel's buffer is full.

        Raises:
            TrackerError: `tracker` cannot be reached from here.
        """
        try:
            try:
                self._send_now(datagram, tracker)
            except OSError:
                # The error may be of an earlier datagram to another tracker: this one was not even tried.
                self._read_refusals()
                self._send_now(datagram, tracker)
        except OSError as error:
            raise _no_way(error.errno, error.strerror or str(error)) from None

    def _send_now(self, datagram: bytes, tracker: Endpoint) -> None:
        with contextlib.suppress(BlockingIOError):
            self._socket.sendto(datagram, tuple(tracker))

    def close(self) -> None:
        """Close the socket; whoever waits for an answer gets a TrackerError."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for question in self._questions.values():
            _settle(question, TrackerError("closed"))

    def _readable(self) -> None:
        for _ in range(_BATCH_MAX):
            try:
                raw, address = self._socket.recvfrom(udp.DATAGRAM_MAX_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._read_refusals()
                continue
            number = udp.transaction_of(raw)
            question = None if number is None else self._questions.get((address[0], address[1], number))
            if question is None:
                self.stray_count += 1
            elif not question.answer.done():
                question.answer.set_result(raw)

    def _read_refusals(self) -> None:
        """Fail the questions that came back: nobody listens there, or no route leads there."""
        for _ in range(_BATCH_MAX):
            try:
                raw, control, _, address = self._socket.recvmsg(udp.DATAGRAM_MAX_BYTES, 512, _MSG_ERRQUEUE)
            except OSError:
                return
            number = int.from_bytes(raw[_TRANSACTION_AT : _TRANSACTION_AT + 4], "big")
            question = self._questions.get((address[0], address[1], number))
            if question is not None and control:
                # struct sock_extended_err begins with the errno.
                error_number = int.from_bytes(control[0][2][:4], sys.byteorder)
                _settle(question, _no_way(error_number, os.strerror(error_number).lower()))


def _no_way(error_number: int | None, reason: str) -> TrackerError:
    return TrackerError(reason, lacks="route" if error_number in NO_ROUTE else "")


def _settle(question: Question, error: TrackerError) -> None:
    if not question.answer.done():
        question.answer.set_exception(error)
        # Marks the error as seen: perhaps nobody waits any more.
        question.answer.exception()
