"""What tools/fuzz does besides fuzzing: naming targets, running inputs again, picking a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import target
from tests.fuzz.targets import TARGETS
from tools import fuzzing


def test_list_names_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    fuzzing.main(["--list"])
    assert capsys.readouterr().out.split() == list(TARGETS)


def test_file_is_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"li1ee")
    fuzzing.main(["bencode", str(path)])
    assert capsys.readouterr().out == f"{path}: nothing wrong\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["bencode", "no-such-file"], ["bencode", "--distil"]])
def test_what_cannot_be_done_is_said(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        fuzzing.main(arguments)


def test_distil_keeps_what_reaches_more_and_what_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "CORPUS", tmp_path / "corpus")
    kept = tmp_path / "corpus" / "handshake"
    kept.mkdir(parents=True)
    (kept / "says-something").write_bytes(b"\x13Bit")
    (kept / "0123456789ab").write_bytes(b"of an earlier time")
    found = tmp_path / "found"
    found.mkdir()
    # Not our protocol: the one refusal that no seed reaches; twice, of which the shorter is enough.
    (found / "one").write_bytes(b"GET / HTTP/1.1")
    (found / "two").write_bytes(b"x")
    assert fuzzing.distil("handshake", found) == 2
    assert {path.read_bytes() for path in kept.iterdir()} == {b"\x13Bit", b"x"}
