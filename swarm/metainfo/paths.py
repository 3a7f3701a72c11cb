"""Names from a torrent, made safe to open: nothing leaves the folder, nothing fools the eye.

The rules are libtorrent's, so that a download has the same names in both: separators and marks
that show nothing are dropped, what cannot be in a name becomes `_`, names that collide are numbered.
Who seeds or verifies his own content has it under the names that it was given (`is_own`).
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

#: Longest part of a path, in UTF-8: NAME_MAX of every common file system.
MAX_PART_BYTES = 255
#: What a longer one is cut to, so that there is room for a number.
_CUT_PART_BYTES = 245
#: Longest extension that survives when a part is cut, in bytes with its dot.
_MAX_EXTENSION_BYTES = 15
#: Most folders in one path: real trees stay far below, and a path of 10,000 folders cannot be deleted.
MAX_PATH_PARTS = 128

#: Encodings that a torrent's own "encoding" key may name; a list, since Python also knows "idna" and others
#: that take quadratic time.
_ENCODINGS = frozenset((
    "big5", "cp932", "cp936", "cp949", "cp950", "euc-jp", "euc-kr", "gb18030", "gb2312", "gbk", "shift-jis",
    "cp1250", "cp1251", "cp1252", "windows-1250", "windows-1251", "windows-1252", "koi8-r",
    "iso-8859-1", "iso-8859-2", "iso-8859-15",
))  # fmt: skip

# Patterns are compiled at their first use: hardly any name needs one.
#: Separators, and marks without a picture of their own: zero-width, direction, byte order.
_DROPPED = "[/\\\\\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
#: Control characters, line and paragraph separators, halves of surrogate pairs.
_REPLACED = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
#: What no name on a disk has in it, and the halves of pairs, which stand for bytes that are not UTF-8.
_NEVER_IN_A_NAME = "[\x00\ud800-\udfff]"
#: A run of bytes that are not UTF-8, as `bytes.decode` leaves it with "replace".
_INVALID_RUN = "\ufffd+"
#: Shorter names cannot have more than MAX_PART_BYTES, at four bytes a character.
_SHORT_CHARS = 63
_NOTHING = ("", ".", "..")
#: Between the parts of a path in a key: in no safe part, and less than any other character.
_SEPARATOR = "\0"

_WINDOWS_FORBIDDEN = '[<>:"|?*]'
_WINDOWS_RESERVED = r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?"


def decode_name(raw: bytes, encoding: str = "") -> str:
    """The text of a name: UTF-8, else the torrent's own `encoding`, else `_` where it is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    if encoding.lower().replace("_", "-") in _ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            pass
    return re.sub(_INVALID_RUN, "_", raw.decode("utf-8", "replace"))


def safe_part(text: str, *, is_own: bool = False, is_windows: bool = sys.platform == "win32") -> str:
    """One part of a path without anything unsafe; `_` where nothing is left of it (`..`, `//`).

    Args:
        is_own: of content that its maker has on this disk: what may fool the eye (direction, zero width,
            control characters, backslashes) is there already, and stays. Only what could lead out of the
            folder goes.
    """
    if (
        text.isprintable()
        and len(text) <= _SHORT_CHARS
        and "/" not in text
        and "\\" not in text
        and text not in _NOTHING
        and not is_windows
    ):
        # Nearly every name: nothing that is dropped or replaced is "printable".
        return text
    if is_own and not is_windows:
        part = re.sub(_NEVER_IN_A_NAME, "_", text.replace("/", ""))
    else:
        part = re.sub(_REPLACED, "_", re.sub(_DROPPED, "", text))
    if part in _NOTHING:
        return "_"
    if is_windows:
        part = re.sub(_WINDOWS_FORBIDDEN, "_", part)
        # Windows drops dots and spaces at the end: two names would become one file.
        part = part.rstrip(". ") or "_"
        if re.fullmatch(_WINDOWS_RESERVED, part, re.IGNORECASE):
            part = f"_{part}"
    return part if len(part.encode()) <= MAX_PART_BYTES else shortened(part, _CUT_PART_BYTES)


def safe_path(parts: Iterable[str], *, is_own: bool = False) -> tuple[str, ...]:
    """The parts of a path, each safe; none is left out, so that `a/../b` and `a/b` stay two files."""
    return tuple(safe_part(part, is_own=is_own) for part in parts)


def shortened(part: str, limit_bytes: int) -> str:
    """`part` in at most `limit_bytes` of UTF-8, its extension kept."""
    stem, extension = _split_extension(part)
    # A character that is cut in two is left out.
    kept = stem.encode()[: limit_bytes - len(extension.encode())].decode("utf-8", "ignore")
    return kept + extension


def _split_extension(part: str) -> tuple[str, str]:
    """Stem and extension with its dot; "" where there is none, or what is no extension by its length."""
    stem, dot, rest = part.rpartition(".")
    extension = dot + rest
    if not stem or len(extension.encode()) > _MAX_EXTENSION_BYTES:
        return part, ""
    return stem, extension


def unique_paths(paths: Sequence[tuple[str, ...]], *, is_case_kept: bool = False) -> list[tuple[str, ...]]:
    """Number the paths that collide: `a.txt`, `a.1.txt`; also a file with the name of a folder.

    Args:
        paths: safe paths.
        is_case_kept: `A` and `a` may lie in one folder (most Linux file systems). By default they
            collide, so that a torrent is laid out the same on every machine.
    """
    keys = [_SEPARATOR.join(path) for path in paths]
    if not is_case_kept:
        keys = [key.casefold() for key in keys]
    # What lies in a folder comes right behind the folder's own name. A set of all folders would take
    # gigabytes where a stranger's torrent nests thousands of files 128 deep.
    ordered = sorted(keys)
    if not any(_collide(one, other) for one, other in pairwise(ordered)):
        return list(paths)
    taken = set(keys)
    result = []
    used: set[str] = set()
    # The next number to try of each name: a million files called "a" must not take a million squared.
    numbers: dict[str, int] = {}
    for path, key in zip(paths, keys, strict=True):
        if key in used or _is_folder(key, ordered):
            path, key = _numbered(path, key, numbers, taken, ordered, is_case_kept)
        used.add(key)
        taken.add(key)
        result.append(path)
    return result


def unportable_names(names: Sequence[bytes], *, is_own: bool = False) -> list[bytes]:
    """Those of `names` ("/" between parts) that a download would not have: unsafe, or equal but for case.

    Args:
        is_own: those that their maker would not find again either (see `safe_part`).
    """
    paths = [safe_path((decode_name(part) for part in name.split(b"/")), is_own=is_own) for name in names]
    unique = unique_paths(paths, is_case_kept=is_own)
    return [
        name
        for name, path in zip(names, unique, strict=True)
        if name != "/".join(path).encode("utf-8", "surrogateescape")
    ]


def _collide(one: str, other: str) -> bool:
    """Do two keys, the lesser one first, mean the same file, or a file and its folder?"""
    return other.startswith(one) and (len(one) == len(other) or other[len(one)] == _SEPARATOR)


def _is_folder(key: str, ordered: Sequence[str]) -> bool:
    inside = key + _SEPARATOR
    at = bisect_left(ordered, inside)
    return at < len(ordered) and ordered[at].startswith(inside)


def _numbered(
    path: tuple[str, ...],
    key: str,
    numbers: dict[str, int],
    taken: set[str],
    ordered: Sequence[str],
    is_case_kept: bool,
) -> tuple[tuple[str, ...], str]:
    stem, extension = _split_extension(path[-1])
    number = numbers.get(key, 0)
    while True:
        number += 1
        ending = f".{number}{extension}"
        # The stem is what gets cut, so that every number makes another name.
        name = stem.encode()[: MAX_PART_BYTES - len(ending.encode())].decode("utf-8", "ignore") + ending
        candidate = (*path[:-1], name)
        candidate_key = _SEPARATOR.join(candidate)
        if not is_case_kept:
            candidate_key = candidate_key.casefold()
        if candidate_key not in taken and not _is_folder(candidate_key, ordered):
            numbers[key] = number
            return candidate, candidate_key
