"""Write tokens (BEP 5): whoever shows one has received our answer, so the address is really its own."""

from __future__ import annotations

import hashlib
import random

#: Short, for an answer has little room; to guess one still takes 2^31 datagrams on average within its life.
TOKEN_BYTES = 4


class Tokens:
    """Makes and checks tokens. None is stored: each is a hash of a secret, the address and the target.

    Args:
        span_s: the secret changes after so many seconds; tokens of the one before are still valid.
    """

    __slots__ = ("_current", "_previous", "_rng", "_rotate_at", "_span_s")

    def __init__(self, rng: random.Random, span_s: float, now: float) -> None:
        self._rng = rng
        self._span_s = span_s
        self._current = self._previous = rng.randbytes(20)
        self._rotate_at = now + span_s

    def rotate(self, now: float) -> None:
        """Take a new secret if it is time; after a long sleep both are new."""
        if now < self._rotate_at:
            return
        is_previous_old = now >= self._rotate_at + self._span_s
        self._previous = self._rng.randbytes(20) if is_previous_old else self._current
        self._current = self._rng.randbytes(20)
        self._rotate_at = now + self._span_s

    def token_for(self, address: bytes, target: bytes, now: float) -> bytes:
        """The token that the node at `address` (packed) must show to write under `target` (20 bytes)."""
        if now >= self._rotate_at:
            self.rotate(now)
        return hashlib.sha1(self._current + address + target).digest()[:TOKEN_BYTES]

    def is_valid(self, token: bytes, address: bytes, target: bytes, now: float) -> bool:
        """Have we given `token` to that address for that target, not longer than two `span_s` ago?"""
        self.rotate(now)
        return any(
            token == hashlib.sha1(secret + address + target).digest()[:TOKEN_BYTES]
            for secret in (self._current, self._previous)
        )
