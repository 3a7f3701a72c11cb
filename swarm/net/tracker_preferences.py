"""Which trackers a host says, in the DNS, that it runs: asked before the first announce to it (BEP 34)."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping

from swarm.base.endpoint import numeric_host
from swarm.net.ask_once import AskOnce
from swarm.net.outlet import Outlet
from swarm.wire.tracker.preferences import Service, decode_preferences

#: An announce waits no longer for the DNS; hardly any host has such a record.
TIMEOUT_S = 2.0
#: An answer is used for so long ...
_LIFE_S = 3600.0
#: ... and where there was none, the DNS is asked again after this.
_SILENCE_LIFE_S = 300.0
#: Hosts remembered; the oldest are dropped.
_HOSTS_MAX = 1000
#: Names that no DNS server knows.
_LOCAL_SUFFIXES = (".localhost", ".local", ".onion", ".i2p", ".internal", ".home.arpa")

TextRecords = Callable[[str, float], Awaitable[list[str]]]


async def _text_records(name: str, timeout_s: float, sources: Mapping[bool, str]) -> list[str]:
    # In a thread: the import takes a tenth of a second, in which all transfers on the loop would stand still.
    module = await asyncio.to_thread(importlib.import_module, "swarm.net.dns_records")
    found: list[str] = await module.text_records(name, timeout_s, sources=sources)
    return found


class TrackerPreferences:
    """Asks, and remembers, which trackers hosts say that they run. Without an answer any tracker is asked.

    Args:
        text_records: (name, timeout in seconds) -> its TXT records, or OSError; None to ask the DNS.
        timeout_s: of one question to the DNS.
        outlet: where questions to the DNS must leave; None for no restriction.
    """

    def __init__(
        self,
        text_records: TextRecords | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        outlet: Outlet | None = None,
    ) -> None:
        self._outlet = outlet or Outlet()
        self._text_records = text_records or self._ask_dns
        self._timeout_s = timeout_s
        self._answers = AskOnce(self._ask, "BEP 34 of", _HOSTS_MAX)

    async def services(self, host: str) -> tuple[Service, ...] | None:
        """The trackers that `host` runs, in its order; () for none, None where it does not say."""
        host = host.rstrip(".").lower()
        if not _is_public_name(host):
            return None
        try:
            return await self._answers.about(host)
        except OSError:
            # Closed meanwhile.
            return None

    async def close(self) -> None:
        """Ask nothing any more; whoever waits gets None."""
        await self._answers.close()

    async def _ask_dns(self, name: str, timeout_s: float) -> list[str]:
        # The addresses as they are now: those of a bound interface may have changed.
        return await _text_records(name, timeout_s, self._outlet.addresses)

    async def _ask(self, host: str) -> tuple[tuple[Service, ...] | None, float]:
        try:
            async with asyncio.timeout(self._timeout_s):
                records = await self._text_records(host, self._timeout_s)
        except OSError:
            # Also a TimeoutError. Without an answer we ask the tracker as if there were no BEP 34.
            return None, _SILENCE_LIFE_S
        return decode_preferences(records), _LIFE_S


def _is_public_name(host: str) -> bool:
    return "." in host and not host.endswith(_LOCAL_SUFFIXES) and numeric_host(host.partition("%")[0]) is None
