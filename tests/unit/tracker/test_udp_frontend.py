"""The tracker's UDP side, without sockets: batches in, answers out."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from swarm.base.endpoint import COMPACT_V4_BYTES
from swarm.tracker.admission import Admission
from swarm.tracker.announce import Rules, TrackerSettings
from swarm.tracker.connection_ids import ConnectionIds
from swarm.tracker.datagrams import Batch
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.udp_frontend import UdpFrontend
from swarm.wire.tracker.udp_server import CONNECT_MAGIC, SLOT_BYTES

TRANSACTION = b"TRAN"
TORRENT = b"t" * 20


def name_v4(number: int = 1, port: int = 5000) -> bytes:
    return struct.pack("=H2s4s8x", socket.AF_INET, port.to_bytes(2, "big"), bytes([10, 0, 0, number]))


def name_v6(number: int = 1) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, f"2001:db8::{number}")
    return struct.pack("=H2sI16sI", socket.AF_INET6, b"\x10\x00", 0, packed, 0)


def connect() -> bytes:
    return CONNECT_MAGIC + bytes(4) + TRANSACTION


def announce(
    connection: bytes, *, left: int = 0, event: int = 2, num_want: int = -1, port: int = 6881, action: int = 1
) -> bytes:
    head = connection + action.to_bytes(4, "big") + TRANSACTION + TORRENT + b"p" * 20
    return head + struct.pack(">QQQIIIiH", 0, left, 0, event, 0, 0, num_want, port)


def scrape(connection: bytes, *info_hashes: bytes) -> bytes:
    return connection + b"\0\0\0\2" + TRANSACTION + b"".join(info_hashes)


class Tracker:
    """A UDP front end with a clock that the test turns."""

    def __init__(self, admission: Admission | None = None) -> None:
        self.now = 1000.0
        settings = TrackerSettings()
        rules = Rules(
            MemoryStore(settings.peer_life_s, random.Random(2)), random.Random(1), settings, admission
        )
        self.frontend = UdpFrontend(rules, lambda: self.now, ConnectionIds(b"s" * 32))

    def ask(self, datagram: bytes, name: bytes | None = None) -> bytes | None:
        name = name or name_v4()
        slot = datagram[:SLOT_BYTES].ljust(SLOT_BYTES, b"\xee")
        names, answers = self.frontend.answer(Batch(memoryview(slot), [len(datagram)], [name]))
        assert names in ([], [name])
        return answers[0] if answers else None

    def connection(self, name: bytes | None = None) -> bytes:
        answer = self.ask(connect(), name)
        assert answer is not None and answer[:8] == bytes(4) + TRANSACTION and len(answer) == 16
        return answer[8:]

    def announce(self, name: bytes | None = None, *, port: int = 6881, **fields: int) -> bytes:
        answer = self.ask(announce(self.connection(name), port=port, **fields), name)
        assert answer is not None
        return answer


def error(text: str) -> bytes:
    return b"\0\0\0\3" + TRANSACTION + text.encode()


class TestAnnounces:
    def test_two_peers_find_each_other(self) -> None:
        tracker = Tracker()
        first = tracker.announce(name_v4(1), left=0)
        action, transaction, interval, leechers, seeds = struct.unpack_from(">I4sIII", first)
        assert (action, transaction, leechers, seeds, len(first)) == (1, TRANSACTION, 0, 1, 20)
        assert 7 <= interval <= 9
        second = tracker.announce(name_v4(2), left=5)
        assert struct.unpack_from(">II", second, 12) == (1, 1)
        assert second[20:] == bytes([10, 0, 0, 1]) + (6881).to_bytes(2, "big")

    def test_ipv6_gets_ipv6_and_ipv4_gets_ipv4(self) -> None:
        tracker = Tracker()
        for name in (name_v4(1), name_v6(1)):
            tracker.announce(name, left=0)
        assert len(tracker.announce(name_v4(2), left=5)) == 20 + 6
        answer = tracker.announce(name_v6(2), left=5)
        assert answer[20:] == socket.inet_pton(socket.AF_INET6, "2001:db8::1") + (6881).to_bytes(2, "big")

    def test_the_address_is_the_socket_s(self) -> None:
        tracker = Tracker()
        raw = bytearray(announce(tracker.connection()))
        raw[84:88] = bytes([8, 8, 8, 8])
        tracker.ask(bytes(raw))
        assert tracker.announce(name_v4(2), left=5)[20:24] == bytes([10, 0, 0, 1])

    def test_num_want_and_events_are_heeded(self) -> None:
        tracker = Tracker()
        for number in range(1, 120):
            tracker.announce(name_v4(number), left=5)
        assert len(tracker.announce(name_v4(200), left=5, num_want=3)) == 20 + 3 * COMPACT_V4_BYTES
        assert len(tracker.announce(name_v4(200), left=5)) == 20 + 50 * COMPACT_V4_BYTES
        stopped = tracker.announce(name_v4(200), left=5, event=3)
        assert struct.unpack_from(">II", stopped, 12) == (119, 0) and len(stopped) == 20
        completed = tracker.announce(name_v4(1), left=0, event=1)
        assert struct.unpack_from(">II", completed, 12) == (118, 1)
        answer = tracker.ask(scrape(tracker.connection(), TORRENT))
        assert answer is not None and struct.unpack_from(">III", answer, 8) == (1, 1, 118)

    @pytest.mark.parametrize(("name", "count"), [(name_v4, 200), (name_v6, 79)])
    def test_an_answer_fits_one_frame(self, name: object, count: int) -> None:
        tracker = Tracker()
        make = name_v4 if name is name_v4 else name_v6
        for port in range(1, 300):
            tracker.announce(make(1), left=5, port=port)
        answer = tracker.announce(make(2), left=5, num_want=1 << 30)
        assert len(answer) == 20 + count * (6 if make is name_v4 else 18) < 1460

    def test_options_behind_an_announce_are_no_harm(self) -> None:
        tracker = Tracker()
        answer = tracker.ask(announce(tracker.connection()) + b"\2\x0c/dir?a=b&c=d\0")
        assert answer is not None and answer[:4] == b"\0\0\0\1"


class TestScrapes:
    def test_of_74_with_unknown_ones_in_their_places(self) -> None:
        tracker = Tracker()
        tracker.announce(left=0)
        hashes = [bytes([number]) * 20 for number in range(73)]
        answer = tracker.ask(scrape(tracker.connection(), *hashes[:10], TORRENT, *hashes[10:]))
        assert answer is not None and len(answer) == 8 + 74 * 12
        assert answer[:8] == b"\0\0\0\2" + TRANSACTION
        rows = list(struct.iter_unpack(">III", answer[8:]))
        assert rows[10] == (1, 0, 0) and not any(map(any, rows[:10] + rows[11:]))


class TestFoes:
    def test_a_forged_source_gets_less_than_it_sent(self) -> None:
        tracker = Tracker()
        for request in (announce(b"x" * 8), scrape(b"x" * 8, TORRENT), connect()):
            answer = tracker.ask(request)
            assert answer is not None and len(answer) <= len(request)
        assert tracker.frontend.counts.announces == 0

    def test_an_id_of_another_address_or_of_long_ago_is_refused(self) -> None:
        tracker = Tracker()
        given = tracker.connection(name_v4(1))
        assert tracker.ask(announce(given), name_v4(2)) == error("connection id expired")
        assert tracker.ask(announce(given), name_v4(1, port=5001)) != error("connection id expired")
        tracker.now += 300
        assert tracker.ask(announce(given), name_v4(1)) == error("connection id expired")

    def test_port_0_and_unknown_events_are_refused(self) -> None:
        tracker = Tracker()
        assert tracker.announce(port=0) == error("port must be from 1 to 65535")
        assert tracker.announce(event=5)[:4] == b"\0\0\0\3"

    @pytest.mark.parametrize(
        "datagram",
        [
            b"",
            b"x",
            CONNECT_MAGIC,
            b"X" + connect()[1:],
            connect()[:15],
            announce(b"x" * 8)[:97],
            announce(b"x" * 8, action=4),
            announce(b"x" * 8, action=2**32 - 1),
            scrape(b"x" * 8),
            scrape(b"x" * 8, b"h" * 19),
            bytes(3000),
        ],
    )
    def test_what_is_no_request_gets_silence(self, datagram: bytes) -> None:
        tracker = Tracker()
        assert tracker.ask(datagram) is None
        assert tracker.frontend.counts.ignored == 1

    def test_a_refusal_says_why(self) -> None:
        tracker = Tracker(admission=Admission(denied=[TORRENT]))
        assert tracker.announce() == error("this tracker does not serve that torrent")
        answer = tracker.ask(scrape(tracker.connection(), TORRENT))
        assert answer is not None and answer[8:] == bytes(12)

    def test_one_bad_datagram_of_a_batch_does_not_shift_the_others(self) -> None:
        tracker = Tracker()
        good = announce(tracker.connection())
        datagrams = [b"junk", good, connect(), b""]
        slots = b"".join(one.ljust(SLOT_BYTES, b"\xee") for one in datagrams)
        senders = [name_v4(number, 1000 + number) for number in (7, 1, 8, 9)]
        names, answers = tracker.frontend.answer(Batch(memoryview(slots), list(map(len, datagrams)), senders))
        assert names == [senders[1], senders[2]]
        assert [answer[:4] for answer in answers] == [b"\0\0\0\1", b"\0\0\0\0"]


class TestAdmission:
    def test_a_passkey_comes_in_the_options(self) -> None:
        tracker = Tracker(Admission(passkeys=[b"k3y"]))
        for path, is_served in (
            (b"/k3y/announce", True),
            (b"/k3y/announce?x=y", True),
            (b"/announce", False),
        ):
            raw = announce(tracker.connection()) + bytes([2, len(path)]) + path + b"\0"
            answer = tracker.ask(raw)
            assert answer is not None and (answer[:4] == b"\0\0\0\1") == is_served
        assert tracker.announce() == error("this tracker does not know that passkey")
        scraped = tracker.ask(scrape(tracker.connection(), TORRENT))
        assert scraped is not None and scraped[:4] == b"\0\0\0\3"

    def test_an_address_may_so_often_a_minute(self) -> None:
        tracker = Tracker(Admission(per_minute=2))
        for _ in range(2):
            assert tracker.announce()[:4] == b"\0\0\0\1"
        assert tracker.announce() == error("too many announces from your address")
        assert tracker.announce(name_v4(2))[:4] == b"\0\0\0\1"
        # Forged announces count for nobody.
        for _ in range(5):
            tracker.ask(announce(b"x" * 8), name_v4(3))
        assert tracker.announce(name_v4(3))[:4] == b"\0\0\0\1"
