"""A download to `leech` that stops in the middle, and one that goes on there until it is complete."""

from __future__ import annotations

from pathlib import Path

from swarm import Progress
from tests.e2e.scripted_peer import Behaviour, scripted_peer
from tests.e2e.transfers import Offer, assert_same, open_session, seed, settings_of, until, within


async def stop_with(offer: Offer, tmp_path: Path, behave: Behaviour, downloaded_bytes: int) -> Progress:
    """Download so much from a scripted peer, stop in order; returns what it says then."""
    async with (
        scripted_peer(offer.metainfo, behave) as peer,
        open_session(settings_of(tmp_path / "state")) as leecher,
    ):
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", peer.port)])
        await until(lambda: torrent.snapshot().downloaded_bytes == downloaded_bytes)
    return torrent.snapshot()


async def finish(offer: Offer, tmp_path: Path) -> Progress:
    """Go on in a new session with an honest seed; returns what it says at the end."""
    async with (
        open_session(settings_of(tmp_path / "seeder-state")) as seeder,
        open_session(settings_of(tmp_path / "state")) as leecher,
    ):
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
        now = torrent.snapshot()
    assert_same(tmp_path / "leech" / offer.path.name, offer.path)
    return now
