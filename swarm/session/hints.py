"""Where the user says that peers are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SettingsError
from swarm.net.names import Address, endpoints_by_and_by


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


async def look_up_peers(
    of_user: Sequence[Address],
    of_link: Sequence[Address],
    timeout_s: float,
    on_found: Callable[[Sequence[Endpoint], str], None],
    on_notice: Callable[[str, str], None],
) -> None:
    """Find the addresses of named peers; those of the one do not wait for names of the other that hang.

    Args:
        of_user, of_link: the peers that the user names, and those that a magnet link does.
        on_found: gets addresses, and where they come from ("user", "magnet").
        on_notice: gets ("warning", one line fit for a user) for each name that has no address.
    """

    async def look_up(addresses: Sequence[Address], source: str) -> None:
        async for found in endpoints_by_and_by(
            addresses, timeout_s, lambda name, reason: on_notice("warning", f"peer {name}: {reason}")
        ):
            on_found(found, source)

    await asyncio.gather(look_up(of_user, "user"), look_up(of_link, "magnet"))
