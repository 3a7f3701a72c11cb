"""`swarm seed` and `swarm leech` as users run them."""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import SWARM, TIMEOUT_S, Commands, gate, make_torrent

#: Nobody listens there.
NOBODY = "127.0.0.1:9"
SIZE = 3_000_001


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    running = Commands(tmp_path)
    yield running
    running.close()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content" / "data.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "content" / "set"
    (path / "inner").mkdir(parents=True)
    rng = random.Random(2)
    (path / "a.txt").write_bytes(rng.randbytes(100_000))
    (path / "b.txt").write_bytes(rng.randbytes(50_001))
    (path / "empty").touch()
    (path / "inner" / "ünïcode.bin").write_bytes(rng.randbytes(200_000))
    return path


def to(port: int) -> tuple[str, ...]:
    """Options of a leecher that knows one peer."""
    return ("--peer", f"127.0.0.1:{port}", "--port", "0", "--bind", "127.0.0.1")


def last_progress(printed: str) -> dict[str, Any]:
    """The last of these lines of JSON that says how far it is; sources of peers have lines of their own."""
    events: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
    return [event for event in events if event["event"] == "progress"][-1]


def test_leech_says_what_the_documentation_promises_in_json(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    done = commands.run("leech", f"{content}.torrent", "-o", "here", *to(port), "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    # Sources of peers have theirs when something becomes of them.
    events = [event for event in events if event["event"] != "dht"]
    assert (done.returncode, done.stderr) == (0, "")
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["listening", "metadata"] and kinds[-2:] == ["progress", "complete"]
    assert set(kinds) == {"listening", "metadata", "progress", "complete"}
    listening, metadata, progress, complete = (events[kinds.index(kind)] for kind in dict.fromkeys(kinds))
    assert 0 < listening["port"] < 65_536
    assert (metadata["name"], metadata["total_bytes"]) == ("data.bin", SIZE)
    assert metadata["infohash"] == progress["infohash"] == complete["infohash"]
    assert len(metadata["infohash"]) == 40 and complete["seconds"] >= 0
    assert progress.keys() >= {
        "infohash", "done_bytes", "total_bytes", "down_bytes_per_s", "up_bytes_per_s", "downloaded_bytes",
        "uploaded_bytes", "peers", "seeds", "pieces_done", "pieces_total",
    }  # fmt: skip
    assert events[-2]["done_bytes"] == events[-2]["total_bytes"] == SIZE
    assert events[-2]["pieces_done"] == events[-2]["pieces_total"] == -(-SIZE // (1 << 15))
    assert (commands.folder / "here" / "data.bin").read_bytes() == content.read_bytes()


def test_leech_without_a_terminal_prints_one_line_and_no_bars(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    done = commands.run("leech", f"{content}.torrent", "-o", "here", *to(port))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("data.bin: complete, 2.86 MiB in ")
    assert done.stdout.count("\n") == 1 and "\r" not in done.stdout


def test_quiet_says_nothing(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    done = commands.run("leech", f"{content}.torrent", "-o", "here", *to(port), "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_leech_of_what_is_here_already_is_done_at_once(commands: Commands, content: Path) -> None:
    done = commands.run("leech", make_torrent(content), "-o", content.parent, "--port", "0", "--no-trackers")
    assert done.returncode == 0
    assert "complete" in done.stdout


def test_several_sources_are_downloaded_together(commands: Commands, content: Path, folder: Path) -> None:
    _, first = commands.seed(make_torrent(content))
    _, second = commands.seed(make_torrent(folder))
    sources = (f"{content}.torrent", f"{folder}.torrent")
    done = commands.run("leech", *sources, "-o", "here", *to(first), "--peer", f"127.0.0.1:{second}")
    assert done.returncode == 0, done.stderr
    assert sorted(line.split(":")[0] for line in done.stdout.splitlines()) == ["data.bin", "set"]
    assert_same_folder(folder, commands.folder / "here" / "set")


def assert_same_folder(one: Path, other: Path) -> None:
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file())
    assert filecmp.cmpfiles(one, other, names, shallow=False) == (names, [], [])


def test_names_with_marks_that_show_nothing_are_seeded_and_verified_as_they_are(commands: Commands) -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    folder = commands.folder / f"trip {family}"
    folder.mkdir()
    (folder / f"{family}.jpg").write_bytes(b"picture" * 9999)
    made = commands.run("mktorrent", folder)
    assert made.returncode == 0
    assert made.stderr.startswith("warning: there are 2 names with characters that downloads leave out")
    assert commands.run("verify", f"{folder}.torrent").returncode == 0
    _, port = commands.seed(f"{folder}.torrent")
    assert commands.run("leech", f"{folder}.torrent", "-o", "here", *to(port)).returncode == 0
    # Who downloads it gets no names that could look like others.
    shown = family.replace("\u200d", "")
    downloaded = commands.folder / "here" / f"trip {shown}" / f"{shown}.jpg"
    assert downloaded.read_bytes() == b"picture" * 9999
    assert commands.run("verify", f"{folder}.torrent", "here").returncode == 0
    Path(f"{folder}.torrent").unlink()
    process, _ = commands.seed(folder)
    process.end(signal.SIGINT)
    # And again, with the .torrent that is there now.
    commands.seed(folder)


def test_options_come_from_the_environment_too(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    done = commands.run(
        "leech", f"{content}.torrent",
        SWARM_OUTPUT="there", SWARM_PEER=f"localhost:{port} 127.0.0.1:{port}", SWARM_PORT="0",
        SWARM_QUIET="1",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (commands.folder / "there" / "data.bin").stat().st_size == SIZE


# -- choosing ---------------------------------------------------------------------------------------


def test_list_numbers_the_files_and_downloads_nothing(commands: Commands, folder: Path) -> None:
    done = commands.run("leech", make_torrent(folder), "--list", "-o", "here")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [(line[0], line[-1]) for line in lines] == [
        ("1", "a.txt"), ("2", "b.txt"), ("3", "empty"), ("4", "inner/ünïcode.bin"),
    ]  # fmt: skip
    assert not (commands.folder / "here").exists()


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("1", ["a.txt"]),
        ("2-3", ["b.txt", "empty"]),
        ("inner/*", ["inner/ünïcode.bin"]),
        ("*.txt", ["a.txt", "b.txt"]),
    ],
)
def test_select_creates_only_the_chosen_files(
    commands: Commands, folder: Path, select: str, expected: list[str]
) -> None:
    _, port = commands.seed(make_torrent(folder))
    done = commands.run("leech", f"{folder}.torrent", "-o", "here", "--select", select, *to(port), "--json")
    assert done.returncode == 0, done.stdout
    here = commands.folder / "here" / "set"
    assert sorted(str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()) == expected
    for name in expected:
        assert (here / name).read_bytes() == (folder / name).read_bytes()
    last = last_progress(done.stdout)
    assert last["done_bytes"] == last["total_bytes"]


@pytest.mark.parametrize("select", ["9", "0", "2-1", "1-99999999999999", "nothing*"])
def test_select_of_nothing_is_wrong_usage(commands: Commands, folder: Path, select: str) -> None:
    done = commands.run("leech", make_torrent(folder), "--select", select, "--port", "0", "--no-trackers")
    assert done.returncode == 2
    assert select.split(",")[0] in done.stderr and done.stderr.count("\n") == 1


def test_stdout_carries_the_content_and_nothing_else(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    done = subprocess.run(
        [*SWARM, "leech", f"{content}.torrent", "-o", "here", "--stdout", *to(port)],
        capture_output=True, timeout=TIMEOUT_S, check=False, cwd=commands.folder, env=commands.environment,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == content.read_bytes()
    assert b"complete" in done.stderr


def test_stdout_of_one_selected_file(commands: Commands, folder: Path) -> None:
    _, port = commands.seed(make_torrent(folder))
    done = subprocess.run(
        [*SWARM, "leech", f"{folder}.torrent", "-o", "here", "--stdout", "--select", "b.txt", *to(port)],
        capture_output=True, timeout=TIMEOUT_S, check=False, cwd=commands.folder, env=commands.environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, (folder / "b.txt").read_bytes())


def test_a_reader_that_goes_away_ends_it_without_a_traceback(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*SWARM, "leech", f"{content}.torrent", "-o", "here", "--stdout", *to(port)],
        stdout=writer, stderr=subprocess.PIPE, text=True, cwd=commands.folder, env=commands.environment,
    )  # fmt: skip
    os.close(writer)
    assert os.read(reader, 10) == content.read_bytes()[:10]
    os.close(reader)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, said) == (1, "")


def test_metadata_only_writes_the_torrent(commands: Commands, content: Path) -> None:
    torrent = make_torrent(content)
    for _ in range(2):
        done = commands.run("leech", torrent, "--metadata-only", "-o", "here")
        assert done.returncode == 0, done.stderr
    assert (commands.folder / "here" / "data.bin.torrent").read_bytes() == torrent.read_bytes()
    (commands.folder / "here" / "data.bin.torrent").write_bytes(b"something else")
    done = commands.run("leech", torrent, "--metadata-only", "-o", "here")
    assert (done.returncode, done.stderr) == (
        1, "error: here/data.bin.torrent: exists already; it is another one; -o names another folder\n"
    )  # fmt: skip


# -- stopping and going on --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_same_command_goes_on_where_it_stopped(
    commands: Commands, content: Path, number: signal.Signals
) -> None:
    _, port = commands.seed(make_torrent(content))
    with gate(port, SIZE // 2) as narrow:
        leecher = commands.start("leech", f"{content}.torrent", "-o", "here", *to(narrow))
        had = leecher.wait("progress", lambda event: event["done_bytes"] > SIZE // 4)["done_bytes"]
        status, said = leecher.end(number)
    if number != signal.SIGKILL:
        assert (status, said) == (130, "")
        assert leecher.events[-1]["event"] == "interrupted"
        assert "goes on where it stopped" in leecher.events[-1]["message"]
    done = commands.run("leech", f"{content}.torrent", "-o", "here", *to(port), "--json")
    assert done.returncode == 0
    assert last_progress(done.stdout)["downloaded_bytes"] <= SIZE - had
    assert (commands.folder / "here" / "data.bin").read_bytes() == content.read_bytes()


def test_a_state_that_could_not_be_saved_at_the_end_is_not_said_to_be(
    commands: Commands, content: Path
) -> None:
    _, port = commands.seed(make_torrent(content))
    # Where the folder belongs there is none any more, from the first look at it on.
    commands.environment["SWARM_STATE_DIR"] = str(commands.folder / "elsewhere")
    with gate(port, SIZE // 2) as narrow:
        leecher = commands.start("leech", f"{content}.torrent", "-o", "here", "--no-dht", *to(narrow))
        leecher.wait("progress", lambda event: event["done_bytes"] > SIZE // 4)
        shutil.rmtree(commands.folder / "elsewhere")
        (commands.folder / "elsewhere").write_text("in the way")
        assert leecher.end(signal.SIGINT) == (130, "")
    *_, warning, interrupted = leecher.events
    assert "the state of the download cannot be saved" in warning["message"]
    assert interrupted["message"] == "interrupted: the same command goes on where it stopped"


def test_an_interrupted_leech_says_so_on_one_line(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    with gate(port, SIZE // 2) as narrow:
        process = subprocess.Popen(
            [*SWARM, "leech", f"{content}.torrent", "-o", "here", "-v", *to(narrow)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=commands.folder, env=commands.environment,
        )  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith("listening on port")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert (
        said.splitlines()[-1] == "interrupted: the state is saved, the same command goes on where it stopped"
    )


def test_no_progress_ends_with_its_own_status(commands: Commands, content: Path) -> None:
    done = commands.run(
        "leech", make_torrent(content), "-o", "here", "--timeout", "0.5", "--port", "0", "--quiet"
    )
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == (
        "error: no progress for 0.5 s: no peers, and no address of any is known"
    )


def test_torrent_that_has_failed_is_not_waited_for_while_another_one_seeds_on(
    commands: Commands, content: Path, folder: Path
) -> None:
    # Where its folder would be stands a file; the other one is here already.
    (content.parent / "there").mkdir()
    (content.parent / "there" / "data.bin").write_bytes(content.read_bytes())
    (content.parent / "there" / "set").write_text("in the way")
    done = commands.run(
        "leech", make_torrent(folder), make_torrent(content), "-o", content.parent / "there", "--port", "0",
        "--no-dht", "--seed-time", "2", "--timeout", "0.5",
    )  # fmt: skip
    assert "no progress" not in done.stderr
    assert done.returncode == 4


def test_leech_seeds_on_until_the_ratio_is_reached(commands: Commands, content: Path) -> None:
    _, port = commands.seed(make_torrent(content))
    first = commands.start("leech", f"{content}.torrent", "-o", "one", *to(port), "--seed-ratio", "0.9")
    own = first.wait("listening")["port"]
    first.wait("complete")
    # By peer exchange or the DHT the second would hear of the seeder, and perhaps take everything there.
    second = commands.run("leech", f"{content}.torrent", "-o", "two", *to(own), "--no-pex", "--no-dht")
    assert second.returncode == 0
    assert first.end()[0] == 0
    assert first.events[-1]["event"] == "progress"


# -- seeding ----------------------------------------------------------------------------------------


def test_seed_of_a_folder_writes_its_torrent_and_offers_it_in_one_step(
    commands: Commands, folder: Path
) -> None:
    seeder, port = commands.seed(folder, "--tracker", "http://127.0.0.1:9/announce")
    metadata = seeder.events[1]
    assert metadata["torrent"] == f"{folder}.torrent"
    assert metadata["magnet"].startswith(f"magnet:?xt=urn:btih:{metadata['infohash']}&dn=set&tr=http%3A")
    done = commands.run("leech", f"{folder}.torrent", "-o", "here", "--no-trackers", *to(port), "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_folder(folder, commands.folder / "here" / "set")
    assert seeder.end(signal.SIGINT) == (130, "")
    again, _ = commands.seed(folder)
    assert again.events[1]["infohash"] == metadata["infohash"]


def test_seed_does_not_replace_the_torrent_of_other_content(commands: Commands, folder: Path) -> None:
    torrent = make_torrent(folder)
    before = torrent.read_bytes()
    (folder / "new").write_bytes(b"more")
    done = commands.run("seed", folder, "--port", "0")
    assert (done.returncode, torrent.read_bytes()) == (1, before)
    assert done.stderr == f"error: {torrent}: exists already, for other content; --force replaces it\n"
    _, port = commands.seed(folder, "--force")
    assert commands.run("leech", torrent, "-o", "here", *to(port)).returncode == 0


def test_seed_refuses_names_that_it_would_not_find(commands: Commands, folder: Path) -> None:
    (folder / "latin\udce9").write_bytes(b"x")
    expected = (
        f"error: {folder}: there is a name that a torrent cannot keep, and that seeding would not find: "
        r"'latin\udce9'; rename what is called so"
        "\n"
    )
    done = commands.run("seed", folder, "--port", "0")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)
    assert not Path(f"{folder}.torrent").exists()
    make_torrent(folder)
    done = commands.run("seed", folder, "--port", "0")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


def test_seed_of_a_file_with_an_unsafe_name_goes_on_the_second_time(
    commands: Commands, content: Path
) -> None:
    odd = content.rename(content.with_name("back\\slash"))
    for _ in range(2):
        seeder, port = commands.seed(odd)
        link = next(event["magnet"] for event in seeder.events if event["event"] == "metadata")
        assert seeder.end(signal.SIGINT)[0] == 130
    _, port = commands.seed(odd)
    done = commands.run("leech", link, "-o", "here", *to(port), "--no-dht", "--no-lsd")
    assert done.returncode == 0, done.stderr
    assert (commands.folder / "here" / "backslash").read_bytes() == odd.read_bytes()


@pytest.mark.parametrize("place", ["set", ".", None])
def test_seed_finds_the_content_or_the_folder_that_holds_it(
    commands: Commands, folder: Path, place: str | None
) -> None:
    torrent = make_torrent(folder)
    commands.seed(torrent, *([folder.parent / place] if place is not None else []))


def test_seed_finds_content_of_another_name(commands: Commands, folder: Path, content: Path) -> None:
    for path in (folder, content):
        torrent = make_torrent(path)
        moved = path.rename(path.with_name("moved" + path.suffix))
        commands.seed(torrent, moved)


def test_seed_of_content_that_differs_names_the_bad_file(commands: Commands, folder: Path) -> None:
    torrent = make_torrent(folder)
    with (folder / "inner" / "ünïcode.bin").open("r+b") as file:
        file.seek(150_000)
        file.write(b"xx")
    done = commands.run("seed", torrent, "--port", "0")
    assert done.returncode == 6
    assert "ünïcode.bin" in done.stderr and "a.txt" not in done.stderr
    assert done.stderr.count("\n") == 1


# -- what can go wrong ------------------------------------------------------------------------------


def test_refusals_have_their_exit_status_and_one_line(commands: Commands, content: Path) -> None:
    torrent = make_torrent(content)
    (commands.folder / "bad.torrent").write_bytes(b"<html>no</html>")
    (commands.folder / "cut.torrent").write_bytes(torrent.read_bytes()[:-100])
    link = "magnet:?xt=urn:btih:" + "a" * 40
    cases: list[tuple[int, tuple[str | Path, ...]]] = [
        (
            5,
            (
                "leech",
                link,
                "--peer",
                NOBODY,
                "--timeout",
                "0.2",
                "--port",
                "0",
                "--bind",
                "127.0.0.1",
            ),
        ),
        (3, ("leech", "magnet:?xt=urn:btih:short")),
        (3, ("leech", f"magnet:?xt=urn:btmh:1220{'a' * 64}")),
        (3, ("leech", "a" * 39)),
        (4, ("leech", "missing.torrent")),
        (3, ("leech", "bad.torrent")),
        (3, ("leech", "cut.torrent")),
        (1, ("leech", "http://127.0.0.1:9/x.torrent")),
        (1, ("leech", "ftp://127.0.0.1/x.torrent")),
        (4, ("seed", "missing.torrent")),
        (4, ("seed", "missing")),
        (4, ("seed", torrent, "nowhere")),
        (4, ("seed", torrent, commands.folder)),
        (1, ("seed", link)),
        (4, ("leech", torrent, "-o", torrent, "--port", "0", "--no-trackers")),
    ]
    for status, arguments in cases:
        done = commands.run(*arguments)
        assert (done.returncode, done.stdout) == (status, ""), arguments
        *before, last = done.stderr.splitlines()
        assert last.startswith("error: "), done.stderr
        assert before == ([f"warning: peer {NOBODY} not reached: connection refused; it is tried again"]
                          if NOBODY in arguments else []), done.stderr  # fmt: skip


def test_a_port_in_use_is_one_line(commands: Commands, content: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = commands.run("leech", make_torrent(content), "--port", port, "--bind", "127.0.0.1")
    assert (done.returncode, done.stdout) == (1, "")
    assert port in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("x.torrent", "--up", "0"),
        ("x.torrent", "--down", "1K"),
        ("x.torrent", "--encryption", "require"),
        ("x.torrent", "--peer", "nonsense"),
        ("x.torrent", "--stdout", "--json"),
        ("x.torrent", "--seed-ratio", "-1"),
        ("x.torrent", "--no-trackers", "--tracker", "http://a/"),
        ("x.torrent", "--tracker", "wss://a/"),
    ],
)
def test_wrong_usage_is_2(commands: Commands, arguments: tuple[str, ...]) -> None:
    done = commands.run("leech", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
