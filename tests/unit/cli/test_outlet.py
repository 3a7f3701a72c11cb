"""Lines for readers that are slow, stuck or gone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from swarm.cli.outlet import BACKLOG_BYTES_MAX, Outlet


class Pipe:
    """The smallest pipe there is: 4 KiB."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self.outlet = Outlet(self.writer)

    def read_lines(self) -> list[str]:
        """All that has come and comes while it is read."""
        raw = b""
        os.set_blocking(self.reader, False)
        while True:
            try:
                raw += os.read(self.reader, 1 << 16)
            except BlockingIOError:
                return raw.decode().splitlines()
            self.outlet.drain(0.0)
            self.outlet._push()

    def close_reader(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe()
    yield opened
    opened.close()


def test_lines_reach_a_reader_at_once(pipe: Pipe) -> None:
    pipe.outlet.write("one")
    assert os.read(pipe.reader, 100) == b"one\n"


def test_a_stuck_reader_is_not_waited_for_and_gets_the_news_in_order_later(pipe: Pipe) -> None:
    lines = [f"{number} {'x' * 1000}" for number in range(100)]
    for line in lines:
        pipe.outlet.write(line)
    assert pipe.read_lines() == lines


def test_what_is_not_news_is_left_out_for_a_stuck_reader_and_comes_again_later(pipe: Pipe) -> None:
    for _ in range(10):
        pipe.outlet.write("x" * 1000)
    pipe.outlet.write("old by tomorrow", is_news=False)
    assert pipe.read_lines() == ["x" * 1000] * 10
    pipe.outlet.write("tick", is_news=False)
    assert pipe.read_lines() == ["tick"]


def test_a_line_longer_than_the_pipe_arrives_whole(pipe: Pipe) -> None:
    pipe.outlet.write("y" * 50_000)
    assert pipe.read_lines() == ["y" * 50_000]


def test_the_backlog_is_bounded(pipe: Pipe) -> None:
    for _ in range(3 * BACKLOG_BYTES_MAX // 1000):
        pipe.outlet.write("z" * 999)
    assert BACKLOG_BYTES_MAX < pipe.outlet._backlog_bytes < BACKLOG_BYTES_MAX + 2000


def test_a_reader_that_is_gone_is_said_once(pipe: Pipe) -> None:
    pipe.close_reader()
    with pytest.raises(BrokenPipeError):
        pipe.outlet.write("nobody")
    pipe.outlet.write("still nobody")
    pipe.outlet.drain(None)


def test_draining_gives_up_after_its_time(pipe: Pipe) -> None:
    for _ in range(10):
        pipe.outlet.write("x" * 1000)
    pipe.outlet.drain(0.01)
    assert pipe.outlet._backlog_bytes
