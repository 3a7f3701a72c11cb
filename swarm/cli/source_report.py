"""Prints what becomes of a torrent's sources of peers: JSON events, and lines for `-v`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from swarm.base.units import format_count, format_span
from swarm.cli.output import Output
from swarm.engine.finding.pace import SourceState
from swarm.session.finding.sources import SourceStatus
from swarm.wire.tracker.announce import tracker_name

#: Instants that differ by less are the same plan: they are computed anew at every tick.
_GRAIN_S = 2.0
#: States that soon pass: they are in JSON events, but not in lines for people.
_PASSING = (SourceState.WAITING, SourceState.ASKING)


class _Said(NamedTuple):
    state: str
    error: str
    peers: int | None
    #: When it was to be asked next, in monotonic seconds.
    next_at: float | None

    def is_same(self, other: _Said) -> bool:
        if self[:3] != other[:3] or (self.next_at is None) != (other.next_at is None):
            return False
        return self.next_at is None or other.next_at is None or abs(self.next_at - other.next_at) < _GRAIN_S


class SourceReport:
    """Prints each change once.

    Args:
        make_room: called before each line for people, to hide the bars.
    """

    def __init__(self, output: Output, make_room: Callable[[], None] = lambda: None) -> None:
        self._output = output
        self._make_room = make_room
        self._said: dict[tuple[str, str], _Said] = {}

    def say(self, info_hash: str, name: str, statuses: Sequence[SourceStatus]) -> None:
        """Print what has changed since the last call; `name` is the torrent's, "" if there is only one."""
        if not self._output.is_json and not self._output.verbosity:
            return
        now = time.monotonic()
        for status in statuses:
            next_at = None if status.next_s is None else now + status.next_s
            said = _Said(status.state, status.error, status.peers, next_at)
            key = info_hash, status.name
            before = self._said.get(key)
            if before is not None and before.is_same(said):
                continue
            self._said[key] = said
            self._event(info_hash, status)
            if self._output.verbosity and status.state not in _PASSING:
                self._make_room()
                self._output.detail(f"{name}: {describe(status)}" if name else describe(status))

    def _event(self, info_hash: str, status: SourceStatus) -> None:
        fields = {"url": status.name, "seeds": status.seeds, "leechers": status.leechers}
        self._output.event(
            status.kind,
            infohash=info_hash,
            state=status.state,
            error=status.error,
            next_s=None if status.next_s is None else round(status.next_s, 1),
            peers=status.peers,
            **(fields if status.kind == "tracker" else {}),
        )


def describe(status: SourceStatus) -> str:
    """The state of a source, on one line; of a tracker's URL only the host, as the path may be a passkey."""
    who = f"tracker {tracker_name(status.name)}" if status.kind == "tracker" else status.kind
    found = "" if status.peers is None or status.error else f", {format_count(status.peers, 'peer')}"
    counted = ""
    if status.seeds is not None and status.leechers is not None:
        counted = f" (of {format_count(status.seeds, 'seed')} and {format_count(status.leechers, 'leecher')})"
    next_try = "" if status.next_s is None else f"; next try in {format_span(status.next_s)}"
    return f"{who}: {status.error or status.state}{found}{counted if found else ''}{next_try}"
