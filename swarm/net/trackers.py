"""Asking trackers: one client for every kind, by the URL's scheme."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash
from swarm.net import http
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse, ScrapeEntry, readable
from swarm.wire.tracker.http import (
    ANSWER_MAX_BYTES,
    announce_url,
    decode_announce,
    decode_scrape,
    scrape_request_url,
    scrape_url,
)

#: What anacrolix gives a tracker; those that need more are down (docs: defaults).
TIMEOUT_S = 15.0
#: Requests on their way at a time, over all torrents: each costs a connection.
CONCURRENT_MAX = 100
#: Info-hashes in one scrape request; URLs of more than 4 KiB meet limits on the way.
_SCRAPE_MAX = 50


class TrackerClient:
    """Announces and scrapes for all torrents of a session."""

    def __init__(self, *, concurrent_max: int = CONCURRENT_MAX) -> None:
        self._turns = asyncio.Semaphore(concurrent_max)
        self._is_closed = False

    async def announce(
        self, url: str, request: AnnounceRequest, timeout_s: float = TIMEOUT_S
    ) -> AnnounceResponse:
        """Tell the tracker about us; it answers with peers.

        Raises:
            TrackerError: no answer, no usable one, or a refusal; fit for a user.
        """
        _check(url)
        answer = await self._get(announce_url(url, request), timeout_s)
        try:
            return decode_announce(answer.body)
        except TrackerError as error:
            raise _with_status(error, answer.status) from None

    async def scrape(
        self, url: str, info_hashes: Sequence[InfoHash], timeout_s: float = TIMEOUT_S
    ) -> dict[InfoHash, ScrapeEntry]:
        """Ask for the numbers of these swarms; those that the tracker does not know are left out.

        Args:
            url: the announce URL.

        Raises:
            TrackerError: as `announce`; also where the tracker has no scrape URL (BEP 48).
        """
        _check(url)
        base = scrape_url(url)
        if base is None:
            raise TrackerError("this tracker cannot be scraped (its URL does not end in /announce)")
        found: dict[InfoHash, ScrapeEntry] = {}
        for start in range(0, len(info_hashes), _SCRAPE_MAX):
            asked = info_hashes[start : start + _SCRAPE_MAX]
            answer = await self._get(scrape_request_url(base, asked), timeout_s)
            try:
                entries = decode_scrape(answer.body)
            except TrackerError as error:
                raise _with_status(error, answer.status) from None
            found |= {info_hash: entries[info_hash] for info_hash in asked if info_hash in entries}
        return found

    async def close(self) -> None:
        """No request is made any more; each one under way ends with its caller."""
        self._is_closed = True

    async def _get(self, url: str, timeout_s: float) -> http.HttpAnswer:
        async with self._turns:
            if self._is_closed:
                raise TrackerError("closed")
            try:
                return await http.get(
                    url,
                    max_bytes=ANSWER_MAX_BYTES,
                    timeout_s=timeout_s,
                    may_be_loopback=_may_be_loopback(url),
                )
            except http.HttpError as error:
                raise TrackerError(error.reason) from None


def _check(url: str) -> None:
    """TrackerError for a URL that we do not ask at all; trying again would not help."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise TrackerError("not a usable URL", is_final=True) from None
    if parts.scheme not in ("http", "https"):
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
