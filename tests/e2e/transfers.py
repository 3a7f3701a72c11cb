"""What the transfer tests share: contents, torrents of them, sessions that keep to themselves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

from swarm import Session, SessionSettings, Torrent
from swarm.base.bencode import Encodable, encode
from swarm.engine.settings import EngineSettings
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.storage.create import create_torrent

#: Long enough for a loaded machine; nothing waits for it to pass.
PATIENCE_S = 30.0


class Offer(NamedTuple):
    """Content on disk and its torrent."""

    path: Path
    raw: bytes

    @property
    def metainfo(self) -> Metainfo:
        return Metainfo.parse(self.raw)

    def content(self) -> bytes:
        """All files end to end."""
        return b"".join(
            self.path.joinpath(*file.path).read_bytes() for file in self.metainfo.files if not file.is_pad
        )


def offer_file(
    folder: Path, length: int, piece_length: int, *, seed: int = 1, name: str = "file.bin"
) -> Offer:
    """A file of random bytes below `folder`, and its torrent."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(random.Random(seed).randbytes(length))
    return Offer(path, create_torrent(path, TorrentOptions(piece_length=piece_length)))


def offer_folder(folder: Path, files: dict[str, int], piece_length: int, *, seed: int = 1) -> Offer:
    """A folder of files (path -> length) below `folder`, and its torrent."""
    rng = random.Random(seed)
    root = folder / "folder"
    for name, length in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(length))
    return Offer(root, create_torrent(root, TorrentOptions(piece_length=piece_length)))


def offer_padded(folder: Path, files: dict[str, int], piece_length: int, *, seed: int = 1) -> Offer:
    """As `offer_folder`, each file but the last filled up to the end of its piece by a pad file (BEP 47)."""
    offer = offer_folder(folder, files, piece_length, seed=seed)
    listed: list[Encodable] = []
    for number, (name, length) in enumerate(files.items(), 1):
        listed.append({b"length": length, b"path": [part.encode() for part in name.split("/")]})
        padding = -length % piece_length
        if padding and number < len(files):
            path: list[Encodable] = [b".pad", b"%d" % padding]
            listed.append({b"attr": b"p", b"length": padding, b"path": path})
    info: dict[bytes, Encodable] = {b"files": listed, b"name": b"folder", b"piece length": piece_length}
    content = padded_content(offer.path, files, piece_length)
    starts = range(0, len(content), piece_length)
    info[b"pieces"] = b"".join(sha1(content[at : at + piece_length]).digest() for at in starts)
    return Offer(offer.path, encode({b"info": info}))


def padded_content(root: Path, files: Iterable[str], piece_length: int) -> bytes:
    """The content of `offer_padded`, padding and all."""
    content = b""
    for name in files:
        content += bytes(-len(content) % piece_length) + (root / name).read_bytes()
    return content


def settings_of(
    state_dir: Path,
    *,
    engine: EngineSettings | None = None,
    handshake_timeout_s: float = 10.0,
    resume_save_s: float = 3.0,
    sync_s: float = 15.0,
    close_timeout_s: float = 5.0,
    send_backlog_max_bytes: int = 16 << 20,
    connections_max: int = 200,
    is_dht_enabled: bool = False,
) -> SessionSettings:
    """Without the DHT by default: these tests say who meets whom."""
    return SessionSettings(
        state_dir=state_dir,
        # Tests of the same content that run at the same time must not meet.
        is_lsd_enabled=False,
        engine=engine or EngineSettings(),
        thread_count=2,
        handshake_timeout_s=handshake_timeout_s,
        resume_save_s=resume_save_s,
        sync_s=sync_s,
        close_timeout_s=close_timeout_s,
        send_backlog_max_bytes=send_backlog_max_bytes,
        connections_max=connections_max,
        is_dht_enabled=is_dht_enabled,
    )


def open_session(settings: SessionSettings) -> Session:
    """On loopback, any port."""
    return Session(port=0, bind="127.0.0.1", settings=settings)


async def seed(session: Session, offer: Offer) -> Torrent:
    """Offer the content, and wait until it is verified."""
    torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
    await within(torrent.completed())
    return torrent


async def within(awaitable: object) -> None:
    """Wait for what must happen, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        await awaitable  # type: ignore[misc]  # a coroutine or a future


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(PATIENCE_S):
        # Conditions are of the library's own state, which has no events to wait for.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def assert_same(found: Path, wanted: Path) -> None:
    """Compare every byte of a file, or of every file of a folder, and that there are no others."""
    if wanted.is_file():
        assert found.read_bytes() == wanted.read_bytes()
        return
    names = {path.relative_to(wanted) for path in wanted.rglob("*") if path.is_file()}
    assert {path.relative_to(found) for path in found.rglob("*") if path.is_file()} == names
    for name in names:
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name


def notices_of(torrent: Torrent) -> str:
    """All that it had to say, a line each, and taken."""
    return "\n".join(f"{notice.level}: {notice.text}" for notice in torrent.notices())
