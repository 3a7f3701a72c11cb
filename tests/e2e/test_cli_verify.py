"""`swarm verify` and `swarm completions` as users run them."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import TIMEOUT_S, Commands, make_torrent

PIECE = 1 << 15


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files: the first ends within the second's first piece; the third has pieces of its own."""
    path = tmp_path / "set"
    path.mkdir()
    rng = random.Random(3)
    for name, length in (("a", PIECE + 100), ("b", 2 * PIECE), ("c", 3 * PIECE), ("empty", 0)):
        (path / name).write_bytes(rng.randbytes(length))
    make_torrent(path, piece_length=PIECE)
    return path


def test_content_as_it_should_be_exits_0(folder: Path) -> None:
    commands = Commands(folder.parent)
    for arguments in (("set.torrent",), ("set.torrent", "set"), ("set.torrent", folder.parent)):
        done = commands.run("verify", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "all 7 pieces match" in done.stdout


def verified(folder: Path) -> tuple[int, dict[str, str]]:
    """Exit status, and why each bad file is bad."""
    done = Commands(folder.parent).run("verify", "set.torrent", "set", "--json")
    found = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return done.returncode, {Path(file["path"]).name: file["reason"] for file in found["bad_files"]}


def test_a_changed_byte_names_its_file(folder: Path) -> None:
    with (folder / "c").open("r+b") as file:
        file.seek(2 * PIECE)
        file.write(b"x")
    assert verified(folder) == (6, {"c": "the data differs"})


def test_a_missing_file_is_blamed_alone(folder: Path) -> None:
    (folder / "a").unlink()
    assert verified(folder) == (6, {"a": "missing"})


def test_sizes_that_differ_are_named(folder: Path) -> None:
    with (folder / "b").open("r+b") as file:
        file.truncate(PIECE)
    with (folder / "c").open("ab") as file:
        file.write(b"more")
    status, bad = verified(folder)
    assert status == 6
    assert bad == {"b": "too short: 32,768 bytes, not 65,536", "c": "too long: 98,308 bytes, not 98,304"}


def test_an_empty_file_must_be_there_too(folder: Path) -> None:
    (folder / "empty").unlink()
    assert verified(folder) == (6, {"empty": "missing"})


def test_nothing_there_at_all_is_a_disk_error(folder: Path) -> None:
    shutil.rmtree(folder)
    done = Commands(folder.parent).run("verify", "set.torrent", "set")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "error: set: no such file or folder\n"


def test_plain_output_lists_the_bad_files(folder: Path) -> None:
    (folder / "a").unlink()
    done = Commands(folder.parent).run("verify", "set.torrent")
    assert done.returncode == 6
    assert done.stdout.splitlines() == ["set/a: missing", "set: 2 of 7 pieces do not match"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_print_a_script(tmp_path: Path, shell: str) -> None:
    done = Commands(tmp_path).run("completions", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_SWARM_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    # The script calls the command by name.
    program = tmp_path / "bin" / "swarm"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom swarm.cli.main import main\nmain()\n")
    program.chmod(0o755)
    script = """
eval "$(swarm completions bash)"
complete_it() {
    COMPREPLY=()
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _swarm_completion swarm
    echo "${COMPREPLY[@]}"
}
complete_it swarm le
complete_it swarm leech --seed
"""
    environment = Commands(tmp_path).environment
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=environment,
    )
    assert done.stdout.split("\n")[:2] == ["leech", "--seed-ratio --seed-time"], done.stderr
