"""The door: how many come in from where, and who stays out."""

from __future__ import annotations

from swarm.base.endpoint import Endpoint
from swarm.base.ip_ranges import parse_ranges
from swarm.engine.settings import EngineSettings
from swarm.session.connections import door as doors
from swarm.session.connections.door import Door
from swarm.session.settings import SessionSettings


class Caller:
    def __init__(self, host: str, port: int = 1000) -> None:
        self.endpoint = Endpoint(host, port)
        self.closed_for = ""

    def close(self, reason: str) -> None:
        self.closed_for = reason


def door(*, is_loopback_shared: bool = True, silent: int = 64) -> Door:
    return Door(
        SessionSettings(
            connections_per_address_max=2,
            connections_per_prefix_max=3,
            silent_links_max=silent,
            engine=EngineSettings(is_loopback_shared=is_loopback_shared),
        )
    )


def test_one_address_gets_no_more_than_its_places_and_one_back_when_a_link_is_gone() -> None:
    entry = door()
    callers = [Caller("203.0.113.5", port) for port in range(3)]
    assert [entry.enter(caller) for caller in callers] == [
        None,
        None,
        "there are enough connections from its address",
    ]
    # It was never in: that it goes frees nothing.
    entry.left(callers[2])
    assert entry.enter(Caller("203.0.113.5")) is not None
    entry.left(callers[0])
    assert entry.enter(Caller("203.0.113.5")) is None


def test_one_network_gets_no_more_than_its_places() -> None:
    for hosts, other in (
        (("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"), "203.0.114.1"),
        (("2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:4::1"), "2001:db8:2::1"),
    ):
        entry = door()
        assert [entry.enter(Caller(host)) for host in hosts] == [
            None,
            None,
            None,
            "there are enough connections from its network",
        ]
        assert entry.enter(Caller(other)) is None


def test_loopback_is_many_peers_on_one_machine_unless_it_is_said_not_to_be() -> None:
    entry = door()
    assert [entry.enter(Caller("127.0.0.1", port)) for port in range(5)] == [None] * 5
    entry.ban(Endpoint("127.0.0.1", 1), "it lied")
    assert entry.refusal("127.0.0.1") is None
    strict = door(is_loopback_shared=False)
    assert [strict.enter(Caller("127.0.0.1", port)) is None for port in range(3)] == [True, True, False]


def test_oldest_of_too_many_silent_links_goes_and_those_that_spoke_stay() -> None:
    entry = door(silent=2)
    callers = [Caller(f"203.0.{number}.1") for number in range(4)]
    for caller in callers[:2]:
        assert entry.enter(caller) is None
    entry.recognised(callers[0])
    for caller in callers[2:]:
        assert entry.enter(caller) is None
    assert [bool(caller.closed_for) for caller in callers] == [False, True, False, False]


def test_banned_address_stays_out_and_bans_are_bounded() -> None:
    entry = door()
    for number in range(doors.BANS_MAX + 5):
        entry.ban(Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1), "it lied")
    assert entry.sizes["banned"] == doors.BANS_MAX
    assert entry.refusal("10.0.0.0") is None
    assert entry.enter(Caller("10.0.39.16")) == "it is banned"


def test_listed_address_stays_out() -> None:
    entry = door()
    entry.blocklist = parse_ranges("127.0.0.0/8\n2001:db8::/32")
    assert entry.enter(Caller("127.0.0.1")) == doors.BLOCKED
    assert entry.refusal("2001:db8::7") == doors.BLOCKED
    assert entry.refusal("192.0.2.1") is None


def test_nothing_is_kept_of_links_that_are_gone() -> None:
    entry = door()
    callers = [Caller(f"203.0.{number % 4}.{number}") for number in range(40)]
    for caller in callers:
        entry.enter(caller)
    for caller in callers:
        entry.left(caller)
    assert set(entry.sizes.values()) == {0}
