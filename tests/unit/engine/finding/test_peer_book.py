"""Whom to dial and whom to let in."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.settings import EngineSettings

OWN_ID = PeerId(b"-SW0100-ourselves...")
OTHER_ID = PeerId(b"-XX1230-somebodyelse")
ONE = Endpoint("10.0.0.1", 6881)


def addresses(count: int, network: int = 0) -> list[Endpoint]:
    return [Endpoint(f"10.{network}.{number >> 8}.{number & 255}", 6881) for number in range(count)]


class Book(PeerBook):
    """A book with a clock, so that tests read as a story."""

    def __init__(self, *, seed: int = 1, **settings: float) -> None:
        self.now = 100.0
        settings = {
            "connections_max": 10, "half_open_max": 10, "dial_burst": 10, "dialled_share": 1.0, **settings,
        }  # fmt: skip
        made = EngineSettings(**settings)  # type: ignore[arg-type]
        super().__init__(OWN_ID, made, random.Random(seed), self.now)

    def learn(self, *endpoints: Endpoint, source: str = "tracker") -> int:
        return self.found(endpoints, source, self.now)

    def dial(self, connected: int = 0, *, skip_seeds: bool = False) -> list[Endpoint]:
        return self.take(connected, skip_seeds=skip_seeds, now=self.now)

    def next_at(self, connected: int = 0, *, skip_seeds: bool = False) -> float | None:
        return self.next_dial_at(connected, skip_seeds=skip_seeds, now=self.now)

    def wait_to_dial(self, longest_s: float = 1e6) -> float | None:
        """Go to the instant of the next dial, and dial; returns how long that took."""
        start = self.now
        while (at := self.next_at()) is not None and at - start <= longest_s:
            assert at > self.now or self.now == start, "it waits for now, for ever"
            self.now = at
            if self.dial():
                return self.now - start
        return None

    def refuses(
        self, endpoint: Endpoint, peer_id: PeerId = OTHER_ID, *, is_outgoing: bool = True
    ) -> str | None:
        return self.refusal(endpoint, peer_id, [], is_outgoing=is_outgoing, connected_count=0)


class TestDialling:
    def test_new_addresses_are_dialled_once(self) -> None:
        book = Book()
        assert book.learn(ONE, ONE) == 1
        assert book.dial() == [ONE]
        assert book.dialling_count == 1
        assert book.learn(ONE) == 0 and book.dial() == []
        book.connected(ONE, is_outgoing=True)
        assert book.learn(ONE) == 0 and book.next_at() is None

    def test_impossible_ports_are_left_out(self) -> None:
        assert Book().learn(Endpoint("10.0.0.1", 0), Endpoint("10.0.0.1", 65536)) == 0

    @pytest.mark.parametrize(("connected", "dialled"), [(0, 6), (7, 3), (10, 0)])
    def test_connections_and_attempts_are_bounded(self, connected: int, dialled: int) -> None:
        book = Book(half_open_max=6)
        book.learn(*addresses(50))
        assert len(book.dial(connected)) == dialled
        assert book.next_at(connected) is None

    def test_attempts_are_spread_over_time(self) -> None:
        book = Book(dial_burst=3, dials_per_s=7.0, connections_max=100, half_open_max=100)
        book.learn(*addresses(40))
        assert len(book.dial()) == 3
        for _ in range(30):
            waited_s = book.wait_to_dial()
            assert waited_s == pytest.approx(1 / 7)

    def test_wait_for_the_next_attempt_does_not_grow_with_every_look(self) -> None:
        book = Book(dial_burst=1)
        book.learn(*addresses(3))
        book.dial()
        due_at = book.next_at()
        book.now += 0.01
        assert book.next_at() == due_at

    def test_flood_of_addresses_is_cut(self) -> None:
        book = Book(candidates_max=100)
        assert book.learn(*addresses(5000)) == 100
        assert book.candidate_count == 100

    def test_seeds_are_not_dialled_by_a_seed(self) -> None:
        book = Book()
        book.learn(ONE)
        book.dial()
        book.connected(ONE, is_outgoing=True)
        book.lost(ONE, book.now, is_outgoing=True, is_seed=True, is_welcome=True)
        book.now += 1000
        assert book.dial(skip_seeds=True) == [] and book.next_at(skip_seeds=True) is None
        assert book.dial() == [ONE]

    def test_seeds_that_a_seed_has_met_do_not_keep_leechers_out(self) -> None:
        book = Book(candidates_max=20, dial_burst=200)
        # A swarm of many seeds: each is dialled once, and turns out to be one.
        for network in range(1, 11):
            book.learn(*addresses(10, network))
            for endpoint in book.dial(skip_seeds=True):
                book.connected(endpoint, is_outgoing=True)
                book.lost(endpoint, book.now, is_outgoing=True, is_seed=True, is_welcome=True)
        assert book.candidate_count <= 30 and book.dial(skip_seeds=True) == []
        assert book.learn(ONE) == 1 and book.dial(skip_seeds=True) == [ONE]

    def test_seeds_that_others_name_are_nothing_to_a_seed(self) -> None:
        book = Book()
        assert book.found(addresses(3), "pex", book.now, is_seed=True) == 3
        assert book.dial(skip_seeds=True) == []
        assert book.found(addresses(3, 1), "pex", book.now, is_seed=True) == 0

    def test_seeds_that_the_user_named_are_kept(self) -> None:
        book = Book(candidates_max=2)
        book.learn(*addresses(2), source="user")
        for endpoint in book.dial():
            book.connected(endpoint, is_outgoing=True)
            book.lost(endpoint, book.now, is_outgoing=True, is_seed=True, is_welcome=True)
        assert book.dial(skip_seeds=True) == []
        assert book.learn(ONE) == 0 and book.candidate_count == 2

    def test_those_that_never_failed_come_first(self) -> None:
        book = Book(dial_burst=1)
        book.learn(ONE)
        book.dial()
        book.dial_failed(ONE, book.now)
        book.now += 1000
        book.learn(Endpoint("10.0.0.2", 1))
        assert book.dial() == [Endpoint("10.0.0.2", 1)]


class TestPlacesForThoseWhoCome:
    def test_at_first_half_of_the_places_are_dialled_for_then_one_more_from_time_to_time(self) -> None:
        book = Book(dialled_share=0.5, dialled_all_s=60.0)
        book.learn(*addresses(50))
        assert len(book.dial()) == 5
        waits = [book.wait_to_dial() for _ in range(6)]
        assert waits == [*(pytest.approx(wait) for wait in (6, 12, 12, 12, 12)), None]
        assert book.dialling_count == 10

    def test_who_comes_meanwhile_takes_what_was_to_be_dialled_for(self) -> None:
        book = Book(dialled_share=0.5, dialled_all_s=60.0)
        book.learn(*addresses(50))
        assert len(book.dial(4)) == 1
        assert book.dial(6) == []
        book.now += 60.0
        assert len(book.dial(6)) == 3

    def test_kept_place_is_dialled_for_when_one_of_no_use_is_to_leave(self) -> None:
        book = Book(dialled_share=0.5)
        book.learn(ONE)
        assert book.dial(9) == []
        assert book.take(9, skip_seeds=False, now=book.now, keeps_places=False) == [ONE]

    @pytest.mark.parametrize(("places", "dialled"), [(1, 1), (2, 1), (3, 2), (55, 28)])
    def test_of_few_places_not_all_are_kept(self, places: int, dialled: int) -> None:
        book = Book(dialled_share=0.5, connections_max=places, dial_burst=60, half_open_max=60)
        book.learn(*addresses(100))
        assert len(book.dial()) == dialled


class TestFailing:
    def fail(self, book: Book, times: int) -> list[float]:
        """Dial and fail; returns how long each new try was waited for."""
        waits = []
        for _ in range(times):
            book.dial_failed(ONE, book.now)
            waited_s = book.wait_to_dial()
            if waited_s is None:
                break
            waits.append(waited_s)
        return waits

    def test_each_failure_is_waited_for_longer_and_the_last_ends_it(self) -> None:
        book = Book()
        book.learn(ONE)
        book.dial()
        waits = self.fail(book, 10)
        assert len(waits) == 5
        assert 12 <= waits[0] <= 18
        assert all(later > earlier for earlier, later in pairwise(waits))

    def test_user_s_address_is_never_forgotten_and_never_long_waited_for(self) -> None:
        book = Book()
        book.learn(ONE, source="user")
        book.dial()
        waits = self.fail(book, 1000)
        assert len(waits) == 1000 and max(waits) <= 72
        # He may just be starting it, and waits.
        assert waits[0] <= 2.4 and waits[1] <= 6

    def test_connection_resets_the_count(self) -> None:
        book = Book()
        book.learn(ONE)
        book.dial()
        self.fail(book, 4)
        book.connected(ONE, is_outgoing=True)
        book.lost(ONE, book.now, is_outgoing=True, is_seed=False, is_welcome=True)
        waited_s = book.wait_to_dial()
        assert waited_s is not None and 12 <= waited_s <= 18

    @pytest.mark.parametrize(("source", "is_kept"), [("tracker", False), ("user", True)])
    def test_unwelcome_peer_is_not_dialled_again_unless_the_user_named_it(
        self, source: str, is_kept: bool
    ) -> None:
        book = Book()
        book.learn(ONE, source=source)
        book.dial()
        book.connected(ONE, is_outgoing=True)
        book.lost(ONE, book.now, is_outgoing=True, is_seed=False, is_welcome=False)
        assert (book.wait_to_dial() is not None) is is_kept

    def test_where_an_incoming_link_came_from_is_not_dialled(self) -> None:
        book = Book()
        book.connected(ONE, is_outgoing=False)
        book.lost(ONE, book.now, is_outgoing=False, is_seed=False, is_welcome=True)
        assert book.candidate_count == 0


class TestRefusing:
    def test_ourselves_are_known_from_then_on(self) -> None:
        book = Book()
        book.learn(ONE)
        book.dial()
        assert book.refuses(ONE, OWN_ID) == "it is ourselves"
        book.lost(ONE, book.now, is_outgoing=True, is_seed=False, is_welcome=True)
        assert book.learn(ONE) == 0 and book.candidate_count == 0

    def test_second_link_of_one_peer_is_refused(self) -> None:
        refusal = Book().refusal(ONE, OTHER_ID, [OTHER_ID], is_outgoing=False, connected_count=1)
        assert refusal == "it is connected already"

    def test_more_links_than_allowed_are_refused(self) -> None:
        refusal = Book().refusal(ONE, OTHER_ID, [], is_outgoing=False, connected_count=10)
        assert refusal == "there are enough connections"

    def test_stranger_is_let_in(self) -> None:
        assert Book().refuses(ONE) is None

    def test_of_two_crossed_links_both_sides_keep_the_same(self) -> None:
        ours = Book()
        theirs = PeerBook(OTHER_ID, EngineSettings(), random.Random(1), 0.0)
        for is_outgoing in (True, False):
            assert ours.is_preferred(OTHER_ID, is_outgoing=is_outgoing) == theirs.is_preferred(
                OWN_ID, is_outgoing=not is_outgoing
            )


class TestBanning:
    def test_banned_host_is_neither_dialled_nor_let_in_under_any_name(self) -> None:
        book = Book()
        neighbour = Endpoint(ONE.host, 7000)
        book.learn(ONE, neighbour)
        book.ban(ONE, OTHER_ID)
        assert book.is_banned(neighbour) and book.dial() == []
        assert book.learn(Endpoint(ONE.host, 7001)) == 0
        assert book.refuses(neighbour, PeerId(bytes(20)), is_outgoing=False) == "it is banned"

    def test_liar_with_the_id_of_an_honest_peer_does_not_get_that_one_banned(self) -> None:
        book = Book()
        book.ban(ONE, OTHER_ID)
        assert book.refuses(Endpoint("10.0.0.2", 1), OTHER_ID) is None
        assert book.refuses(Endpoint("10.0.0.2", 1), PeerId(bytes(20))) is None

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
    def test_on_this_machine_only_the_id_is_banned(self, host: str) -> None:
        book = Book()
        book.ban(Endpoint(host, 1), OTHER_ID)
        assert book.refuses(Endpoint(host, 2), OTHER_ID) == "it is banned"
        assert book.refuses(Endpoint(host, 2), PeerId(bytes(20))) is None

    def test_banned_peer_is_not_dialled_again_when_it_goes(self) -> None:
        book = Book()
        book.learn(ONE, source="user")
        book.dial()
        book.connected(ONE, is_outgoing=True)
        book.ban(ONE, OTHER_ID)
        book.lost(ONE, book.now, is_outgoing=True, is_seed=False, is_welcome=True)
        assert book.candidate_count == 0


class TestShortLinks:
    def close_at_once(self, book: Book, times: int) -> list[float]:
        """It accepts each link and closes it; returns how long each new try was waited for."""
        waits = []
        for _ in range(times):
            book.connected(ONE, is_outgoing=True)
            book.lost(ONE, book.now, is_outgoing=True, is_seed=False, is_welcome=True, was_short=True)
            waited_s = book.wait_to_dial()
            if waited_s is None:
                break
            waits.append(waited_s)
        return waits

    def test_who_closes_at_once_is_tried_later_and_later_and_given_up(self) -> None:
        book = Book()
        book.learn(ONE)
        book.dial()
        waits = self.close_at_once(book, 10)
        assert len(waits) == 5
        assert all(later > 1.5 * earlier for earlier, later in pairwise(waits))

    def test_user_s_choice_is_tried_for_ever(self) -> None:
        book = Book()
        book.learn(ONE, source="user")
        book.dial()
        assert len(self.close_at_once(book, 50)) == 50


class TestIdentified:
    def test_where_a_connected_peer_listens_is_not_dialled(self) -> None:
        book = Book()
        book.learn(ONE)
        book.identified(ONE)
        assert book.dial() == [] and book.learn(ONE) == 0 and book.next_at() is None

    def test_what_was_known_before_is_known_again_when_it_goes(self) -> None:
        book = Book()
        book.learn(ONE)
        book.identified(ONE)
        book.lost(ONE, book.now, is_outgoing=False, is_seed=False, is_welcome=True)
        assert book.wait_to_dial() is not None

    def test_what_only_the_peer_itself_said_is_forgotten_with_it(self) -> None:
        book = Book()
        book.identified(ONE)
        book.lost(ONE, book.now, is_outgoing=False, is_seed=False, is_welcome=True)
        assert book.candidate_count == 0 and book.learn(ONE) == 1


class TestPriority:
    def test_of_equals_the_higher_priority_is_dialled_first(self) -> None:
        book = Book(dial_burst=3)
        book.rank_by(lambda endpoint: int(endpoint.host.rpartition(".")[2]))
        book.learn(*addresses(20))
        assert [endpoint.host for endpoint in book.dial()] == ["10.0.0.19", "10.0.0.18", "10.0.0.17"]

    def test_failures_count_more_than_priority(self) -> None:
        book = Book(dial_burst=1)
        book.rank_by(lambda endpoint: int(endpoint.host == ONE.host))
        book.learn(ONE, Endpoint("10.0.0.2", 1))
        assert book.dial() == [ONE]
        book.dial_failed(ONE, book.now)
        book.now += 1000
        assert book.dial() == [Endpoint("10.0.0.2", 1)]

    def test_another_address_of_ours_makes_another_order(self) -> None:
        book = Book(dial_burst=1)
        first, last, middle = addresses(3)
        wanted = first
        book.rank_by(lambda endpoint: int(endpoint == wanted))
        book.learn(first, last, middle)
        assert book.dial() == [first]
        wanted = last
        book.own_address_changed()
        book.now += 1000
        assert book.dial() == [last]


class TestPunching:
    def test_waiting_candidate_is_dialled_out_of_turn(self) -> None:
        book = Book()
        book.learn(ONE)
        book.dial()
        book.dial_failed(ONE, book.now)
        assert book.dial() == [] and book.punch(ONE, book.now)
        assert book.dialling_count == 1 and not book.punch(ONE, book.now)

    def test_half_open_links_are_bounded(self) -> None:
        book = Book(half_open_max=2)
        assert [book.punch(endpoint, book.now) for endpoint in addresses(3)] == [True, True, False]

    def test_banned_and_private_say_no(self) -> None:
        book = Book()
        book.ban(ONE, None)
        assert not book.punch(ONE, book.now)
        book = Book()
        book.become_private()
        assert not book.punch(ONE, book.now)
