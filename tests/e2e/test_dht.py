"""Members of one swarm that know nothing of each other but a node of the DHT, as real processes."""

from __future__ import annotations

import os
import random
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.base.bencode import decode, encode
from tests.e2e.commands import Commands, Running, make_torrent

INFO_HASH = "0123456789abcdef0123456789abcdef01234567"
ALONE = ("--no-trackers", "--no-lsd", "--no-pex")


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    started = Commands(tmp_path)
    yield started
    started.close()


@pytest.fixture
def router(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The options that lead to a bootstrap node that is running, on another machine as it were."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere = Commands(folder)
    running = elsewhere.start("dht", "bootstrap-node", "--port", "0", "--bind", "127.0.0.1")
    yield ("--bind", "127.0.0.1", "--bootstrap", f"127.0.0.1:{running.wait('listening')['port']}")
    elsewhere.close()


def seed(commands: Commands, router: tuple[str, ...], content: Path, *options: str) -> Running:
    """Our seeder, once it has said in the DHT that it is one."""
    seeder = commands.start(
        "seed",
        f"{content}.torrent",
        "--port",
        "0",
        "--bind",
        "127.0.0.1",
        "--dht-bootstrap",
        router[-1],
        *options,
    )
    seeder.wait("progress", lambda event: event["state"] == "seeding")
    return seeder


def wait_for_peer(commands: Commands, router: tuple[str, ...], torrent: Path, port: int) -> None:
    """Ask the DHT until it knows the peer at `port` of this machine."""
    for _ in range(50):
        found = commands.run("dht", "get-peers", torrent, *router)
        if f"127.0.0.1:{port}\n" in found.stdout:
            return
    pytest.fail(f"port {port} was never announced: {found.stdout} {found.stderr}")


def content_of(folder: Path, length: int = 300_000) -> Path:
    path = folder / "content.bin"
    path.write_bytes(random.Random(1).randbytes(length))
    return path


def test_a_leecher_finds_the_seeder_through_the_dht_alone(
    commands: Commands, router: tuple[str, ...], tmp_path: Path
) -> None:
    content = content_of(tmp_path)
    torrent = make_torrent(content)
    seed(commands, router, content, *ALONE)
    done = commands.run(
        "leech", torrent, "-o", "here", "--port", "0", *ALONE, "--bind", "127.0.0.1",
        "--dht-bootstrap", router[-1], "--timeout", "30",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here/content.bin").read_bytes() == content.read_bytes()


def test_a_magnet_link_alone_is_enough(commands: Commands, router: tuple[str, ...], tmp_path: Path) -> None:
    content = content_of(tmp_path)
    torrent = make_torrent(content)
    seeder = seed(commands, router, content, *ALONE)
    wait_for_peer(commands, router, torrent, seeder.events[0]["port"])
    link = commands.run("magnet", torrent).stdout.strip()
    done = commands.run(
        "leech", link, "-o", "here", "--port", "0", *ALONE, "--bind", "127.0.0.1",
        "--dht-bootstrap", router[-1], "--timeout", "30",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here/content.bin").read_bytes() == content.read_bytes()


@pytest.mark.parametrize("kind", ["link", "file", "cached link"])
def test_a_node_that_the_torrent_names_is_way_in_enough(
    commands: Commands, router: tuple[str, ...], tmp_path: Path, kind: str
) -> None:
    content = content_of(tmp_path)
    torrent = make_torrent(content)
    seeder = seed(commands, router, content, *ALONE)
    wait_for_peer(commands, router, torrent, seeder.events[0]["port"])
    node = router[-1]
    named = f"{commands.run('magnet', torrent).stdout.strip()}&dht={node}"
    if kind == "file":
        host, _, port = node.rpartition(":")
        raw = {**decode(torrent.read_bytes()), b"nodes": [[host, int(port)]]}  # type: ignore[dict-item]
        named = str(tmp_path / "named.torrent")
        Path(named).write_bytes(encode(raw))
    # A state of its own: no table of an earlier time leads anywhere.
    stranger_folder = tmp_path / "stranger"
    stranger_folder.mkdir()
    stranger = Commands(stranger_folder)
    if kind == "cached link":
        fetched = stranger.run(
            "leech", named, "--metadata-only", "--port", "0", "--no-dht", "--bind", "127.0.0.1",
            "--peer", f"127.0.0.1:{seeder.events[0]['port']}", "--timeout", "30",
        )  # fmt: skip
        assert fetched.returncode == 0, fetched.stderr
    done = stranger.run("leech", named, "--port", "0", *ALONE, "--bind", "127.0.0.1", "--timeout", "30")
    assert done.returncode == 0, done.stderr
    assert (stranger_folder / "content.bin").read_bytes() == content.read_bytes()


def test_two_that_came_before_the_seeder_meet_it(
    commands: Commands, router: tuple[str, ...], tmp_path: Path
) -> None:
    """Nobody is there when they first ask; the next round comes soon."""
    content = content_of(tmp_path)
    torrent = make_torrent(content)
    leechers = [
        commands.start(
            "leech", torrent, "-o", f"here {number}", "--port", "0", *ALONE, "--bind", "127.0.0.1",
            "--dht-bootstrap", router[-1],
        )
        for number in range(2)
    ]  # fmt: skip
    for leecher in leechers:
        wait_for_peer(commands, router, torrent, leecher.wait("listening")["port"])
    seed(commands, router, content, *ALONE)
    for leecher in leechers:
        leecher.wait("complete")


def test_a_leecher_without_a_router_learns_of_nodes_from_its_peers(
    commands: Commands, router: tuple[str, ...], tmp_path: Path
) -> None:
    """BEP 5 `port`: the leecher dials the seeder by address, and meets the DHT through it."""
    content = content_of(tmp_path)
    torrent = make_torrent(content)
    seeder = seed(commands, router, content, *ALONE)
    port = seeder.events[0]["port"]
    leecher = commands.start(
        "leech", torrent, "-o", "here", "--port", "0", *ALONE, "--bind", "127.0.0.1",
        "--peer", f"127.0.0.1:{port}", "--seed-time", "60",
    )  # fmt: skip
    leecher.wait("complete")
    wait_for_peer(commands, router, torrent, leecher.events[0]["port"])


def test_a_private_torrent_is_never_announced(
    commands: Commands, router: tuple[str, ...], tmp_path: Path
) -> None:
    content = content_of(tmp_path)
    made = commands.run("mktorrent", "-p", "-o", f"{content}.torrent", content)
    assert made.returncode == 0, made.stderr
    seed(commands, router, content)
    found = commands.run("dht", "get-peers", f"{content}.torrent", *router)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("error: no peers found; 1 answer to 1 question")


def test_what_is_announced_by_hand_is_found_and_counted(commands: Commands, router: tuple[str, ...]) -> None:
    assert (
        commands.run("dht", "announce", INFO_HASH, "--peer-port", "5001", *router).stdout
        == "announced to 1 node\n"
    )
    assert (
        commands.run("dht", "announce", INFO_HASH, "--peer-port", "5002", "--seed", *router).returncode == 0
    )
    found = commands.run("dht", "get-peers", f"magnet:?xt=urn:btih:{INFO_HASH}", "--scrape", *router)
    assert found.stdout == "127.0.0.1:5001\n127.0.0.1:5002\nabout 1 seed, 1 leecher\n", found.stderr
    sampled = commands.run("dht", "sample", router[-1], *router)
    assert sampled.stdout == f"{INFO_HASH}\n"


def test_an_immutable_item_is_fetched_by_its_hash(
    commands: Commands, router: tuple[str, ...], tmp_path: Path
) -> None:
    raw = bytes(range(256))
    (tmp_path / "raw").write_bytes(raw)
    target = commands.run("dht", "put", "--file", "raw", *router).stdout.strip()
    assert len(target) == 40
    got = commands.run("dht", "get", target, "-o", "back", *router)
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "back").read_bytes() == raw
    missing = commands.run("dht", "get", "00" * 20, *router)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("error: no such item found")


def test_a_mutable_item_is_replaced_by_its_owner_alone(
    commands: Commands, router: tuple[str, ...], tmp_path: Path
) -> None:
    made = commands.run("dht", "put", "one", "--key", "key", "--salt", "s", *router)
    assert made.returncode == 0 and "made a new key" in made.stderr, made.stderr
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    again = commands.run("dht", "put", "two", "--key", "key", "--salt", "s", *router)
    assert again.stdout == made.stdout
    assert "version 2 of " in again.stderr and "made a new key" not in again.stderr
    late = commands.run("dht", "put", "three", "--key", "key", "--salt", "s", "--cas", "1", *router)
    assert late.returncode == 1 and "(301)" in late.stderr
    got = commands.run("dht", "get", "--key", "key", "--salt", "s", *router)
    assert got.stdout == "two\n"
    assert commands.run("dht", "get", made.stdout.strip(), "--salt", "s", *router).stdout == "two\n"
    other = commands.run("dht", "get", "--key", "key", *router)
    assert other.returncode == 1


def test_a_table_is_remembered_and_used_without_any_router(
    commands: Commands, router: tuple[str, ...], tmp_path: Path
) -> None:
    content = content_of(tmp_path)
    make_torrent(content)
    seeder = seed(commands, router, content, *ALONE)
    wait_for_peer(commands, router, tmp_path / "content.bin.torrent", seeder.events[0]["port"])
    seeder.end(signal.SIGINT)
    assert "dht.state" in os.listdir(tmp_path / "state")
    # The environment of the tests names no routers: only memory can lead there.
    found = commands.run("dht", "get-peers", f"{content}.torrent", "--bind", "127.0.0.1")
    assert found.returncode == 0, found.stderr


def test_a_broken_table_is_set_aside_with_a_line(commands: Commands, tmp_path: Path) -> None:
    content = content_of(tmp_path)
    make_torrent(content)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/dht.state").write_bytes(b"swarm dht 1\nrubbish")
    seeder = commands.start("seed", f"{content}.torrent", "--port", "0", "--bind", "127.0.0.1")
    warning = seeder.wait("warning")
    assert "the saved routing table is damaged; it was set aside as dht.state.broken" in warning["message"]


def test_questions_nobody_answers_end_with_a_line(commands: Commands) -> None:
    with_nobody = ("--bind", "127.0.0.1", "--bootstrap", "127.0.0.1:1")
    lost = commands.run("dht", "get-peers", INFO_HASH, *with_nobody)
    # Who waits for longer than a second is told for what.
    assert (lost.returncode, lost.stderr.splitlines()[-1]) == (
        1,
        "error: no router answers, and no other nodes are known",
    )
    silent = commands.run("dht", "ping", "127.0.0.1:1")
    assert (silent.returncode, silent.stderr.splitlines()[-1]) == (1, "error: 127.0.0.1:1 does not answer")
    late = commands.run("dht", "get-peers", INFO_HASH, "--bind", "127.0.0.1", "--timeout", "0.5")
    assert (late.returncode, late.stderr) == (5, "error: no end within 0.5 s; --timeout allows more\n")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("ping", "nowhere"), 2, "expected HOST:PORT"),
        (("get-peers", "zz" * 20), 3, "not an info-hash"),
        (("get-peers", "missing.torrent"), 4, "missing.torrent: no such file"),
        (("announce", INFO_HASH), 2, "either --peer-port or --implied-port"),
        (("get", "12"), 2, "a target has 40 hex digits"),
        (("get",), 2, "either TARGET or --key"),
        (("get", "--key", "zz" * 32), 2, "not hex"),
        (("get", "--key", "missing"), 4, "no such file"),
        (("put",), 2, "either TEXT or --file"),
        (("put", "x" * 997), 2, "an item holds 996 bytes"),
        (("put", "x", "--salt", "s"), 2, "go with --key"),
        (("put", "x", "--file", "missing"), 2, "either TEXT or --file"),
        (("put", "--file", "missing"), 4, "no such file"),
        (("get-peers", INFO_HASH, "--bind", "nonsense0"), 2, "neither an address nor a network interface"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    commands: Commands, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = commands.run("dht", *arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_refused(commands: Commands, router: tuple[str, ...]) -> None:
    port = router[-1].rpartition(":")[2]
    done = commands.run("dht", "bootstrap-node", "--port", port, "--bind", "127.0.0.1")
    assert (done.returncode, done.stderr) == (
        1,
        f"error: UDP port {port} is in use; choose another with --port, or 0 for any\n",
    )


def test_a_bootstrap_node_ends_when_it_is_told(commands: Commands) -> None:
    node = commands.start("dht", "bootstrap-node", "--bind", "127.0.0.1")
    node.wait("listening")
    assert node.end(signal.SIGINT) == (130, "")
