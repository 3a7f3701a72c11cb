"""Connection ids of the UDP tracker, which prove that an address is no forged one. Pure: no clock.

Nothing is kept of who has got one: an id is a keyed hash of its address and of the time.

Source: BEP 15 "UDP connections / spoofing".
"""

from __future__ import annotations

import hashlib

#: An id is good in the span that it was given in and in the next: for 2 to 4 minutes. BEP 15: "the
#: tracker should accept the connection ID until two minutes after it has been send".
SLOT_S = 120.0
#: Addresses whose id is remembered for the moment, only to save computing it again for the announce
#: that follows: at some 150 bytes each, 10 MiB.
REMEMBERED_MAX = 65_536


class ConnectionIds:
    """Gives out connection ids and knows them again.

    Args:
        secret: 16 to 32 bytes that only this tracker knows; processes that share a port share it.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._slot = -1
        #: address -> its id of the present slot. A memory, not a record: any of it may go at any time.
        self.remembered: dict[bytes, bytes] = {}

    def turn(self, now: float) -> None:
        """Go with the time; to be called before a batch of datagrams."""
        slot = int(now // SLOT_S)
        if slot != self._slot:
            self._slot = slot
            self.remembered.clear()

    def give(self, address: bytes) -> bytes:
        """The id of `address` (4 or 16 bytes) for now: 8 bytes."""
        found = self.remembered.get(address)
        if found is None:
            found = self._computed(address, self._slot)
            if len(self.remembered) >= REMEMBERED_MAX:
                self.remembered.clear()
            self.remembered[address] = found
        return found

    def is_good(self, connection: bytes, address: bytes) -> bool:
        """Was this id given to this address, not too long ago?"""
        if connection == self.remembered.get(address):
            return True
        # The first byte says when, so one hash is enough to know.
        if connection[0] == self._slot & 255:
            return connection == self.give(address)
        return connection[0] == self._slot - 1 & 255 and connection == self._computed(address, self._slot - 1)

    def _computed(self, address: bytes, slot: int) -> bytes:
        text = slot.to_bytes(8, "big", signed=True) + address
        return bytes([slot & 255]) + hashlib.blake2s(text, key=self._secret, digest_size=7).digest()
