"""Signatures of mutable items (BEP 44): ed25519, by the package `cryptography`.

The package is loaded when first needed: few nodes ever meet a mutable item, and it takes time to load.
"""

from __future__ import annotations

PUBLIC_KEY_BYTES = 32


def is_signed_by(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Is `signature` that of `message` by the owner of `public_key`? False for wrong sizes, too."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key_of(seed: bytes) -> bytes:
    """The public key (32 bytes) that belongs to `seed`; ValueError for a seed of another size than 32 bytes.

    The seed is what its owner keeps secret: the signing key is derived from it (RFC 8032).
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def signature_of(seed: bytes, message: bytes) -> bytes:
    """The signature (64 bytes) of `message` with the key of `seed`; ValueError as for `public_key_of`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)
