"""`swarm simulate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swarm.cli import commands


def run(*arguments: str) -> int:
    return commands.run(commands.swarm, "swarm", ["simulate", *arguments])


def test_table_names_bound_efficiency_and_roles(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("last-piece", "--peers", "4") == 0
    shown = capsys.readouterr()
    for words in ("fluid bound", "last finisher", "efficiency", "seeder upload", "duplicates", "fairness"):
        assert words in shown.out
    assert "leecher" in shown.out


def test_json_is_one_object_and_the_same_for_the_same_seed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for seed in ("3", "3", "4"):
        assert run("last-piece", "--peers", "4", "--seed", seed, "--json") == 0
        rows.append(json.loads(capsys.readouterr().out))
    assert rows[0] == rows[1]
    assert rows[0]["digest"] != rows[2]["digest"]
    assert rows[0]["scenario"] == "last-piece"
    assert rows[0]["peers"] == 4


def test_list_shows_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    assert "flash-crowd" in capsys.readouterr().out
    assert run("--list", "--json") == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert "seeder-leaves" in names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument"),
        (("no-such",), "there is no scenario"),
        (("two-halves", "--peers", "1"), "2 to"),
        (("flash-crowd", "--peers", "0"), "--peers"),
        (("flash-crowd", "--peers", "99999999"), "peers"),
        (("flash-crowd", "--seed", "-1"), "--seed"),
        (("flash-crowd", "--faults", "0"), "--faults"),
        (("flash-crowd", "--plot", "x.gif"), ".png"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""


def test_plot_goes_where_it_should(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    assert run("last-piece", "--peers", "4", "--plot", str(picture)) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run("last-piece", "--peers", "4", "--plot", str(tmp_path / "none/x.png")) == 4
    assert "no such folder" in capsys.readouterr().err
    picture.unlink()
    picture.symlink_to("picture.png")
    assert run("last-piece", "--peers", "4", "--plot", str(picture)) == 4
    assert "picture.png: a symbolic link stands in the way" in capsys.readouterr().err
