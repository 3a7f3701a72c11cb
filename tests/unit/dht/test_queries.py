"""Questions of ours: whose answers are believed, when they are slow, when they have failed."""

from __future__ import annotations

import random
from collections import Counter

from swarm.base.endpoint import Endpoint
from swarm.base.ids import NodeId
from swarm.dht.commands import Command, SendDatagram
from swarm.dht.identity import Identity
from swarm.dht.queries import Asked, Queries
from swarm.dht.settings import DhtSettings
from swarm.wire import krpc
from swarm.wire.krpc import Failure, Query, Response

THERE = Endpoint("5.5.5.5", 6881)


class Listener:
    """An asker that takes note."""

    def answered(self, asked: Asked, response: Response, now: float) -> None: ...
    def slowed(self, asked: Asked, now: float) -> None: ...
    def failed(self, asked: Asked, failure: Failure | None, now: float) -> None: ...


def queries(*, is_read_only: bool = False) -> tuple[Queries, list[Command], Counter[str]]:
    outbox: list[Command] = []
    refused: Counter[str] = Counter()
    rng = random.Random(1)
    identity = Identity(NodeId(b"i" * 20), rng, votes_max=8, votes_needed=3)
    return Queries(identity, DhtSettings(is_read_only=is_read_only), rng, outbox, refused), outbox, refused


def test_question_carries_our_id_and_a_random_transaction() -> None:
    desk, outbox, _ = queries(is_read_only=True)
    asked = [desk.ask(THERE, krpc.Ping(), Listener(), 0.0) for _ in range(100)]
    assert len({one.transaction for one in asked}) == 100
    (first, *_) = outbox
    assert isinstance(first, SendDatagram)
    query = Query(asked[0].transaction, b"i" * 20, krpc.Ping(), is_read_only=True)
    assert krpc.decode(first.payload) == query


def test_answer_counts_once_and_from_the_address_asked() -> None:
    desk, _, refused = queries()
    asked = desk.ask(THERE, krpc.Ping(), Listener(), 0.0)
    assert desk.take(asked.transaction, Endpoint("6.6.6.6", 6881), 0.1) is None
    assert desk.take(asked.transaction, Endpoint("5.5.5.5", 6882), 0.1) is None
    assert desk.take(b"none", THERE, 0.1) is None
    assert desk.take(asked.transaction, THERE, 0.1) is asked
    assert desk.take(asked.transaction, THERE, 0.1) is None
    assert refused == {"answer from another address": 2, "answer to nothing": 2}


def test_question_is_slow_then_failed_and_then_forgotten() -> None:
    desk, _, _ = queries()
    asked = desk.ask(THERE, krpc.Ping(), Listener(), 10.0)
    assert desk.next_deadline() == 11.0
    assert desk.expire(10.9) == []
    assert desk.expire(11.0) == [(asked, False)]
    assert desk.next_deadline() == 13.0
    assert desk.expire(13.0) == [(asked, True)]
    assert desk.next_deadline() is None and len(desk) == 0
    assert desk.take(asked.transaction, THERE, 13.1) is None


def test_slow_answer_is_taken_until_it_is_given_up() -> None:
    desk, _, _ = queries()
    asked = desk.ask(THERE, krpc.Ping(), Listener(), 0.0)
    desk.expire(1.5)
    assert desk.take(asked.transaction, THERE, 2.0) is asked
    assert desk.expire(10.0) == [] and desk.next_deadline() is None


def test_patience_follows_the_round_trips_within_bounds() -> None:
    desk, _, _ = queries()
    assert desk.slow_s == 1.0
    for turn in range(50):
        asked = desk.ask(THERE, krpc.Ping(), Listener(), float(turn))
        desk.take(asked.transaction, THERE, turn + 0.001)
    assert desk.slow_s == 0.25
    for turn in range(50, 100):
        asked = desk.ask(THERE, krpc.Ping(), Listener(), float(turn))
        desk.take(asked.transaction, THERE, turn + 0.5)
    assert 0.5 < desk.slow_s < 0.7
