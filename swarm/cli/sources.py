"""The SOURCE arguments of commands, and `--select`: what a user names, turned into torrents and files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from swarm.base.dataclass import dataclass
from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError
from swarm.base.ids import InfoHash
from swarm.cli.output import Output
from swarm.cli.waiting import waiting_for
from swarm.metainfo import magnet
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import Metainfo
from swarm.session.session import Session
from swarm.session.torrent_source import is_url

#: Looks like an info-hash rather than a file: long, letters and digits only.
_HASH_LIKE = r"[0-9A-Za-z]{25,}"
_INFO_HASH_V2 = r"[0-9a-fA-F]{64}"
_RANGE = r" *[0-9]{1,9}(?:-(?:[0-9]{1,9})?)? *"
_RANGES = f"{_RANGE}(?:,{_RANGE})*"


def magnet_of(source: str) -> Magnet | None:
    """The magnet link that `source` is, or one for the info-hash that it is; None for files and URLs.

    Raises:
        MetainfoError: it looks like a link or an info-hash, but is not valid, or of v2 only.
    """
    if magnet.is_link(source):
        return magnet.parse(source)
    if re.fullmatch(_HASH_LIKE, source) and not os.path.lexists(source):
        if re.fullmatch(_INFO_HASH_V2, source):
            raise MetainfoError("an info-hash of BitTorrent v2 only; v1 and hybrid torrents are read so far")
        return Magnet(InfoHash.parse(source))
    return None


async def read_source(session: Session, source: str, *, is_own: bool = False) -> tuple[bytes, Metainfo]:
    """The bytes of a .torrent file or URL, and the torrent; errors name the source.

    Args:
        is_own: see `Metainfo.parse`.

    Raises:
        MetainfoError: it is no torrent. StorageError: it cannot be read. SwarmError: it cannot be fetched.
        SettingsError: `--bind` names no address or interface of this machine.
    """
    is_file = os.path.lexists(source)
    if not is_file and not is_url(source) and re.match(r"[a-z][a-z0-9+.-]*://", source, re.IGNORECASE):
        raise SwarmError(f"{source}: only http and https URLs are understood")
    try:
        raw = await session.read_source(source)
    except (MetainfoError, StorageError, SettingsError):
        raise
    except SwarmError as error:
        raise SwarmError(f"{source}: {error}") from None
    try:
        return raw, Metainfo.parse(raw, is_own=is_own)
    except MetainfoError as error:
        if raw.lstrip()[:1] == b"<":
            raise MetainfoError(f"{source}: not a torrent but a web page") from None
        raise MetainfoError(f"{source}: {error}") from None


@dataclass(frozen=True, slots=True)
class Source:
    """What a SOURCE is: a torrent that was read, or a magnet link whose metadata is still to be fetched.

    Args:
        raw: the bytes of the .torrent; empty for a magnet link.
        torrent, link: one of the two is None.
    """

    info_hash: InfoHash
    raw: bytes = b""
    torrent: Metainfo | None = None
    link: Magnet | None = None


async def read_all(session: Session, sources: Sequence[str], output: Output) -> list[Source]:
    """Read all `sources`; each torrent comes once.

    Raises:
        MetainfoError, StorageError, SwarmError: as `read_source`.
    """
    found: dict[InfoHash, Source] = {}
    for name in sources:
        link = magnet_of(name)
        if link is not None:
            source = Source(link.info_hash, link=link)
        else:
            async with waiting_for(name, output):
                raw, torrent = await read_source(session, name)
            source = Source(torrent.info_hash, raw, torrent)
        if source.info_hash in found:
            output.warning(f"{name}: the same torrent as another one here")
        # Of a link and a file the file is taken: it has the metadata already.
        if source.info_hash not in found or source.torrent is not None:
            found[source.info_hash] = source
    return list(found.values())


def chosen_files(torrent: Metainfo, selections: Sequence[str], link: Magnet | None) -> list[int] | None:
    """As `selected_files`, but without `--select` the files that the magnet link names (BEP 53)."""
    if not selections and link is not None and link.selected:
        return [index for index in link.selected if index < len(torrent.files)] or None
    return selected_files(torrent, selections)


def selected_files(torrent: Metainfo, selections: Sequence[str]) -> list[int] | None:
    """The indices of the files that `--select` names; None for all, where it is not given.

    Args:
        selections: each numbers as `--list` shows them (`1,3-5`, `7-`), a folder, or a glob over paths.

    Raises:
        SettingsError: no file has that number, or fits that glob.
    """
    if not selections:
        return None
    chosen: set[int] = set()
    for selection in selections:
        found = (
            _numbered(torrent, selection)
            if re.fullmatch(_RANGES, selection)
            else _fitting(torrent, selection)
        )
        if not found:
            raise SettingsError(f"--select {selection}: no file of {torrent.name} fits; --list shows them")
        chosen |= found
    return sorted(chosen)


def _numbered(torrent: Metainfo, selection: str) -> set[int]:
    count = len(torrent.files)
    chosen: set[int] = set()
    for part in selection.split(","):
        first, dash, last = part.strip().partition("-")
        start = int(first)
        end = int(last) if last else count if dash else start
        # Checked before the range is made, which could fill the memory.
        if not 1 <= start <= end <= count:
            raise SettingsError(
                f"--select {part.strip()}: the files of {torrent.name} are numbered 1 to {count}"
            )
        chosen.update(range(start - 1, end))
    return chosen


def _fitting(torrent: Metainfo, glob: str) -> set[int]:
    from fnmatch import translate

    # A folder means all that is in it.
    fits = re.compile(f"(?:{translate(glob)}|{translate(glob.rstrip('/') + '/*')})").match
    found = set()
    for index, file in enumerate(torrent.files):
        if file.is_pad:
            continue
        path = "/".join(file.path) or torrent.name
        names = (path, f"{torrent.name}/{path}", path.rpartition("/")[2])
        if any(fits(name) for name in names):
            found.add(index)
    return found
