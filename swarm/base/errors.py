"""The errors of the library: one tree, plain data, one clear line when printed."""

from __future__ import annotations


class SwarmError(Exception):
    """Root of everything the library raises on purpose; `str()` is one line fit for a user."""


class BencodeError(SwarmError):
    """Bytes that are not the bencode we accept.

    Args:
        reason: what is wrong, without a full stop.
        offset: where in the input, in bytes, or None where the whole is meant.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        self.reason = reason
        self.offset = offset
        super().__init__(reason if offset is None else f"{reason} at byte {offset}")


class MetainfoError(SwarmError):
    """A .torrent file or a magnet link that is not valid, or that asks for something unsafe."""


class PeerError(SwarmError):
    """The peer broke the protocol: the link is dropped and the reason counted."""


class FloodError(PeerError):
    """The peer sends far more than an honest one would: its address is banned."""


class TrackerError(SwarmError):
    """A tracker failed or refused; `retry_in_s` is its own wish (BEP 31), None if it had none.

    `is_final` means that the tracker asked never to be tried again (BEP 31: "never"). `lacks` says what was
    missing to ask it over a family of addresses: "address", of the tracker; "route", from here; "", nothing.
    """

    def __init__(
        self, reason: str, *, retry_in_s: float | None = None, is_final: bool = False, lacks: str = ""
    ) -> None:
        self.reason = reason
        self.retry_in_s = retry_in_s
        self.is_final = is_final
        self.lacks = lacks
        super().__init__(reason)


class StorageError(SwarmError):
    """The disk failed us: full, not permitted, vanished, too short.

    `path` is the file meant (may be empty), `error_number` the errno (0 if there was none).
    """

    def __init__(self, reason: str, *, path: str = "", error_number: int = 0) -> None:
        self.reason = reason
        self.path = path
        self.error_number = error_number
        super().__init__(f"{path}: {reason}" if path else reason)


class SettingsError(SwarmError):
    """A setting or an argument that makes no sense; says which and what would."""
