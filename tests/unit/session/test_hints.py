"""Peers and trackers that the user names: what is of another form is refused at once."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.base.errors import SettingsError
from swarm.session.hints import Hints


def test_one_text_is_no_list_of_trackers() -> None:
    with pytest.raises(SettingsError, match=r"such as \['http://a/announce'\]"):
        Hints.of([], "http://a/announce", use_trackers=True)


@pytest.mark.parametrize(
    "peer", ["10.0.0.1:6881", ("10.0.0.1", 0), ("10.0.0.1", 65_536), ("10.0.0.1", "1"), 5]
)
def test_a_peer_is_a_host_and_a_port(peer: Any) -> None:
    with pytest.raises(SettingsError, match=r"a peer is \(host, port"):
        Hints.of([peer], [], use_trackers=True)


def test_a_pair_is_no_list_of_peers() -> None:
    one: Any = ("10.0.0.1", 6881)
    with pytest.raises(SettingsError, match=r"a peer is \(host, port"):
        Hints.of(one, [], use_trackers=True)
    assert Hints.of([one], ["http://a/"], use_trackers=True).peers == (one,)
