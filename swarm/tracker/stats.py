"""What a tracker does, for machines and people: Prometheus metrics, health, a small page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from swarm.tracker.http_connection import HttpLimits, HttpService, Request, response

if TYPE_CHECKING:
    from swarm.tracker.server import TrackerServer

_CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>swarm tracker</title>
<style>body{{font:16px system-ui;margin:3em auto;max-width:32em}}td{{padding:.2em 1em .2em 0}}
td+td{{text-align:right;font-variant-numeric:tabular-nums}}</style>
<h1>swarm tracker</h1><table>{rows}</table>
<p><a href="/metrics">metrics</a> · <a href="/health">health</a></p></html>
"""


class StatsService(HttpService):
    """Answers `/`, `/metrics`, `/health` and `/ready`; tells numbers only, never info-hashes or addresses."""

    name = "stats"

    def __init__(self, server: TrackerServer) -> None:
        super().__init__(server.clock, HttpLimits(connections=100))
        self._server = server
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Numbers(server))

    def respond(self, request: Request, *, is_last: bool) -> bytes:
        path = request.url.partition(b"?")[0]
        if path == b"/metrics":
            body = generate_latest(self._registry)
            return response(b"200 OK", body, is_last=is_last, content_type=_CONTENT_TYPE)
        if path == b"/health":
            return response(b"200 OK", b"ok\n", is_last=is_last)
        if path == b"/ready":
            if self._server.is_ready:
                return response(b"200 OK", b"ready\n", is_last=is_last)
            return response(b"503 Service Unavailable", b"not listening\n", is_last=is_last)
        if path == b"/":
            body = self._page().encode()
            return response(b"200 OK", body, is_last=is_last, content_type=b"text/html; charset=utf-8")
        return response(b"404 Not Found", b"Only /, /metrics, /health and /ready.\n", is_last=is_last)

    def _page(self) -> str:
        shown = {
            "torrents": self._server.store.swarm_count,
            "peers": self._server.store.peer_count,
            "seeds": self._server.store.seed_count,
            "leechers": self._server.store.peer_count - self._server.store.seed_count,
            "announces a second": f"{self._server.announces_per_s:.1f}",
        }
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td id='{name.split()[0]}'>{value}</td></tr>"
            for name, value in shown.items()
        )
        return _PAGE.format(rows=rows)


class Numbers(Collector):
    """Reads the tracker's own counters whenever somebody asks, so that counting costs nothing more."""

    def __init__(self, server: TrackerServer) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        server = self._server
        http, udp, store = server.frontend, server.udp, server.store
        yield GaugeMetricFamily("swarm_tracker_torrents", "Torrents known.", store.swarm_count)
        peers = GaugeMetricFamily("swarm_tracker_peers", "Peers known, by kind.", labels=["kind"])
        peers.add_metric(["seed"], store.seed_count)
        peers.add_metric(["leecher"], store.peer_count - store.seed_count)
        yield peers
        yield GaugeMetricFamily("swarm_tracker_http_connections", "Open connections.", len(http.connections))
        yield _counter(
            "swarm_tracker_requests",
            "Requests answered.",
            ("protocol", "kind"),
            [
                (("http", "announce"), http.announce_count),
                (("http", "scrape"), http.scrape_count),
                (("udp", "announce"), udp.counts.announces),
                (("udp", "scrape"), udp.counts.scrapes),
                (("udp", "connect"), udp.counts.connects),
            ],
        )
        yield _counter(
            "swarm_tracker_failures",
            "Requests refused with a reason.",
            ("protocol",),
            [(("http",), http.failure_count), (("udp",), udp.counts.errors)],
        )
        yield _counter(
            "swarm_tracker_datagrams_dropped",
            "Datagrams that were no request, and answers the system did not take.",
            ("why",),
            [(("ignored",), udp.counts.ignored), (("lost",), udp.counts.lost)],
        )
        refused = server.rules.admission.refused_count
        yield CounterMetricFamily("swarm_tracker_not_admitted", "Unknown passkeys, rates exceeded.", refused)


def _counter(
    name: str, text: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=list(labels))
    for label_values, value in values:
        family.add_metric(list(label_values), value)
    return family
