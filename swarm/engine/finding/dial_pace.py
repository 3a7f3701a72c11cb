"""How many addresses are dialled at a time, and how soon the next."""

from __future__ import annotations

from swarm.engine.settings import EngineSettings

#: Dials are counted in fractions; less than this is rounding.
_GRAIN = 1e-6


class DialPace:
    """Keeps dials within the limits on connections, attempts and their rate.

    At first they are for a share of the places only, by and by for all of them. Where everybody dials for all
    his places at once, a crowd takes them from itself: whoever is late by a moment finds all of them taken,
    everywhere, and is left with a neighbour or two, or with none.
    """

    __slots__ = ("_allowance", "_allowance_at", "_begun_at", "_settings")

    def __init__(self, settings: EngineSettings, now: float) -> None:
        self._settings = settings
        self._allowance = float(settings.dial_burst)
        self._allowance_at = self._begun_at = now

    def room(self, connected_count: int, dialling_count: int, now: float, *, keeps_places: bool) -> int:
        """How many may be dialled now; 0 or less for none.

        Args:
            keeps_places: some places are for those who come to us.
        """
        settings = self._settings
        saved = self._allowance + (now - self._allowance_at) * settings.dials_per_s
        self._allowance = min(float(settings.dial_burst), saved)
        self._allowance_at = now
        most = self._dialled_max(now) if keeps_places else settings.connections_max
        return min(
            most - connected_count - dialling_count,
            settings.half_open_max - dialling_count,
            # Instants are floats: without the grain a dial due now could be put off to now, for ever.
            int(self._allowance + _GRAIN),
        )

    def dialled(self, count: int) -> None:
        """So many are being dialled since `room` was asked for."""
        self._allowance -= count

    def next_at(self, connected_count: int, dialling_count: int) -> float | None:
        """When there may be room for one more; None for not before a link, or an attempt, has ended."""
        settings = self._settings
        taken_count = connected_count + dialling_count
        if taken_count >= settings.connections_max or dialling_count >= settings.half_open_max:
            return None
        allowed_at = self._allowance_at + (1 - self._allowance) / settings.dials_per_s
        return max(allowed_at, self._dialled_max_at(taken_count + 1))

    def _dialled_max(self, now: float) -> int:
        """Up to how many connections we dial, keeping some places."""
        settings = self._settings
        share = settings.dialled_share
        share += (1.0 - share) * min(1.0, (now - self._begun_at) / settings.dialled_all_s)
        return int(settings.connections_max * share + 0.5 + _GRAIN)

    def _dialled_max_at(self, count: int) -> float:
        """When `_dialled_max` will be so much, at most `connections_max`."""
        settings = self._settings
        more = (count - 0.5) / settings.connections_max - settings.dialled_share
        if more <= 0.0:
            return self._begun_at
        return self._begun_at + more / (1.0 - settings.dialled_share) * settings.dialled_all_s
