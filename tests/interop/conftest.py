"""A tracker, contents, torrents, and clients that must be there in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.cases import CONTENTS, Case
from tools.bench.clients import (
    CLIENTS,
    NO_NODE,
    Client,
    SwarmTracker,
    Torrent,
    first_difference,
    make_torrent,
    write_random,
    write_tree,
)


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every content of `CONTENTS`, made once; nobody may write to it."""
    made = {}
    for number, (name, content) in enumerate(CONTENTS.items()):
        path = tmp_path_factory.mktemp("content") / name
        if isinstance(content, int):
            write_random(path, content, seed=number)
        else:
            write_tree(path, content, seed=number)
        made[name] = path
    return made


def client_or_skip(name: str) -> Client:
    """The client called `name`; where it is not installed the test is skipped, in CI it fails.

    Peers from npm are tested where there is node; that alone is not for CI to install.
    """
    client = CLIENTS[name]()
    missing = client.missing()
    if missing is None:
        return client
    if os.environ.get("CI") == "true" and missing != NO_NODE:
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture
def swarm() -> Client:
    return client_or_skip("swarm")


@pytest.fixture(scope="session")
def tracker() -> Iterator[SwarmTracker]:
    """Our tracker, serving everything; one for all tests, as each makes a torrent of its own."""
    missing = SwarmTracker.missing()
    if missing is not None:
        pytest.skip(missing)
    with SwarmTracker() as running:
        running.start([])
        yield running


@dataclass(frozen=True)
class Stage:
    """Where one test's transfers take place; each case of it gets folders and a torrent of its own.

    Attributes:
        tracker: the one in all torrents made here.
    """

    tracker: SwarmTracker
    contents: dict[str, Path]
    root: Path
    test: str

    def torrent(self, case: Case) -> Torrent:
        """The torrent of a case, of this test only: its own info-hash, so its own swarm on the tracker."""
        path = self.folder(case, "torrent") / "the.torrent"
        source = f"{self.test} {case.name}"
        content = self.contents[case.content_name]
        return make_torrent(content, path, case.piece_length, self.tracker.announce, source=source)

    def folder(self, case: Case, name: str) -> Path:
        """A folder of this case, made when first asked for."""
        folder = self.root / case.name / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def difference(self, case: Case, name: str, client: Client) -> str | None:
        """What differs first between the content and what `client` wrote into folder `name`."""
        wanted = self.contents[case.content_name]
        found = self.folder(case, name) / wanted.name
        return first_difference(wanted, found, is_empty_expected=client.is_making_empty_files)


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, contents: dict[str, Path], tracker: SwarmTracker, tmp_path: Path
) -> Stage:
    return Stage(tracker, contents, tmp_path, request.node.nodeid)
