"""The same info-hash as the C program `mktorrent` 1.1 for the same input and options."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.base.bencode import Value, decode
from swarm.metainfo.torrent import Metainfo

pytestmark = pytest.mark.interop

C_PROGRAM = shutil.which("mktorrent", path="/usr/bin:/usr/local/bin:/bin")
if C_PROGRAM is None:
    if os.environ.get("CI") == "true":
        pytest.fail("the Debian package mktorrent is not installed")
    pytest.skip("the Debian package mktorrent is not installed", allow_module_level=True)

ANNOUNCE = ("-a", "http://tracker.example/announce")


def both(folder: Path, target: str, *options: str) -> tuple[bytes, bytes]:
    """The .torrent of the C program and ours, made in `folder`."""
    made = []
    for name, command in (
        ("c.torrent", [C_PROGRAM]),
        (
            "ours.torrent",
            [sys.executable, "-c", "from swarm.cli.main import mktorrent_main; mktorrent_main()"],
        ),
    ):
        output = folder.parent / name
        output.unlink(missing_ok=True)
        subprocess.run(
            [*map(str, command), *options, "-o", str(output), target],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        made.append(output.read_bytes())
    return made[0], made[1]


def check_same(folder: Path, target: str, *options: str) -> Metainfo:
    theirs, ours = both(folder, target, *ANNOUNCE, "-d", *options)
    expected, found = top_level(theirs), top_level(ours)
    for top in (expected, found):
        top.pop(b"created by")
    assert found == expected
    torrent = Metainfo.parse(ours)
    assert torrent.info_bytes == Metainfo.parse(theirs).info_bytes
    return torrent


def top_level(raw: bytes) -> dict[bytes, Value]:
    value = decode(raw)
    assert isinstance(value, dict)
    return value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(size).randbytes(size))


@pytest.mark.parametrize("size", [0, 1, 32767, 32768, 32769, 65536, 1_000_000, 3_333_333])
def test_single_file_at_the_borders_of_pieces(folder: Path, size: int) -> None:
    write(folder / "file.bin", size)
    assert check_same(folder, "file.bin", "-l", "15").total_bytes == size


@pytest.mark.parametrize("exponent", [15, 16, 18, 20, 22, 24, 28])
def test_piece_lengths(folder: Path, exponent: int) -> None:
    write(folder / "file.bin", 5_000_000)
    assert check_same(folder, "file.bin", "-l", str(exponent)).geometry.piece_length == 1 << exponent


def test_piece_length_where_none_is_given_whatever_the_size(folder: Path) -> None:
    write(folder / "small", 10)
    with (folder / "large").open("wb") as file:
        file.truncate(600 * 1024 * 1024)
    for name in ("small", "large"):
        assert check_same(folder, name).geometry.piece_length == 262_144


@pytest.mark.parametrize(
    "options",
    [
        ["-p"],
        ["-s", "SOURCE"],
        ["-p", "-s", "SOURCE", "-n", "another name"],
        ["-n", "ümlaut"],
        ["-c", "a comment, ünicode"],
        ["-a", "http://two.example/a"],
        ["-a", "http://two.example/a,http://three.example/a", "-a", "udp://four.example:80"],
        ["-w", "http://seed.example/"],
        ["-w", "http://seed.example/,http://seed2.example/", "-w", "http://seed3.example/"],
        ["-t", "1"],
        ["-t", "7"],
        ["-v"],
        ["--private", "--source=S", "--name=n", "--comment=c", "--piece-length=16", "--web-seed=http://w/"],
    ],
)
@pytest.mark.parametrize("target", ["file.bin", "tree"])
def test_options_one_by_one(folder: Path, options: list[str], target: str) -> None:
    write(folder / "file.bin", 300_000)
    write(folder / "tree" / "a", 100_000)
    write(folder / "tree" / "b" / "c", 200_000)
    check_same(folder, target, *options)


def test_creation_date_is_left_out_only_when_asked(folder: Path) -> None:
    write(folder / "file.bin", 10)
    for raw in both(folder, "file.bin", *ANNOUNCE):
        assert b"creation date" in top_level(raw)


def test_nested_folders_with_odd_names_and_empty_files(folder: Path) -> None:
    names = [
        "a/1", "a/b/2", "a-b/f", "a.x", "a b/c d", "Z", "z", "_", "~", "!", ".hidden/x", ".dot", "empty",
        "e/e/e/e", "ünï/cödé.txt", "日本語/ファイル", "emoji 💈", "e\u0301 combining", "a" * 200, "tab\there",
        "line\nbreak", "q'\"uote", "back\\slash", "b" * 100 + "/" + "c" * 100,
    ]  # fmt: skip
    for number, name in enumerate(names):
        write(folder / "tree" / name, number * 7919 if not name.startswith("e") else 0)
    torrent = check_same(folder, "tree", "-l", "15")
    assert len(torrent.files) == len(names)


def test_names_that_are_not_text(folder: Path) -> None:
    write(folder / "tree" / os.fsdecode(b"caf\xe9"), 10)
    write(folder / "tree" / os.fsdecode(b"\xff\xfe"), 20)
    write(folder / "tree" / "caf\u00e9", 30)
    check_same(folder, "tree")


def test_links_are_followed_and_special_files_left_out(folder: Path) -> None:
    write(folder / "tree" / "real", 1000)
    write(folder / "outside" / "x", 500)
    (folder / "tree" / "file-link").symlink_to("real")
    (folder / "tree" / "folder-link").symlink_to("../outside")
    os.link(folder / "tree" / "real", folder / "tree" / "hard")
    os.mkfifo(folder / "tree" / "fifo")
    assert len(check_same(folder, "tree").files) == 4
    (folder / "link").symlink_to("tree")
    assert check_same(folder, "link").name == "link"


@pytest.mark.parametrize("target", ["tree", "tree/", "./tree", "x/../tree", "tree/sub", "tree///"])
def test_name_comes_from_the_target(folder: Path, target: str) -> None:
    write(folder / "tree" / "sub" / "a", 10)
    (folder / "x").mkdir()
    check_same(folder, target)
    check_same(folder, str(folder / target))


def test_many_files_share_pieces(folder: Path) -> None:
    rng = random.Random(1)
    for number in range(700):
        write(
            folder / "tree" / f"{rng.randrange(20)}" / f"f{number}",
            rng.choice([0, 1, 100, 10_240, 32_768, 70_000]),
        )
    check_same(folder, "tree", "-l", "15")


def test_files_left_out_by_a_glob_are_as_if_not_there(folder: Path) -> None:
    """The packaged C program has no -e; without the files it makes what ours makes with it."""
    for name in ("a.txt", "b.tmp", "c/d.txt", "c/e.tmp", ".git/config"):
        write(folder / "all" / name, len(name) * 1000)
    for name in ("a.txt", "c/d.txt"):
        write(folder / "some" / name, len(name) * 1000)
    expected, _ = both(folder, "some", *ANNOUNCE, "-n", "tree")
    output = folder.parent / "excluded.torrent"
    program = "from swarm.cli.main import mktorrent_main; mktorrent_main()"
    subprocess.run(
        [sys.executable, "-c", program, "-n", "tree", "-e", "*.tmp,.git", "-o", str(output), "all"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    assert Metainfo.parse(output.read_bytes()).info_hash == Metainfo.parse(expected).info_hash


def test_random_entry_makes_the_info_hash_unique_and_nothing_else(folder: Path) -> None:
    """The packaged C program has no -x."""
    write(folder / "file.bin", 100_000)
    theirs, _ = both(folder, "file.bin", *ANNOUNCE, "-s", "S")
    program = "from swarm.cli.main import mktorrent_main; mktorrent_main()"
    made = []
    for number in range(2):
        output = folder.parent / f"{number}.torrent"
        subprocess.run(
            [sys.executable, "-c", program, "-x", "-s", "S", "-o", str(output), "file.bin"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        made.append(Metainfo.parse(output.read_bytes()))
    assert len({torrent.info_hash for torrent in made} | {Metainfo.parse(theirs).info_hash}) == 3
    for torrent in made:
        info = decode(torrent.info_bytes)
        assert isinstance(info, dict)
        assert info.pop(b"x_cross_seed")
        assert info == decode(Metainfo.parse(theirs).info_bytes)
