"""DHT ports of peers, and what a private torrent lets in."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.engine.events import CandidatesFound
from swarm.wire.peer.messages import Port
from tests.unit.engine.world import World

ADDRESS = Endpoint("10.7.7.7", 6881)


class TestDhtPort:
    def test_peers_with_a_node_are_told_of_ours(self) -> None:
        world = World(dht_port=4444)
        assert world.connect(has_dht=True).heard_of(Port) == [Port(4444)]
        assert world.connect(has_dht=False).heard_of(Port) == []

    @pytest.mark.parametrize("options", [{}, {"dht_port": 4444, "is_private": True}])
    def test_without_a_node_or_in_private_nothing_is_told(self, options: dict[str, int]) -> None:
        assert World(**options).connect(has_dht=True).heard_of(Port) == []  # type: ignore[arg-type]

    def test_a_peer_s_node_is_passed_on_once(self) -> None:
        world = World()
        peer = world.connect("*   ")
        peer.says(Port(0), Port(7000), Port(7001))
        assert world.nodes == [Endpoint(peer.endpoint.host, 7000)]

    def test_private_torrent_s_peers_are_no_nodes_for_us(self) -> None:
        world = World(is_private=True, dht_port=4444)
        world.connect("*   ").says(Port(7000))
        assert world.nodes == []


class TestPrivate:
    @pytest.mark.parametrize("source", ["tracker example.org", "tracker", "user"])
    def test_tracker_s_and_user_s_peers_are_dialled(self, source: str) -> None:
        world = World(is_private=True)
        world.tell(CandidatesFound([ADDRESS], source))
        assert world.dialled == [ADDRESS]

    @pytest.mark.parametrize("source", ["pex", "dht", "lsd", "holepunch", ""])
    def test_all_others_are_passed_over(self, source: str) -> None:
        private, public = World(is_private=True), World()
        for world in (private, public):
            world.tell(CandidatesFound([ADDRESS], source))
        assert private.dialled == [] and public.dialled == [ADDRESS]

    def test_incoming_peers_are_let_in(self) -> None:
        peer = World(is_private=True).connect("*   ")
        assert peer.drop_reason is None and peer.is_wanted
