"""Progress bars: the one door to tqdm."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from swarm.cli.outlet import has_room
from swarm.cli.output import Output

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

#: Longer names are cut, so that the bar has room.
LABEL_CHARS = 28


def are_bars_shown(output: Output) -> bool:
    """Bars are for people at a terminal who did not ask for quiet or for no colour."""
    return not output.is_json and not output.is_quiet and "NO_COLOR" not in os.environ and sys.stderr.isatty()


@cache
def _tqdm() -> type[Bar[Any]]:
    # Only here: without a terminal nobody waits for the import.
    import threading

    from tqdm import tqdm

    # No monitor thread, and no lock between processes, whose import costs: there is one of us.
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())
    return tqdm


@contextmanager
def hashing_bar(total_bytes: int, label: str, output: Output) -> Iterator[Callable[[int], None]]:
    """A bar over `total_bytes` while something is hashed; yields what to call with each count of bytes."""
    if not are_bars_shown(output):
        yield lambda _count: None
        return
    with _tqdm()(
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


@contextmanager
def creation_bar(output: Output) -> Iterator[Callable[[int, int], None]]:
    """A bar for `storage.create`: it appears with the first progress, when the size is known."""
    shown = 0
    update: Callable[[int], None] | None = None

    def progress(done: int, total: int) -> None:
        nonlocal shown, update
        if update is None:
            update = stack.enter_context(hashing_bar(total, "hashing", output))
        update(done - shown)
        shown = done

    with ExitStack() as stack:
        yield progress


class Row(NamedTuple):
    """One line of a display: `done` of `total` bytes and some text; `rate` in bytes a second."""

    label: str
    done: int
    total: int
    text: str
    rate: float = 0.0
    has_bar: bool = True


class TransferBars:
    """Lines that stay at the bottom of the terminal, one a torrent, and move."""

    def __init__(self) -> None:
        self._bars: list[Bar[Any]] = []

    def show(self, rows: Sequence[Row]) -> None:
        """Draw these rows in place of the ones before; a stopped terminal (Ctrl-S) is left alone."""
        if not has_room(sys.stderr):
            return
        with suppress(OSError):
            self._draw(rows)

    def _draw(self, rows: Sequence[Row]) -> None:
        while len(self._bars) > len(rows):
            self._bars.pop().close()
        width = min(LABEL_CHARS, max((len(row.label) for row in rows), default=0))
        for position, row in enumerate(rows):
            if position == len(self._bars):
                self._bars.append(_bar(position))
            bar = self._bars[position]
            text = row.text.replace("{", "{{").replace("}", "}}")
            bar.bar_format = "{desc} {percentage:3.0f}%|{bar}| " + text if row.has_bar else "{desc} " + text
            bar.desc = _cut(row.label, width)
            # Never 100 % before it is done: tqdm rounds.
            bar.total = max(1, row.total)
            bar.n = row.done if row.total else 1
            if row.done < row.total:
                bar.n = min(row.done, int(row.total * 0.994))
            bar.refresh()

    def hide(self) -> None:
        """Make room for other lines; `show` brings the bars back."""
        while self._bars:
            with suppress(OSError):
                self._bars.pop().close()

    close = hide


def _bar(position: int) -> Bar[Any]:
    # The delay keeps tqdm from drawing a bar of nothing before there is a row for it.
    return _tqdm()(position=position, leave=False, dynamic_ncols=True, file=sys.stderr, total=1, delay=1e-9)


def _cut(label: str, width: int) -> str:
    return label.ljust(width) if len(label) <= width else label[: width - 3] + "..."
