"""What a source of peers is, as `discovery` uses it: the DHT, the local network, trackers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash

#: Gets peers and where they come from ("tracker HOST", "dht", "lsd").
OnPeers = Callable[[Sequence[Endpoint], str], None]
#: Gets ("info" | "warning" | "detail", one line fit for a user).
OnNotice = Callable[[str, str], None]


class Totals(NamedTuple):
    """What trackers are told of our progress, in bytes since we joined the swarm.

    Args:
        left_bytes: of all the torrent has, wanted or not: who names 0 is taken for a seed, and asked for all.
        is_complete: everything wanted is here.
    """

    uploaded_bytes: int
    downloaded_bytes: int
    left_bytes: int
    is_complete: bool

    @property
    def is_partial_seed(self) -> bool:
        """BEP 21: incomplete, and wants nothing more."""
        return self.is_complete and self.left_bytes > 0


@dataclass(frozen=True, slots=True)
class Membership:
    """Our part in one swarm, as sources see it.

    Args:
        port: where we listen, asked anew for each announce.
        is_seed: whether we have everything; is_complete: whether we have what we want.
        found: takes peers at any time, also between rounds; the second argument is `PeerSource.kind`.
    """

    info_hash: InfoHash
    port: Callable[[], int]
    is_seed: Callable[[], bool]
    is_complete: Callable[[], bool]
    found: OnPeers


class PeerSource(Protocol):
    """A way to find peers that needs no tracker; one object serves all torrents of a session.

    `discovery` decides when a round is due (`engine/finding/rounds`): a source keeps no schedule of its own.
    Private torrents (BEP 27) never reach one. All calls come on the event loop.
    """

    @property
    def kind(self) -> str:
        """One word for users and JSON: "dht", "lsd"."""

    @property
    def interval_s(self) -> float:
        """Between two rounds of a torrent while all is well."""

    def join(self, swarm: Membership) -> None:
        """The torrent begins to use this source; called once, before its first round."""

    async def go_round(self, swarm: Membership) -> int:
        """Look for peers, and say that we are there; peers go to `swarm.found` as they come.

        It may wait (for the bootstrap of the DHT, say), and may be cancelled at any time.

        Returns:
            how many peers this round found.

        Raises:
            SwarmError: it cannot be done now; one line fit for a user.
        """

    def leave(self, swarm: Membership) -> None:
        """The torrent uses it no more: do not call `swarm.found` again. No round of it is under way."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How it stands between a torrent and one of its sources.

    Args:
        kind: "tracker", "dht", "lsd". name: a tracker's URL; else the same as kind.
        state: of the words of `SourceState`.
        error: why it failed last, fit for a user; "" while it works.
        next_s: seconds until it is asked again; None where nothing is planned.
        peers: how many its last answer named; None before the first.
        seeds, leechers: as a tracker counts them; None where unknown.
    """

    kind: str
    name: str
    state: str
    error: str = ""
    next_s: float | None = None
    peers: int | None = None
    seeds: int | None = None
    leechers: int | None = None
