"""Questions to a node of the DHT as users run it, in a process of its own, through real sockets.

Each source has a loopback address of its own, since a node answers only so many questions of one; and they
answer its pings, so that its table is one, and its answers are as long as they are for others.
"""

from __future__ import annotations

import json
import random
import select
import socket
import tempfile
import time

from swarm.wire.krpc import FindNode, GetPeers, Query, encode_query
from tools.bench.clients import Process
from tools.bench.clients.swarm_client import COMMAND, json_event

#: At 20 questions a second each (DhtSettings), more than any node answers here.
_SOURCES = 2_000
#: Questions under way: what a node reads in one turn, twice.
_WINDOW = 128
_LOST_AFTER_S = 0.2
#: To fill the table: newcomers are asked at 5 a second.
_WARM_UP_S = 10.0
_MEASURED_S = 8.0
_IS_QUERY = b"1:y1:q"


class _Sources:
    """Sockets that take turns in asking."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self._node = ("127.0.0.1", port)
        self._rng = rng
        self._ids: dict[int, bytes] = {}
        self._sockets: list[socket.socket] = []
        self._by_number: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        for number in range(_SOURCES):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            # A network of its own for each: a table takes two nodes of a /24.
            opened.bind((f"127.{1 + number // 250}.{number % 250}.1", 0))
            opened.setblocking(False)
            self._sockets.append(opened)
            self._by_number[opened.fileno()] = opened
            self._ids[opened.fileno()] = rng.randbytes(20)
            self._poll.register(opened, select.EPOLLIN)
        self._turn = 0
        self.answered = 0
        self.answer_bytes = 0

    def ask(self, seconds: float, window: int) -> None:
        """Keep `window` questions under way for so long."""
        ends_at = time.monotonic() + seconds
        under_way = 0
        heard_at = time.monotonic()
        while (now := time.monotonic()) < ends_at:
            if now - heard_at > _LOST_AFTER_S:
                under_way, heard_at = 0, now
            for _ in range(window - under_way):
                self._send()
            under_way = window
            for number, _ in self._poll.poll(_LOST_AFTER_S):
                under_way -= self._receive(number)
                heard_at = time.monotonic()

    def _send(self) -> None:
        source = self._sockets[self._turn % _SOURCES]
        target = self._rng.randbytes(20)
        body = GetPeers(target) if self._turn % 2 else FindNode(target)
        source.sendto(encode_query(Query(b"aa", self._ids[source.fileno()], body)), self._node)
        self._turn += 1

    def _receive(self, number: int) -> int:
        """How many answers came."""
        source = self._by_number[number]
        datagram = source.recv(2048)
        if _IS_QUERY in datagram:
            transaction = datagram.partition(b"1:t")[2].partition(b"1:y")[0]
            source.sendto(b"d1:rd2:id20:%se1:t%s1:y1:re" % (self._ids[number], transaction), self._node)
            return 0
        self.answered += 1
        self.answer_bytes += len(datagram)
        return 1

    def close(self) -> None:
        for opened in self._sockets:
            opened.close()
        self._poll.close()


def answers_through_sockets() -> dict[str, object]:
    """Questions answered a second by `swarm dht bootstrap-node`; find_node and get_peers in turn."""
    with tempfile.TemporaryDirectory() as state:
        command = [*COMMAND, "dht", "bootstrap-node", "--bind", "127.0.0.1", "--json"]
        with Process(command, env={"SWARM_STATE_DIR": state, "SWARM_DHT_BOOTSTRAP": "127.0.0.1:9"}) as node:
            line = node.wait_for(lambda text: json_event(text).get("event") == "listening", 20.0, "listening")
            idle_from = node.usage().cpu_s
            time.sleep(5.0)
            idle_s = node.usage().cpu_s - idle_from
            sources = _Sources(int(json.loads(line.text)["port"]), random.Random(1))
            try:
                sources.ask(_WARM_UP_S, window=4)
                answered, answer_bytes, cpu_s = sources.answered, sources.answer_bytes, node.usage().cpu_s
                begun_at = time.monotonic()
                sources.ask(_MEASURED_S, _WINDOW)
                seconds = time.monotonic() - begun_at
                cpu_s = node.usage().cpu_s - cpu_s
                answered = sources.answered - answered
                answer_bytes = sources.answer_bytes - answer_bytes
            finally:
                sources.close()
    return {
        "what": "answers a second through sockets",
        "answers_per_s": round(answered / seconds),
        "cpu_us": round(1e6 * cpu_s / answered, 1),
        "answer_bytes": round(answer_bytes / answered),
        "idle_cpu_share": round(idle_s / 5.0, 4),
    }
