"""Orders to a running tracker, as JSON over HTTP on a loopback port, for whoever has the token.

    GET    /stats                       counters
    GET    /lists                       {"allowed": [...] or null, "denied": [...]}
    GET    /torrents/HASH               {"seeds": .., "leechers": .., "downloaders": .., "downloads": ..}
    PUT    /allowed/HASH, /denied/HASH  add
    DELETE /allowed/HASH, /denied/HASH  remove

What is changed here holds until the process ends or a list's file changes.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any

from swarm.base.errors import MetainfoError
from swarm.base.ids import InfoHash
from swarm.tracker.http_connection import HttpLimits, HttpService, Request, response

if TYPE_CHECKING:
    from swarm.tracker.server import TrackerServer


class _Refusal(Exception):
    def __init__(self, status: bytes, why: str) -> None:
        super().__init__(why)
        self.status = status


class AdminService(HttpService):
    """Answers those who show `Authorization: Bearer TOKEN`.

    A page in a browser cannot do so: it cannot send that header to another site unasked.
    """

    name = "admin"
    methods = (b"GET", b"PUT", b"DELETE")

    def __init__(self, server: TrackerServer, token: str) -> None:
        super().__init__(server.clock, HttpLimits(connections=20))
        self._server = server
        self._expected = b"Bearer " + token.encode()

    def respond(self, request: Request, *, is_last: bool) -> bytes:
        try:
            shown = request.headers.get(b"authorization", b"")
            if not hmac.compare_digest(shown, self._expected):
                raise _Refusal(b"401 Unauthorized", "show the token: Authorization: Bearer TOKEN")
            status, answer = b"200 OK", self._answer(request.method, request.url.split(b"/")[1:])
        except _Refusal as refusal:
            status, answer = refusal.status, {"error": str(refusal)}
        body = json.dumps(answer).encode() + b"\n"
        return response(status, body, is_last=is_last, content_type=b"application/json")

    def _answer(self, method: bytes, path: list[bytes]) -> Any:
        admission = self._server.rules.admission
        match method, path:
            case b"GET", [b"stats"]:
                return self._server.numbers()
            case b"GET", [b"lists"]:
                allowed = admission.allowed
                return {
                    "allowed": None if allowed is None else sorted(one.hex() for one in allowed),
                    "denied": sorted(one.hex() for one in admission.denied),
                }
            case b"GET", [b"torrents", text]:
                counts = self._server.store.counts(_info_hash(text))
                if counts is None:
                    raise _Refusal(b"404 Not Found", "this torrent is not known here")
                return {
                    "seeds": counts.seeds,
                    "leechers": counts.leechers,
                    "downloaders": counts.downloaders,
                    "downloads": counts.downloads,
                }
            case b"PUT" | b"DELETE", [b"allowed" | b"denied" as name, text]:
                info_hash = _info_hash(text)
                chosen = admission.allowed if name == b"allowed" else admission.denied
                if chosen is None:
                    raise _Refusal(b"409 Conflict", "every torrent is allowed; start with --allow")
                (chosen.add if method == b"PUT" else chosen.discard)(info_hash)
                return {"infohash": info_hash.hex(), name.decode(): info_hash in chosen}
        raise _Refusal(b"404 Not Found", "no such order")


def _info_hash(text: bytes) -> bytes:
    try:
        return bytes(InfoHash.parse(text.decode("ascii")))
    except (MetainfoError, UnicodeDecodeError):
        raise _Refusal(b"400 Bad Request", "not an info-hash of 40 hexadecimal digits") from None
