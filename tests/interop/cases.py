"""What is moved: contents whose sizes end where mistakes are made, in pieces from 16 KiB to 8 MiB."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

#: name -> bytes of a single file, or a tree: relative path -> bytes.
CONTENTS: dict[str, int | dict[str, int]] = {
    "one byte": 1,
    "mid-block": 1 * MIB + 5 * KIB + 3,
    "whole pieces": 4 * MIB,
    "mid-piece": 5 * MIB + 3 * 16 * KIB,
    "long": 20 * MIB + 8 * KIB + 1,
    # Less than a block, a block and a bit, nothing, names that are not ASCII, folders in folders.
    "tree": {
        "a/first.bin": 300 * KIB + 11,
        "a/empty": 0,
        "b/öffentlich/日本 (1).txt": 16 * KIB + 1,
        "b/one byte": 1,
        "readme.txt": 777,
        "z/last.bin": 2 * MIB + 5,
    },
    "long tree": {"disc 1/track 1": 9 * MIB + 3, "disc 1/track 2": 16 * KIB - 1, "disc 2/track": 8 * MIB},
}


@dataclass(frozen=True)
class Case:
    """One content in pieces of one length; `name` is also a folder's."""

    name: str
    content_name: str
    piece_length: int


CASES = [
    Case("mid-block 16K", "mid-block", 16 * KIB),
    Case("tree 32K", "tree", 32 * KIB),
    Case("whole pieces 64K", "whole pieces", 64 * KIB),
    Case("tree 256K", "tree", 256 * KIB),
    Case("mid-piece 1M", "mid-piece", 1 * MIB),
    Case("long tree 2M", "long tree", 2 * MIB),
    Case("one byte 4M", "one byte", 4 * MIB),
    Case("long 8M", "long", 8 * MIB),
]

#: Enough pieces for four clients to have different ones to give.
MIXED = Case("mixed", "long tree", 128 * KIB)
