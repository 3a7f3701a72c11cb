"""Addresses of peers, and their compact forms (BEP 5, 7, 23).

A *packed* address is its 4 or 16 bytes; a *compact* one has the port, in 2 bytes, after them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

COMPACT_V4_BYTES = 6
COMPACT_V6_BYTES = 18
#: Parsed addresses that are cached: each is asked about several times while it is dialled, or refused.
_READ_MAX = 2048


class Endpoint(NamedTuple):
    """Where a peer listens: a numeric address, with a zone (`%3`) if it needs one, and a port (1-65535)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_v6(self) -> bool:
        return ":" in self.host

    @property
    def is_loopback(self) -> bool:
        return self.host.startswith("127.") or self.host == "::1"

    @property
    def is_local(self) -> bool:
        """Is it a machine of our own network: loopback, link-local or private?"""
        address = _address(self.host)
        return address is not None and (address.is_private or address.is_loopback or address.is_link_local)

    @property
    def is_dialable(self) -> bool:
        """Could a peer listen there? The port is valid, and the address is that of one machine."""
        if not 0 < self.port < 65536:
            return False
        if not self.is_v6:
            # Not of 0.0.0.0/8, multicast or reserved. Read from the text: to parse the address takes five
            # times as long, and a tracker names hundreds.
            first = self.host.partition(".")[0]
            return first.isdecimal() and 0 < int(first) < 224
        address = _address(self.host)
        # Reserved networks are not refused: one of them, ::/8, contains ::1.
        return address is not None and not (address.is_unspecified or address.is_multicast)


def normalized(host: str) -> str:
    """`host`, or the IPv4 address that is mapped into it (`::ffff:1.2.3.4`, as dual-stack sockets say)."""
    return host[7:] if host.startswith("::ffff:") and "." in host else host


def host_of(address: Sequence[Any]) -> str:
    """The host of a socket's address, with its zone (`%3`) where it needs one.

    A link-local IPv6 address is valid on every interface; its zone, which the kernel gives beside it, is the
    number of the interface.
    """
    host = normalized(address[0])
    zone = address[3] if len(address) > 3 else 0
    return f"{host}%{zone}" if zone and "%" not in host else host


def parse_host_port(text: str) -> tuple[str, int]:
    """Split `HOST:PORT` or `[V6]:PORT`; ValueError says, for a user, what is wrong."""
    host, colon, port_text = text.rpartition(":")
    if not colon or not host or not port_text.isascii() or not port_text.isdigit():
        raise ValueError(f"expected HOST:PORT, got {text!r}")
    # `int` refuses numbers of thousands of digits, with a message that is not for users.
    digits = port_text.lstrip("0") or "0"
    if len(digits) > 5 or (port := int(digits)) > 65535:
        raise ValueError(f"a port is at most 65535, got {digits[:20]}")
    if host.startswith("[") and host.endswith("]") and len(host) > 2:
        host = host[1:-1]
    elif "[" in host or "]" in host:
        raise ValueError(f"expected HOST:PORT, got {text!r}")
    elif ":" in host:
        raise ValueError(f"write IPv6 addresses in brackets, [ADDRESS]:PORT, got {text!r}")
    return host, port


def unmapped(address: IpAddress) -> IpAddress:
    """`address`, or the IPv4 address that is mapped into it."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def numeric_host(text: str) -> str | None:
    """`text` as a canonical numeric address, a mapped one as IPv4; None if it is a name."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str(unmapped(address))


def packed_host(host: str) -> bytes:
    """The packed form of a numeric address; no bytes for a name."""
    address = _address(host)
    return b"" if address is None else address.packed


@lru_cache(_READ_MAX)
def _address(host: str) -> IpAddress | None:
    """The address that `host` is, without its zone; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def unpacked_host(packed: bytes) -> str:
    """The numeric address that was packed; a mapped one as IPv4. ValueError for a wrong length."""
    return str(unmapped(ipaddress.ip_address(packed)))


def encode_compact(endpoint: Endpoint) -> bytes:
    """The compact form, 6 bytes (BEP 23) or 18 (BEP 7); ValueError for a name."""
    return ipaddress.ip_address(endpoint.host).packed + endpoint.port.to_bytes(2, "big")


def decode_compact_v4(raw: bytes) -> list[Endpoint]:
    """Read entries of 6 bytes; those with port 0, and a tail that is none, are left out."""
    found = []
    for at in range(0, len(raw) - COMPACT_V4_BYTES + 1, COMPACT_V4_BYTES):
        port = raw[at + 4] << 8 | raw[at + 5]
        if port:
            found.append(Endpoint(f"{raw[at]}.{raw[at + 1]}.{raw[at + 2]}.{raw[at + 3]}", port))
    return found


def decode_compact_v6(raw: bytes) -> list[Endpoint]:
    """Read entries of 18 bytes; those with port 0, and a tail that is none, are left out.

    IPv4 mapped into IPv6 becomes IPv4, so that a ban, or being of our own network, holds in either spelling.
    """
    found = []
    for at in range(0, len(raw) - COMPACT_V6_BYTES + 1, COMPACT_V6_BYTES):
        port = raw[at + 16] << 8 | raw[at + 17]
        if port:
            found.append(Endpoint(unpacked_host(raw[at : at + 16]), port))
    return found
