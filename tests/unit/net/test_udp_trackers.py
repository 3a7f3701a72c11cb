"""The UDP tracker client on real sockets: trackers that answer, lie, forget, or are not there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.net import names
from swarm.net.outlet import Outlet
from swarm.net.udp_trackers import UdpTrackerClient, UdpTrackerSettings
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse, ScrapeEntry
from swarm.wire.tracker.udp_server import ANNOUNCE, SCRAPE, SCRAPE_MAX, encode_connected
from tests.unit.net.udp_tracker import Query, UdpTracker, honest, silent, udp_tracker

TORRENT = InfoHash(b"t" * 20)
REQUEST = AnnounceRequest(TORRENT, PeerId(b"-SW0100-abcdefghijkl"), 6881, 1, 2, 3, "started", 80, 7)
PEER = Endpoint("10.0.0.1", 1)
PEER_V6 = Endpoint("2001:db8::1", 2)
#: What is expected comes long before it; what must not come is not waited for.
PATIENCE_S = 30.0
#: Requests are repeated at once rather than after 15 s.
HASTY = UdpTrackerSettings(first_wait_s=0.02, address_stagger_s=0.05, second_family_s=0.05)

#: Other addresses are tried soon, and no request is repeated.
IN_TURN = replace(HASTY, first_wait_s=15)


@pytest.fixture
async def client() -> AsyncIterator[UdpTrackerClient]:
    made = UdpTrackerClient()
    yield made
    await made.close()


@pytest.fixture
async def hasty() -> AsyncIterator[UdpTrackerClient]:
    made = UdpTrackerClient(settings=HASTY)
    yield made
    await made.close()


class FakeNames(names.NameCache):
    """Knows one name."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self.hosts = list(hosts)

    async def addresses(self, name: str) -> list[str]:
        if not self.hosts:
            raise OSError(-2, "Name or service not known")
        return self.hosts


def announces(tracker: UdpTracker) -> list[Query]:
    return [query for query in tracker.queries if query.action == ANNOUNCE]


class TestAnnounce:
    async def test_says_everything_and_reads_the_answer(self, client: UdpTrackerClient) -> None:
        async with udp_tracker(peers=[PEER]) as tracker:
            response = await client.announce(f"{tracker.url}?key=x", REQUEST, PATIENCE_S)
            (query,) = announces(tracker)
        assert (response.peers, response.interval_s) == ((PEER,), 1800)
        assert (response.seeds, response.leechers) == (1, 2)
        assert (query.info_hash, query.peer_id, query.port) == (TORRENT, REQUEST.peer_id, 6881)
        assert (query.left_bytes, query.event, query.num_want) == (3, "started", 80)
        assert query.url_data == b"/announce?key=x"

    async def test_the_connection_id_is_used_again_for_a_minute(self, client: UdpTrackerClient) -> None:
        async with udp_tracker() as tracker:
            for _ in range(3):
                await client.announce(tracker.url, REQUEST, PATIENCE_S)
            await client.scrape(tracker.url, [TORRENT], PATIENCE_S)
            assert tracker.kinds == "caaas"

    async def test_an_old_connection_id_is_not_used(self) -> None:
        client = UdpTrackerClient(settings=replace(IN_TURN, connection_life_s=0))
        async with udp_tracker() as tracker:
            await client.announce(tracker.url, REQUEST, PATIENCE_S)
            await client.announce(tracker.url, REQUEST, PATIENCE_S)
            assert tracker.kinds == "caca"
        await client.close()

    async def test_a_tracker_that_forgot_our_connection_id_is_asked_for_another(
        self, client: UdpTrackerClient
    ) -> None:
        async with udp_tracker(peers=[PEER]) as tracker:
            await client.announce(tracker.url, REQUEST, PATIENCE_S)
            tracker.connection = b"others!!"
            response = await client.announce(tracker.url, REQUEST, PATIENCE_S)
            assert tracker.kinds == "caaca"
        assert response.peers == (PEER,)

    async def test_many_torrents_on_many_trackers_share_a_socket_and_a_connect(
        self, client: UdpTrackerClient
    ) -> None:
        async with udp_tracker(peers=[PEER]) as one, udp_tracker(peers=[PEER]) as other:
            requests = [replace(REQUEST, info_hash=InfoHash(bytes([n]) * 20)) for n in range(50)]
            asked = [
                client.announce(url, request, PATIENCE_S)
                for request in requests
                for url in (one.url, other.url)
            ]
            responses = await asyncio.gather(*asked)
            for tracker in (one, other):
                assert tracker.kinds == "c" + "a" * 50
                assert len({query.info_hash for query in announces(tracker)}) == 50
                assert len({query.transaction for query in tracker.queries}) == 51
        assert [response.peers for response in responses] == [(PEER,)] * 100
        assert len(client._sockets) == 1

    async def test_scrape_of_as_many_as_there_may_be(self, client: UdpTrackerClient) -> None:
        asked = [InfoHash(bytes([number]) * 20) for number in range(SCRAPE_MAX)]
        async with udp_tracker() as tracker:
            found = await client.scrape(tracker.url, asked, PATIENCE_S)
        assert found == {info_hash: ScrapeEntry(number, 0, 0) for number, info_hash in enumerate(asked)}


class TestLostDatagrams:
    async def test_requests_are_repeated_with_the_same_transaction(self, hasty: UdpTrackerClient) -> None:
        def deaf_at_first(query: Query, answer: bytes) -> Iterable[bytes]:
            return [answer] if tracker.queries.count(query) == 3 else []

        async with udp_tracker(deaf_at_first, peers=[PEER]) as tracker:
            response = await hasty.announce(tracker.url, REQUEST, PATIENCE_S)
            assert tracker.kinds.count("c") >= 3 and tracker.kinds.count("a") >= 3
            assert len(set(tracker.queries)) == 2
        assert response.peers == (PEER,)

    async def test_waits_double(self) -> None:
        assert list(UdpTrackerSettings().waits_s()) == [15.0 * 2**n for n in range(9)]

    async def test_the_caller_s_limit_ends_it(self, client: UdpTrackerClient) -> None:
        async with udp_tracker(silent) as tracker:
            with pytest.raises(TrackerError, match=r"^no answer$"):
                await client.announce(tracker.url, REQUEST, 0.05)
            assert tracker.kinds == "c"

    async def test_a_late_connection_id_serves_the_next_announce(self, client: UdpTrackerClient) -> None:
        async with udp_tracker(silent) as tracker:
            with pytest.raises(TrackerError):
                await client.announce(tracker.url, REQUEST, 0.05)
            tracker.manners = honest
            (query,) = tracker.queries
            (connecting,) = client._connecting.values()
            ours = client._sockets[False]._socket.getsockname()
            assert tracker.transport is not None
            tracker.transport.sendto(
                encode_connected(query.transaction, tracker.connection), ("127.0.0.1", ours[1])
            )
            await connecting
            await client.announce(tracker.url, REQUEST, PATIENCE_S)
            assert tracker.kinds == "ca"

    async def test_a_closed_port_is_known_at_once(self, client: UdpTrackerClient) -> None:
        async with udp_tracker() as tracker:
            url = tracker.url
        with pytest.raises(TrackerError, match="refused"):
            await client.announce(url, REQUEST, PATIENCE_S)

    async def test_a_closed_port_is_no_fault_of_another_tracker(self, client: UdpTrackerClient) -> None:
        async with udp_tracker() as closed:
            pass
        async with udp_tracker(peers=[PEER]) as tracker:
            # On loopback the refusal is there before the next datagram, to the other one, is sent.
            asking = [client.announce(one.url, REQUEST, PATIENCE_S) for one in (closed, tracker, closed)]
            refused, answered, again = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(refused, TrackerError) and isinstance(again, TrackerError)
        assert isinstance(answered, AnnounceResponse) and answered.peers == (PEER,)


class TestLies:
    """What is no answer to our question is not heard; the true one, which follows it, is."""

    @pytest.mark.parametrize("size", [1, 4, 7])
    async def test_too_short_to_name_a_transaction(self, client: UdpTrackerClient, size: int) -> None:
        async with udp_tracker(lambda _, answer: [answer[:size], answer], peers=[PEER]) as tracker:
            assert (await client.announce(tracker.url, REQUEST, PATIENCE_S)).peers == (PEER,)
        assert client._sockets[False].stray_count == 2

    async def test_of_another_transaction(self, client: UdpTrackerClient) -> None:
        def other(_: Query, answer: bytes) -> Iterable[bytes]:
            wrong = bytes([answer[4] ^ 1]) + answer[5:8]
            return [answer[:4] + wrong + answer[8:], bytes.fromhex("00000003") + wrong + b"evil", answer]

        async with udp_tracker(other, peers=[PEER]) as tracker:
            assert (await client.announce(tracker.url, REQUEST, PATIENCE_S)).peers == (PEER,)
        assert client._sockets[False].stray_count == 4

    async def test_from_another_address(self, client: UdpTrackerClient) -> None:
        async with udp_tracker(is_answering_from_elsewhere=True) as tracker:
            with pytest.raises(TrackerError, match=r"^no answer$"):
                await client.announce(tracker.url, REQUEST, 0.1)
        assert client._sockets[False].stray_count == 1

    @pytest.mark.parametrize(
        ("cut", "message"),
        [
            (lambda answer: answer[:-1], "answer of 15 bytes to a connect"),
            (lambda answer: answer[:3] + b"\1" + answer[4:], "another question"),
            (lambda answer: answer[:3] + b"\3" + answer[4:8] + b"go away", "^go away$"),
            (lambda answer: answer[:3] + b"\3" + answer[4:8] + b"\x1b[2J", r"^\\x1b\[2J$"),
        ],
    )
    async def test_that_name_our_transaction_fail_the_announce(
        self, client: UdpTrackerClient, cut: object, message: str
    ) -> None:
        assert callable(cut)
        async with udp_tracker(lambda _, answer: [cut(answer)]) as tracker:
            with pytest.raises(TrackerError, match=message):
                await client.announce(tracker.url, REQUEST, PATIENCE_S)

    @pytest.mark.parametrize(
        ("tail", "message"), [(b"x", "no list of addresses"), (bytes(60_000), ""), (b"\x08" * 60_000, "")]
    )
    async def test_in_the_list_of_peers(self, client: UdpTrackerClient, tail: bytes, message: str) -> None:
        def tailed(query: Query, answer: bytes) -> Iterable[bytes]:
            return [answer + tail] if query.action == ANNOUNCE else [answer]

        async with udp_tracker(tailed) as tracker:
            if message:
                with pytest.raises(TrackerError, match=message):
                    await client.announce(tracker.url, REQUEST, PATIENCE_S)
            else:
                response = await client.announce(tracker.url, REQUEST, PATIENCE_S)
                assert len(response.peers) <= 2000

    async def test_a_scrape_of_the_wrong_size(self, client: UdpTrackerClient) -> None:
        def short(query: Query, answer: bytes) -> Iterable[bytes]:
            return [answer[:-12]] if query.action == SCRAPE else [answer]

        async with udp_tracker(short) as tracker:
            with pytest.raises(TrackerError, match="to a scrape of 2"):
                await client.scrape(tracker.url, [TORRENT, InfoHash(b"u" * 20)], PATIENCE_S)


class TestNames:
    async def test_each_family_is_asked_for_itself(self) -> None:
        client = UdpTrackerClient(names=FakeNames("::1", "127.0.0.1"))
        async with udp_tracker(peers=[PEER, PEER]) as v4:
            port = v4.endpoint.port
            async with udp_tracker(peers=[PEER_V6], host="::1", port=port) as v6:
                url = f"udp://tracker.test:{port}"
                over_v4 = await client.announce(url, REQUEST, PATIENCE_S, is_v6=False)
                assert (v4.kinds, v6.kinds) == ("ca", "")
                over_v6 = await client.announce(url, REQUEST, PATIENCE_S, is_v6=True)
                assert (v4.kinds, v6.kinds) == ("ca", "ca")
        assert (over_v4.peers, over_v6.peers) == ((PEER, PEER), (PEER_V6,))
        await client.close()

    async def test_without_an_address_of_the_family_it_says_so(self) -> None:
        client = UdpTrackerClient(names=FakeNames("127.0.0.1"))
        with pytest.raises(TrackerError, match=r"^the tracker has no IPv6 address$") as raised:
            await client.announce("udp://tracker.test:1", REQUEST, PATIENCE_S, is_v6=True)
        assert raised.value.lacks == "address"
        assert client._sockets == {}
        await client.close()

    async def test_one_family_that_is_dead_does_not_hold_up_the_other(self) -> None:
        client = UdpTrackerClient(names=FakeNames("::1", "127.0.0.1"), settings=IN_TURN)
        async with udp_tracker(peers=[PEER]) as v4:
            port = v4.endpoint.port
            async with udp_tracker(silent, host="::1", port=port):
                response = await client.announce(f"udp://tracker.test:{port}", REQUEST, PATIENCE_S)
        assert response.peers == (PEER,)
        await client.close()

    async def test_where_all_families_fail_it_says_why(self) -> None:
        client = UdpTrackerClient(names=FakeNames("127.0.0.1", "::1"))
        async with udp_tracker() as v4:
            port = v4.endpoint.port
        with pytest.raises(TrackerError, match="refused"):
            await client.announce(f"udp://tracker.test:{port}", REQUEST, PATIENCE_S)
        await client.close()

    async def test_the_second_address_of_a_name_is_tried(self) -> None:
        client = UdpTrackerClient(names=FakeNames("127.0.0.2", "127.0.0.1"), settings=IN_TURN)
        async with udp_tracker(peers=[PEER]) as good:
            port = good.endpoint.port
            async with udp_tracker(silent, host="127.0.0.2", port=port):
                response = await client.announce(f"udp://tracker.test:{port}", REQUEST, PATIENCE_S)
        assert response.peers == (PEER,)
        await client.close()

    async def test_that_do_not_exist(self) -> None:
        client = UdpTrackerClient(names=FakeNames())
        with pytest.raises(TrackerError, match=r"^name or service not known$"):
            await client.announce("udp://tracker.test:1", REQUEST, PATIENCE_S)
        await client.close()

    @pytest.mark.parametrize("host", ["0.0.0.0", "239.192.152.143", "255.255.255.255", "[ff15::1]", "[::]"])
    async def test_that_lead_to_a_crowd_are_not_asked(self, client: UdpTrackerClient, host: str) -> None:
        with pytest.raises(TrackerError, match="not an address") as raised:
            await client.announce(f"udp://{host}:6969/announce", REQUEST, PATIENCE_S)
        assert raised.value.is_final

    async def test_a_bound_session_asks_from_its_address_alone(self) -> None:
        client = UdpTrackerClient(outlet=Outlet({False: "127.0.0.3"}))
        async with udp_tracker() as tracker:
            await client.announce(tracker.url, REQUEST, PATIENCE_S)
        assert tracker.sources == {"127.0.0.3"}
        with pytest.raises(TrackerError, match="no address of that family"):
            await client.announce("udp://[::1]:1", REQUEST, PATIENCE_S)
        await client.close()


class TestEnd:
    async def test_close_ends_what_is_under_way(self, client: UdpTrackerClient) -> None:
        async with udp_tracker(silent) as tracker:
            asking = asyncio.create_task(client.announce(tracker.url, REQUEST, PATIENCE_S))
            await tracker.until_asked(1)
            await client.close()
            with pytest.raises(TrackerError, match="closed"):
                await asking
        with pytest.raises(TrackerError, match="closed"):
            await client.announce(tracker.url, REQUEST, PATIENCE_S)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_cancelled_announce_leaves_nothing_waiting(self, client: UdpTrackerClient) -> None:
        async with udp_tracker(silent) as tracker:
            asking = asyncio.create_task(client.announce(tracker.url, REQUEST, PATIENCE_S))
            await tracker.until_asked(1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await client.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_connection_ids_kept_are_bounded(self) -> None:
        client = UdpTrackerClient(settings=UdpTrackerSettings(connections_max=2))
        async with udp_tracker() as one, udp_tracker() as two, udp_tracker() as three:
            for tracker in (one, two, three, one, three):
                await client.announce(tracker.url, REQUEST, PATIENCE_S)
            assert (one.kinds, two.kinds, three.kinds) == ("caca", "ca", "caa")
        await client.close()

    async def test_where_there_is_no_such_family_it_says_so(
        self, client: UdpTrackerClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> socket.socket:
            raise OSError(97, "Address family not supported by protocol")

        monkeypatch.setattr(socket, "socket", refuse)
        with pytest.raises(TrackerError, match="family not supported"):
            await client.announce("udp://127.0.0.1:1", REQUEST, PATIENCE_S)
