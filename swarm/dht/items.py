"""Items of BEP 44 as values: immutable ones named by their hash, mutable ones by their owner's key."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from swarm.base.dataclass import dataclass
from swarm.dht.signatures import is_signed_by, public_key_of, signature_of


@dataclass(frozen=True, slots=True)
class ImmutableItem:
    """An item named by its hash; `value` is bencode as it was written, at most 1000 bytes."""

    value: bytes

    @property
    def target(self) -> bytes:
        """Where it is stored: the SHA-1 of the value."""
        return hashlib.sha1(self.value).digest()


@dataclass(frozen=True, slots=True)
class MutableItem:
    """One version of an item that its owner can replace; nothing is checked until `is_authentic` is asked.

    Args:
        public_key: the owner's, 32 bytes.
        value: bencode as it was written, at most 1000 bytes.
        seq: the version, higher with each.
        signature: 64 bytes.
        salt: tells the items of one key apart, at most 64 bytes.
    """

    public_key: bytes
    value: bytes
    seq: int
    signature: bytes
    salt: bytes = b""

    @classmethod
    def signed(cls, seed: bytes, value: bytes, seq: int, salt: bytes = b"") -> MutableItem:
        """A version signed with the key of `seed`; ValueError where that is not 32 bytes long."""
        signature = signature_of(seed, signed_bytes(value, seq, salt))
        return cls(public_key_of(seed), value, seq, signature, salt)

    @property
    def target(self) -> bytes:
        """Where all versions of it are stored."""
        return mutable_target(self.public_key, self.salt)

    @property
    def is_authentic(self) -> bool:
        """Is the signature the owner's?"""
        return is_signed_by(self.public_key, self.signature, signed_bytes(self.value, self.seq, self.salt))


Item: TypeAlias = ImmutableItem | MutableItem


def mutable_target(public_key: bytes, salt: bytes = b"") -> bytes:
    """Where the item of `public_key` and `salt` is stored: the SHA-1 of both."""
    return hashlib.sha1(public_key + salt).digest()


def signed_bytes(value: bytes, seq: int, salt: bytes = b"") -> bytes:
    """What the owner signs (BEP 44 "Signature Verification"); `value` is bencode."""
    head = b"4:salt%d:%b" % (len(salt), salt) if salt else b""
    return b"%b3:seqi%de1:v%b" % (head, seq, value)
