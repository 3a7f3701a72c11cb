"""Resume data: what is believed of it, and that it is never found half-written."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from swarm.base import bencode
from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError
from swarm.storage import resume, sealed
from swarm.storage.resume import ResumeRecord, weigh

S = 10**9
SAVED = 1_000 * S
BOOT = b"boot-1"


def field_of(text: str) -> Bitfield:
    """A bitfield drawn as a string: "* " is the first piece of two."""
    field = Bitfield(len(text))
    for piece, mark in enumerate(text):
        if mark == "*":
            field.add(piece)
    return field


def drawn(field: Bitfield) -> str:
    return "".join("*" if flag else " " for flag in field.flags)


def record_of(
    verified: str,
    synced: str,
    signature: list[tuple[int, int]],
    *,
    is_clean: bool = True,
    is_unsure: bool = False,
) -> ResumeRecord:
    return ResumeRecord(
        info_hash=b"i" * 20,
        content_path="/data/ünï\udcff",
        verified=field_of(verified),
        synced=field_of(synced),
        signature=signature,
        is_clean=is_clean,
        saved_at_ns=SAVED,
        boot_id=BOOT,
        downloaded_bytes=1 << 40,
        uploaded_bytes=3,
        partials={1: 0b1011, 7: 1 << 600},
        is_unsure=is_unsure,
    )


#: Two files over four pieces; the second piece holds bytes of both.
PIECES = [range(2), range(1, 4)]
SIGNATURE = [(100, SAVED - 9 * S), (200, SAVED - 9 * S)]


def weighed(
    record: ResumeRecord, signature: list[tuple[int, int]], boot_id: bytes = BOOT
) -> tuple[str, bool]:
    trust = weigh(record, signature, PIECES, boot_id, lambda index, piece: (piece - index + 1) * 60)
    assert all(piece in trust.verified for piece in trust.synced)
    return drawn(trust.verified), trust.is_content_unchanged


def test_decoded_record_equals_the_encoded_one() -> None:
    for is_unsure in (False, True):
        record = record_of("** *", "*   ", SIGNATURE, is_unsure=is_unsure)
        assert ResumeRecord.decode(record.encode()) == record


def test_record_of_nothing_survives_too() -> None:
    record = record_of("", "", [])
    assert ResumeRecord.decode(record.encode()) == record


def test_clean_stop_is_believed_whole() -> None:
    assert weighed(record_of("** *", "*   ", SIGNATURE), SIGNATURE) == ("** *", True)


def test_file_changed_after_a_clean_stop_loses_its_pieces() -> None:
    changed = [SIGNATURE[0], (200, SIGNATURE[1][1] + 1)]
    assert weighed(record_of("****", "****", SIGNATURE), changed) == ("*   ", False)


def test_stop_before_all_was_hashed_has_the_rest_looked_at_and_believes_no_later_write() -> None:
    """Another program may be writing at that moment, and go on."""
    record = record_of("**  ", "*   ", SIGNATURE, is_unsure=True)
    assert weighed(record, SIGNATURE) == ("**  ", False)
    assert weighed(record, [SIGNATURE[0], (200, SAVED + 1 * S)]) == ("*   ", False)


def test_file_gone_after_a_clean_stop_loses_its_pieces() -> None:
    assert weighed(record_of("****", "****", SIGNATURE), [(-1, 0), SIGNATURE[1]]) == ("  **", False)


def test_crash_keeps_what_was_saved_where_only_we_can_have_written() -> None:
    grown = [SIGNATURE[0], (300, SAVED + 5 * S)]
    assert weighed(record_of("** *", "*   ", SIGNATURE, is_clean=False), grown) == ("** *", False)


def test_crash_with_a_file_written_long_after_the_last_record_loses_its_pieces() -> None:
    foreign = [SIGNATURE[0], (300, SAVED + 60 * S)]
    assert weighed(record_of("****", "****", SIGNATURE, is_clean=False), foreign) == ("*   ", False)


def test_crash_with_a_file_put_back_from_an_older_copy_loses_its_pieces() -> None:
    older = [SIGNATURE[0], (200, SIGNATURE[1][1] - 1)]
    assert weighed(record_of("****", "****", SIGNATURE, is_clean=False), older) == ("*   ", False)


def test_clock_set_forward_or_back_costs_hashing_and_never_belief() -> None:
    """Our own writes after the record look foreign: from the future, or older than what was signed."""
    record = record_of("****", "****", SIGNATURE, is_clean=False)
    for moved_s in (-86_400, 86_400):
        assert weighed(record, [SIGNATURE[0], (200, SAVED + moved_s * S)]) == ("*   ", False)
    # An orderly stop saves last of all: whatever the clock does afterwards, the files are as they were.
    assert weighed(record_of("****", "****", SIGNATURE), SIGNATURE) == ("****", True)


def test_crash_with_a_file_that_became_shorter_loses_its_pieces() -> None:
    shorter = [(99, SAVED), SIGNATURE[1]]
    assert weighed(record_of("****", "****", SIGNATURE, is_clean=False), shorter) == ("  **", False)


@pytest.mark.parametrize("is_clean", [True, False])
@pytest.mark.parametrize("boot_id", [b"boot-2", b""])
def test_reboot_keeps_only_what_was_synced(is_clean: bool, boot_id: bytes) -> None:
    record = record_of("****", "* * ", SIGNATURE, is_clean=is_clean)
    assert weighed(record, SIGNATURE, boot_id) == ("* * ", False)


def test_power_cut_that_made_a_file_shorter_keeps_the_synced_pieces_below() -> None:
    record = record_of("****", "****", SIGNATURE, is_clean=False)
    assert weighed(record, [SIGNATURE[0], (120, SAVED - 20 * S)], b"boot-2") == ("*** ", False)
    assert weighed(record, [(-1, 0), SIGNATURE[1]], b"boot-2") == ("  **", False)


def test_clean_stop_with_all_synced_is_believed_after_a_reboot() -> None:
    assert weighed(record_of("** *", "** *", SIGNATURE), SIGNATURE, b"boot-2") == ("** *", True)


def test_record_for_another_number_of_files_is_worth_nothing() -> None:
    assert weighed(record_of("****", "****", SIGNATURE[:1]), SIGNATURE) == ("    ", False)


def test_boot_id_names_the_running_system() -> None:
    assert resume.boot_id() == resume.boot_id()


# -- on disk --------------------------------------------------------------------------------------


async def test_saved_record_is_loaded_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "made/for/it/x.resume"
    record = record_of("** *", "*   ", SIGNATURE)
    await resume.save(path, record)
    assert await resume.load(path) == record
    assert [found.name for found in path.parent.iterdir()] == ["x.resume"]


async def test_large_record_holds_up_no_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    encode, decode = bencode.encode, bencode.decode

    def encode_somewhere(value: bencode.Encodable) -> bytes:
        threads.append(threading.current_thread())
        return encode(value)

    def decode_somewhere(raw: bytes, *, max_bytes: int) -> bencode.Value:
        threads.append(threading.current_thread())
        return decode(raw, max_bytes=max_bytes)

    monkeypatch.setattr(bencode, "encode", encode_somewhere)
    monkeypatch.setattr(bencode, "decode", decode_somewhere)
    record = record_of("*", "*", [(1, SAVED)])
    await resume.save(tmp_path / "x.resume", record)
    assert await resume.load(tmp_path / "x.resume") == record
    assert len(threads) == 2 and threading.current_thread() not in threads


async def test_no_record_is_no_error(tmp_path: Path) -> None:
    assert await resume.load(tmp_path / "none.resume") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "longer"])
async def test_damaged_record_is_set_aside_under_a_name_that_says_so(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.resume"
    await resume.save(path, record_of("** *", "*   ", SIGNATURE))
    raw = path.read_bytes()
    flipped = raw[:60] + bytes([raw[60] ^ 1]) + raw[61:]
    broken = {"cut": raw[:-1], "flipped": flipped, "empty": b"", "foreign": b"hello", "longer": raw + b"e"}
    path.write_bytes(broken[damage])
    with pytest.raises(StorageError, match=r"set aside as x\.resume\.broken-"):
        await resume.load(path)
    assert not path.exists()
    (aside,) = tmp_path.iterdir()
    assert aside.read_bytes() == broken[damage]
    assert await resume.load(path) is None


def test_every_cut_and_every_flipped_byte_is_one_documented_error() -> None:
    raw = record_of("** *", "*   ", SIGNATURE).encode()
    for at in range(len(raw)):
        flipped = raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :]
        for broken in (raw[:at], flipped):
            with pytest.raises(StorageError):
                ResumeRecord.decode(broken)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"infohash", b"short"),
        (b"infohash", [1] * 20),
        (b"content", 5),
        (b"pieces", -5),
        (b"verified", []),
        (b"files", [[{}, 5]]),
        (b"files", b"ab"),
        (b"saved", b"soon"),
        (b"boot", {}),
        (b"downloaded", -1),
        (b"partials", {b"1": 5}),
    ],
)
def test_sealed_record_of_another_shape_is_not_understood(key: bytes, value: bencode.Encodable) -> None:
    magic = b"swarm resume 1\n"
    body = sealed.unseal(magic, record_of("** *", "*   ", SIGNATURE).encode())
    assert body is not None
    fields = bencode.decode(body)
    assert isinstance(fields, dict)
    raw = sealed.seal(magic, bencode.encode({**fields, key: value}))
    with pytest.raises(StorageError, match="not understood"):
        ResumeRecord.decode(raw)


async def test_record_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.resume"
    old = record_of("**  ", "*   ", SIGNATURE)
    await resume.save(path, old)
    # A folder in place of the scratch file stands for any disk that refuses.
    (tmp_path / f"x.resume.{os.getpid()}.new").mkdir()
    with pytest.raises(StorageError, match=r"x\.resume"):
        await resume.save(path, record_of("****", "****", SIGNATURE))
    assert await resume.load(path) == old


async def test_record_of_a_process_killed_while_saving_is_always_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.resume"
    program = f"""
import asyncio, pathlib, sys
from swarm.base.bitfield import Bitfield
from swarm.storage import resume
async def main():
    number = 0
    while True:
        field = Bitfield(400_000, is_full=bool(number % 2))
        record = resume.ResumeRecord(b"i" * 20, "x", field, field, [], False, number, b"boot")
        await resume.save(pathlib.Path({str(path)!r}), record)
        if not number:
            print("saved", flush=True)
        number += 1
asyncio.run(main())
"""
    for wait_s in (0.0, 0.011, 0.023):
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert await child.stdout.readline() == b"saved\n"
        await asyncio.sleep(wait_s)  # not to wait for anything: to hit another moment each time
        child.kill()
        await child.wait()
        record = await resume.load(path)
        assert record is not None
        assert record.verified == Bitfield(400_000, is_full=bool(record.saved_at_ns % 2))
