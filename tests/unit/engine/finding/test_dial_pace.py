"""How many may be dialled: bounded in number, in rate, and at first to a share of the places."""

from __future__ import annotations

import pytest

from swarm.engine.finding.dial_pace import DialPace
from swarm.engine.settings import EngineSettings


def pace(**settings: float) -> DialPace:
    settings = {
        "connections_max": 10, "half_open_max": 4, "dial_burst": 20, "dials_per_s": 2, "dialled_share": 1.0,
        **settings,
    }  # fmt: skip
    return DialPace(EngineSettings(**settings), 100.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("connected", "dialling", "room", "next_at"),
    [
        (0, 0, 4, 100.0),
        (0, 3, 1, 100.0),
        (0, 4, 0, None),
        (8, 0, 2, 100.0),
        (8, 2, 0, None),
        (10, 0, 0, None),
    ],
)
def test_connections_and_attempts_are_bounded(
    connected: int, dialling: int, room: int, next_at: float | None
) -> None:
    desk = pace()
    assert desk.room(connected, dialling, 100.0, keeps_places=True) == room
    assert desk.next_at(connected, dialling) == next_at


def test_after_a_burst_there_is_one_each_time_the_rate_allows() -> None:
    desk = pace(dial_burst=3)
    assert desk.room(0, 0, 100.0, keeps_places=True) == 3
    desk.dialled(3)
    assert desk.room(0, 0, 100.0, keeps_places=True) == 0
    assert desk.next_at(0, 0) == 100.5
    assert desk.room(0, 0, 100.5, keeps_places=True) == 1
    assert desk.room(0, 0, 1e6, keeps_places=True) == 3


def test_at_first_a_share_of_the_places_is_dialled_for_and_all_at_the_end() -> None:
    desk = pace(dialled_share=0.5, dialled_all_s=100.0, half_open_max=20)
    assert desk.room(0, 0, 100.0, keeps_places=True) == 5
    assert desk.room(0, 0, 100.0, keeps_places=False) == 10
    at = desk.next_at(5, 0)
    assert at is not None and at == pytest.approx(110.0)
    assert desk.room(5, 0, at, keeps_places=True) == 1
    assert desk.room(5, 0, at - 1, keeps_places=True) == 0
    assert desk.room(0, 0, 200.0, keeps_places=True) == 10
