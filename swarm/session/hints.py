"""Where the user says that peers are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from swarm.base.errors import SettingsError
from swarm.net.names import Address


class Hints(NamedTuple):
    """What the user adds to the peers and trackers that a torrent or its magnet link names.

    Args:
        peers: to try at once; names or numbers.
        trackers: announce URLs, tried before the torrent's own.
        use_trackers: whether to announce to any tracker at all.
    """

    peers: tuple[Address, ...]
    trackers: tuple[str, ...]
    use_trackers: bool

    @classmethod
    def of(cls, peers: Iterable[Address], trackers: Iterable[str], *, use_trackers: bool) -> Hints:
        """These, checked: what is of another form would be noticed late, or never.

        Raises:
            SettingsError: a peer is no (host, port), or the trackers are one text.
        """
        if isinstance(trackers, str):
            raise SettingsError(f"trackers are a sequence of URLs, such as [{trackers!r}], not one text")
        pairs = tuple(peers)
        for pair in pairs:
            match pair:
                case (str(), int(port)) if 0 < port < 65_536:
                    pass
                case _:
                    raise SettingsError(f"a peer is (host, port from 1 to 65535), not {pair!r}")
        return cls(pairs, tuple(trackers), use_trackers)

    def tiers(self, named: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
        """The trackers to announce to, first tier first; each of the user's is a tier of its own.

        Args:
            named: the tiers that the torrent or the link names.
        """
        if not self.use_trackers:
            return []
        return [*((url,) for url in self.trackers), *(tuple(tier) for tier in named)]
