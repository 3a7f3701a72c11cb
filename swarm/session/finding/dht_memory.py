"""What the DHT remembers between two runs: who we are and whom we know (warm start)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swarm.base import bencode
from swarm.base.dataclass import dataclass
from swarm.base.errors import BencodeError, StorageError
from swarm.storage import sealed
from swarm.wire.krpc import CONTACT_V4_BYTES, CONTACT_V6_BYTES, Contact, decode_contacts, encode_contact

_MAGIC = b"swarm dht 1\n"
#: Contacts kept of each family. A cold start takes seconds with eight of them that answer; most of a
#: routing table is gone after a night.
CONTACTS_MAX = 400
_FILE_BYTES_MAX = 1 << 16
ID_BYTES = 20


@dataclass(frozen=True, slots=True)
class HomeMemory:
    """One node's; `own_id` is empty where it never had one."""

    own_id: bytes = b""
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class DhtMemory:
    """Both nodes'."""

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
        StorageError: it is damaged, and was set aside as `NAME.broken`; or it cannot be read.
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
