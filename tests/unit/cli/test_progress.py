"""What is shown of hashing where there are no bars."""

from __future__ import annotations

import sys
import time

import pytest

from swarm.cli.output import Output
from swarm.cli.progress import are_bars_shown, hashing_bar

MIB = 1 << 20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock; its last entry is the time."""
    times = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[-1])
    return times


def hash_all(clock: list[float], output: Output) -> None:
    """40 MiB, one a second."""
    with hashing_bar(40 * MIB, "hashing", output) as done:
        for _ in range(40):
            clock.append(clock[-1] + 1)
            done(MIB)


def test_a_log_gets_a_plain_line_every_ten_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    hash_all(clock, Output())
    assert capsys.readouterr().err == "".join(f"hashing: {part}% of 40.0 MiB\n" for part in (25, 50, 75))


def test_who_wants_no_colour_at_a_terminal_hears_something_within_a_second(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    hash_all(clock, Output())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "hashing: 2% of 40.0 MiB" and len(lines) == 4


@pytest.mark.parametrize("output", [Output(is_quiet=True), Output(is_json=True)])
def test_quiet_and_json_get_no_lines(
    clock: list[float], output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    hash_all(clock, output)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_an_empty_no_color_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "")
    assert are_bars_shown(Output())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not are_bars_shown(Output())
