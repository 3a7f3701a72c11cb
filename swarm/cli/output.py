"""What a command says: results to stdout, messages to stderr, JSON lines where asked."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, TextIO

from swarm.cli.outlet import outlet_of

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
#: Direction marks and isolates could make one name look like another.
_ESCAPES |= {
    code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}


def printable(text: str) -> str:
    """Escape what could steer a terminal: text from torrents, trackers and peers passes here."""
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


class Output:
    """One command's mouth.

    Args:
        is_json: stdout carries one JSON object a line and nothing else.
        is_quiet: no progress and no information; warnings and errors stay.
        verbosity: how often `-v` was given.
        is_live: something goes on beside the talking, and must not wait for those who listen.
    """

    def __init__(
        self, *, is_json: bool = False, is_quiet: bool = False, verbosity: int = 0, is_live: bool = False
    ) -> None:
        self.is_json = is_json
        self.is_quiet = is_quiet
        self.verbosity = verbosity
        self._is_live = is_live

    def result(self, text: str) -> None:
        """A line the user asked for (stdout); left out in JSON mode, where `event` carries it."""
        if not self.is_json:
            self._write(sys.stdout, printable(text))

    def event(self, event: str, **fields: Any) -> None:
        """A JSON line `{"event": ...}`; nothing without --json."""
        if self.is_json:
            self.json({"event": event, **fields})

    def tick(self, event: str, **fields: Any) -> None:
        """As `event`, for what the next one makes old: left out where a live reader is behind."""
        if self.is_json:
            self.json({"event": event, **fields}, is_news=False)

    def json(self, value: Any, *, is_news: bool = True) -> None:
        """One JSON object a line on stdout."""
        import json

        line = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
        self._write(sys.stdout, line, is_news=is_news)

    def info(self, text: str) -> None:
        """Something worth knowing while it works (stderr)."""
        if not self.is_quiet and not self.is_json:
            self._say(printable(text))

    def detail(self, text: str) -> None:
        """What only `-v` shows (stderr)."""
        if self.verbosity:
            self._say(printable(text))

    def interrupted(self, how_to_go_on: str) -> None:
        """Ctrl-C ended a transfer, and nothing is lost."""
        message = f"interrupted: the state is saved, {how_to_go_on}"
        self.event("interrupted", message=message)
        self.info(message)

    def warning(self, text: str) -> None:
        self.event("warning", message=text)
        if not self.is_json:
            self._say(f"warning: {printable(text)}")

    def error(self, text: str) -> None:
        self.event("error", message=text)
        if not self.is_json:
            self._say(f"error: {printable(text)}")

    def _say(self, line: str) -> None:
        # Messages are for whoever may be there: without anybody the work goes on.
        with contextlib.suppress(OSError):
            self._write(sys.stderr, line)

    def _write(self, stream: TextIO | None, line: str, *, is_news: bool = True) -> None:
        outlet = outlet_of(stream) if self._is_live else None
        if outlet is not None:
            outlet.write(line, is_news=is_news)
        elif stream is not None:
            print(line, file=stream, flush=True)
