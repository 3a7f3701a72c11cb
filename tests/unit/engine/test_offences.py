"""Who breaks the protocol is counted, but not for ever."""

from __future__ import annotations

from swarm.base.endpoint import Endpoint
from swarm.engine.offences import OFFENDERS_MAX, Offences
from swarm.engine.settings import EngineSettings


def test_third_offence_from_one_address_bans_it_and_loopback_is_many() -> None:
    offences = Offences(EngineSettings(offences_max=3))
    there = Endpoint("203.0.113.5", 1)
    assert [offences.is_once_too_often(there) for _ in range(3)] == [False, False, True]
    assert not any(offences.is_once_too_often(Endpoint("127.0.0.1", 1)) for _ in range(10))
    for number in range(2 * OFFENDERS_MAX):
        offences.is_once_too_often(Endpoint(f"10.0.{number >> 8}.{number & 255}", 1))
    assert len(offences) <= OFFENDERS_MAX
