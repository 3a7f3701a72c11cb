"""The pages name files, tests and desks that are there, and forget no desk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"
#: Decisions are history: what they name may have gone.
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FOLDERS = ("swarm", "tests", "tools", "docs", "sample_torrents")

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_QUOTED = re.compile(r"`([\w./*-]+)`")
#: A file, a folder of the repository, or part of one: "picker.py", "wire/peer/", "storage/resume.weigh".
_PATH = re.compile(
    r".*\.(?:py|md|cfg|toml)|(?:base|cli|dht|docs|e2e|engine|fuzz|hostile|interop|metainfo|net|property|session|sim"
    r"|storage|swarm|tests|tools|tracker|unit|wire)/.*"
)


@cache
def files() -> list[str]:
    """Every file and folder, from the root, with a slash before it."""
    found = [f"/{path.name}" for path in ROOT.iterdir()]
    for folder in FOLDERS:
        for at, folders, names in os.walk(ROOT / folder):
            folders[:] = [name for name in folders if name not in ("node_modules", "__pycache__")]
            found += [f"{at.removeprefix(str(ROOT))}/{name}" for name in (*folders, *names)]
    return found


def is_there(name: str) -> bool:
    """Whether a path, or the end of one, leads to a file, to a module, or to something in a module."""
    if matches(name.rstrip("/")) or matches(f"{name}.py"):
        return True
    module, dot, inner = name.partition(".")
    found = matches(f"{module}.py") if dot else []
    return any(
        all(
            re.search(rf"\b(?:def|class) {part}\b", (ROOT / path[1:]).read_text())
            for part in inner.split(".")
        )
        for path in found
    )


def matches(pattern: str) -> list[str]:
    return [path for path in files() if fnmatch(path, f"*/{pattern}")]


def quoted(page: Path) -> Iterator[str]:
    yield from sorted(set(_QUOTED.findall(page.read_text())))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_every_file_that_is_named_is_there(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    # In capitals stands what the reader is to put there.
    named = [name for name in quoted(page) if _PATH.fullmatch(name) and not re.search(r"\b[A-Z]{4,}\b", name)]
    missing += [name for name in named if not is_there(name)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_decision_that_is_named_was_made(page: Path) -> None:
    named = set(re.findall(r"[Dd]ecisions?[ /](\d{3})", page.read_text()))
    assert [number for number in sorted(named) if not list(ROOT.glob(f"docs/decisions/{number}-*.md"))] == []


def test_every_desk_of_the_engine_is_introduced() -> None:
    introduced = {name.removesuffix(".py").rpartition("/")[2] for name in quoted(ARCHITECTURE)}
    desks = {path.stem for path in (ROOT / "swarm" / "engine").rglob("*.py")} - {"__init__"}
    assert sorted(desks - introduced) == []
