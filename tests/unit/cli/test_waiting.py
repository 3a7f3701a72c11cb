"""Commands say what they wait for, but only where there is something to wait for."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.cli import waiting
from swarm.cli.commands import run, swarm
from swarm.cli.output import Output
from swarm.cli.waiting import waiting_for
from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent


@pytest.fixture
def url() -> Iterator[str]:
    """Of a server that hears the question and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    caller.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/announce"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("command", ["leech", "seed", "scrape"])
def test_commands_say_whom_they_wait_for(
    command: str,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0)
    monkeypatch.setenv("SWARM_STATE_DIR", str(tmp_path / "state"))
    source = url
    if command == "scrape":
        (tmp_path / "content").write_bytes(b"content")
        raw = create_torrent(tmp_path / "content", TorrentOptions(trackers=((url,),)))
        (tmp_path / "content.torrent").write_bytes(raw)
        source = str(tmp_path / "content.torrent")
    assert run(swarm, "swarm", [command, source]) == 1
    assert f"waiting for {url}\n" in capsys.readouterr().err


async def test_who_is_quick_or_wants_no_words_hears_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0)
    async with waiting_for("nothing", Output()):
        pass
    for output in (Output(is_quiet=True), Output(is_json=True)):
        async with waiting_for("something", output):
            await asyncio.sleep(0.01)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
