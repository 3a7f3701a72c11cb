"""Local service discovery (BEP 14): multicast datagrams, in the form of HTTP, that name torrents."""

from __future__ import annotations

from typing import NamedTuple

from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash

#: The multicast groups of BEP 14: "org-local" for IPv4, "site-local" for IPv6.
GROUP_V4 = Endpoint("239.192.152.143", 6771)
GROUP_V6 = Endpoint("ff15::efc0:988f", 6771)
#: BEP 14: "the packet length should not exceed 1400 bytes".
DATAGRAM_MAX_BYTES = 1400
#: Info-hashes that we put into one datagram: 25 lines of 52 bytes leave room for the other headers.
INFO_HASHES_MAX = 25
#: A longer cookie cannot be ours, so we need not know it.
COOKIE_MAX_CHARS = 64

_FIRST_LINE = "BT-SEARCH * HTTP/1.1"
_HEX = frozenset("0123456789abcdefABCDEF")


class LocalAnnounce(NamedTuple):
    """A client on the local network is in these swarms.

    Args:
        port: where it accepts peers, 1-65535; its address is that of the datagram.
        info_hashes: in order, each once; none if it has only torrents of v2.
        cookie: by which the sender recognises its own datagrams; "" for none.
    """

    port: int
    info_hashes: tuple[InfoHash, ...]
    cookie: str = ""


def encode_announce(announce: LocalAnnounce, group: Endpoint) -> bytes:
    """The datagram to send to `group`; ValueError for more than `INFO_HASHES_MAX` torrents."""
    if len(announce.info_hashes) > INFO_HASHES_MAX:
        raise ValueError(f"at most {INFO_HASHES_MAX} info-hashes fit, not {len(announce.info_hashes)}")
    lines = [_FIRST_LINE, f"Host: {group}", f"Port: {announce.port}"]
    lines += [f"Infohash: {info_hash.hex().upper()}" for info_hash in announce.info_hashes]
    if announce.cookie:
        lines.append(f"cookie: {announce.cookie}")
    return "\r\n".join([*lines, "", "", ""]).encode("ascii")


def decode_announce(raw: bytes) -> LocalAnnounce:
    """Read a datagram; unknown headers are ignored.

    Raises:
        PeerError: it is no valid announce.
    """
    if len(raw) > DATAGRAM_MAX_BYTES:
        raise PeerError(f"a local announce of {len(raw)} bytes")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise PeerError("a local announce that is not ASCII") from None
    head, end, _ = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    if first != _FIRST_LINE or not end:
        raise PeerError("not a local announce")
    ports: list[int] = []
    info_hashes: dict[InfoHash, None] = {}
    cookie = ""
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon:
            raise PeerError("a local announce with a line that is no header")
        match name.lower():
            case "port":
                ports.append(_port(value))
            case "infohash":
                info_hash = _info_hash(value)
                if info_hash is not None:
                    info_hashes[info_hash] = None
            case "cookie" if len(value) <= COOKIE_MAX_CHARS:
                cookie = value
    if len(ports) != 1:
        raise PeerError(f"a local announce with {len(ports)} ports")
    return LocalAnnounce(ports[0], tuple(info_hashes), cookie)


def _port(value: str) -> int:
    if not value.isdigit() or len(value) > 5 or not 0 < int(value) < 65536:
        raise PeerError(f"a local announce of port {value[:20]!r}")
    return int(value)


def _info_hash(value: str) -> InfoHash | None:
    """The info-hash of v1 that `value` is; None for one of v2 (64 digits); PeerError for anything else."""
    if len(value) == 64 and _HEX.issuperset(value):
        return None
    if len(value) != 40 or not _HEX.issuperset(value):
        raise PeerError(f"a local announce of info-hash {value[:80]!r}")
    return InfoHash(bytes.fromhex(value))
