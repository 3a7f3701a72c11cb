"""Lookups: whom they ask, whom they stop believing, when they are done."""

from __future__ import annotations

from swarm.base.endpoint import Endpoint
from swarm.dht.lookup import Candidate, Lookup, State
from swarm.dht.settings import DhtSettings
from swarm.wire.krpc import Contact

TARGET = bytes(20)


def contact(distance: int, host: str | None = None) -> Contact:
    """A node so far from the target; on a local network, where its id is its own business."""
    host = host or f"10.0.{distance >> 8 & 255}.{distance & 255}"
    return Contact(distance.to_bytes(20, "big"), Endpoint(host, 1))


def lookup() -> Lookup:
    return Lookup(TARGET, b"\xff" * 20, DhtSettings())


def ask_all(search: Lookup) -> list[Candidate]:
    asked = []
    while (candidate := search.next()) is not None:
        asked.append(candidate)
    return asked


def distances(candidates: list[Candidate]) -> list[int]:
    return [int.from_bytes(candidate.node_id, "big") for candidate in candidates]


def test_nearest_four_are_asked_first() -> None:
    search = lookup()
    search.offer(contact(distance) for distance in (9, 3, 7, 1, 5, 8))
    assert distances(ask_all(search)) == [1, 3, 5, 7]
    assert not search.is_over


def test_lookup_ends_when_the_nearest_eight_have_answered() -> None:
    search = lookup()
    search.offer(contact(distance) for distance in range(1, 30))
    asked = 0
    while not search.is_over:
        for candidate in ask_all(search):
            search.answered(candidate, candidate.node_id)
            asked += 1
    assert distances(search.closest()) == list(range(1, 9))
    assert asked == 8 and search.query_count == 8 and search.answer_count == 8


def test_nearer_ones_that_are_named_are_asked_and_counted_in_hops() -> None:
    search = lookup()
    search.offer([contact(100)])
    (first,) = ask_all(search)
    search.answered(first, first.node_id)
    search.offer([contact(50)], first)
    (second,) = ask_all(search)
    assert (first.hops, second.hops) == (1, 2)


def test_slow_nodes_free_a_place_and_may_still_answer() -> None:
    search = lookup()
    search.offer(contact(distance) for distance in range(1, 8))
    first = ask_all(search)
    assert ask_all(search) == []
    search.slowed(first[0])
    assert distances(ask_all(search)) == [5]
    search.answered(first[0], first[0].node_id)
    assert distances(search.closest()) == [1]
    search.failed(first[1])
    assert distances(ask_all(search)) == [6]


def test_slow_ones_are_waited_for_only_while_too_few_have_answered() -> None:
    search = lookup()
    search.offer(contact(distance) for distance in range(1, 3))
    one, two = ask_all(search)
    search.answered(one, one.node_id)
    search.slowed(two)
    assert not search.is_over
    search.failed(two)
    assert search.is_over


def test_router_finds_its_place_when_it_answers() -> None:
    search = lookup()
    search.offer([Contact(b"", Endpoint("10.1.1.1", 1)), contact(9)])
    (near, router) = ask_all(search)
    assert router.node_id == b""
    search.answered(near, near.node_id)
    search.answered(router, contact(3).node_id)
    assert distances(search.closest()) == [3, 9]


def test_liar_is_not_followed_before_others() -> None:
    search = lookup()
    search.offer(contact(distance) for distance in (100, 101))
    liar, honest = ask_all(search)
    search.answered(liar, liar.node_id)
    search.offer((contact(distance) for distance in range(1, 9)), liar)
    ghosts = ask_all(search)
    for ghost in ghosts[:2]:
        search.failed(ghost)
    search.answered(honest, honest.node_id)
    search.offer([contact(60)], honest)
    # Four places, one ghost still under way: the honest one's node comes before the other ghosts.
    assert distances(ask_all(search))[0] == 60


def test_ids_that_do_not_fit_do_not_count_and_cost_little() -> None:
    search = lookup()
    search.offer(contact(n + 1, f"{n // 200 + 5}.1.1.{n % 200 + 1}") for n in range(100))
    search.offer(contact(1000 + n) for n in range(8))
    asked = []
    while not search.is_over:
        for candidate in ask_all(search):
            search.answered(candidate, candidate.node_id)
            candidate.token = b"t"
            asked.append(candidate)
    assert sum(not candidate.is_fit for candidate in asked) == DhtSettings().unfit_queries_max
    assert distances(search.closest()) == list(range(1000, 1008))
    assert distances(search.writable()) == list(range(1000, 1008))


def test_only_those_that_gave_a_token_are_written_to() -> None:
    search = lookup()
    search.offer(contact(distance) for distance in range(1, 5))
    for candidate in ask_all(search):
        search.answered(candidate, candidate.node_id)
        candidate.token = b"t" if candidate.distance % 2 else None
    assert distances(search.writable()) == [1, 3]


def test_flood_of_names_is_bounded_in_memory_and_questions() -> None:
    search = lookup()
    search.offer([contact(1 << 150)])
    while not search.is_over:
        for candidate in ask_all(search):
            search.answered(candidate, candidate.node_id)
            start = candidate.distance - 3000
            search.offer((contact_at(start + n) for n in range(1000)), candidate)
    assert search.query_count == DhtSettings().lookup_queries_max
    assert len(search._candidates) <= DhtSettings().candidates_max


def test_ghosts_do_not_fill_the_list_for_good() -> None:
    search = lookup()
    search.offer(contact(distance) for distance in range(1, 200))
    for _ in range(60):
        for ghost in ask_all(search):
            search.failed(ghost)
    search.offer(contact_at((1 << 100) + (9 << 16) + n) for n in range(8))
    while not search.is_over:
        for candidate in ask_all(search):
            search.answered(candidate, candidate.node_id)
    assert len(search.closest()) == 8


def contact_at(distance: int) -> Contact:
    raw = distance.to_bytes(20, "big")
    return Contact(raw, Endpoint(f"10.{raw[17]}.{raw[18]}.{raw[19]}", 1))


def test_address_is_asked_once_and_we_ourselves_never() -> None:
    search = lookup()
    search.offer([contact(1), contact(1), Contact(b"\xff" * 20, Endpoint("10.9.9.9", 1))])
    assert len(ask_all(search)) == 1
    assert all(candidate.state is State.ASKED for candidate in search._candidates)
