"""The files under docs/deploy fit the tracker that they are for."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from swarm.cli.tracker import command
from swarm.tracker.server import TrackerServer
from swarm.tracker.stats import Numbers

DEPLOY = Path(__file__).parents[3] / "docs" / "deploy"


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    registry = CollectorRegistry()
    registry.register(Numbers(TrackerServer("127.0.0.1", 0, rng=random.Random(1))))
    there = set(re.findall(r"^(swarm_\w+)", generate_latest(registry).decode(), re.MULTILINE))
    panels = json.loads((DEPLOY / "grafana-tracker.json").read_text())["panels"]
    asked = {
        name for panel in panels for one in panel["targets"] for name in re.findall(r"swarm_\w+", one["expr"])
    }
    assert asked and asked <= there


def test_the_unit_starts_the_tracker_with_options_that_there_are() -> None:
    unit = (DEPLOY / "swarm-tracker.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    program, name, *arguments = shlex.split(line.partition("=")[2])
    assert (Path(program).name, name) == ("swarm", "tracker")
    context = command.make_context("tracker", arguments)
    assert context.params["stats"] == ("127.0.0.1", 6970)
