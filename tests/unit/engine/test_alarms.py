"""The next instant at which any desk wants to be woken."""

from __future__ import annotations

import pytest

from swarm.base.dataclass import dataclass
from swarm.engine.alarms import Alarms


@dataclass(slots=True)
class FakeLine:
    is_dry: bool = True


def test_nobody_is_woken_before_an_alarm_is_set() -> None:
    assert Alarms().next_at(FakeLine()) == float("inf")


@pytest.mark.parametrize("name", Alarms.__slots__)
def test_whichever_comes_first_is_next(name: str) -> None:
    alarms = Alarms()
    for number, other in enumerate(Alarms.__slots__):
        setattr(alarms, other, 100.0 + number)
    setattr(alarms, name, 50.0)
    assert alarms.next_at(FakeLine()) == 50.0


def test_a_line_that_has_something_to_send_again_wakes_nobody() -> None:
    alarms = Alarms()
    alarms.dry_at, alarms.tick_at = 5.0, 9.0
    assert alarms.next_at(FakeLine(is_dry=False)) == 9.0
