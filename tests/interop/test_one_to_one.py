"""libtorrent, aria2, transmission and webtorrent seed to us and leech from us, found through our tracker.

A test moves all contents side by side: these clients wait for seconds before they dial or unchoke.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.cases import CASES, Case
from tests.interop.conftest import Stage, client_or_skip
from tools.bench.clients import Client, ClientError

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

START_TIMEOUT_S = 30
TRANSFER_TIMEOUT_S = 60

each_client = pytest.mark.parametrize("name", ["libtorrent", "aria2", "transmission", "webtorrent"])


def side_by_side(move: Callable[[Case], str | None], cases: Sequence[Case] = tuple(CASES)) -> dict[str, str]:
    """Run `move` for every case at once; what went wrong, by case."""

    def tried(case: Case) -> str | None:
        try:
            return move(case)
        except ClientError as error:
            return str(error)

    with ThreadPoolExecutor(len(cases)) as pool:
        found = list(pool.map(tried, cases))
    return {case.name: wrong for case, wrong in zip(cases, found, strict=True) if wrong}


@each_client
def test_we_leech_what_another_client_seeds(name: str, swarm: Client, stage: Stage) -> None:
    other = client_or_skip(name)

    def move(case: Case) -> str | None:
        torrent = stage.torrent(case)
        with other.seed(torrent, stage.folder(case, "seeder")) as seeder:
            seeder.wait_ready(START_TIMEOUT_S)
            stage.tracker.wait_for_members(torrent.infohash, 1)
            with swarm.leech(torrent, stage.folder(case, "here"), stage.folder(case, "leecher")) as leecher:
                leecher.wait_complete(TRANSFER_TIMEOUT_S)
        return stage.difference(case, "here", swarm)

    assert side_by_side(move) == {}


@each_client
def test_another_client_leeches_what_we_seed(name: str, swarm: Client, stage: Stage) -> None:
    """Both ways of meeting: every other content they dial us, else (transmission always) we dial them."""
    other = client_or_skip(name)

    def move(case: Case) -> str | None:
        torrent = stage.torrent(case)
        here, state = stage.folder(case, "here"), stage.folder(case, "leecher")
        if other.is_dialling_loopback and CASES.index(case) % 2 == 0:
            with swarm.seed(torrent, stage.folder(case, "seeder")) as seeder:
                seeder.wait_ready(START_TIMEOUT_S)
                stage.tracker.wait_for_members(torrent.infohash, 1)
                with other.leech(torrent, here, state) as leecher:
                    leecher.wait_complete(TRANSFER_TIMEOUT_S)
        else:
            with other.leech(torrent, here, state) as leecher:
                stage.tracker.wait_for_members(torrent.infohash, 1)
                with swarm.seed(torrent, stage.folder(case, "seeder")):
                    leecher.wait_complete(TRANSFER_TIMEOUT_S)
        return stage.difference(case, "here", other)

    assert side_by_side(move) == {}
