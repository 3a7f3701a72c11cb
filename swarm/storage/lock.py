"""Keeps two processes from writing the same thing at once: a download, the state of the DHT, of a tracker."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from swarm.base.errors import SwarmError


class ProcessLock:
    """A lock file; the system lets go of it when its process dies.

    Args:
        path: of the lock file; it is there only while somebody holds it (or died with it).
        refusal: the line for whom it keeps off.
    """

    def __init__(self, path: Path, refusal: str) -> None:
        self.path = path
        self._refusal = refusal
        self._descriptor = -1

    def acquire(self, word: bytes = b"") -> None:
        """Take the lock, without waiting for it; where it is held already, only its word changes.

        Args:
            word: for others, who read it with `word_of_owner`.

        Raises:
            SwarmError: another session has it. OSError: there can be no lock file, or no word in it; it may
                be held all the same.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        while self._descriptor < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(self.path, flags, 0o600)
            except FileNotFoundError:
                # Who gave up the last lock in the folder has just deleted that, too.
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_ours = _is_at(descriptor, self.path)
            except OSError as error:
                os.close(descriptor)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise SwarmError(self._refusal) from None
            if is_ours:
                self._descriptor = descriptor
            else:
                # Its last owner deleted the file between our opening and our locking it.
                os.close(descriptor)
        # Who died with it may have left a word.
        os.ftruncate(self._descriptor, 0)
        at = 0
        while at < len(word):
            # On a disk that is nearly full only a part may fit, which is no error yet.
            at += os.pwrite(self._descriptor, word[at:], at)

    def release(self) -> None:
        """Let go of it; nothing happens where it is not held."""
        if self._descriptor < 0:
            return
        # Deleted while it is still locked: whoever opened it before looks again (see `acquire`).
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1


def word_of_owner(path: Path) -> bytes:
    """What the owner of the lock file at `path` has for others to read; nothing where it has no owner."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:
        try:
            # Shared: two that look at once see the same.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read()
        return b""


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
