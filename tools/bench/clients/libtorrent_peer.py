"""A libtorrent session in a process of its own: one torrent, JSON lines, ends when stdin closes.

Events: `listening` (port), `ready` (a seeder has checked, a leecher has begun), `metadata` (a magnet link's
is known), `complete` (it has hashed all), `written` (and its files have it all); and once a second `totals`
(uploaded, downloaded: bytes of content). Each carries `at`, time.monotonic of this machine, so that the
reader's own delay does not count. A leecher fetches further magnet links that come on stdin, a line each, of
which it says `added` first.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from typing import Any

import libtorrent as lt

#: What makes a DHT of neighbours on one machine possible: no limits for nodes of one network.
DHT_SETTINGS = {
    "enable_dht": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "dht_enforce_node_id": False,
    "dht_prefer_verified_node_ids": False,
    "dht_block_ratelimit": 100_000,
}

LOOPBACK = "127.0.0.1"

#: Nothing but the peers and trackers we name.
_QUIET = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": lt.enc_policy.disabled,
    "out_enc_policy": lt.enc_policy.disabled,
    # All peers are 127.0.0.1 here, and so is the tracker.
    "allow_multiple_connections_per_ip": True,
    "ssrf_mitigation": False,
    "listen_interfaces": f"{LOOPBACK}:0",
    "alert_mask": lt.alert.category_t.status_notification
    | lt.alert.category_t.error_notification
    | lt.alert.category_t.storage_notification,
}

#: What makes libtorrent 2.1 fastest on loopback (its tuning guide, then by trial).
_TUNED = {
    "aio_threads": 2,
    "hashing_threads": 2,
    "max_queued_disk_bytes": 64 << 20,
    "send_buffer_watermark": 16 << 20,
    "send_buffer_watermark_factor": 200,
    "send_buffer_low_watermark": 1 << 20,
    "recv_socket_buffer_size": 4 << 20,
    "send_socket_buffer_size": 4 << 20,
    "max_out_request_queue": 2000,
    "max_allowed_in_request_queue": 4000,
    "request_queue_time": 10,
    "unchoke_slots_limit": -1,
    "choking_algorithm": 0,
    "connections_limit": 500,
    "torrent_connect_boost": 100,
    "rate_limit_ip_overhead": False,
    "mixed_mode_algorithm": 0,
}


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}), flush=True)


def session_settings(is_tuned: bool) -> Any:
    settings: dict[str, Any] = {**_QUIET, **(_TUNED if is_tuned else {})}
    known = lt.default_settings()
    return {name: value for name, value in settings.items() if name in known}


def add(session: Any, source: str, folder: str) -> Any:
    """Begin with a .torrent or a magnet link; its handle."""
    is_magnet = source.startswith("magnet:")
    params = (lt.parse_magnet_uri if is_magnet else lt.load_torrent_file)(source)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    return session.add_torrent(params)


def run(arguments: argparse.Namespace) -> None:
    settings = session_settings(not arguments.defaults)
    if arguments.up:
        settings["upload_rate_limit"] = arguments.up
    if arguments.dht:
        settings |= {**DHT_SETTINGS, "dht_bootstrap_nodes": arguments.dht}
    session = lt.session(settings)
    if arguments.up:
        # Peers on this machine and the local network are exempt from limits and slots otherwise.
        everybody = lt.ip_filter()
        everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        session.set_peer_class_filter(everybody)
    say("listening", port=session.listen_port())

    handle = add(session, arguments.torrent, arguments.folder)
    threading.Thread(target=_add_from_stdin, args=[session, arguments.folder], daemon=True).start()
    if arguments.role == "leech":
        say("ready")
    for peer in arguments.peer:
        host, _, port = peer.rpartition(":")
        handle.connect_peer((host, int(port)))

    finished: set[str] = set()
    told_at = 0.0
    while not stopping.is_set():
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_finished_alert):
                infohash = str(alert.handle.info_hashes().v1)
                if infohash not in finished:
                    finished.add(infohash)
                    say("ready" if arguments.role == "seed" else "complete", infohash=infohash)
                    alert.handle.flush_cache()
            elif isinstance(alert, lt.cache_flushed_alert):
                say("written", infohash=str(alert.handle.info_hashes().v1))
            elif isinstance(alert, lt.metadata_received_alert):
                say("metadata", infohash=str(alert.handle.info_hashes().v1))
            elif isinstance(alert, lt.torrent_error_alert | lt.file_error_alert):
                say("error", message=alert.message())
        if time.monotonic() - told_at >= 1.0:
            told_at = time.monotonic()
            status = handle.status()
            say("totals", uploaded=status.total_payload_upload, downloaded=status.total_payload_download)


stopping = threading.Event()


def _add_from_stdin(session: Any, folder: str) -> None:
    for line in sys.stdin:
        link = line.strip()
        say("added", link=link)
        add(session, link, folder)
    # Whoever started us closes stdin, also by dying.
    stopping.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["seed", "leech"])
    parser.add_argument("torrent", help="a file, or a magnet link")
    parser.add_argument("folder", help="where the content is or will be")
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--defaults", action="store_true", help="libtorrent's own settings, not tuned ones")
    parser.add_argument("--up", type=int, default=0, metavar="BYTES", help="a second, all peers together")
    parser.add_argument("--dht", metavar="HOST:PORT", help="take part in the DHT, from this node on")
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    run(parser.parse_args())


if __name__ == "__main__":
    main()
