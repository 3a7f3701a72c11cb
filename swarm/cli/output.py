"""What a command prints: results to stdout, messages to stderr; with --json, JSON lines to stdout."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, TextIO

from swarm.cli.outlet import outlet_of

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
#: Marks of the text's direction could make one name look like another.
_ESCAPES |= {
    code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}


def printable(text: str) -> str:
    """`text` with all escaped that could steer a terminal: it may come from torrents, trackers and peers."""
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


class Output:
    """All that one command prints.

    Args:
        is_json: to stdout goes one JSON object a line, and nothing else.
        is_quiet: print no progress and no information, only warnings and errors.
        verbosity: how often `-v` was given.
        is_live: never wait for a slow reader, since a transfer goes on meanwhile (`outlet`).
    """

    def __init__(
        self, *, is_json: bool = False, is_quiet: bool = False, verbosity: int = 0, is_live: bool = False
    ) -> None:
        self.is_json = is_json
        self.is_quiet = is_quiet
        self.verbosity = verbosity
        self._is_live = is_live

    def result(self, text: str) -> None:
        """A line that the user has asked for (stdout); not with --json, where an `event` has it."""
        if not self.is_json:
            self._write(sys.stdout, printable(text))

    def event(self, event: str, **fields: Any) -> None:
        """A JSON line `{"event": ...}`; nothing without --json."""
        if self.is_json:
            self.json({"event": event, **fields})

    def tick(self, event: str, **fields: Any) -> None:
        """As `event`, for what the next one replaces: left out where a live reader is behind."""
        if self.is_json:
            self.json({"event": event, **fields}, is_news=False)

    def json(self, value: Any, *, is_news: bool = True) -> None:
        """Print `value` as one line of JSON to stdout; `is_news` as for `Outlet.write`."""
        import json

        line = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
        self._write(sys.stdout, line, is_news=is_news)

    def info(self, text: str) -> None:
        """A line worth knowing (stderr); not with --quiet or --json."""
        if not self.is_quiet and not self.is_json:
            self._say(printable(text))

    def detail(self, text: str) -> None:
        """A line that only `-v` shows (stderr)."""
        if self.verbosity:
            self._say(printable(text))

    def interrupted(self, how_to_go_on: str, *, is_saved: bool = True) -> None:
        """Say that Ctrl-C has ended a transfer, whether its state is saved, and `how_to_go_on`."""
        message = f"interrupted: {'the state is saved, ' if is_saved else ''}{how_to_go_on}"
        self.event("interrupted", message=message)
        self.info(message)

    def warning(self, text: str) -> None:
        """A warning: a line on stderr, or an event."""
        self.event("warning", message=text)
        if not self.is_json:
            self._say(f"warning: {printable(text)}")

    def error(self, text: str) -> None:
        """An error: a line on stderr, or an event."""
        self.event("error", message=text)
        if not self.is_json:
            self._say(f"error: {printable(text)}")

    def _say(self, line: str) -> None:
        # If nobody can read it, the work goes on all the same.
        with contextlib.suppress(OSError):
            self._write(sys.stderr, line)

    def _write(self, stream: TextIO | None, line: str, *, is_news: bool = True) -> None:
        outlet = outlet_of(stream) if self._is_live else None
        if outlet is not None:
            outlet.write(line, is_news=is_news)
        elif stream is not None:
            print(line, file=stream, flush=True)
