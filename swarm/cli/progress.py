"""Progress bars: the one door to tqdm."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from swarm.base.units import format_size
from swarm.cli.outlet import has_room
from swarm.cli.output import Output

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

#: Where there are no bars, between two plain lines; at a terminal somebody waits for the first of them.
LINE_S = 10.0
FIRST_LINE_S = 1.0
#: Longer names are cut, so that the bar has room.
LABEL_CHARS = 28


def are_bars_shown(output: Output) -> bool:
    """Are bars shown? Only at a terminal, and not with --json, --quiet or NO_COLOR."""
    # An empty variable is none (no-color.org).
    is_wanted = not output.is_json and not output.is_quiet and not os.environ.get("NO_COLOR")
    return is_wanted and sys.stderr.isatty()


class LineClock:
    """When a plain line is due, where there are no bars: the first sooner at a terminal."""

    def __init__(self) -> None:
        self._due_at = time.monotonic() + (FIRST_LINE_S if sys.stderr.isatty() else LINE_S)

    def strike(self) -> bool:
        """Is a line due? Then the next one is `LINE_S` later."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + LINE_S
        return True


@cache
def _tqdm() -> type[Bar[Any]]:
    # Imported here, so that it takes no time where there is no terminal.
    import threading

    from tqdm import tqdm

    # We are one process with one thread that draws: no monitor thread, and no lock between processes, whose
    # import takes time.
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())
    return tqdm


@contextmanager
def hashing_bar(total_bytes: int, label: str, output: Output) -> Iterator[Callable[[int], None]]:
    """A bar while `total_bytes` are hashed; yields a function to call with each number of bytes done.

    Where there are no bars, a plain line now and then.
    """
    if not are_bars_shown(output):
        yield _hashing_lines(total_bytes, label, output)
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


def _hashing_lines(total_bytes: int, label: str, output: Output) -> Callable[[int], None]:
    done_bytes = 0
    clock = LineClock()

    def update(count: int) -> None:
        nonlocal done_bytes
        done_bytes += count
        if done_bytes < total_bytes and clock.strike():
            output.info(f"{label}: {100 * done_bytes // total_bytes}% of {format_size(total_bytes)}")

    return update


@contextmanager
def creation_bar(output: Output) -> Iterator[Callable[[int, int], None]]:
    """A bar for `storage.create`; yields its `progress`. It appears when the size is known."""
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
    """One line of the display: `done` of `total` bytes, and some text; `rate` in bytes a second."""

    label: str
    done: int
    total: int
    text: str
    rate: float = 0.0
    has_bar: bool = True


class TransferBars:
    """Bars at the bottom of the terminal, one for each torrent."""

    def __init__(self) -> None:
        self._bars: list[Bar[Any]] = []

    def show(self, rows: Sequence[Row]) -> None:
        """Draw these rows in the place of those before; not while the terminal is stopped (Ctrl-S)."""
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
            # tqdm rounds: it must not show 100 % before it is done.
            bar.total = max(1, row.total)
            bar.n = row.done if row.total else 1
            if row.done < row.total:
                bar.n = min(row.done, int(row.total * 0.994))
            bar.refresh()

    def hide(self) -> None:
        """Remove the bars, to make room for other lines; `show` draws them again."""
        while self._bars:
            with suppress(OSError):
                self._bars.pop().close()

    close = hide


def _bar(position: int) -> Bar[Any]:
    # With a delay tqdm does not draw the bar before it has a row to show.
    return _tqdm()(position=position, leave=False, dynamic_ncols=True, file=sys.stderr, total=1, delay=1e-9)


def _cut(label: str, width: int) -> str:
    return label.ljust(width) if len(label) <= width else label[: width - 3] + "..."
