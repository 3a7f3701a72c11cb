"""The saved routing table: what was saved comes back, what is broken is set aside."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base import bencode
from swarm.base.endpoint import Endpoint
from swarm.base.errors import StorageError
from swarm.session.finding import dht_memory
from swarm.session.finding.dht_memory import CONTACTS_MAX, DhtMemory, HomeMemory, MemoryFile
from swarm.storage import sealed
from swarm.storage.lock import ProcessLock
from swarm.wire.krpc import Contact

V4 = HomeMemory(b"a" * 20, (Contact(b"b" * 20, Endpoint("10.0.0.1", 6881)),))
V6 = HomeMemory(b"c" * 20, (Contact(b"d" * 20, Endpoint("2001:db8::1", 1)),))


@pytest.mark.parametrize("memory", [DhtMemory(), DhtMemory(V4), DhtMemory(V4, V6)])
def test_what_was_saved_comes_back(memory: DhtMemory) -> None:
    assert DhtMemory.decode(memory.encode()) == memory
    assert memory.home(is_v6=False) is memory.v4


def test_no_more_contacts_are_saved_than_are_of_use() -> None:
    many = tuple(Contact(b"b" * 20, Endpoint("10.0.0.1", port)) for port in range(1, CONTACTS_MAX + 50))
    assert (
        DhtMemory.decode(DhtMemory(HomeMemory(b"a" * 20, many)).encode()).v4.contacts == many[:CONTACTS_MAX]
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_one_documented_error(raw: bytes) -> None:
    with pytest.raises(StorageError):
        DhtMemory.decode(raw)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {b"4": b"x", b"6": b"x"},
        {b"4": {b"id": b"", b"nodes": b""}},
        {b"4": {b"id": b"short", b"nodes": b""}, b"6": {b"id": b"", b"nodes": b""}},
        {b"4": {b"id": b"", b"nodes": b"odd"}, b"6": {b"id": b"", b"nodes": b""}},
        {b"4": {b"id": 5, b"nodes": b""}, b"6": {b"id": b"", b"nodes": b""}},
        {b"4": {b"id": [1] * 20, b"nodes": b""}, b"6": {b"id": b"", b"nodes": b""}},
        {b"4": {b"id": b"", b"nodes": [1] * 26}, b"6": {b"id": b"", b"nodes": b""}},
    ],
)
def test_a_sealed_file_of_another_shape_is_not_understood(fields: bencode.Value) -> None:
    raw = sealed.seal(b"swarm dht 1\n", bencode.encode(fields))
    with pytest.raises(StorageError, match="not understood"):
        DhtMemory.decode(raw)


async def test_a_broken_file_is_set_aside_and_the_next_start_is_a_fresh_one(tmp_path: Path) -> None:
    path = dht_memory.memory_path(tmp_path)
    assert await dht_memory.load(path) == DhtMemory()
    await dht_memory.save(path, DhtMemory(V4, V6))
    assert await dht_memory.load(path) == DhtMemory(V4, V6)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match=r"damaged; it was set aside as dht\.state\.broken"):
        await dht_memory.load(path)
    assert await dht_memory.load(path) == DhtMemory()


async def test_a_table_for_which_there_was_no_room_is_kept_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dht_memory.memory_path(tmp_path)
    said: list[str] = []
    file = MemoryFile(path, is_keeping=True, on_notice=lambda level, text: said.append(f"{level}: {text}"))
    assert await file.load() == DhtMemory()
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        await file.save(DhtMemory(V4))
        await file.save(DhtMemory(V4))
    assert not path.exists()
    assert said == [f"warning: dht: the routing table cannot be kept: {path}: the disk is full"]
    await file.save(DhtMemory(V4, V6))
    assert await dht_memory.load(path) == DhtMemory(V4, V6)
    file.release()


async def test_a_file_that_could_not_be_locked_at_the_start_is_taken_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dht_memory.memory_path(tmp_path)
    said: list[str] = []
    first, second = (
        MemoryFile(path, is_keeping=True, on_notice=lambda level, text: said.append(text)) for _ in range(2)
    )
    with monkeypatch.context() as full:
        full.setattr(ProcessLock, "acquire", refuse)
        await first.load()
        await first.save(DhtMemory(V4))
    assert not path.exists() and not first.is_ours
    assert said == ["dht: the routing table cannot be kept: No space left on device"]
    await first.save(DhtMemory(V4))
    assert await dht_memory.load(path) == DhtMemory(V4) and first.is_ours
    # Nobody writes what another one has.
    await second.load()
    await second.save(DhtMemory(V4, V6))
    assert await dht_memory.load(path) == DhtMemory(V4) and len(said) == 1
    first.release()
    second.release()


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
