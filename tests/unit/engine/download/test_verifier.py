"""Who sent what of a bad piece: the liar is found, the honest are left alone.

A piece is drawn by its senders, one digit a block ("1122": blocks 0 and 1 from peer 1), and its
content by one letter a block.
"""

from __future__ import annotations

import pytest

from swarm.engine.download.verifier import Verdict, Verifier

GOOD = "aaaa"


def judge(desk: Verifier, senders: str, content: str, piece: int = 7) -> Verdict:
    masks: dict[int, int] = {}
    for block, sender in enumerate(senders):
        masks[int(sender)] = masks.get(int(sender), 0) | 1 << block
    digests = [letter.encode() * 20 for letter in content]
    return desk.judge(piece, masks, is_good=content == GOOD, block_digests=digests)


def test_sole_sender_of_a_bad_piece_is_the_liar_at_once() -> None:
    desk = Verifier()
    assert judge(desk, "1111", "aaxa") == Verdict(liars=[1])
    assert desk.failed_count == 1 and not desk.is_suspected(7)


def test_bad_piece_of_several_proves_nothing_yet() -> None:
    desk = Verifier()
    assert judge(desk, "1122", "aaxa") == Verdict(is_retry_solo=True)
    assert desk.is_suspected(7) and not desk.is_suspected(8)


@pytest.mark.parametrize(
    ("senders", "content", "liars"),
    [
        ("1122", "aaxa", [2]),
        ("1122", "xaaa", [1]),
        ("1122", "axxa", [1, 2]),
        ("1212", "axax", [2]),
        ("1234", "aaax", [4]),
    ],
)
def test_good_piece_tells_who_lied_before(senders: str, content: str, liars: list[int]) -> None:
    desk = Verifier()
    judge(desk, senders, content)
    assert judge(desk, "3333", GOOD) == Verdict(liars=liars)
    assert not desk.is_suspected(7)


def test_liars_of_all_tries_are_found() -> None:
    desk = Verifier()
    judge(desk, "1122", "xaaa")
    judge(desk, "3344", "aaax")
    assert judge(desk, "5555", GOOD).liars == [1, 4]


def test_liar_alone_in_the_second_try_leaves_the_first_open() -> None:
    desk = Verifier()
    judge(desk, "1122", "xaaa")
    assert judge(desk, "2222", "aaxa") == Verdict(liars=[2], is_retry_solo=True)
    assert judge(desk, "3333", GOOD).liars == [1]


def test_good_piece_without_a_history_accuses_nobody() -> None:
    desk = Verifier()
    assert judge(desk, "1122", GOOD) == Verdict()
    assert desk.failed_count == 0
