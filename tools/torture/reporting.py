"""How the programs here end: their report as text or JSON, what is wrong on its own lines, a status."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import NoReturn


@dataclass(slots=True)
class Report:
    """What a program found; each one adds its own figures.

    Args:
        seconds: how long it took.
        wrong: everything in it is a bug.
    """

    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def parser_of(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser that knows the options of all; `epilog` says when the exit status is 1."""
    parser = argparse.ArgumentParser(
        prog=f"tools/torture/{name}", description=description, epilog=f"Exit status 1 where {epilog}"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default: 1)")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


def end(report: Report, lines: Iterable[str], *, is_json: bool) -> NoReturn:
    """Say what was found and leave: with status 1 where anything is wrong."""
    if is_json:
        print(json.dumps(asdict(report)))
    else:
        for line in lines:
            print(line)
        for wrong in report.wrong:
            print(f"WRONG: {wrong}")
        print("something is wrong" if report.wrong else "nothing was lost, nothing was wrong")
    sys.exit(bool(report.wrong))
