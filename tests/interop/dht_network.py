"""A DHT of three makes on loopback addresses: nodes of ours, of libtorrent and of npm's bittorrent-dht."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from swarm.base.endpoint import parse_host_port
from swarm.base.ids import InfoHash
from swarm.dht.items import Item
from swarm.dht.signatures import public_key_of
from swarm.net.udp import open_sockets
from swarm.session.finding.dht import Dht
from tools.bench.clients.process import Process
from tools.bench.clients.swarm_client import COMMAND, json_event
from tools.bench.clients.webtorrent_client import NPM, missing_package

T = TypeVar("T")

TIMEOUT_S = 30.0
#: With the one that leads the others in, and the one that asks for us: 20.
SWARM_COUNT, LIBTORRENT_COUNT, NPM_COUNT = 5, 7, 6


def wait_until(condition: Callable[[], bool], what: str, pause_s: float = 0.05) -> None:
    """Other makes tell of their state only when they are asked."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {TIMEOUT_S:g} s"
        time.sleep(pause_s)


class SwarmNode:
    """`swarm dht bootstrap-node` as a process."""

    def __init__(self, address: str, state: Path, routers: Sequence[str] = ()) -> None:
        options = [part for router in routers for part in ("--bootstrap", router)]
        command = [*COMMAND, "dht", "bootstrap-node", "--bind", address, "--json", *options]
        self.process = Process(command, env={"SWARM_STATE_DIR": str(state), "SWARM_DHT_BOOTSTRAP": ""})
        self._address = address

    def wait_endpoint(self) -> str:
        """Where it listens."""
        line = self.process.wait_for(
            lambda text: json_event(text).get("event") == "listening", TIMEOUT_S, "listening"
        )
        return f"{self._address}:{json_event(line.text)['port']}"


class SwarmAsker:
    """A node of ours in this process, on a loop of its own, that asks what the tests want to know.

    It stays: other makes remember whoever has asked them, and wait for long for those that are gone.
    """

    def __init__(self, address: str, router: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="swarm asker")
        self._thread.start()
        self._run(self._open(address, parse_host_port(router)))

    async def _open(self, address: str, router: tuple[str, int]) -> None:
        self._sockets = open_sockets([address], 0)
        self._dht = Dht(self._sockets, routers=[router])
        self._dht.start()
        await self._dht.settled()

    def announce(self, info_hash: str, port: int) -> int:
        """On how many nodes it is stored."""
        return self._run(self._announce(InfoHash.parse(info_hash), port))

    async def _announce(self, info_hash: InfoHash, port: int) -> int:
        return (await self._dht.announce(info_hash, port).ended()).announced_count

    def peers(self, info_hash: str) -> set[str]:
        return self._run(self._peers(InfoHash.parse(info_hash)))

    async def _peers(self, info_hash: InfoHash) -> set[str]:
        return {
            str(peer) async for found in self._dht.get_peers(info_hash).results() for peer in found.endpoints
        }

    def put(self, item: Item) -> int:
        """On how many nodes it is stored."""
        return self._run(self._put(item))

    async def _put(self, item: Item) -> int:
        return (await self._dht.put(item).ended()).announced_count

    def get(self, target: bytes, salt: bytes = b"") -> Item | None:
        """The newest version there."""
        return self._run(self._get(target, salt))

    async def _get(self, target: bytes, salt: bytes) -> Item | None:
        found = [found.item async for found in self._dht.get(target, salt=salt).results()]
        return max(found, key=lambda item: getattr(item, "seq", 0), default=None)

    def samples(self, target: str) -> set[str]:
        return self._run(self._samples(bytes.fromhex(target)))

    async def _samples(self, target: bytes) -> set[str]:
        inquiry = self._dht.sample(target)
        return {raw.hex() async for found in inquiry.results() for raw in found.info_hashes}

    def close(self) -> None:
        self._run(self._dht.close())
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()

    def _stop(self) -> None:
        for socket in self._sockets:
            socket.close()
        self._loop.stop()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)


class LibtorrentNode:
    """A session of libtorrent of which only the DHT is used."""

    def __init__(self, address: str, router: str) -> None:
        import libtorrent

        self._lib: Any = libtorrent
        self._session: Any = libtorrent.session(
            {
                "listen_interfaces": f"{address}:0",
                "dht_bootstrap_nodes": router,
                "enable_dht": True,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
                # All our nodes have addresses of one network, and ids that such addresses need not fit.
                "dht_restrict_routing_ips": False,
                "dht_restrict_search_ips": False,
                "dht_enforce_node_id": False,
                "dht_ignore_dark_internet": False,
                "dht_prefer_verified_node_ids": False,
                "alert_mask": libtorrent.alert.category_t.dht_notification
                | libtorrent.alert.category_t.dht_operation_notification,
            }
        )

    def wait_ready(self) -> None:
        """Until it has looked for its neighbours."""
        self._wait("dht_bootstrap_alert", lambda alert: True)

    def announce(self, info_hash: str, port: int) -> None:
        self._session.dht_announce(self._hash(info_hash), port, 0)

    def peers(self, info_hash: str) -> set[str]:
        """What one lookup finds."""
        self._session.dht_get_peers(self._hash(info_hash))
        alert = self._wait("dht_get_peers_reply_alert", lambda alert: str(alert.info_hash) == info_hash)
        return {f"{host}:{port}" for host, port in alert.peers()}

    def put(self, value: str) -> str:
        """Store an immutable item; its target."""
        target = str(self._session.dht_put_immutable_item(value.encode()))
        put = self._wait("dht_put_alert", lambda alert: str(alert.target) == target)
        assert put.num_success > 0
        return target

    def get(self, target: str) -> str | None:
        self._session.dht_get_immutable_item(self._hash(target))
        alert = self._wait("dht_immutable_item_alert", lambda alert: str(alert.target) == target)
        return _text(alert.item)

    def put_mutable(self, seed: bytes, value: str, salt: str) -> None:
        """Store the next version of a mutable item."""
        public = public_key_of(seed)
        self._session.dht_put_mutable_item(_expanded(seed), public, value.encode(), salt.encode())
        put = self._wait("dht_put_alert", lambda alert: bytes(alert.public_key) == public)
        assert put.num_success > 0

    def get_mutable(self, public_key: bytes, salt: str) -> tuple[str | None, int]:
        self._session.dht_get_mutable_item(public_key, salt.encode())
        alert = self._wait("dht_mutable_item_alert", lambda a: bytes(a.key) == public_key and a.authoritative)
        return _text(alert.item), int(alert.seq)

    def close(self) -> None:
        del self._session

    def _hash(self, text: str) -> Any:
        return self._lib.sha1_hash(bytes.fromhex(text))

    def _wait(self, kind: str, condition: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            self._session.wait_for_alert(200)
            # Alerts are valid until the next call only.
            for alert in self._session.pop_alerts():
                if type(alert).__name__ == kind and condition(alert):
                    return alert
        raise AssertionError(f"no {kind} within {TIMEOUT_S:g} s")


def _expanded(seed: bytes) -> bytes:
    """The 64 bytes that libtorrent calls a private key (RFC 8032: the hashed and clamped seed)."""
    digest = bytearray(hashlib.sha512(seed).digest())
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    return bytes(digest)


def _text(item: Any) -> str | None:
    raw = item.get("v", item) if isinstance(item, dict) else item
    return raw.decode() if isinstance(raw, bytes) else raw or None


class NpmNodes:
    """Nodes of npm's bittorrent-dht, all in one process of node."""

    def __init__(self, addresses: Sequence[str], router: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(NPM / "dht_nodes.mjs"), router, *addresses],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._numbers = itertools.count(1)

    def wait_ready(self) -> None:
        assert self._answer()["event"] == "ready"

    def ask(self, node: int, op: str, **fields: Any) -> dict[str, Any]:
        """Let one node do something, and wait for the end of it."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        question = {"id": number, "op": op, "node": node, **fields}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert answer["id"] == number and "error" not in answer, answer
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "node has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=5)
        self._process.kill()
        self._process.communicate()


class Network:
    """All of them; `with` ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.libtorrent: list[LibtorrentNode] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        first = SwarmNode("127.0.0.2", self._folder / "first")
        self._stack.callback(first.process.stop)
        router = first.wait_endpoint()
        nodes = [
            SwarmNode(f"127.0.0.{3 + number}", self._folder / f"swarm {number}", [router])
            for number in range(SWARM_COUNT)
        ]
        for node in nodes:
            self._stack.callback(node.process.stop)
        self.npm = NpmNodes([f"127.0.0.{20 + number}" for number in range(NPM_COUNT)], router)
        self._stack.callback(self.npm.close)
        for number in range(LIBTORRENT_COUNT):
            other = LibtorrentNode(f"127.0.0.{30 + number}", router)
            self._stack.callback(other.close)
            self.libtorrent.append(other)
        for node in nodes:
            node.wait_endpoint()
        self.npm.wait_ready()
        for other in self.libtorrent:
            other.wait_ready()
        self.swarm = SwarmAsker("127.0.0.50", router)
        self._stack.callback(self.swarm.close)


def missing() -> str | None:
    """What keeps the network from being built; None where nothing does."""
    return missing_package("bittorrent-dht")
