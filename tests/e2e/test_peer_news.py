"""What became of a peer, and why: with -v a line, with --json an event."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.metainfo.torrent import Metainfo
from tests.e2e.commands import Commands, Running, make_torrent
from tests.e2e.scripted_peer import PROTOCOL, block, frame, full_bitfield


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    running = Commands(tmp_path)
    yield running
    running.close()


@pytest.fixture
def torrent(tmp_path: Path) -> Path:
    content = tmp_path / "data.bin"
    content.write_bytes(os.urandom(100_000))
    return make_torrent(content)


def visit(port: int, torrent: Path, *frames: bytes) -> str:
    """Come as a peer that says `frames`, and stay until we are thrown out; returns our address."""
    metainfo = Metainfo.parse(torrent.read_bytes())
    with socket.create_connection(("127.0.0.1", port)) as link:
        host, own = link.getsockname()
        link.sendall(PROTOCOL + bytes(8) + metainfo.info_hash + b"-qB4630-0123456789ab" + b"".join(frames))
        while link.recv(1 << 16):
            pass
    return f"{host}:{own}"


def leeching(commands: Commands, torrent: Path, *options: str) -> tuple[Running, int]:
    leecher = commands.start(
        "leech", torrent, "-o", "here", "--port", "0", "--bind", "127.0.0.1", "--no-trackers", *options
    )
    port = int(leecher.wait("listening")["port"])
    leecher.wait("progress", lambda event: event["state"] == "downloading")
    return leecher, port


def test_dropped_peer_is_an_event_with_address_client_and_reason(commands: Commands, torrent: Path) -> None:
    leecher, port = leeching(commands, torrent)
    address = visit(port, torrent, b"\xff\xff\xff\xff")
    event = leecher.wait("peer")
    assert event["what"] == "dropped"
    assert (event["address"], event["client"]) == (address, "qBittorrent 4.6.3")
    assert "4294967295 bytes" in event["reason"]


def test_banned_peer_is_an_event_and_a_warning(commands: Commands, torrent: Path) -> None:
    metainfo = Metainfo.parse(torrent.read_bytes())
    lies = [
        block(piece, begin, bytes(min(16384, metainfo.geometry.piece_bytes(piece) - begin)))
        for piece in range(metainfo.geometry.piece_count)
        for begin in range(0, metainfo.geometry.piece_bytes(piece), 16384)
    ]
    leecher, port = leeching(commands, torrent)
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(PROTOCOL + bytes(8) + metainfo.info_hash + b"-qB4630-0123456789ab")
        link.sendall(full_bitfield(metainfo) + frame(1))
        # It must have been asked first.
        heard = b""
        while b"\0\0\0\x0d\6" not in heard:
            heard += link.recv(1 << 16)
        link.sendall(b"".join(lies))
        event = leecher.wait("peer")
    assert event["what"] == "banned" and event["client"] == "qBittorrent 4.6.3"
    assert event["reason"].endswith("had wrong data from it")
    warning = leecher.wait("warning")
    assert warning["message"] == (f"peer {event['address']} banned: {event['reason']} (qBittorrent 4.6.3)")


@pytest.mark.parametrize("kind", ["torrent", "magnet"])
def test_named_peer_that_is_not_reached_is_a_warning_once(
    commands: Commands, torrent: Path, kind: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        nobody = f"127.0.0.1:{deaf.getsockname()[1]}"
    source = str(torrent) if kind == "torrent" else Metainfo.parse(torrent.read_bytes()).magnet()
    done = commands.run(
        "leech", source, "-o", "here", "--port", "0", "--bind", "127.0.0.1", "--no-trackers", "--no-dht",
        "--no-lsd", "--peer", nobody, "--timeout", "1",
    )  # fmt: skip
    assert done.returncode == 5
    warning, error = done.stderr.splitlines()
    assert warning == f"warning: peer {nobody} not reached: connection refused; it is tried again"
    assert error == "error: no progress for 1 s: no peers: 0 being tried now, 1 address to be tried later"


@pytest.mark.parametrize("kind", ["torrent", "magnet"])
def test_named_peer_that_may_demand_encryption_is_told_as_one(
    commands: Commands, torrent: Path, kind: str
) -> None:
    source = str(torrent) if kind == "torrent" else Metainfo.parse(torrent.read_bytes()).magnet()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        leecher = commands.start(
            "leech", source, "-o", "here", "--port", "0", "--bind", "127.0.0.1", "--no-trackers", "--no-dht",
            "--no-lsd", "--peer", address,
        )  # fmt: skip
        link, _ = server.accept()
        with link:
            link.recv(68)
        warning = leecher.wait("warning")
    assert warning["message"] == (
        f"peer {address} not reached: it closed the connection instead of answering our handshake, as those"
        " do that demand encryption; it is tried again"
    )


def test_those_that_come_and_go_are_told_with_v_alone(commands: Commands, torrent: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        nobody = f"127.0.0.1:{deaf.getsockname()[1]}"
    quiet, _ = leeching(commands, torrent, "--peer", nobody, "--timeout", "1")
    status, _ = quiet.end()
    assert status == 5
    assert not [event for event in quiet.events if event["event"] == "peer"]
    leecher, port = leeching(commands, torrent, "--peer", nobody, "-v")
    event = leecher.wait("peer")
    assert (event["what"], event["address"], event["client"]) == ("not reached", nobody, "")
    with socket.create_connection(("127.0.0.1", port)) as link:
        info_hash = Metainfo.parse(torrent.read_bytes()).info_hash
        link.sendall(PROTOCOL + bytes(8) + info_hash + b"-qB4630-0123456789ab")
        link.recv(68)
    # Meanwhile the one that the user named may have been tried again.
    event = leecher.wait("peer", lambda event: event["what"] != "not reached")
    assert (event["what"], event["client"]) == ("lost", "qBittorrent 4.6.3")
    _, said = leecher.end(signal.SIGINT)
    assert f"peer {nobody} not reached: " in said
    assert "lost: it closed the connection (qBittorrent 4.6.3)" in said
