"""Signatures of mutable items (BEP 44): ed25519, by the package `cryptography`.

It is loaded when first needed: few nodes ever meet a mutable item, and all want to be up soon.
"""

from __future__ import annotations

PUBLIC_KEY_BYTES = 32


def is_signed_by(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` of `message` was made by the owner of `public_key`; any bytes may be asked."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key_of(seed: bytes) -> bytes:
    """The 32 bytes by which others know the owner of `seed`; ValueError where that has not 32 bytes.

    The seed is what is kept secret: the key that signatures are made with grows from it (RFC 8032).
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def signature_of(seed: bytes, message: bytes) -> bytes:
    """The 64 bytes that only the owner of `seed` (32 bytes) can make; ValueError for another size."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)
