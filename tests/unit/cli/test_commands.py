"""How a command ends: one line that says why, and a status."""

from __future__ import annotations

import json

import pytest

from swarm.cli.commands import run, swarm
from swarm.cli.exits import EXIT_DISK


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
