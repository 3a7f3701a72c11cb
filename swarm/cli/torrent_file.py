"""Reads .torrent files, of bounded size, and writes them atomically; errors name the file."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError
from swarm.metainfo.limits import MAX_METAINFO_BYTES
from swarm.storage.faults import check_folder, storage_error

if TYPE_CHECKING:
    from swarm.metainfo.torrent import Metainfo

#: What users give where a file is asked for, and what it is.
_NO_FILES = (
    (r"https?://.*", "a URL"),
    (r"magnet:.*", "a magnet link"),
    (r"[0-9a-f]{40}|[0-9a-f]{64}|[a-z2-7]{32}", "an info-hash"),
)


def read_torrent(path: str, *, is_own: bool = False) -> tuple[bytes, Metainfo]:
    """The bytes of a .torrent, and the torrent.

    Args:
        is_own: see `Metainfo.parse`.

    Raises:
        StorageError: it cannot be read.
        MetainfoError: it is no torrent.
        SettingsError: it is a URL or the like, of which only `leech` makes a file.
    """
    # Imported here: `mktorrent`, which only writes one, starts faster without.
    from swarm.metainfo.torrent import Metainfo
    from swarm.storage.whole_file import read_whole

    try:
        raw, _ = read_whole(path, MAX_METAINFO_BYTES)
    except StorageError:
        _refuse_no_file(path)
        raise
    try:
        return raw, Metainfo.parse(raw, is_own=is_own)
    except MetainfoError as error:
        raise MetainfoError(f"{path}: {error}") from None


def _refuse_no_file(path: str) -> None:
    """Raise a SettingsError where `path` is another way to name a torrent, and not also that of a file."""
    if os.path.lexists(path):
        return
    for pattern, kind in _NO_FILES:
        if re.fullmatch(pattern, path, re.IGNORECASE):
            raise SettingsError(
                f"{path}: {kind}, where a file is asked for; 'swarm leech --metadata-only' with it writes "
                "NAME.torrent here"
            )


def output_path(output: str | None, name: str) -> str:
    """Where to write: `output`; NAME.torrent in it, if it is a folder; or NAME.torrent here (None)."""
    # A name may be as long as a name can be.
    shown = os.fsencode(name.replace("/", "_"))
    if len(shown) + len(_ENDING) > _NAME_BYTES_MAX:
        shown = shown[: _NAME_BYTES_MAX - len(_ENDING)].decode("utf-8", "ignore").encode()
    own = os.fsdecode(shown) + _ENDING
    if output is None:
        return own
    if os.path.isdir(output) or output.endswith("/"):
        return os.path.join(output, own)
    return output


_ENDING = ".torrent"
#: The longest name on every common file system.
_NAME_BYTES_MAX = 255
#: What is to be done about a file that is there already.
OVERWRITE = "-f overwrites it"


def check_writable(path: str, *, may_replace: bool, advice: str = OVERWRITE) -> None:
    """Check that `path` can be written, rather than after an hour of hashing.

    Args:
        advice: for who may not replace the file.

    Raises:
        SwarmError: the file exists and may not be replaced.
        StorageError: its folder is missing or closed to us.
    """
    if os.path.lexists(path):
        if os.path.isdir(path):
            raise StorageError("is a folder", path=path)
        if not may_replace:
            raise SwarmError(f"{path}: exists already; {advice}")
        if _is_no_file(path):
            return
    check_folder(os.path.dirname(path) or ".", advice="-o names another place")


def write_torrent(path: str, raw: bytes, *, may_replace: bool) -> None:
    """Write the file as a whole or not at all: first under another name, synced, then under its own.

    What is no file (/dev/null, a pipe) is written to: another file in its place would be its end.

    Raises:
        SwarmError: the file exists and may not be replaced.
        StorageError: the disk is full, read-only, ...
    """
    folder, name = os.path.split(path)
    # Cut, so that a long name with the suffix is not too long for the file system. Not named by our process:
    # in a container each has the same number, also that whose file was left behind when it was killed.
    shown = os.fsdecode(os.fsencode(name)[:100])
    aside = os.path.join(folder, f".{shown}.{os.urandom(4).hex()}.tmp")
    try:
        if may_replace and _is_no_file(path):
            with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb") as file:
                file.write(raw)
            return
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with open(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            _move(aside, path, may_replace)
        except BaseException:
            if os.path.lexists(aside):
                os.unlink(aside)
            raise
    except OSError as error:
        raise storage_error(error, path) from None


def _is_no_file(path: str) -> bool:
    """Is there something else than a file, or a folder?"""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _move(aside: str, path: str, may_replace: bool) -> None:
    if may_replace:
        os.replace(aside, path)
        return
    try:
        # Unlike a rename, a link never takes the place of a file that appeared meanwhile.
        os.link(aside, path)
    except FileExistsError:
        raise SwarmError(f"{path}: exists already; {OVERWRITE}") from None
    except OSError:
        # The file system has no hard links.
        if os.path.lexists(path):
            raise SwarmError(f"{path}: exists already; {OVERWRITE}") from None
        os.rename(aside, path)
        return
    os.unlink(aside)
