"""Identities: info-hashes, peer ids, node ids."""

from __future__ import annotations

import base64
import binascii
import random

from swarm.base.errors import MetainfoError

#: Azureus style (BEP 20): two letters of ours and the version 0.1.0.0.
PEER_ID_PREFIX = b"-SW0100-"

_PEER_ID_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class InfoHash(bytes):
    """The 20 bytes that name a v1 torrent: the SHA-1 of its info dictionary as found (BEP 3)."""

    __slots__ = ()

    def __new__(cls, raw: bytes) -> InfoHash:
        if len(raw) != 20:
            raise ValueError(f"an info-hash has 20 bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def parse(cls, text: str) -> InfoHash:
        """Read 40 hex or 32 base32 digits (BEP 9), in either case; MetainfoError for anything else."""
        try:
            if len(text) == 40:
                return cls(binascii.unhexlify(text))
            if len(text) == 32:
                return cls(base64.b32decode(text.upper()))
        except (binascii.Error, ValueError):
            pass
        raise MetainfoError(f"not an info-hash (40 hex or 32 base32 digits): {text[:80]!r}")

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"InfoHash({self.hex()})"


class PeerId(bytes):
    """The 20 bytes that a peer calls itself by, in one session (BEP 3, BEP 20)."""

    __slots__ = ()

    def __new__(cls, raw: bytes) -> PeerId:
        if len(raw) != 20:
            raise ValueError(f"a peer id has 20 bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def generate(cls, rng: random.Random) -> PeerId:
        """Our prefix and twelve random letters and digits, safe in any log or URL."""
        tail = bytes(rng.choice(_PEER_ID_ALPHABET) for _ in range(20 - len(PEER_ID_PREFIX)))
        return cls(PEER_ID_PREFIX + tail)


class NodeId(bytes):
    """The 20 bytes of a DHT node's place: two nodes are near if their ids differ in low bits only (BEP 5)."""

    __slots__ = ()

    def __new__(cls, raw: bytes) -> NodeId:
        if len(raw) != 20:
            raise ValueError(f"a node id has 20 bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def generate(cls, rng: random.Random) -> NodeId:
        """A random id; `swarm.dht.identity` makes those that fit an address (BEP 42)."""
        return cls(rng.randbytes(20))

    def __repr__(self) -> str:
        return f"NodeId({self.hex()})"


#: From BEP 20's table and later: the clients that are in use today.
_AZUREUS_NAMES = {
    "A2": "aria2", "AZ": "Azureus", "BC": "BitComet", "BI": "BiglyBT", "BT": "BitTorrent",
    "DE": "Deluge", "FD": "Free Download Manager", "KT": "KTorrent", "LT": "libtorrent",
    "lt": "rTorrent", "PI": "PicoTorrent", "qB": "qBittorrent", "rQ": "rqbit", "SW": "swarm",
    "TR": "Transmission", "TX": "Tixati", "UM": "uTorrent for Mac", "UT": "uTorrent",
    "WW": "WebTorrent", "GT": "anacrolix torrent",
}  # fmt: skip
_SHADOW_NAMES = {
    "A": "ABC",
    "M": "Mainline",
    "O": "Osprey",
    "Q": "BTQueue",
    "R": "Tribler",
    "S": "Shadow",
    "T": "BitTornado",
}


def client_name(peer_id: bytes) -> str:
    """The client that `peer_id` names ("libtorrent 2.1.1"), or its first 8 bytes; escaped for a terminal.

    Source: BEP 20 (Azureus and Shadow style); Mainline's own style, `M1-2-3--`.
    """
    prefix = peer_id[:8].decode("latin-1")
    if not prefix.isascii():
        # Not to be taken for a version: "²" counts as a digit in Python, but `int` refuses it.
        return ascii(prefix)[1:-1]
    if len(prefix) == 8 and prefix[0] == prefix[7] == "-" and prefix[1:7].isalnum():
        name = _AZUREUS_NAMES.get(prefix[1:3], prefix[1:3])
        digits = [str(int(char, 36)) for char in prefix[3:7]]
        while len(digits) > 3 and digits[-1] == "0":
            digits.pop()
        return f"{name} {'.'.join(digits)}"
    if (
        len(prefix) == 8
        and prefix[0] == "M"
        and prefix[1::2][:3].replace("-", "").isdigit()
        and prefix[2] == "-"
    ):
        # Escaped, since not all bytes were looked at: the rest may steer a terminal.
        return ascii(f"Mainline {'.'.join(prefix[1:].strip('-').split('-'))}")[1:-1]
    if len(prefix) == 8 and prefix[0] in _SHADOW_NAMES and prefix[1:4].isalnum() and prefix[4:6] == "--":
        return f"{_SHADOW_NAMES[prefix[0]]} {'.'.join(str(int(char, 36)) for char in prefix[1:4])}"
    # aria2 uses "A2-1-36-0-" since 1.18.
    if prefix.startswith("A2-"):
        version = peer_id[3:11].decode("latin-1").strip("-").split("-")[:3]
        return f"aria2 {ascii('.'.join(version))[1:-1]}"
    return ascii(prefix)[1:-1]
