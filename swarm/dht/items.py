"""Items of BEP 44 as values: immutable ones named by their hash, mutable ones by their owner's key."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from swarm.base.dataclass import dataclass
from swarm.dht.signatures import is_signed_by, public_key_of, signature_of


@dataclass(frozen=True, slots=True)
class ImmutableItem:
    """`value` is bencode, at most 1000 bytes, kept as it was written."""

    value: bytes

    @property
    def target(self) -> bytes:
        return hashlib.sha1(self.value).digest()


@dataclass(frozen=True, slots=True)
class MutableItem:
    """`value` is bencode, at most 1000 bytes; `seq` grows with it; `salt` tells a key's items apart.

    Whether the signature is right, `is_authentic` says.
    """

    public_key: bytes
    value: bytes
    seq: int
    signature: bytes
    salt: bytes = b""

    @classmethod
    def signed(cls, seed: bytes, value: bytes, seq: int, salt: bytes = b"") -> MutableItem:
        """A version signed with the key of `seed` (32 bytes)."""
        signature = signature_of(seed, signed_bytes(value, seq, salt))
        return cls(public_key_of(seed), value, seq, signature, salt)

    @property
    def target(self) -> bytes:
        return mutable_target(self.public_key, self.salt)

    @property
    def is_authentic(self) -> bool:
        return is_signed_by(self.public_key, self.signature, signed_bytes(self.value, self.seq, self.salt))


Item: TypeAlias = ImmutableItem | MutableItem


def mutable_target(public_key: bytes, salt: bytes = b"") -> bytes:
    """Where the item of `public_key` and `salt` is stored."""
    return hashlib.sha1(public_key + salt).digest()


def signed_bytes(value: bytes, seq: int, salt: bytes = b"") -> bytes:
    """What the owner signs (BEP 44 "Signature Verification"); `value` is bencode."""
    head = b"4:salt%d:%b" % (len(salt), salt) if salt else b""
    return b"%b3:seqi%de1:v%b" % (head, seq, value)
