from __future__ import annotations

from dataclasses import replace

import pytest

from swarm.cli.standing import describe
from swarm.session.progress import Progress

NOW = Progress(
    state="downloading", name="data", done_bytes=512 << 20, wanted_bytes=1 << 30, total_bytes=2 << 30,
    checked_bytes=0, checking_bytes=0, downloaded_bytes=512 << 20, uploaded_bytes=0, wasted_bytes=0,
    failed_pieces=0, down_bytes_per_s=64 << 20, up_bytes_per_s=0, peers=3, seeds=1, pieces_done=512,
    pieces_total=2048, seconds=8.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "50% of 1.00 GiB, 64.0 MiB/s, 0:08 left, 3 peers (1 seed)"),
        ({"done_bytes": (1 << 30) - 1}, "99% of 1.00 GiB, 64.0 MiB/s, 0:00 left, 3 peers (1 seed)"),
        ({"down_bytes_per_s": 0, "peers": 1, "seeds": 0}, "50% of 1.00 GiB, 0 B/s, 1 peer (0 seeds)"),
        ({"state": "checking", "checked_bytes": 5, "checking_bytes": 20}, "checking, 25% of 20 B"),
        (
            {"state": "seeding", "up_bytes_per_s": 1 << 20, "uploaded_bytes": 1 << 29},
            "seeding, 3 peers, 1.00 MiB/s up, 512 MiB uploaded, ratio 0.50",
        ),
        ({"state": "seeding", "wanted_bytes": 0}, "seeding, 3 peers, 0 B/s up, 0 B uploaded, ratio 0.00"),
    ],
)  # fmt: skip
def test_a_transfer_is_described_on_one_line(changes: dict[str, object], expected: str) -> None:
    assert describe(replace(NOW, **changes)) == expected  # type: ignore[arg-type]  # fields by name
