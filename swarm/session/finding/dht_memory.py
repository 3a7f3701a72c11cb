"""What the DHT remembers between two runs, so that it starts warm: our node ids, and nodes that answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swarm.base import bencode
from swarm.base.dataclass import dataclass
from swarm.base.errors import BencodeError, StorageError, SwarmError
from swarm.session.finding.sources import OnNotice
from swarm.storage import sealed
from swarm.storage.lock import ProcessLock
from swarm.wire.krpc import CONTACT_V4_BYTES, CONTACT_V6_BYTES, Contact, decode_contacts, encode_contact

_MAGIC = b"swarm dht 1\n"
#: Contacts kept of each family. A cold start takes seconds with eight of them that answer; most of a
#: routing table is gone after a night.
CONTACTS_MAX = 400
_FILE_BYTES_MAX = 1 << 16
ID_BYTES = 20


@dataclass(frozen=True, slots=True)
class HomeMemory:
    """What one node remembers: its own id (20 bytes; empty where it never had one), and nodes it knew."""

    own_id: bytes = b""
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class DhtMemory:
    """What our two nodes remember, that of IPv4 and that of IPv6."""

    v4: HomeMemory = HomeMemory()
    v6: HomeMemory = HomeMemory()

    def home(self, *, is_v6: bool) -> HomeMemory:
        return self.v6 if is_v6 else self.v4

    @property
    def has_contacts(self) -> bool:
        return bool(self.v4.contacts or self.v6.contacts)

    def encode(self) -> bytes:
        fields = {b"4": _home_fields(self.v4), b"6": _home_fields(self.v6)}
        return sealed.seal(_MAGIC, bencode.encode(fields))

    @classmethod
    def decode(cls, raw: bytes) -> DhtMemory:
        """Read what `encode` wrote.

        Raises:
            StorageError: it is damaged, or not ours.
        """
        body = sealed.unseal(_MAGIC, raw)
        if body is None:
            raise StorageError("the saved routing table is damaged")
        try:
            fields: Any = bencode.decode(body, max_bytes=_FILE_BYTES_MAX)
            return cls(_home(fields[b"4"], is_v6=False), _home(fields[b"6"], is_v6=True))
        except (BencodeError, KeyError, TypeError, ValueError):
            raise StorageError("the saved routing table is not understood") from None


def _home_fields(home: HomeMemory) -> dict[bytes, bytes]:
    contacts: Sequence[Contact] = home.contacts[:CONTACTS_MAX]
    return {b"id": home.own_id, b"nodes": b"".join(map(encode_contact, contacts))}


def _home(fields: Any, *, is_v6: bool) -> HomeMemory:
    own_id, nodes = fields[b"id"], fields[b"nodes"]
    size = CONTACT_V6_BYTES if is_v6 else CONTACT_V4_BYTES
    if not isinstance(own_id, bytes) or not isinstance(nodes, bytes):
        raise TypeError("no strings")
    if len(own_id) not in (0, ID_BYTES) or len(nodes) % size or len(nodes) > CONTACTS_MAX * size:
        raise ValueError("an id has 20 bytes, an entry one length")
    return HomeMemory(own_id, tuple(decode_contacts(nodes, is_v6=is_v6)))


def memory_path(state_dir: Path) -> Path:
    """Where it is kept."""
    return state_dir / "dht.state"


async def load(path: Path) -> DhtMemory:
    """What is remembered at `path`; nothing where there is no such file.

    Raises:
        StorageError: it is damaged, and was set aside as `NAME.broken-DATE`; or it cannot be read.
    """
    raw = await sealed.read(path, _FILE_BYTES_MAX)
    if raw is None:
        return DhtMemory()
    try:
        return DhtMemory.decode(raw)
    except StorageError as error:
        raise await sealed.set_aside(path, error.reason) from None


async def save(path: Path, memory: DhtMemory) -> None:
    """Replace what is remembered, whole.

    Raises:
        StorageError: it could not be written; the old one is still there.
    """
    await sealed.replace(path, memory.encode())


class MemoryFile:
    """The file of a `DhtMemory`. One process at a time has it; others may read it, and write nothing.

    Args:
        path: None where nothing is remembered.
        is_keeping: whether to write; else it is only read.
        on_notice: gets what goes wrong, which stops nothing.

    Attributes:
        is_ours: whether we have the file, and may go by the node ids in it; known after `load`.
    """

    def __init__(self, path: Path | None, *, is_keeping: bool, on_notice: OnNotice) -> None:
        self._path = path
        self._is_keeping = is_keeping
        self._on_notice = on_notice
        self._lock: ProcessLock | None = None
        self._saving = asyncio.Lock()
        #: The user has been told that it cannot be kept, and it has not been since.
        self._has_warned = False

    @property
    def is_ours(self) -> bool:
        return self._lock is not None

    async def load(self) -> DhtMemory:
        """Take the file, if nobody else has it, and read it; nothing is remembered where that fails."""
        if self._path is None:
            return DhtMemory()
        if self._is_keeping:
            self._take(self._path)
        try:
            return await load(self._path)
        except StorageError as error:
            self._on_notice("warning", f"dht: {error}; starting without it")
            return DhtMemory()

    def _take(self, path: Path) -> None:
        lock = ProcessLock(path.with_suffix(".lock"), "another process has it")
        try:
            lock.acquire()
            self._lock = lock
        except SwarmError:
            self._is_keeping = False
        except OSError as error:
            self._warn(error.strerror or str(error))

    def _warn(self, reason: str) -> None:
        """Say once that it cannot be kept; it is tried again with the next save."""
        if not self._has_warned:
            self._has_warned = True
            self._on_notice("warning", f"dht: the routing table cannot be kept: {reason}")

    async def save(self, memory: DhtMemory) -> None:
        """Replace what the file holds, if it is ours to write."""
        # A thread that writes goes on when we are cancelled, and must not meet the next one.
        await asyncio.shield(asyncio.get_running_loop().create_task(self._save(memory)))

    async def _save(self, memory: DhtMemory) -> None:
        async with self._saving:
            if not self._is_keeping or self._path is None:
                return
            if self._lock is None:
                # The disk may have been full at the start.
                self._take(self._path)
            if self._lock is None:
                return
            try:
                await save(self._path, memory)
                self._has_warned = False
            except StorageError as error:
                self._warn(str(error))

    def release(self) -> None:
        """Let others have the file."""
        if self._lock is not None:
            self._lock.release()
