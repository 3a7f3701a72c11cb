"""What a shell is told when somebody presses the tab key."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from swarm.cli.commands import swarm


@pytest.mark.parametrize(
    "words",
    [
        ["leech"], ["leech", "a.torrent"], ["leech", "-o"], ["leech", "--blocklist"], ["seed"],
        ["seed", "a.torrent"], ["show"], ["verify"], ["verify", "a.torrent"], ["magnet"], ["edit"],
        ["edit", "-o"], ["scrape"], ["mktorrent"], ["mktorrent", "-o"], ["tracker", "--allow"],
        ["tracker", "--state"], ["dht", "get-peers"], ["dht", "put", "--file"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_files_are_completed_by_the_shell(words: list[str]) -> None:
    found = ShellComplete(swarm, {}, "swarm", "_SWARM_COMPLETE").get_completions(words, "da")
    assert [(item.value, item.type) for item in found] == [("da", "file")]
