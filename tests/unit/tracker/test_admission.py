"""Who may: lists, passkeys, rates; and the files that they come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm.base.errors import SettingsError, SwarmError, TrackerError
from swarm.tracker.admission import COUNTED_MAX, WINDOW_S, Admission
from swarm.tracker.lists import Lists

OURS, OTHER = b"a" * 20, b"b" * 20
HERE, THERE = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


class TestTorrents:
    @pytest.mark.parametrize(
        ("admission", "served"),
        [
            (Admission(), {OURS, OTHER}),
            (Admission(allowed=[OURS]), {OURS}),
            (Admission(allowed=[]), set()),
            (Admission(denied=[OURS]), {OTHER}),
            (Admission(allowed=[OURS, OTHER], denied=[OTHER]), {OURS}),
        ],
    )
    def test_lists_decide(self, admission: Admission, served: set[bytes]) -> None:
        assert {one for one in (OURS, OTHER) if admission.serves(one)} == served


class TestPasskeys:
    def test_are_asked_of_everybody_where_there_are_any(self) -> None:
        admission = Admission(passkeys=[b"good"])
        admission.check_passkey(b"good")
        for bad in (b"", b"bad", b"good2", b"good/x", b"g" * 1000):
            with pytest.raises(TrackerError, match="passkey") as raised:
                admission.check_passkey(bad)
            assert raised.value.is_final
        assert admission.refused_count == 5

    def test_are_not_looked_at_where_there_are_none(self) -> None:
        Admission().check_passkey(b"anything")


class TestRates:
    def test_an_address_may_so_often_a_minute(self) -> None:
        admission = Admission(per_minute=3)
        for _ in range(3):
            admission.count(HERE, 1.0)
        with pytest.raises(TrackerError, match="too many") as raised:
            admission.count(HERE, 2.0)
        assert raised.value.retry_in_s == WINDOW_S
        admission.count(THERE, 2.0)
        admission.count(HERE, 1.0 + WINDOW_S)

    def test_a_network_of_ipv6_counts_as_one(self) -> None:
        admission = Admission(per_minute=1)
        admission.count(bytes(8) + b"12345678", 0)
        with pytest.raises(TrackerError):
            admission.count(bytes(8) + b"abcdefgh", 0)
        admission.count(b"87654321" + bytes(8), 0)

    def test_no_limit_counts_nobody(self) -> None:
        admission = Admission()
        for _ in range(1000):
            admission.count(HERE, 0)
        assert not admission.is_strict

    def test_what_is_counted_is_bounded(self) -> None:
        admission = Admission(per_minute=1)
        for number in range(COUNTED_MAX + 1):
            admission.count(number.to_bytes(4, "big"), 0)
        # Counting has begun anew.
        admission.count(bytes(4), 0)


class TestLists:
    def test_are_read_again_when_they_change(self, tmp_path: Path) -> None:
        admission, path = Admission(), tmp_path / "allow"
        path.write_text(f"# ours\n{OURS.hex()}  # this one\n\n")
        lists = Lists(admission, allow=path, deny=None, passkeys=None)
        lists.read()
        assert admission.allowed == {OURS} and not lists.read_changed()
        other = tmp_path / "new"
        other.write_text(OTHER.hex())
        os.replace(other, path)
        assert lists.read_changed() and admission.allowed == {OTHER}
        assert not lists.read_changed()

    def test_what_came_through_a_pipe_stays_when_another_one_changes(self, tmp_path: Path) -> None:
        allow = tmp_path / "allow"
        allow.write_text("aa" * 20)
        reader, writer = os.pipe()
        os.write(writer, b"bb" * 20)
        os.close(writer)
        admission = Admission()
        lists = Lists(admission, allow=allow, deny=Path(f"/dev/fd/{reader}"), passkeys=None)
        lists.read()
        assert not lists.read_changed()
        allow.write_text("cc" * 20 + "\n")
        assert lists.read_changed()
        os.close(reader)
        assert (admission.allowed, admission.denied) == ({b"\xcc" * 20}, {b"\xbb" * 20})

    def test_a_broken_change_leaves_what_was(self, tmp_path: Path) -> None:
        admission, allow, keys = Admission(), tmp_path / "allow", tmp_path / "keys"
        allow.write_text(OURS.hex())
        keys.write_text("abc\n")
        lists = Lists(admission, allow=allow, deny=None, passkeys=keys)
        lists.read()
        allow.write_text(OTHER.hex() + "\n")
        keys.write_text("not/a key\n")
        with pytest.raises(SettingsError, match="line 1: a passkey"):
            lists.read_changed()
        assert (admission.allowed, admission.passkeys) == ({OURS}, {b"abc"})
        # Told once, not every second.
        assert not lists.read_changed()
        allow.unlink()
        with pytest.raises(SwarmError, match=r"allow: no such file or folder$"):
            lists.read_changed()
        assert admission.allowed == {OURS}
