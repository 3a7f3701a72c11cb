"""The extension handshake (BEP 10), and the extensions of one number: `lt_donthave`, `upload_only`."""

from __future__ import annotations

import struct
from dataclasses import field

from swarm.base import bencode
from swarm.base.dataclass import dataclass
from swarm.base.errors import BencodeError, PeerError

#: Extended id 0 is the handshake itself (BEP 10).
HANDSHAKE_ID = 0

#: The ids that we give to extensions: peers put them into messages to us.
LOCAL_IDS = {"lt_donthave": 1, "ut_pex": 2, "ut_metadata": 3, "ut_holepunch": 4, "upload_only": 5}

#: More names in `m` are an attack: the client with the most has a dozen.
EXTENSION_NAMES_MAX = 64
#: Characters of `v`, which is shown to users; a longer one is cut.
CLIENT_NAME_MAX = 64
#: A larger `reqq` is not believed.
REQUEST_QUEUE_MAX = 10_000


@dataclass(slots=True, frozen=True)
class ExtendedHandshake:
    """The dictionary of BEP 10. What a peer claims in it is within bounds, but may be wrong.

    Args:
        extensions: name -> the id that the sender has given to that extension, 1-255; 0 where it has
            switched it off.
        listen_port: `p`, the port on which it accepts peers; None where it does not say.
        client: `v`, not escaped.
        request_queue: `reqq`, how many requests it will keep; None where it does not say.
        is_upload_only: `upload_only` (BEP 21): it wants nothing more; None where it does not say.
        metadata_bytes: `metadata_size` (BEP 9); None where it does not say.
        your_ip: `yourip`, our packed address as it sees it (4 or 16 bytes); empty where it does not say.
        prefers_encryption: `e`, which BEP 11 passes on to others.
    """

    extensions: dict[str, int] = field(default_factory=dict)
    listen_port: int | None = None
    client: str = ""
    request_queue: int | None = None
    is_upload_only: bool | None = None
    metadata_bytes: int | None = None
    your_ip: bytes = b""
    prefers_encryption: bool = False


def encode_extended_handshake(handshake: ExtendedHandshake) -> bytes:
    """The payload after the extended id."""
    content: dict[bytes, bencode.Encodable] = {
        b"m": {name.encode(): number for name, number in handshake.extensions.items()},
        b"v": handshake.client.encode(),
    }
    if handshake.listen_port is not None:
        content[b"p"] = handshake.listen_port
    if handshake.request_queue is not None:
        content[b"reqq"] = handshake.request_queue
    if handshake.is_upload_only is not None:
        content[b"upload_only"] = int(handshake.is_upload_only)
    if handshake.metadata_bytes is not None:
        content[b"metadata_size"] = handshake.metadata_bytes
    if handshake.prefers_encryption:
        content[b"e"] = 1
    if handshake.your_ip:
        content[b"yourip"] = handshake.your_ip
    return bencode.encode(content)


def decode_extended_handshake(payload: bytes) -> ExtendedHandshake:
    """Read the payload after the extended id.

    Keys of the wrong type or out of range are ignored, as libtorrent and Transmission do.

    Raises:
        PeerError: not a bencoded dictionary, or too many names in `m`.
    """
    try:
        # Some clients send bytes after the dictionary, of which BEP 10 says nothing.
        content, _ = bencode.decode_prefix(payload)
    except BencodeError as error:
        raise PeerError(f"its extension handshake is not bencode: {error}") from None
    if not isinstance(content, dict):
        raise PeerError("its extension handshake is no dictionary")
    names = content.get(b"m")
    extensions: dict[str, int] = {}
    if isinstance(names, dict):
        if len(names) > EXTENSION_NAMES_MAX:
            raise PeerError(f"it names {len(names)} extensions")
        for name, number in names.items():
            if isinstance(number, int) and 0 <= number < 256:
                extensions[name.decode("utf-8", "replace")] = number
    client = content.get(b"v")
    your_ip = content.get(b"yourip")
    upload_only = _number(content.get(b"upload_only"), 0, 1)
    return ExtendedHandshake(
        extensions=extensions,
        listen_port=_number(content.get(b"p"), 1, 65535),
        client=client.decode("utf-8", "replace")[:CLIENT_NAME_MAX] if isinstance(client, bytes) else "",
        request_queue=_number(content.get(b"reqq"), 1, REQUEST_QUEUE_MAX),
        is_upload_only=None if upload_only is None else bool(upload_only),
        metadata_bytes=_number(content.get(b"metadata_size"), 1, 2**31 - 1),
        your_ip=your_ip if isinstance(your_ip, bytes) and len(your_ip) in (4, 16) else b"",
        prefers_encryption=bool(_number(content.get(b"e"), 1, 1)),
    )


def _number(value: object, least: int, most: int) -> int | None:
    return value if isinstance(value, int) and least <= value <= most else None


def encode_dont_have(piece: int) -> bytes:
    """The payload of `lt_donthave` (BEP 54)."""
    return struct.pack(">I", piece)


def decode_dont_have(payload: bytes) -> int:
    """The piece that the sender no longer has (BEP 54); PeerError for a wrong size."""
    if len(payload) != 4:
        raise PeerError(f"its lt_donthave has {len(payload)} bytes")
    piece: int = struct.unpack(">I", payload)[0]
    return piece


def decode_upload_only(payload: bytes) -> bool:
    """Read libtorrent's message `upload_only`: does the sender want nothing more from now on?

    Raises:
        PeerError: it has the wrong size.
    """
    if len(payload) != 1:
        raise PeerError(f"its upload_only has {len(payload)} bytes")
    return payload != b"\0"
