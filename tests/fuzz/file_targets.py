"""Files of our own that a crash, a bad disk or a stranger may have written."""

from __future__ import annotations

import itertools
import random
import struct
import tempfile
import zlib
from pathlib import Path

from swarm.base.bitfield import Bitfield
from swarm.base.errors import SettingsError, StorageError, SwarmError
from swarm.base.ip_ranges import parse_ranges
from swarm.storage import sealed
from swarm.storage.resume import ResumeRecord, weigh
from swarm.tracker import snapshot
from swarm.tracker.admission import Admission
from swarm.tracker.lists import Lists
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.store import Kind
from tests.fuzz.target import Target, settles


def _bits(*pieces: int) -> Bitfield:
    field = Bitfield(10)
    for piece in pieces:
        field.add(piece)
    return field


_RECORD = ResumeRecord(
    b"h" * 20, "/data/tour", _bits(0, 1, 5), _bits(0), [(100, 7), (5, 9)], True, 10**18, b"boot", 5, 6, {3: 5}
).encode()
_MAGIC = b"swarm resume 1\n"
_BODY = sealed.unseal(_MAGIC, _RECORD)
assert _BODY is not None


def _resume(raw: bytes) -> None:
    """As it lies on the disk, and with a checksum that fits: whatever is read can be worked with."""
    for file in (raw, sealed.seal(_MAGIC, raw)):
        record = settles(file, ResumeRecord.decode, ResumeRecord.encode, StorageError)
        if record is None:
            continue
        assert len(record.info_hash) == 20 and isinstance(record.boot_id, bytes)
        assert len(record.synced) == len(record.verified)
        assert record.downloaded_bytes >= 0 and record.uploaded_bytes >= 0
        piece_count = len(record.verified)
        assert all(isinstance(one, int) for pair in record.partials.items() for one in pair)
        signature = [(size, time_ns + 1) for size, time_ns in record.signature]
        pieces_of_file = [range(piece_count)] * len(signature)
        trust = weigh(record, signature, pieces_of_file, record.boot_id, lambda file, piece: piece)
        assert trust.verified.count <= record.verified.count


def _sealed(raw: bytes) -> None:
    magic, body = raw[:4], raw[4:]
    assert sealed.unseal(magic, sealed.seal(magic, body)) == body
    found = sealed.unseal(magic, raw)
    assert found is None or sealed.seal(magic, found) == raw


def _store() -> MemoryStore:
    return MemoryStore(1800, random.Random(1))


def _remembered(store: MemoryStore) -> dict[bytes, tuple[int, list[list[tuple[bytes, bytes, Kind, int]]]]]:
    """What is saved of `store`, without the order: each peer gets a random place in its row anew."""
    swarms = {}
    for kept in store.keep():
        swarms[kept.info_hash] = (kept.downloads, [sorted(row.peers()) for row in kept.rows])
    return swarms


def _tracker_snapshot(raw: bytes) -> None:
    """What our tracker remembers: as it lies on the disk, and with a checksum that fits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshot")
        sealed_files = [
            magic + raw + struct.pack("<I", zlib.crc32(magic + raw)) for magic in _SNAPSHOT_MAGICS
        ]
        for file in (raw, *sealed_files):
            path.write_bytes(file)
            store = _store()
            try:
                snapshot.load(store, path, 5000.0, 1e9)
            except StorageError:
                continue
            snapshot.save(store, path, 5000.0, 1e9)
            again = _store()
            assert snapshot.load(again, path, 5000.0, 1e9)
            assert _remembered(again) == _remembered(store)


def _tracker_lists(raw: bytes) -> None:
    """The files of allowed torrents and of passkeys."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list")
        path.write_bytes(raw)
        for allow, passkeys in ((path, None), (None, path)):
            admission = Admission()
            try:
                Lists(admission, allow=allow, deny=None, passkeys=passkeys).read()
            except SwarmError as error:
                assert "\n" not in str(error)
                continue
            assert all(len(one) == 20 for one in admission.allowed or ())
            assert all(one.isalnum() for one in admission.passkeys or ())


def _blocklist(raw: bytes) -> None:
    """A list of addresses that a user got from somewhere."""
    try:
        found = parse_ranges(raw.decode("latin-1"))
    except SettingsError as error:
        assert str(error).isprintable()
        return
    again = parse_ranges("\n".join(f"{first}-{last}" for first, last in found))
    assert list(again) == list(found)
    for end in itertools.chain.from_iterable(found):
        # A range of IPv6 may begin or end in IPv4-in-IPv6, of which it says nothing.
        assert end in found or end.startswith("::ffff:")


_SNAPSHOT_MAGICS = (b"swarm tracker 3\n", b"swarm tracker 2\n", b"swarm tracker 1\n")


def _a_snapshot(form: int) -> bytes:
    """One torrent with two peers of IPv4 and one of IPv6, without magic and checksum."""
    heads = [(6, 2, 1, 2), (18, 1, 0, 1)]
    first, second = (
        struct.pack("<BII", *head[:3]) if form == 1 else struct.pack("<BIII", *head) for head in heads
    )
    head = struct.pack("<q", 10**9 - 5) + (struct.pack("<q", 9) if form == 3 else b"")
    row = first + b"\1\2\3\4\5\6" * 2 + b"p" * 40 + struct.pack("<II", 5, 9)
    row_v6 = second + b"v" * 18 + b"q" * 20 + struct.pack("<I", 5)
    return head + struct.pack("<20sQB", b"h" * 20, 3, 2) + row + row_v6


FILE_TARGETS = (
    Target("resume", _resume, (_RECORD, _BODY), max_bytes=1024),
    Target(
        "blocklist",
        _blocklist,
        (b"some: name:1.2.3.4-1.2.4.0\n10.0.0.0/8\n# no\n2001:db8::/32\n::1\n5.6.7.8-5.6.7.9 , 000 , x\n",),
        max_bytes=512,
    ),
    Target("sealed", _sealed, (b"swrm" + sealed.seal(b"swrm", b"body")[4:],), max_bytes=128),
    Target(
        "tracker-snapshot",
        _tracker_snapshot,
        tuple(map(_a_snapshot, (1, 2, 3))),
        max_bytes=512,
    ),
    Target("tracker-lists", _tracker_lists, (b"# ours\n" + b"6a" * 20 + b" # tour\n", b"key1\nkey2\n"), 512),
)
