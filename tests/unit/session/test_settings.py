"""What the environment may say about a session."""

from __future__ import annotations

import pytest

from swarm.base.errors import SettingsError
from swarm.session.settings import DHT_ROUTERS, SessionSettings


def test_tests_know_no_public_routers() -> None:
    assert SessionSettings().dht_routers == ()


def test_several_public_routers_are_asked_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWARM_DHT_BOOTSTRAP")
    assert SessionSettings().dht_routers == DHT_ROUTERS
    assert len({host.rpartition(".")[0].rpartition(".")[2] for host, _ in DHT_ROUTERS}) >= 3


def test_the_environment_names_other_routers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_DHT_BOOTSTRAP", "127.0.0.1:1  [::1]:2 name.example:3")
    assert SessionSettings().dht_routers == (("127.0.0.1", 1), ("::1", 2), ("name.example", 3))


def test_a_router_without_a_port_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_DHT_BOOTSTRAP", "127.0.0.1")
    with pytest.raises(SettingsError, match="SWARM_DHT_BOOTSTRAP: expected HOST:PORT"):
        SessionSettings()
