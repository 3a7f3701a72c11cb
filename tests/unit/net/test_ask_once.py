"""A question is asked once, whoever waits for its answer and whoever stops waiting."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
from typing import Any

import pytest

from swarm.net.ask_once import AskOnce


class Oracle:
    """Answers when it is told to: with the question in capitals, or an OSError about "nobody"."""

    def __init__(self, answers_max: int = 10) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.asking = AskOnce(self._ask, "test", answers_max)

    async def _ask(self, name: str) -> tuple[str, float]:
        self.asked.append(name)
        await self.may_answer.wait()
        if name == "nobody":
            raise OSError(errno.ENOENT, "not known")
        return name.upper(), 60.0 if name != "brief" else 0.0


async def test_who_stops_waiting_takes_the_answer_from_nobody() -> None:
    oracle = Oracle()
    impatient, patient = (asyncio.create_task(oracle.asking.about("a")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    oracle.may_answer.set()
    assert await patient == await oracle.asking.about("a") == "A"
    assert oracle.asked == ["a"]


async def test_answers_end_are_forgotten_and_are_too_many() -> None:
    oracle = Oracle(answers_max=2)
    oracle.may_answer.set()
    for name in ("brief", "brief", "a", "b", "a", "c", "a"):
        await oracle.asking.about(name)
    assert oracle.asked == ["brief", "brief", "a", "b", "c", "a"]
    oracle.asking.forget()
    await oracle.asking.about("a")
    assert oracle.asked[-2:] == ["a", "a"]


async def test_failure_goes_to_all_who_wait_and_is_not_remembered() -> None:
    oracle = Oracle()
    oracle.may_answer.set()
    failures = await asyncio.gather(
        *(oracle.asking.about("nobody") for _ in range(3)), return_exceptions=True
    )
    assert [str(failure) for failure in failures] == ["[Errno 2] not known"] * 3
    with pytest.raises(OSError, match="not known"):
        await oracle.asking.about("nobody")
    assert oracle.asked == ["nobody"] * 2


async def test_failure_for_which_nobody_waits_any_more_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    oracle = Oracle()
    waiting = asyncio.create_task(oracle.asking.about("nobody"))
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    oracle.may_answer.set()
    for _ in range(3):
        await asyncio.sleep(0)
    del waiting
    gc.collect()
    assert oracle.asked == ["nobody"] and complaints == []


async def test_close_tells_whoever_waits() -> None:
    oracle = Oracle()
    waiting = asyncio.create_task(oracle.asking.about("a"))
    await asyncio.sleep(0)
    await oracle.asking.close()
    with pytest.raises(OSError, match="closed"):
        await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}
