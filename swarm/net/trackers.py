"""Asking trackers: one client for every kind, by the URL's scheme."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash
from swarm.net.host_turns import HOST_CONCURRENT_MAX, HostTurns
from swarm.net.names import NameCache
from swarm.net.outlet import Outlet
from swarm.net.tracker_preferences import TrackerPreferences
from swarm.net.udp_trackers import UdpTrackerClient, UdpTrackerSettings
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

#: What anacrolix gives a tracker; those that need more are down.
TIMEOUT_S = 15.0
#: Over UDP a lost request is sent again after 15 s (BEP 15), and that one may take its time too.
UDP_TIMEOUT_S = 45.0
#: HTTP requests on their way at a time over one family, of all torrents: each costs a connection.
CONCURRENT_MAX = 100
#: Info-hashes in one scrape request; URLs of more than 4 KiB meet limits on the way.
_SCRAPE_MAX = 50
#: BEP 34: a host that says that it runs no tracker is looked up again no sooner.
_DENIED_RETRY_S = 3600.0

_Answer = TypeVar("_Answer")


class TrackerClient:
    """Announces and scrapes for all torrents of a session.

    Args:
        outlet: where requests must leave; None for no restriction.
        preferences: what hosts say of their trackers (BEP 34); None to look it up in the DNS.
    """

    def __init__(
        self,
        *,
        outlet: Outlet | None = None,
        preferences: TrackerPreferences | None = None,
        udp_settings: UdpTrackerSettings | None = None,
        concurrent_max: int = CONCURRENT_MAX,
        host_concurrent_max: int = HOST_CONCURRENT_MAX,
    ) -> None:
        #: Each family has turns of its own: one that leads nowhere must not hold up the other.
        self._turns = {is_v6: asyncio.Semaphore(concurrent_max) for is_v6 in (None, False, True)}
        self._host_turns = HostTurns(host_concurrent_max)
        self._outlet = outlet or Outlet()
        self._preferences = preferences or TrackerPreferences(outlet=self._outlet)
        self._names = NameCache()
        self._udp = UdpTrackerClient(
            outlet=self._outlet, settings=udp_settings, names=self._names, host_turns=self._host_turns
        )
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
            timeout_s: for an answer, once it is our turn; None for what is usual for its kind.
            is_v6: the family of addresses to ask over, which is that under which it will list us (BEP 7);
                None for whichever answers.

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
        """We are at another address: what names and trackers said to the old one is forgotten."""
        self._names.forget()
        self._udp.network_changed()

    async def close(self) -> None:
        """No request is made any more; each one under way ends with its caller."""
        self._is_closed = True
        await self._udp.close()
        await self._names.close()
        await self._preferences.close()

    async def _ask(self, url: str, ask: Callable[[str], Awaitable[_Answer]]) -> _Answer:
        """What the tracker at `url` answers, or at one of the URLs that its host prefers to it."""
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
                # What a tracker says counts more than that another one has no address of that family.
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
        # Loaded when first needed: a magnet link without trackers is up the sooner.
        from swarm.net import http

        family = "any" if is_v6 is None else "IPv6" if is_v6 else "IPv4"
        async with self._host_turns.turn(f"{urlsplit(url).hostname} {family}"), self._turns[is_v6]:
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
    """TrackerError for a URL that we do not ask at all; trying again would not help."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        raise TrackerError("not a usable URL", is_final=True) from None
    if parts.scheme not in ("http", "https", "udp"):
        scheme = readable(parts.scheme.encode("utf-8", "replace"), max_chars=20)
        raise TrackerError(f"trackers over {scheme or 'nothing'}:// are not supported", is_final=True)


def _may_be_loopback(url: str) -> bool:
    """A torrent from a stranger must not send requests of his choice to this machine's own services.

    libtorrent has the same rule ("ssrf_mitigation").
    """
    return urlsplit(url).path.rpartition("/")[2].startswith(("announce", "scrape"))


def _with_status(error: TrackerError, status: int) -> TrackerError:
    if status == 200:
        return error
    return TrackerError(
        f"{error.reason} (HTTP {status})", retry_in_s=error.retry_in_s, is_final=error.is_final
    )
