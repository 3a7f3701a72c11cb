"""What users name on the command line, turned into torrents."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError
from swarm.base.ids import InfoHash
from swarm.metainfo import magnet
from swarm.metainfo.torrent import Metainfo
from swarm.session.session import Session

#: Looks like an info-hash rather than a file: long, letters and digits only.
_HASH_LIKE = re.compile(r"[0-9A-Za-z]{25,}")
_INFO_HASH_V2 = re.compile(r"[0-9a-fA-F]{64}")
_RANGES = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


async def read_source(session: Session, source: str, *, is_case_kept: bool = False) -> tuple[bytes, Metainfo]:
    """The bytes of a .torrent file or URL and what they say; errors name the source.

    Args:
        is_case_kept: see `Metainfo.parse`.

    Raises:
        MetainfoError: it is no torrent, no magnet link, no info-hash.
        StorageError: it cannot be read. SwarmError: it cannot be fetched, or is of a kind not built yet.
    """
    if not is_url(source):
        _refuse_links(source)
    try:
        raw = await session.read_source(source)
    except (MetainfoError, StorageError):
        raise
    except SwarmError as error:
        raise SwarmError(f"{source}: {error}") from None
    try:
        return raw, Metainfo.parse(raw, is_case_kept=is_case_kept)
    except MetainfoError as error:
        if raw.lstrip()[:1] == b"<":
            raise MetainfoError(f"{source}: not a torrent but a web page") from None
        raise MetainfoError(f"{source}: {error}") from None


def _refuse_links(source: str) -> None:
    """Magnet links and info-hashes: say whether they are valid, and that they are for later."""
    if source[:7].lower() == "magnet:":
        magnet.parse(source)
        raise SwarmError("magnet links are not built yet; give the .torrent file or its URL")
    if os.path.lexists(source):
        return
    if _HASH_LIKE.fullmatch(source):
        if not _INFO_HASH_V2.fullmatch(source):
            InfoHash.parse(source)
        raise SwarmError("bare info-hashes are not built yet; give the .torrent file or its URL")
    if re.match(r"[a-z][a-z0-9+.-]*://", source, re.IGNORECASE):
        raise SwarmError(f"{source}: only http and https URLs are understood")


def selected_files(torrent: Metainfo, selections: Sequence[str]) -> list[int] | None:
    """The indices that `--select` means; None where it was not given.

    Args:
        selections: each numbers as `--list` shows them (`1,3-5`) or a glob over paths.

    Raises:
        SettingsError: a number that is no file's, a glob that fits none.
    """
    if not selections:
        return None
    chosen: set[int] = set()
    for selection in selections:
        found = (
            _numbered(torrent, selection) if _RANGES.fullmatch(selection) else _fitting(torrent, selection)
        )
        if not found:
            raise SettingsError(f"--select {selection}: no file of {torrent.name} fits; --list shows them")
        chosen |= found
    return sorted(chosen)


def _numbered(torrent: Metainfo, selection: str) -> set[int]:
    count = len(torrent.files)
    chosen: set[int] = set()
    for part in selection.split(","):
        first, _, last = part.partition("-")
        start, end = int(first), int(last or first)
        # Before the range is made: "1-99999999999" must not fill the memory.
        if not 1 <= start <= end <= count:
            raise SettingsError(f"--select {part}: the files of {torrent.name} are numbered 1 to {count}")
        chosen.update(range(start - 1, end))
    return chosen


def _fitting(torrent: Metainfo, glob: str) -> set[int]:
    from fnmatch import translate

    fits = re.compile(translate(glob)).match
    found = set()
    for index, file in enumerate(torrent.files):
        if file.is_pad:
            continue
        path = "/".join(file.path) or torrent.name
        names = (path, f"{torrent.name}/{path}", path.rpartition("/")[2])
        if any(fits(name) for name in names):
            found.add(index)
    return found
