"""libtorrent, aria2, transmission and we in one swarm on our tracker; each is its seeder once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.interop.cases import MIXED
from tests.interop.conftest import Stage, client_or_skip
from tools.bench.clients import Peer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

NAMES = ["swarm", "libtorrent", "aria2", "transmission"]
START_TIMEOUT_S = 30
TRANSFER_TIMEOUT_S = 90


def test_four_clients_share_one_swarm_whoever_seeds(stage: Stage) -> None:
    clients = {name: client_or_skip(name) for name in NAMES}

    def share(seeding: str) -> dict[str, str | None]:
        case = replace(MIXED, name=f"seeded by {seeding}")
        torrent = stage.torrent(case)
        leechers: dict[str, Peer] = {}
        with ExitStack() as running:
            # Who cannot dial comes first, to be found by the others; then the seeder.
            order = sorted(NAMES, key=lambda name: (clients[name].is_dialling_loopback, name != seeding))
            for number, name in enumerate(order, start=1):
                state = stage.folder(case, f"{name} state")
                if name == seeding:
                    seeder = running.enter_context(clients[name].seed(torrent, state))
                    seeder.wait_ready(START_TIMEOUT_S)
                else:
                    leecher = clients[name].leech(torrent, stage.folder(case, name), state)
                    leechers[name] = running.enter_context(leecher)
                stage.tracker.wait_for_members(torrent.infohash, number)
            for leecher in leechers.values():
                leecher.wait_complete(TRANSFER_TIMEOUT_S)
        return {name: stage.difference(case, name, clients[name]) for name in leechers}

    # Four swarms side by side: transmission decides whom to ask every ten seconds only.
    with ThreadPoolExecutor(len(NAMES)) as pool:
        for seeding, found in zip(NAMES, pool.map(share, NAMES), strict=True):
            assert found == dict.fromkeys(found), f"seeded by {seeding}"
