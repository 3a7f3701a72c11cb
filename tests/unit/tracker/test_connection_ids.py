"""Connection ids, which keep nothing of whom they were given to."""

from __future__ import annotations

from swarm.tracker.connection_ids import REMEMBERED_MAX, SLOT_S, ConnectionIds

HERE, THERE = b"\x7f\0\0\1", bytes(15) + b"\1"


def ids(secret: bytes = b"s" * 32, now: float = 0.0) -> ConnectionIds:
    made = ConnectionIds(secret)
    made.turn(now)
    return made


def test_an_id_is_good_for_its_address_alone() -> None:
    tracker = ids()
    for address in (HERE, THERE):
        given = tracker.give(address)
        assert len(given) == 8
        assert tracker.is_good(given, address)
    assert not tracker.is_good(tracker.give(HERE), THERE)


def test_another_process_with_the_secret_knows_it_and_one_without_does_not() -> None:
    given = ids().give(HERE)
    assert ids().is_good(given, HERE)
    assert not ids(b"t" * 32).is_good(given, HERE)


def test_an_id_is_good_for_two_minutes_and_not_for_five() -> None:
    given = ids(now=SLOT_S - 1).give(HERE)
    assert ids(now=SLOT_S - 1 + 120).is_good(given, HERE)
    assert not ids(now=SLOT_S - 1 + 300).is_good(given, HERE)


def test_the_slot_of_256_slots_ago_is_not_taken_for_the_present_one() -> None:
    given = ids().give(HERE)
    assert not ids(now=256 * SLOT_S).is_good(given, HERE)


def test_no_bit_may_differ() -> None:
    tracker = ids()
    given = int.from_bytes(tracker.give(HERE), "big")
    for bit in range(64):
        assert not tracker.is_good((given ^ 1 << bit).to_bytes(8, "big"), HERE)


def test_what_is_remembered_is_bounded() -> None:
    tracker = ids()
    first = tracker.give(bytes(4))
    for number in range(REMEMBERED_MAX + 10):
        tracker.give(number.to_bytes(4, "big"))
    assert len(tracker.remembered) <= REMEMBERED_MAX
    assert tracker.is_good(first, bytes(4))
