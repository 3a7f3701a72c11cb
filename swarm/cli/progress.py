"""Progress bars: the one door to tqdm."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swarm.cli.output import Output


def are_bars_shown(output: Output) -> bool:
    """Bars are for people at a terminal who did not ask for quiet or for no colour."""
    return not output.is_json and not output.is_quiet and "NO_COLOR" not in os.environ and sys.stderr.isatty()


@contextmanager
def hashing_bar(total_bytes: int, label: str, output: Output) -> Iterator[Callable[[int], None]]:
    """A bar over `total_bytes` while something is hashed; yields what to call with each count of bytes."""
    if not are_bars_shown(output):
        yield lambda _count: None
        return
    # Only here: without a terminal nobody waits for the import.
    from tqdm import tqdm

    with tqdm(
        total=total_bytes,
        desc=label,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        leave=False,
        file=sys.stderr,
    ) as bar:

        def update(count: int) -> None:
            bar.update(count)

        yield update
