"""The files that say who may: info-hashes allowed and denied, passkeys; read again when they change."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from swarm.base.errors import MetainfoError, SettingsError
from swarm.base.ids import InfoHash
from swarm.storage.whole_file import read_whole
from swarm.tracker.admission import PASSKEY_MAX_BYTES, Admission

#: Sixteen million info-hashes.
LIST_BYTES_MAX = 1 << 30


class Lists:
    """Up to three files, whose content goes into an `Admission`."""

    def __init__(
        self, admission: Admission, *, allow: Path | None, deny: Path | None, passkeys: Path | None
    ) -> None:
        self._admission = admission
        self._allow, self._deny, self._passkeys = allow, deny, passkeys
        #: What came through pipes.
        self._piped: dict[Path, bytes] = {}
        self._seen = self._stamps()

    def read(self) -> None:
        """Read all of them, or change nothing.

        Raises:
            StorageError: one cannot be read.
            SettingsError: a line of it is not what it should be.
        """
        allowed = denied = passkeys = None
        if self._allow is not None:
            allowed = _info_hashes(self._allow, self._lines(self._allow))
        if self._deny is not None:
            denied = _info_hashes(self._deny, self._lines(self._deny))
        if self._passkeys is not None:
            passkeys = _keys_in(self._passkeys, self._lines(self._passkeys))
        admission = self._admission
        admission.allowed, admission.denied, admission.passkeys = allowed, denied or set(), passkeys

    def read_changed(self) -> bool:
        """Read them if one has changed since the last look; returns whether.

        Raises:
            SwarmError: as `read`; what was read before still holds.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        self.read()
        return True

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        found: list[tuple[int, int, int] | None] = []
        for path in (self._allow, self._deny, self._passkeys):
            try:
                status = path.stat() if path is not None else None
            except OSError:
                status = None
            # The inode too: an editor writes a new file and renames it, all within one tick of the clock.
            if status is None or stat.S_ISFIFO(status.st_mode):
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return found

    def _lines(self, path: Path) -> list[tuple[int, str]]:
        """The lines that say something; what follows '#' does not."""
        raw = self._piped.get(path)
        if raw is None:
            raw, status = read_whole(path, LIST_BYTES_MAX)
            if len(raw) > LIST_BYTES_MAX:
                raise SettingsError(f"{path}: larger than any list ({LIST_BYTES_MAX >> 20} MiB)")
            if stat.S_ISFIFO(status.st_mode):
                # It comes once; the other files may change.
                self._piped[path] = raw
        lines = raw.decode("utf-8", "replace").splitlines()
        found = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
        return [(number, text) for number, text in found if text]


def _info_hashes(path: Path, lines: Sequence[tuple[int, str]]) -> set[bytes]:
    found = set()
    for number, text in lines:
        try:
            found.add(bytes(InfoHash.parse(text)))
        except MetainfoError as error:
            raise SettingsError(f"{path}, line {number}: {error}") from None
    return found


def _keys_in(path: Path, lines: Sequence[tuple[int, str]]) -> set[bytes]:
    found = set()
    for number, text in lines:
        raw = text.encode()
        if len(raw) > PASSKEY_MAX_BYTES or not text.isascii() or not text.isalnum():
            raise SettingsError(
                f"{path}, line {number}: a passkey is 1 to {PASSKEY_MAX_BYTES} letters and digits"
            )
        found.add(raw)
    return found
