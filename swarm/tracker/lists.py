"""The files that say who may: info-hashes allowed and denied, passkeys; read again when they change."""

from __future__ import annotations

from pathlib import Path

from swarm.base.errors import MetainfoError, SettingsError
from swarm.base.ids import InfoHash
from swarm.storage.faults import storage_error
from swarm.tracker.admission import PASSKEY_MAX_BYTES, Admission


class Lists:
    """Up to three files, whose content goes into an `Admission`."""

    def __init__(
        self, admission: Admission, *, allow: Path | None, deny: Path | None, passkeys: Path | None
    ) -> None:
        self._admission = admission
        self._allow, self._deny, self._passkeys = allow, deny, passkeys
        self._seen = self._stamps()

    def read(self) -> None:
        """Read all of them, or change nothing.

        Raises:
            StorageError: one cannot be read.
            SettingsError: a line of it is not what it should be.
        """
        allowed = _info_hashes(self._allow) if self._allow is not None else None
        denied = _info_hashes(self._deny) if self._deny is not None else set()
        passkeys = _read_passkeys(self._passkeys) if self._passkeys is not None else None
        admission = self._admission
        admission.allowed, admission.denied, admission.passkeys = allowed, denied, passkeys

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
            found.append(None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino))
        return found


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that say something; what follows '#' does not."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise storage_error(error, path) from None
    found = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    return [(number, text) for number, text in found if text]


def _info_hashes(path: Path) -> set[bytes]:
    found = set()
    for number, text in _lines(path):
        try:
            found.add(bytes(InfoHash.parse(text)))
        except MetainfoError as error:
            raise SettingsError(f"{path}, line {number}: {error}") from None
    return found


def _read_passkeys(path: Path) -> set[bytes]:
    found = set()
    for number, text in _lines(path):
        raw = text.encode()
        if len(raw) > PASSKEY_MAX_BYTES or not text.isascii() or not text.isalnum():
            raise SettingsError(
                f"{path}, line {number}: a passkey is 1 to {PASSKEY_MAX_BYTES} letters and digits"
            )
        found.add(raw)
    return found
