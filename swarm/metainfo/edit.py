"""Changes what surrounds the info dictionary; keys it does not know stay, the info bytes stay as found."""

from __future__ import annotations

from swarm.base.bencode import Encodable, Verbatim, decode_with_spans, encode
from swarm.base.dataclass import dataclass
from swarm.base.errors import BencodeError, MetainfoError
from swarm.metainfo.builder import set_trackers, set_web_seeds
from swarm.metainfo.limits import MAX_METAINFO_BYTES


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change; None leaves it as it is, empty removes it.

    Args:
        trackers: tiers that take the place of all there are.
        creation_date: seconds since 1970; 0 removes it.
        is_private, source, name: within the info dictionary: these make another torrent of it.
    """

    trackers: tuple[tuple[str, ...], ...] | None = None
    web_seeds: tuple[str, ...] | None = None
    comment: str | None = None
    created_by: str | None = None
    creation_date: int | None = None
    is_private: bool | None = None
    source: str | None = None
    name: str | None = None

    @property
    def is_of_info(self) -> bool:
        """Will the info-hash change?"""
        return self.is_private is not None or self.source is not None or self.name is not None


def edit(raw: bytes, changes: Changes) -> bytes:
    """The .torrent `raw` with `changes`.

    Raises:
        MetainfoError: `raw` is no .torrent.
    """
    try:
        _, spans = decode_with_spans(raw, max_bytes=MAX_METAINFO_BYTES)
        top: dict[bytes, Encodable] = {key: Verbatim(raw[start:end]) for key, (start, end) in spans.items()}
        if b"info" not in spans:
            raise MetainfoError("not a .torrent: it has no info dictionary")
        if changes.is_of_info:
            start, end = spans[b"info"]
            top[b"info"] = Verbatim(_edit_info(raw[start:end], changes))
    except BencodeError as error:
        raise MetainfoError(f"not a .torrent: {error}") from None
    if changes.trackers is not None:
        set_trackers(top, changes.trackers)
    if changes.web_seeds is not None:
        set_web_seeds(top, changes.web_seeds)
    if changes.comment is not None:
        # Readers prefer the UTF-8 twin: the old one must not stay.
        top.pop(b"comment.utf-8", None)
        _set_text(top, b"comment", changes.comment)
    if changes.created_by is not None:
        _set_text(top, b"created by", changes.created_by)
    if changes.creation_date is not None:
        top.pop(b"creation date", None)
        if changes.creation_date:
            top[b"creation date"] = changes.creation_date
    return encode(top)


def _edit_info(raw: bytes, changes: Changes) -> bytes:
    spans = decode_with_spans(raw, max_bytes=MAX_METAINFO_BYTES)[1]
    info: dict[bytes, Encodable] = {key: Verbatim(raw[start:end]) for key, (start, end) in spans.items()}
    if changes.is_private is not None:
        info.pop(b"private", None)
        if changes.is_private:
            info[b"private"] = 1
    if changes.source is not None:
        _set_text(info, b"source", changes.source)
    if changes.name is not None:
        info.pop(b"name.utf-8", None)
        info[b"name"] = changes.name.encode("utf-8", "surrogateescape")
    return encode(info)


def _set_text(values: dict[bytes, Encodable], key: bytes, text: str) -> None:
    values.pop(key, None)
    if text:
        values[key] = text.encode("utf-8", "surrogateescape")
