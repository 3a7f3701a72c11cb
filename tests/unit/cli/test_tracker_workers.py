"""Processes of one tracker that end before their time, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

WORK = """
import os, signal, sys, time
from swarm.base.errors import SettingsError
from swarm.cli import tracker_workers
from swarm.cli.tracker_workers import Workers

tracker_workers.ENDING_S = 0.1
# As a program may leave it to us that wants to hear nothing of its own.
signal.signal(signal.SIGCHLD, signal.{children})
workers = Workers(2)

def work(number, secret, parent):
    assert len(secret) == 32
    if number:
        {other}
    while {is_watching} and not (news := workers.news()):
        time.sleep(0.01)
    print(*({is_watching} and news or []), sep="\\n")
    return 7

sys.exit(workers.run(work))
"""


def ended(other: str, *, is_watching: bool = True, children: str = "SIG_DFL") -> tuple[int, str, str]:
    """What a pair of workers says of which the second one does `other`."""
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(other=other, is_watching=is_watching, children=children)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


def test_a_bug_in_a_worker_is_told_with_its_traceback() -> None:
    status, said, errors = ended("1 / 0")
    assert (status, said) == (7, "worker 1 has ended with status 1; 1 of 2 goes on")
    assert errors.startswith("error: worker 1 ends by a bug of ours:\nTraceback")
    assert "ZeroDivisionError" in errors


def test_an_error_in_a_worker_is_one_line() -> None:
    status, said, errors = ended("raise SettingsError('the port is in use')")
    assert (status, said) == (7, "worker 1 has ended with status 1; 1 of 2 goes on")
    assert errors == "error: worker 1: the port is in use\n"


def test_a_worker_that_is_interrupted_before_it_serves_is_no_bug() -> None:
    status, said, errors = ended("raise KeyboardInterrupt")
    assert (status, said, errors) == (7, "worker 1 has ended with status 130; 1 of 2 goes on", "")


def test_a_worker_that_is_killed_is_told_of() -> None:
    status, said, errors = ended("os.kill(os.getpid(), 11)")
    assert (status, said, errors) == (7, "worker 1 was killed (SIGSEGV); 1 of 2 goes on", "")


def test_a_worker_is_told_of_where_whoever_started_us_ignores_children() -> None:
    status, said, errors = ended("os.kill(os.getpid(), 11)", children="SIG_IGN")
    assert (status, said, errors) == (7, "worker 1 was killed (SIGSEGV); 1 of 2 goes on", "")


def test_workers_end_with_the_first_one() -> None:
    assert ended("os.read(parent, 1); os._exit(0)", is_watching=False) == (7, "", "")


def test_one_that_hangs_does_not_hold_up_the_end() -> None:
    assert ended("time.sleep(3600)", is_watching=False) == (7, "", "")
