"""docs/LIMITS.md: every limit of swarm with its default, its unit and its reason, read from the code itself.

python -m tools.limits --write      after a limit has changed (a test compares)
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "LIMITS.md"

_HEAD = """\
# Limits

Every limit of swarm: what it is by default, in which unit, and why. This page is written from the code by
`python -m tools.limits --write`; a test fails where the two differ. Settings can be given by users of the
library (`SessionSettings`, `EngineSettings`, ...); constants are what no setting should make larger, since it
bounds what a stranger can make us allocate, do or wait for.
"""
#: Ends of names -> units (house words: spans `_s`, sizes `_bytes`, rates `_bytes_per_s`).
_UNITS = (
    ("_bytes_per_s", "bytes/s"),
    ("_per_s", "a second"),
    ("_bytes", "bytes"),
    ("_bytes_max", "bytes"),
    ("_s_max", "s"),
    ("_max_s", "s"),
    ("_s", "s"),
    ("_share", "share"),
)
_LIMIT = re.compile(r"_?([A-Z0-9]+_)*(MAX)(_[A-Z0-9]+)*|_?([A-Z0-9]+_)+(TIMEOUT_S|PATIENCE_S)")


class Limit(NamedTuple):
    name: str
    default: str
    unit: str
    reason: str


def _comment_above(lines: list[str], row: int) -> str:
    """The comment above line `row` (from 0), or above the lines right above it: it stands for all of them."""
    found: list[str] = []
    while row > 0 and (line := lines[row - 1].strip()):
        row -= 1
        if line.startswith("#"):
            found.insert(0, line.lstrip("#:").strip())
        elif found:
            break
    return " ".join(found)


def _unit(name: str) -> str:
    lower = name.lower()
    for end, unit in _UNITS:
        if lower.endswith(end):
            return unit
    return "bytes" if "bytes" in lower or "length" in lower else "count"


def _shown(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return f"{value:,}" if value < 1 << 20 or value % (1 << 20) else f"{value >> 20} Mi"
    if isinstance(value, float):
        return f"{value:g}"
    return None


def limits_of(path: Path) -> Iterator[Limit]:
    """The limits of one module, in its order."""
    source = path.read_text()
    lines = source.splitlines()
    tree = ast.parse(source)
    is_settings = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_settings(node.name)]
    constants = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    named = [(name, node) for node in constants if (name := _target(node)) and _LIMIT.fullmatch(name)]
    if not is_settings and not named:
        return
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for name, node in named:
        shown = _shown(getattr(module, name))
        if shown is not None:
            yield Limit(name, shown, _unit(name), _comment_above(lines, node.lineno - 1))
    for owner in is_settings:
        made = getattr(module, owner.name)
        defaults = {field.name: field.default for field in dataclasses.fields(made)}
        for member in owner.body:
            field_name = _target(member)
            if field_name is None or field_name not in defaults:
                continue
            reason = _comment_above(lines, member.lineno - 1)
            shown = _shown(defaults[field_name])
            if shown is not None:
                yield Limit(f"{owner.name}.{field_name}", shown, _unit(field_name), reason)


def _is_settings(name: str) -> bool:
    return name.endswith(("Settings", "Limits"))


def _target(node: ast.stmt) -> str | None:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def page() -> str:
    """The whole of docs/LIMITS.md."""
    parts = [_HEAD]
    for path in sorted((ROOT / "swarm").rglob("*.py")):
        rows = list(limits_of(path))
        if not rows:
            continue
        parts.append(
            f"\n## {path.relative_to(ROOT)}\n\n| limit | default | unit | reason |\n|---|---|---|---|\n"
        )
        for row in rows:
            reason = row.reason.replace("|", "\\|")
            parts.append(f"| `{row.name}` | {row.default} | {row.unit} | {reason} |\n")
    return "".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.limits", description="Write or print docs/LIMITS.md."
    )
    parser.add_argument("--write", action="store_true", help="replace the page")
    if parser.parse_args().write:
        PAGE.write_text(page())
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
