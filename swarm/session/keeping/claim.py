"""Keeps two downloads from writing to the same files, be they in two processes, of one torrent or of two."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash
from swarm.session.keeping.state import place_name
from swarm.storage.lock import ProcessLock, word_of_owner


class Claim:
    """What a download writes to: its lock file says so as long as it holds it.

    Downloads of other torrents to the same place, or to one around it or in it, may stay where they write to
    other files. Each says what it claims before it looks at the others, so that of two that begin at once at
    least one is refused.

    The lock files of one place lie in a folder of their own, `locks/PLACE/INFOHASH.lock`: whoever looks at
    the others there does not go through those of thousands of downloads to other places.

    Args:
        info_hash: of the torrent.
        content: the file, or the folder of the files.
        paths: gives those of the files below `content`; called in a thread, for there may be 100,000.
    """

    def __init__(
        self,
        state_dir: Path,
        info_hash: InfoHash,
        content: Path,
        paths: Callable[[], Iterable[tuple[str, ...]]],
    ) -> None:
        self._state_dir = state_dir
        self._info_hash = info_hash
        self._content = content
        self._paths = paths
        self._lock = self._lock_of(content)
        #: A thread that comes late must not take what nobody would give back.
        self._guard = threading.Lock()
        self._is_given_up = False

    def _lock_of(self, place: Path) -> ProcessLock:
        refusal = f"{self._content} is being downloaded already, by another process or session"
        folder = self._state_dir / "locks" / place_name(place)
        return ProcessLock(folder / f"{self._info_hash}.lock", refusal)

    @property
    def path(self) -> Path:
        return self._lock.path

    def stake(self) -> None:
        """Make the claim; in a thread, and `release` is due where it succeeds or fails.

        Raises:
            SwarmError: another process or session has a part of it, or it was released before.
            OSError: there can be no lock file.
        """
        ours = frozenset("/".join(path) for path in self._paths())
        # No path is empty but a single file's: an end behind each tells that from nothing.
        word = "".join(f"{path}\0" for path in sorted(ours))
        # Two ways to one place, of which one leads over a link, are one place.
        place = Path(os.path.realpath(self._content))
        with self._guard:
            if self._is_given_up:
                raise SwarmError("the torrent was stopped")
            if self._lock.path != (lock := self._lock_of(place)).path:
                self._lock.release()
                self._lock = lock
            self._lock.acquire(word.encode("utf-8", "surrogateescape"))
        for folder, named in self._places_in_common(str(place), ours):
            for other in _locks_in(folder):
                if other == self.path:
                    continue
                theirs = word_of_owner(other).decode("utf-8", "surrogateescape").split("\0")[:-1]
                shared = named.keys() & theirs
                if shared:
                    raise SwarmError(
                        f"{self._content / min(map(named.__getitem__, shared))}: another torrent, "
                        f"{other.stem}, is downloaded to that file, by another process or session; give this "
                        "one another folder"
                    )

    def _places_in_common(self, place: str, ours: frozenset[str]) -> Iterator[tuple[Path, dict[str, str]]]:
        """Yield the lock folder of each place where others may write to one of our files, this one first.

        Besides `place` these are the folders around it and those in it, also its files: another torrent may
        be downloaded there. With each come our files there: as others claim it, below that place -> as we do.
        """
        locks = self._state_dir / "locks"
        yield self.path.parent, {path: path for path in ours}
        claimed = set(os.listdir(locks)) - {self.path.parent.name}
        if not claimed:
            return
        for parent in map(str, Path(place).parents):
            if (name := place_name(parent)) in claimed:
                way = os.path.relpath(place, parent)
                yield locks / name, {f"{way}/{path}" if path else way: path for path in ours}
        # A set, since a folder of many files comes many times.
        for way in {path[:end] for path in ours if path for end in _ends_of_parts(path)}:
            if (name := place_name(os.path.join(place, way))) in claimed:
                named = {path[len(way) + 1 :]: path for path in ours if path.startswith(f"{way}/")}
                if way in ours:
                    named[""] = way
                yield locks / name, named

    def release(self) -> None:
        """Take it back for good; nothing happens where there is none."""
        with self._guard:
            self._is_given_up = True
            self._lock.release()
        # There may be others: of another torrent, or whose owner was killed.
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


def _ends_of_parts(path: str) -> Iterator[int]:
    """Where the parts of a path end: `a/bc` at 1 and 4."""
    end = path.find("/")
    while end >= 0:
        yield end
        end = path.find("/", end + 1)
    yield len(path)


def _locks_in(folder: Path) -> list[Path]:
    """The lock files in it; none where it has gone with the last of them."""
    with contextlib.suppress(FileNotFoundError):
        return [folder / name for name in os.listdir(folder) if name.endswith(".lock")]
    return []
