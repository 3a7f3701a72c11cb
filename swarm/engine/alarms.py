"""When desks want to be woken, side by side: hosts ask after every event."""

from __future__ import annotations

from typing import Protocol

_NEVER = float("inf")


class Line(Protocol):
    """What our blocks leave by."""

    @property
    def is_dry(self) -> bool:
        """Could it send more than it is given?"""


class Alarms:
    """Instants, each set and cleared by its own desk; infinity: not before something happens.

    Attributes:
        tick_at: everybody's turn (upkeep).
        refill_at: free slots are given to those who have asked meanwhile (choker).
        dry_at: as `refill_at`, but only if our line still stands still then (slots).
        look_again_at: idle peers may be asked for what others owe (end game).
        haves_at: everybody has waited for long enough to hear of our new pieces (haves).
        exchange_at: somebody is to hear of other peers (exchange).
    """

    __slots__ = ("dry_at", "exchange_at", "haves_at", "look_again_at", "refill_at", "tick_at")

    def __init__(self) -> None:
        self.tick_at = _NEVER
        self.refill_at = _NEVER
        self.dry_at = _NEVER
        self.look_again_at = _NEVER
        self.haves_at = _NEVER
        self.exchange_at = _NEVER

    def next_at(self, line: Line) -> float:
        """The earliest of them; who gets blocks by `line` may have asked for more since `dry_at` was set."""
        # Written out: it is asked after every event.
        earliest_at = self.tick_at
        if self.refill_at < earliest_at:
            earliest_at = self.refill_at
        if self.dry_at < earliest_at and line.is_dry:
            earliest_at = self.dry_at
        if self.look_again_at < earliest_at:
            earliest_at = self.look_again_at
        if self.haves_at < earliest_at:
            earliest_at = self.haves_at
        if self.exchange_at < earliest_at:
            earliest_at = self.exchange_at
        return earliest_at
