"""Puts a .torrent together from names, lengths and hashes; the hashing is `storage/piece_hasher.py`'s."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from swarm.base.bencode import Encodable, Verbatim, encode
from swarm.base.dataclass import dataclass
from swarm.base.errors import MetainfoError, SettingsError
from swarm.metainfo.limits import MAX_FILES, MAX_METAINFO_BYTES, MAX_PIECES

#: What the C program `mktorrent` takes where nothing is said: 256 KiB.
DEFAULT_PIECE_LENGTH = 1 << 18
#: Pieces are powers of two (BEP 3) from 16 KiB, one block, to what clients will hold in memory.
MIN_PIECE_LENGTH = 1 << 14
MAX_PIECE_LENGTH = 1 << 28
#: `auto` stays within these: above 16 MiB a failed piece costs too much, whatever the size.
_MAX_AUTO_EXPONENT = 24
#: Paths up to here have no part that is too long for a file system.
_SURELY_SHORT = 255
#: "created by"; the version is that of the peer id.
CREATED_BY = "swarm/0.1.0"


@dataclass(frozen=True, slots=True)
class TorrentOptions:
    """What the maker of a torrent may say about it.

    Args:
        trackers: tiers of announce URLs (BEP 12).
        piece_length: bytes, a power of two; None for one that suits the size.
        name: instead of the file's or folder's own.
        creation_date: seconds since 1970, None to leave it out.
        cross_seed: random bytes that make the info-hash unique, b"" for none.

    Raises:
        SettingsError: one text where several are meant: each of its letters would be a URL.
    """

    trackers: tuple[tuple[str, ...], ...] = ()
    web_seeds: tuple[str, ...] = ()
    piece_length: int | None = None
    name: str | None = None
    comment: str = ""
    source: str = ""
    is_private: bool = False
    created_by: str = CREATED_BY
    creation_date: int | None = None
    cross_seed: bytes = b""

    def __post_init__(self) -> None:
        if isinstance(self.trackers, str) or any(isinstance(tier, str) for tier in self.trackers):
            raise SettingsError('trackers are tiers of URLs, such as (("http://HOST:6969/announce",),)')
        if isinstance(self.web_seeds, str):
            raise SettingsError(f"web_seeds are a tuple of URLs, such as ({self.web_seeds!r},)")


def auto_piece_length(total_bytes: int) -> int:
    """The power of two from 16 KiB to 16 MiB that makes about 1,024 to 2,048 pieces."""
    if total_bytes <= MIN_PIECE_LENGTH:
        return MIN_PIECE_LENGTH
    exponent = round(math.log2(total_bytes) - 10)
    return int(1 << min(max(exponent, MIN_PIECE_LENGTH.bit_length() - 1), _MAX_AUTO_EXPONENT))


def check_piece_length(piece_length: int, total_bytes: int) -> None:
    """Raise MetainfoError where no client would take pieces of that length."""
    if piece_length & (piece_length - 1) or not MIN_PIECE_LENGTH <= piece_length <= MAX_PIECE_LENGTH:
        raise MetainfoError(
            f"a piece length is a power of two from {MIN_PIECE_LENGTH} to {MAX_PIECE_LENGTH} bytes, "
            f"not {piece_length}"
        )
    count = -(-total_bytes // piece_length)
    if count > MAX_PIECES:
        raise MetainfoError(f"{count} pieces are more than {MAX_PIECES}: take a greater piece length")


def are_plain(names: Sequence[bytes]) -> bool:
    """One quick look at all names ("/" between parts): would a download surely have the same?"""
    whole = b"/".join(names)
    return (
        whole.isascii()
        and whole.decode().isprintable()
        and b"\\" not in whole
        and max(map(len, names)) <= _SURELY_SHORT
        and len({name.lower() for name in names}) == len(names)
    )


def build_info(
    name: bytes,
    files: Sequence[tuple[bytes, int]],
    piece_length: int,
    piece_hashes: bytes,
    options: TorrentOptions,
) -> bytes:
    """The info dictionary, encoded: what the info-hash is taken over.

    Args:
        name: the torrent's own name as raw bytes (file names need not be UTF-8).
        files: path below the torrent's name ("/" between parts) and length of each, in the order hashed; one
            with the path b"" for a single-file torrent.
    """
    if not files:
        raise MetainfoError("a torrent needs at least one file")
    if len(files) > MAX_FILES:
        raise MetainfoError(f"{len(files)} files are more than {MAX_FILES}")
    info: dict[bytes, Encodable] = {
        b"name": name,
        b"piece length": piece_length,
        b"pieces": piece_hashes,
    }
    if files[0][0]:
        info[b"files"] = Verbatim(_file_list(files))
    else:
        info[b"length"] = files[0][1]
    if options.is_private:
        info[b"private"] = 1
    if options.source:
        info[b"source"] = _raw(options.source)
    if options.cross_seed:
        info[b"x_cross_seed"] = options.cross_seed
    return encode(info)


def _file_list(files: Sequence[tuple[bytes, int]]) -> bytes:
    """Written out: dictionaries for 20,000 files would take a third as long as hashing them."""
    entries = [b"l"]
    for path, length in files:
        parts = b"".join([b"%d:%b" % (len(part), part) for part in path.split(b"/")])
        entries.append(b"d6:lengthi%de4:pathl%bee" % (length, parts))
    entries.append(b"e")
    return b"".join(entries)


def build_metainfo(info: bytes, options: TorrentOptions) -> bytes:
    """The whole .torrent around an encoded info dictionary."""
    top: dict[bytes, Encodable] = {b"info": Verbatim(info)}
    set_trackers(top, options.trackers)
    set_web_seeds(top, options.web_seeds)
    if options.comment:
        top[b"comment"] = _raw(options.comment)
    if options.created_by:
        top[b"created by"] = _raw(options.created_by)
    if options.creation_date is not None:
        top[b"creation date"] = options.creation_date
    raw = encode(top)
    if len(raw) > MAX_METAINFO_BYTES:
        raise MetainfoError(
            f"the .torrent would have {len(raw):,} bytes, more than {MAX_METAINFO_BYTES:,}: "
            "take a greater piece length"
        )
    return raw


def set_trackers(top: dict[bytes, Encodable], tiers: Iterable[Iterable[str]]) -> None:
    """Write `announce`, and `announce-list` where there is more than one (BEP 12); none removes both."""
    listed = [[_raw(url) for url in tier] for tier in tiers]
    listed = [tier for tier in listed if tier]
    top.pop(b"announce", None)
    top.pop(b"announce-list", None)
    if listed:
        top[b"announce"] = listed[0][0]
    if sum(map(len, listed)) > 1:
        top[b"announce-list"] = listed


def set_web_seeds(top: dict[bytes, Encodable], urls: Iterable[str]) -> None:
    """Write `url-list`: a string for one, a list for several (BEP 19); none removes it."""
    listed = [_raw(url) for url in urls]
    top.pop(b"url-list", None)
    if listed:
        top[b"url-list"] = listed[0] if len(listed) == 1 else listed


def _raw(text: str) -> bytes:
    """UTF-8; what came from the command line as other bytes goes out as the same bytes."""
    return text.encode("utf-8", "surrogateescape")
