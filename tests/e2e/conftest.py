"""Transfers run on both kinds of loop: a library must not care."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

#: Modules whose tests run on uvloop as well.
_ON_BOTH_LOOPS = {"test_transfer.py", "test_bad_peers.py", "test_limits.py"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes the loop of each test with; a name each."""
    if item.path.name in _ON_BOTH_LOOPS:
        return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.SelectorEventLoop}
