"""The wish to end, however often it is heard."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from swarm.cli import ending
from swarm.cli.ending import ECHO_S, Ending


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ending, "time", clock)
    return clock


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows whenever the process would be ended at once."""
    ends: list[str] = []
    monkeypatch.setattr(ending, "_end_at_once", lambda lost="": ends.append(lost))
    return ends


@pytest.fixture
async def end() -> AsyncIterator[Ending]:
    end = Ending(deadline_s=1000.0)
    yield end
    if end._watchdog is not None:
        end._watchdog.cancel()
        end._watchdog.join()


async def test_a_signal_that_comes_twice_at_a_time_is_one(end: Ending, ends: list[str], clock: Clock) -> None:
    end.ask(signal.SIGINT)
    clock.now += ECHO_S / 2
    end.ask(signal.SIGINT)
    assert end.asked_by == signal.SIGINT
    assert ends == []


async def test_a_second_signal_ends_it_at_once(end: Ending, ends: list[str], clock: Clock) -> None:
    end.ask(signal.SIGINT)
    clock.now += 2 * ECHO_S
    end.ask(signal.SIGINT)
    assert len(ends) == 1


async def test_another_signal_ends_it_at_once(end: Ending, ends: list[str], clock: Clock) -> None:
    end.ask(signal.SIGHUP)
    end.ask(signal.SIGTERM)
    assert len(ends) == 1
