"""What attackers send: for the tests here and for tools/torture/hostile."""

from __future__ import annotations

import struct

from tests.e2e.scripted_peer import (
    BITFIELD,
    BLOCK,
    CANCEL,
    HAVE,
    INTERESTED,
    NOT_INTERESTED,
    UNCHOKE,
    frame,
    request,
)

CHOKE, PORT, SUGGEST, EXTENDED = 0, 9, 0x0D, 20
#: BEP 6 and BEP 10.
EXTENSIONS = bytes(5) + b"\x10\x00\x04"


def extended(number: int, payload: bytes) -> bytes:
    return frame(EXTENDED, bytes([number]) + payload)


#: What is sent without end -> what it is called when the link ends.
FLOODS = {
    "keep_alives": (bytes(4) * 1000, "keep-alives"),
    "unknown_messages": (frame(99, b"x") * 500, "keep-alives"),
    "haves": (frame(HAVE, bytes(4)) * 500, "pieces that it has told us of"),
    "interested_flips": ((frame(INTERESTED) + frame(NOT_INTERESTED)) * 500, "changes of interest"),
    "chokes": ((frame(UNCHOKE) + frame(CHOKE)) * 500, "chokes"),
    "cancels": (frame(CANCEL, struct.pack(">III", 0, 0, BLOCK)) * 500, "cancels of nothing"),
    "bitfields": (frame(BITFIELD, bytes(3)) * 50, "bitfields"),
    "suggestions": (frame(SUGGEST, bytes(4)) * 500, "suggestions"),
    "ports": (frame(PORT, b"\x1a\xe1") * 500, "ports of its DHT node"),
    "extensions": (extended(77, b"x") * 500, "messages of extensions that we do not speak"),
    "handshakes": (extended(0, b"d1:md6:ut_pexi1eee") * 50, "extension handshakes"),
    "scraps": (request(0, 1, 1) * 1 + request(1, 7, 3) * 500, "requests for scraps"),
    "requests": (b"".join(request(n % 17, 0) for n in range(1000)), "requests that we cannot answer"),
    "pex": (extended(2, b"d5:added6:\x05\x06\x07\x08\x1a\xe1e") * 20, "peer exchange"),
    "metadata_requests": (extended(3, b"d8:msg_typei0e5:piecei0ee") * 100, "requests for the metadata"),
    "metadata_lies": (
        extended(3, b"d8:msg_typei1e5:piecei0e10:total_sizei4eelies") * 200,
        "metadata that nobody asked for",
    ),
}
