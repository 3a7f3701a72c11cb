"""How a command ends: one line that says why, and a status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.cli.commands import run, swarm
from swarm.cli.exits import EXIT_DISK, EXIT_DONE, EXIT_USAGE
from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent
from tests.e2e.commands import SWARM, TIMEOUT_S


def test_the_package_itself_is_the_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "swarm", "leech"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == EXIT_USAGE
    assert ended.stderr.startswith("Usage: swarm leech ")


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_an_error_is_json_where_the_environment_asks_for_it(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWARM_JSON", value)
    assert run(swarm, "swarm", ["show", "nowhere.torrent"]) == EXIT_DISK
    said = capsys.readouterr()
    assert json.loads(said.out)["event"] == "error"
    assert said.err == ""


def test_an_error_is_for_people_where_the_environment_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWARM_JSON", "0")
    assert run(swarm, "swarm", ["show", "nowhere.torrent"]) == EXIT_DISK
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: nowhere.torrent: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("completions", "fish"),
        ("mktorrent", "content", "-f"),
        ("mktorrent", "content", "-f", "--json"),
        ("leech", "magnet:?xt=urn:btih:" + 40 * "0", "--json", "--no-dht", "--no-lsd", "--port", "0"),
    ],
)
def test_a_full_disk_behind_stdout_is_a_line_and_a_disk_error(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARM_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "content").write_bytes(b"content")
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*SWARM, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=tmp_path,
        )
    assert ended.stderr == "error: standard output: the disk is full\n"
    assert ended.returncode == EXIT_DISK


@pytest.mark.parametrize("command", ["mktorrent", "seed"])
def test_an_empty_name_is_not_the_root_nor_this_folder(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/content").write_bytes(b"content")
    monkeypatch.chdir(tmp_path / "here")
    assert run(swarm, "swarm", [command, ""]) == EXIT_USAGE
    assert "it is empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("leech", ""), "SOURCE"),
        (("show", ""), "FILE|MAGNET"),
        (("tracker", "--state", ""), "--state"),
        (("tracker", "--allow", ""), "--allow"),
        (("tracker", "--store", ""), "--store"),
        (("leech", "x", "-o", ""), "--output"),
        (("leech", "x", "--select", ""), "--select"),
        (("leech", "x", "--bind", ""), "--bind"),
        (("leech", "x", "--tracker", ""), "--tracker"),
        (("leech", "x", "--blocklist", ""), "--blocklist"),
        (("mktorrent", "x", "-o", ""), "--output"),
        (("dht", "get-peers", ""), "SOURCE"),
        (("dht", "get", "--key", ""), "--key"),
        (("dht", "put", "--file", ""), "--file"),
    ],
)
def test_an_empty_value_is_refused_by_the_name_of_its_option(
    arguments: tuple[str, ...], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(swarm, "swarm", list(arguments)) == EXIT_USAGE
    said = capsys.readouterr().err
    assert meant in said and "it is empty" in said


@pytest.mark.parametrize("option", ["--port", "--max-peers", "--timeout"])
def test_what_is_no_number_is_refused_in_plain_words(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(swarm, "swarm", ["leech", "x", option, "many"]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert "'many' is not a valid" in said and "number." in said


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "n.torrent"), EXIT_DONE, ""),
        (
            ("verify", "n.torrent"),
            EXIT_DISK,
            "content/\\u65e5: the locale (ascii) has no letters for this name",
        ),
        (("leech", "n.torrent", "--no-dht"), EXIT_DISK, "content/日: the locale (ascii) has no letters"),
    ],
)
def test_a_name_that_the_locale_cannot_write_is_shown_and_never_a_traceback(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/日").write_bytes(b"content")
    (tmp_path / "n.torrent").write_bytes(create_torrent(tmp_path / "content", TorrentOptions()))
    ended = subprocess.run(
        [*SWARM, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
        cwd=tmp_path,
        env={
            **os.environ,
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "SWARM_STATE_DIR": str(tmp_path / "state"),
            "SWARM_NO_LSD": "1",
            "SWARM_PORT": "0",
        },
    )
    assert ended.returncode == status
    assert said in ended.stderr
    assert ended.stderr.count("\n") == (1 if said else 0)


@pytest.mark.parametrize("option", ["--seed-time", "--seed-ratio", "--timeout"])
def test_what_is_no_number_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(swarm, "swarm", ["leech", "x.torrent", option, "nan"]) == EXIT_USAGE
    assert "'nan' is not a number" in capsys.readouterr().err
