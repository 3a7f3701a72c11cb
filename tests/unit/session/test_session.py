"""What a session tells others of its torrents; transfers are in tests/e2e."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.net.trackers import TrackerClient
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse
from tests.e2e.transfers import offer_file, open_session, settings_of, until


async def test_tracker_hears_at_the_end_that_a_seed_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[AnnounceRequest] = []

    async def announce(
        self: TrackerClient, url: str, request: AnnounceRequest, timeout_s: float | None = None
    ) -> AnnounceResponse:
        heard.append(request)
        return AnnounceResponse(interval_s=1800)

    monkeypatch.setattr(TrackerClient, "announce", announce)
    offer = offer_file(tmp_path, 100_000, 16384)
    async with open_session(settings_of(tmp_path / "state")) as session:
        await session.add(
            offer.raw, content=offer.path, is_seeding_only=True, trackers=["http://tracker.invalid/announce"]
        )
        await until(lambda: heard)
    assert [(request.event, request.left_bytes) for request in heard] == [("started", 0), ("stopped", 0)]
