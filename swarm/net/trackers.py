"""One client for trackers of every kind; the URL's scheme tells which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash
from swarm.net.host_turns import HOST_CONCURRENT_MAX, HostTurns
from swarm.net.names import NameCache
from swarm.net.outlet import Outlet
from swarm.net.tracker_preferences import TrackerPreferences
from swarm.net.udp_trackers import UdpTrackerClient
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse, ScrapeEntry, readable
from swarm.wire.tracker.http import (
    ANSWER_MAX_BYTES,
    announce_url,
    decode_announce,
    decode_scrape,
    scrape_request_url,
    scrape_url,
)
from swarm.wire.tracker.preferences import preferred_urls
from swarm.wire.tracker.udp_server import SCRAPE_MAX as UDP_SCRAPE_MAX

if TYPE_CHECKING:
    from swarm.net import http

#: As in anacrolix/torrent; a tracker that needs longer is down.
TIMEOUT_S = 15.0
#: Over UDP a lost request is sent again after 15 s (BEP 15), and its answer may take as long again.
UDP_TIMEOUT_S = 45.0
#: HTTP requests on their way over one address family, of all torrents: each has a connection.
CONCURRENT_MAX = 100
#: Info-hashes in one scrape request: URLs of more than 4 KiB are refused by some servers.
_SCRAPE_MAX = 50
#: BEP 34: a host that says that it runs no tracker is looked up again after this.
_DENIED_RETRY_S = 3600.0

_Answer = TypeVar("_Answer")


class TrackerClient:
    """Announces and scrapes for all torrents of a session.

    Args:
        outlet: where requests must leave; None for no restriction.
        preferences: which trackers hosts say that they run (BEP 34); None to ask the DNS.
        concurrent_max, host_concurrent_max: `CONCURRENT_MAX`, `HOST_CONCURRENT_MAX`.
    """

    def __init__(
        self,
        *,
        outlet: Outlet | None = None,
        preferences: TrackerPreferences | None = None,
        concurrent_max: int = CONCURRENT_MAX,
        host_concurrent_max: int = HOST_CONCURRENT_MAX,
    ) -> None:
        #: Each address family has its own limit: one that leads nowhere must not hold up the other.
        self._turns = {is_v6: HostTurns(host_concurrent_max, concurrent_max) for is_v6 in (None, False, True)}
        self._outlet = outlet or Outlet()
        self._preferences = preferences or TrackerPreferences(outlet=self._outlet)
        self._names = NameCache()
        self._udp = UdpTrackerClient(outlet=self._outlet, names=self._names)
        self._is_closed = False

    async def announce(
        self,
        url: str,
        request: AnnounceRequest,
        timeout_s: float | None = None,
        *,
        is_v6: bool | None = None,
    ) -> AnnounceResponse:
        """Tell the tracker about us; it answers with peers.

        Args:
            timeout_s: for the answer, from when the request is sent; None for `TIMEOUT_S` or `UDP_TIMEOUT_S`.
            is_v6: the address family to ask over, which is also that of the address under which the tracker
                will list us (BEP 7); None for whichever answers.

        Raises:
            TrackerError: no answer, no usable one, or a refusal; fit for a user.
        """

        async def ask(url: str) -> AnnounceResponse:
            if _scheme(url) == "udp":
                return await self._udp.announce(url, request, timeout_s or UDP_TIMEOUT_S, is_v6)
            answer = await self._get(announce_url(url, request), timeout_s or TIMEOUT_S, is_v6)
            try:
                return decode_announce(answer.body)
            except TrackerError as error:
                raise _with_status(error, answer.status) from None

        return await self._ask(url, ask)

    async def scrape(
        self, url: str, info_hashes: Sequence[InfoHash], timeout_s: float = TIMEOUT_S
    ) -> dict[InfoHash, ScrapeEntry]:
        """Ask for the numbers of these swarms; those that the tracker does not know are left out.

        Args:
            url: the announce URL.

        Raises:
            TrackerError: as `announce`; also where the tracker has no scrape URL (BEP 48).
        """

        async def ask(url: str) -> dict[InfoHash, ScrapeEntry]:
            is_udp = _scheme(url) == "udp"
            found: dict[InfoHash, ScrapeEntry] = {}
            asked_max = UDP_SCRAPE_MAX if is_udp else _SCRAPE_MAX
            for start in range(0, len(info_hashes), asked_max):
                asked = info_hashes[start : start + asked_max]
                if is_udp:
                    entries = await self._udp.scrape(url, asked, timeout_s)
                else:
                    entries = await self._scrape_http(url, asked, timeout_s)
                found |= {info_hash: entries[info_hash] for info_hash in asked if info_hash in entries}
            return found

        return await self._ask(url, ask)

    def network_changed(self) -> None:
        """Our address has changed: forget what the DNS and trackers have told the old one."""
        self._names.forget()
        self._udp.network_changed()

    async def close(self) -> None:
        """Make no request any more. Of those under way, HTTP ones end only when their callers cancel them."""
        self._is_closed = True
        await self._udp.close()
        await self._names.close()
        await self._preferences.close()

    async def _ask(self, url: str, ask: Callable[[str], Awaitable[_Answer]]) -> _Answer:
        """The answer of the tracker at `url`, or of one that its host names in the place of it (BEP 34)."""
        _check(url)
        host = urlsplit(url).hostname or ""
        if self._is_closed:
            raise TrackerError("closed")
        urls = preferred_urls(url, await self._preferences.services(host))
        if not urls:
            raise TrackerError("the host says that it runs no tracker", retry_in_s=_DENIED_RETRY_S)
        failure: TrackerError | None = None
        for preferred in urls:
            try:
                return await ask(preferred)
            except TrackerError as error:
                # The error of a tracker that was asked tells more than that another one could not be.
                failure = error if failure is None or (failure.lacks and not error.lacks) else failure
        assert failure is not None
        raise failure

    async def _scrape_http(
        self, url: str, info_hashes: Sequence[InfoHash], timeout_s: float
    ) -> dict[InfoHash, ScrapeEntry]:
        base = scrape_url(url)
        if base is None:
            raise TrackerError("this tracker cannot be scraped (its URL does not end in /announce)")
        answer = await self._get(scrape_request_url(base, info_hashes), timeout_s)
        try:
            return decode_scrape(answer.body)
        except TrackerError as error:
            raise _with_status(error, answer.status) from None

    async def _get(self, url: str, timeout_s: float, is_v6: bool | None = None) -> http.HttpAnswer:
        # Loaded when first needed, so that a magnet link without trackers starts sooner (decision 006).
        from swarm.net import http

        async with self._turns[is_v6].turn(urlsplit(url).hostname or ""):
            if self._is_closed:
                raise TrackerError("closed")
            try:
                return await http.get(
                    url,
                    max_bytes=ANSWER_MAX_BYTES,
                    timeout_s=timeout_s,
                    may_be_loopback=_may_be_loopback(url),
                    outlet=self._outlet,
                    is_v6=is_v6,
                    resolve=self._names.addresses,
                )
            except http.HttpError as error:
                raise TrackerError(error.reason, lacks=error.lacks) from None


def _scheme(url: str) -> str:
    return urlsplit(url).scheme


def _check(url: str) -> None:
    """A final TrackerError for a URL that cannot be asked at all."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        raise TrackerError("not a usable URL", is_final=True) from None
    if parts.scheme not in ("http", "https", "udp"):
        scheme = readable(parts.scheme.encode("utf-8", "replace"), max_chars=20)
        raise TrackerError(f"trackers over {scheme or 'nothing'}:// are not supported", is_final=True)


def _may_be_loopback(url: str) -> bool:
    """May a request go to this machine itself? Only to what looks like a tracker.

    A torrent from a stranger must not send requests of his choice to our own services (SSRF). libtorrent has
    the same rule ("ssrf_mitigation").
    """
    return urlsplit(url).path.rpartition("/")[2].startswith(("announce", "scrape"))


def _with_status(error: TrackerError, status: int) -> TrackerError:
    if status == 200:
        return error
    return TrackerError(
        f"{error.reason} (HTTP {status})", retry_in_s=error.retry_in_s, is_final=error.is_final
    )
