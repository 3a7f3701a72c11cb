"""The errors of the library: one tree, plain data, one clear line when printed."""

from __future__ import annotations


class SwarmError(Exception):
    """Root of everything that the library raises on purpose; `str()` is one line fit for a user."""


class BencodeError(SwarmError):
    """Bytes that are not the bencode we accept.

    Args:
        reason: what is wrong, without a full stop.
        offset: where in the input, in bytes; None where the whole is meant.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        self.reason = reason
        self.offset = offset
        super().__init__(reason if offset is None else f"{reason} at byte {offset}")


class MetainfoError(SwarmError):
    """A .torrent file or a magnet link that is not valid, or that asks for something unsafe."""


class PeerError(SwarmError):
    """The peer broke the protocol: the link is dropped, and counts against the peer's address."""


class FloodError(PeerError):
    """The peer sends far more than an honest one would: its address is banned."""


class TrackerError(SwarmError):
    """A tracker failed, or refused.

    Args:
        reason: what is wrong, without a full stop.
        retry_in_s: after how many seconds it wishes to be asked again (BEP 31); None where it did not say.
        is_final: asking again would not help (BEP 31: "never").
        lacks: why it could not be asked over an address family: "address": it has none; "route": none leads
            there from here; "": it was asked.
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
    """The disk failed: full, not permitted, gone, too short.

    Args:
        reason: what is wrong, without a full stop.
        path: of the file; may be empty.
        error_number: the errno; 0 where there was none.
    """

    def __init__(self, reason: str, *, path: str = "", error_number: int = 0) -> None:
        self.reason = reason
        self.path = path
        self.error_number = error_number
        super().__init__(f"{path}: {reason}" if path else reason)


class SettingsError(SwarmError):
    """A setting or an argument makes no sense; the text says which one, and what would."""
