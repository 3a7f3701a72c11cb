"""`swarm dht`: ask the DHT by hand, or run a bootstrap node."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import click

from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash
from swarm.base.units import format_count
from swarm.cli.dht_items import get, put
from swarm.cli.dht_node import (
    NodeOptions,
    asked,
    endpoint_of,
    info_hash_of,
    node_options,
    opened,
    outcome_fields,
    refusals,
    run,
    target_of,
)
from swarm.cli.exits import EXIT_DONE
from swarm.cli.options import FileName, HostPort, Whole, option
from swarm.cli.output import Output

if TYPE_CHECKING:
    from swarm.session.finding.dht import Dht

#: Between two summaries of a bootstrap node with -v.
SUMMARY_S = 30.0


@click.group("dht")
def command() -> None:
    """Ask the distributed hash table (DHT), or give others a way into it.

    SOURCE is an info-hash, a magnet link or a .torrent.
    """


command.add_command(get)
command.add_command(put)


# -- ping -------------------------------------------------------------------------------------------


@command.command("ping")
@click.argument("address", type=HostPort(), metavar="HOST:PORT")
@node_options
def ping(address: tuple[str, int], node: NodeOptions) -> None:
    """Ask one node whether it is there."""
    run(node, lambda: _ping(address, node))


async def _ping(address: tuple[str, int], node: NodeOptions) -> int:
    output = node.output()
    endpoint = await endpoint_of(address)
    async with opened(node, is_alone=True) as dht:
        await dht.opened()
        started_at = time.monotonic()
        outcome = await dht.ping(endpoint).ended()
        milliseconds = (time.monotonic() - started_at) * 1000
    if not outcome.answers:
        said = refusals(outcome)
        raise SwarmError(f"{endpoint}: {said}" if said else f"{endpoint} does not answer")
    node_id = outcome.closest[0].node_id.hex()
    output.event("pong", node=str(endpoint), id=node_id, milliseconds=round(milliseconds, 2))
    output.result(f"{endpoint}: {node_id}, {milliseconds:.1f} ms")
    return EXIT_DONE


# -- peers ------------------------------------------------------------------------------------------


@command.command("get-peers")
@click.argument("source", type=FileName(), metavar="SOURCE")
@option("--scrape", "is_scrape", is_flag=True, help="Also estimate how many seeds and leechers there are.")
@node_options
def get_peers(source: str, is_scrape: bool, node: NodeOptions) -> None:
    """Find the peers of a torrent; exits 0 if there are any."""
    info_hash = info_hash_of(source)
    run(node, lambda: _get_peers(info_hash, is_scrape, node))


async def _get_peers(info_hash: InfoHash, is_scrape: bool, node: NodeOptions) -> int:
    output = node.output()
    count = 0
    async with opened(node) as dht:
        await dht.joined()
        inquiry = dht.get_peers(info_hash, is_scrape=is_scrape)
        async for found in inquiry.results():
            count += len(found.endpoints)
            output.event("peers", infohash=str(info_hash), peers=[str(peer) for peer in found.endpoints])
            for peer in found.endpoints:
                output.result(str(peer))
    outcome = inquiry.outcome()
    scraped = {"seeds": outcome.seeds, "leechers": outcome.leechers} if is_scrape else {}
    output.event("done", infohash=str(info_hash), peers=count, **scraped, **outcome_fields(outcome))
    if is_scrape:
        seeds, leechers = format_count(outcome.seeds, "seed"), format_count(outcome.leechers, "leecher")
        output.result(f"about {seeds}, {leechers}")
    output.detail(f"{format_count(count, 'peer')}; {asked(outcome)}")
    if not count:
        raise SwarmError(f"no peers found; {asked(outcome)}")
    return EXIT_DONE


@command.command("announce", short_help="Say that there is a peer of a torrent at our address.")
@click.argument("source", type=FileName(), metavar="SOURCE")
@option("--peer-port", type=Whole(1, 65_535), metavar="N", help="Where the peer listens.")
@option("--implied-port", "is_port_implied", is_flag=True, help="On the port that our datagrams come from.")
@option("--seed", "is_seed", is_flag=True, help="The peer has everything.")
@node_options
def announce(
    source: str, peer_port: int | None, is_port_implied: bool, is_seed: bool, node: NodeOptions
) -> None:
    """Say that there is a peer of a torrent at our address; it is remembered for half an hour or so."""
    if (peer_port is None) != is_port_implied:
        raise click.UsageError("Give either --peer-port or --implied-port.")
    info_hash = info_hash_of(source)
    run(node, lambda: _announce(info_hash, peer_port, is_seed, node))


async def _announce(info_hash: InfoHash, peer_port: int | None, is_seed: bool, node: NodeOptions) -> int:
    output = node.output()
    async with opened(node) as dht:
        await dht.joined()
        inquiry = dht.announce(
            info_hash, peer_port or dht.port, is_port_implied=peer_port is None, is_seed=is_seed
        )
        outcome = await inquiry.ended()
    count = outcome.announced_count
    output.event("announced", infohash=str(info_hash), nodes=count, **outcome_fields(outcome))
    if not count:
        raise SwarmError(f"no node took it; {refusals(outcome) or asked(outcome)}")
    output.result(f"announced to {format_count(count, 'node')}")
    return EXIT_DONE


# -- sample -----------------------------------------------------------------------------------------


@command.command("sample", short_help="Print info-hashes that nodes hold.")
@click.argument("where", required=False, metavar="[HOST:PORT|TARGET]")
@node_options
def sample(where: str | None, node: NodeOptions) -> None:
    """Print info-hashes that nodes hold: one node, those near to a target, or those near to anything."""
    address = HostPort().convert(where, None, None) if where is not None and ":" in where else None
    target = target_of(where) if where is not None and address is None else os.urandom(20)
    run(node, lambda: _sample(address, target, node))


async def _sample(address: tuple[str, int] | None, target: bytes, node: NodeOptions) -> int:
    output = node.output()
    where = target if address is None else await endpoint_of(address)
    seen: set[bytes] = set()
    async with opened(node, is_alone=address is not None) as dht:
        await (dht.opened() if address is not None else dht.joined())
        inquiry = dht.sample(where)
        async for found in inquiry.results():
            output.event(
                "samples",
                node=str(found.source.endpoint),
                total=found.total,
                interval_s=found.interval_s,
                infohashes=[info_hash.hex() for info_hash in found.info_hashes],
            )
            output.detail(f"{found.source.endpoint}: {len(found.info_hashes)} of {found.total}")
            for info_hash in found.info_hashes:
                if info_hash not in seen:
                    seen.add(info_hash)
                    output.result(info_hash.hex())
    outcome = inquiry.outcome()
    output.event("done", infohashes=len(seen), **outcome_fields(outcome))
    if not outcome.answers:
        raise SwarmError("nobody answers")
    return EXIT_DONE


# -- bootstrap-node ---------------------------------------------------------------------------------


@command.command("bootstrap-node", short_help="Run a node: a way in for others.")
@node_options
def bootstrap_node(node: NodeOptions) -> None:
    """Run a node until interrupted: others name it to find their way in. -v prints what it does.

    Without --port it takes any free one. --timeout means nothing here.
    """
    run(node, lambda: _serve(node), has_timeout=False)


async def _serve(node: NodeOptions) -> int:
    output = node.output(is_live=True)
    async with opened(node, is_serving=True) as dht:
        output.event("listening", port=dht.port)
        output.info(f"listening on UDP port {dht.port}; Ctrl-C ends it")
        while True:
            await asyncio.sleep(SUMMARY_S)
            _summary(dht, output)


def _summary(dht: Dht, output: Output) -> None:
    """Print what it has done so far, a line for each address family."""
    for stats in dht.stats():
        output.detail(
            f"{stats.good_nodes} nodes, {stats.stored_peers} peers of {stats.stored_torrents} torrents, "
            f"{stats.stored_items} items, {stats.queries_in} queries, {sum(stats.refused.values())} refused"
        )
