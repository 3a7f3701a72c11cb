"""When desks want to be woken, side by side: hosts ask after every event."""

from __future__ import annotations

_NEVER = float("inf")


class Alarms:
    """Instants, each set and cleared by its own desk; infinity: not before something happens.

    Attributes:
        tick_at: everybody's turn (upkeep).
        refill_at: free slots are given to those who have asked meanwhile (choker).
        dry_at: as `refill_at`, but only if our line still stands still then (slots).
        look_again_at: idle peers may be asked for what others owe (end game).
        haves_at: everybody has waited for long enough to hear of our new pieces (haves).
    """

    __slots__ = ("dry_at", "haves_at", "look_again_at", "refill_at", "tick_at")

    def __init__(self) -> None:
        self.tick_at = _NEVER
        self.refill_at = _NEVER
        self.dry_at = _NEVER
        self.look_again_at = _NEVER
        self.haves_at = _NEVER
