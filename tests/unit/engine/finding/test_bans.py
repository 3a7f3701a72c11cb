"""Who is banned by address, and who by id."""

from __future__ import annotations

import pytest

import swarm.engine.finding.bans as module
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.finding.bans import Bans

LIAR, HONEST = PeerId(b"L" * 20), PeerId(b"H" * 20)


@pytest.mark.parametrize(
    ("host", "is_loopback_shared", "is_by_host"),
    [("10.0.0.1", True, True), ("127.0.0.1", True, False), ("::1", True, False), ("127.0.0.1", False, True)],
)
def test_an_address_is_banned_unless_honest_peers_share_it(
    host: str, is_loopback_shared: bool, is_by_host: bool
) -> None:
    bans = Bans(is_loopback_shared=is_loopback_shared)
    bans.add(Endpoint(host, 1), LIAR)
    assert bans.has(Endpoint(host, 2), LIAR)
    assert bans.has(Endpoint(host, 2), HONEST) == bans.has_host(Endpoint(host, 2)) == is_by_host
    assert bans.has(Endpoint("10.0.0.9", 1), LIAR) != is_by_host


def test_the_oldest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BANS_MAX", 2)
    bans = Bans(is_loopback_shared=True)
    hosts = [Endpoint(f"10.0.0.{number}", 1) for number in range(3)]
    for endpoint in hosts:
        bans.add(endpoint, None)
    assert [bans.has_host(endpoint) for endpoint in hosts] == [False, True, True]
