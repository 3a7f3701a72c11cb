"""Where traffic leaves this machine."""

from __future__ import annotations

import socket

import pytest

from swarm.base.errors import SettingsError
from swarm.net.outlet import Outlet, bind_addresses


def test_nothing_said_means_every_address_of_both_families() -> None:
    assert bind_addresses(None) == ["0.0.0.0", "::"]


def test_address_is_taken_as_it_is_and_an_interface_by_its_addresses() -> None:
    assert bind_addresses("127.0.0.1") == ["127.0.0.1"]
    assert bind_addresses("::1") == ["::1"]
    assert bind_addresses("::ffff:127.0.0.1") == ["127.0.0.1"]
    assert "127.0.0.1" in bind_addresses("lo")


def test_neither_address_nor_interface_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither an address nor a network interface"):
        bind_addresses("eth99.nonsense")


def test_without_a_restriction_any_family_may_leave() -> None:
    outlet = Outlet.of(None)
    assert outlet.has(is_v6=False) and outlet.has(is_v6=True)
    assert outlet.address(is_v6=False) is None


def test_address_is_held_to_and_its_interface_is_the_systems_affair() -> None:
    outlet = Outlet.of("127.0.0.2")
    assert outlet.address(is_v6=False) == "127.0.0.2"
    assert not outlet.has(is_v6=True)
    assert outlet.interface == ""


def test_interface_is_held_to_by_its_name_and_its_address() -> None:
    outlet = Outlet.of("lo")
    assert outlet.interface == "lo"
    assert outlet.address(is_v6=False) == "127.0.0.1"


async def test_connection_leaves_from_the_address_and_from_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connected = await Outlet.of("127.0.0.2").connect("127.0.0.1", listener.getsockname()[1])
        with connected, listener.accept()[0] as accepted:
            assert accepted.getpeername()[0] == "127.0.0.2"


async def test_family_without_an_address_is_not_connected_to() -> None:
    with pytest.raises(OSError, match="no address of that family"):
        await Outlet.of("127.0.0.2").connect("::1", 1)


async def test_address_that_is_gone_fails_rather_than_to_leave_from_elsewhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(OSError, match="assign"):
            await Outlet({False: "192.0.2.1"}).connect("127.0.0.1", listener.getsockname()[1])
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("zone", ["4" * 9, "9" * 20, "9" * 5000, "²", "none"])
async def test_zone_of_no_interface_is_an_address_that_cannot_be_reached(zone: str) -> None:
    with pytest.raises(OSError):
        await Outlet.of(None).connect(f"fe80::1%{zone}", 1)
