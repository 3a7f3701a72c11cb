"""libtorrent and aria2 get everything from our super-seed (BEP 16), each as the only leecher."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.commands import Commands
from tests.interop.cases import MIXED
from tests.interop.conftest import Stage, client_or_skip

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

TRANSFER_TIMEOUT_S = 60


@pytest.mark.parametrize("name", ["libtorrent", "aria2"])
def test_another_client_gets_everything_from_our_super_seed(name: str, stage: Stage, tmp_path: Path) -> None:
    other = client_or_skip(name)
    torrent = stage.torrent(MIXED)
    commands = Commands(tmp_path)
    try:
        with other.leech(torrent, stage.folder(MIXED, "here"), stage.folder(MIXED, "state")) as leecher:
            stage.tracker.wait_for_members(torrent.infohash, 1)
            commands.seed(torrent.path, torrent.content, "--super-seed")
            leecher.wait_complete(TRANSFER_TIMEOUT_S)
    finally:
        commands.close()
    assert stage.difference(MIXED, "here", other) is None
