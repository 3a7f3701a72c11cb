"""`tools/demo` from start to end, with an environment that counts as installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A virtual environment that is up to date, and a folder for temporary files."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    program = venv / "bin" / "swarm"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from swarm.cli.main import main\nmain()\n"
    )
    program.chmod(0o755)
    shutil.copy(ROOT / "pyproject.toml", venv / "installed-demo.toml")
    return {**os.environ, "SWARM_VENV": str(venv), "TMPDIR": str(tmp_path / "scratch")}


def demo(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / "tools" / "demo"), *map(str, arguments)]


@pytest.mark.parametrize("has_path", [False, True])
def test_the_demo_compares_every_byte_and_leaves_nothing(
    tmp_path: Path, environment: dict[str, str], has_path: bool
) -> None:
    path = tmp_path / "own"
    path.mkdir()
    (path / "file").write_bytes(os.urandom(300_000))
    (path / "empty").touch()
    arguments = [path] if has_path else ["--size", "2"]
    done = subprocess.run(
        demo(*arguments), env=environment, capture_output=True, text=True, timeout=3 * TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "in 3 copies: all the same" in done.stdout and "What to try next" in done.stdout
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(file.name for file in path.iterdir()) == ["empty", "file"]


def test_ctrl_c_ends_and_removes_everything(tmp_path: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        demo("--size", "2"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "3. a seeder" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert said == "\ninterrupted; everything is ended and cleaned up\n"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_path_that_is_not_there_is_wrong_usage(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        demo(tmp_path / "missing"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "no such file or folder" in done.stderr
