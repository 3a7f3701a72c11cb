"""The state of a transfer: in words on one line, and as a row with a bar."""

from __future__ import annotations

from swarm.base.units import format_count, format_size, format_span
from swarm.cli.output import printable
from swarm.cli.progress import Row
from swarm.session.magnets.metadata_fetch import FetchProgress
from swarm.session.progress import Progress


def describe_fetch(now: FetchProgress) -> str:
    """The state of a magnet link whose metadata is being fetched, on one line."""
    who = format_count(now.peers, "peer")
    if now.total_bytes is None:
        return f"looking for the metadata, {who}, {now.candidates} more known"
    return f"metadata, {_share(now.done_bytes, now.total_bytes)} of {format_size(now.total_bytes)}, {who}"


def describe(now: Progress) -> str:
    """The state of a transfer, on one line."""
    if now.state == "checking":
        return (
            f"checking, {_share(now.checked_bytes, now.checking_bytes)} of {format_size(now.checking_bytes)}"
        )
    if now.state == "downloading":
        return (
            f"{_share(now.done_bytes, now.wanted_bytes)} of {format_size(now.wanted_bytes)}, "
            f"{format_size(now.down_bytes_per_s)}/s, {_left(now)}{_peers(now)}"
        )
    if now.state == "seeding":
        return f"seeding, {_seeding(now)}"
    if now.state == "paused":
        return f"{_share(now.done_bytes, now.wanted_bytes)}, paused: {now.paused_reason}"
    return now.state


def fetch_row(now: FetchProgress) -> Row:
    """The same as a row."""
    total = now.total_bytes or 0
    return Row(printable(now.name), now.done_bytes, total, describe_fetch(now), has_bar=total > 0)


def row(now: Progress) -> Row:
    """The same as a row."""
    label = printable(now.name)
    match now.state:
        case "checking":
            # A new download has nothing to hash: no bar, which would only flash up.
            is_hashing = now.checking_bytes > 0
            text = f"checking {format_size(now.checking_bytes)}" if is_hashing else "checking"
            return Row(label, now.checked_bytes, now.checking_bytes, text, has_bar=is_hashing)
        case "downloading":
            rate = f"{format_size(now.down_bytes_per_s)}/s"
            text = f"{format_size(now.wanted_bytes)} {rate:>10}  {_left(now)}{_peers(now)}"
            return Row(label, now.done_bytes, now.wanted_bytes, text, now.down_bytes_per_s)
        case "seeding":
            return Row(label, now.done_bytes, now.wanted_bytes, f"seeding: {_seeding(now)}", has_bar=False)
        case "paused":
            text = f"paused: {printable(now.paused_reason)}"
            return Row(label, now.done_bytes, now.wanted_bytes, text, has_bar=False)
        case _:
            return Row(label, now.done_bytes, now.wanted_bytes, now.state, has_bar=False)


def total_row(rows: list[Row]) -> Row:
    """The sum of all rows."""
    done, total = sum(one.done for one in rows), sum(one.total for one in rows)
    rate = sum(one.rate for one in rows)
    if not total:
        return Row("total", 0, 0, "checking", has_bar=False)
    left = f", {format_span((total - done) / rate)} left" if rate >= 1 else ""
    return Row("total", done, total, f"{format_size(total)} {format_size(rate) + '/s':>10}{left}")


def _share(done: int, total: int) -> str:
    # Rounded down: never 100 % before it is done.
    return f"{100 * done // total if total else 100}%"


def _left(now: Progress) -> str:
    return "" if now.eta_s is None else f"{format_span(now.eta_s)} left, "


def _peers(now: Progress) -> str:
    return f"{format_count(now.peers, 'peer')} ({format_count(now.seeds, 'seed')})"


def _seeding(now: Progress) -> str:
    ratio = now.uploaded_bytes / now.wanted_bytes if now.wanted_bytes else 0.0
    return (
        f"{format_count(now.peers, 'peer')}, {format_size(now.up_bytes_per_s)}/s up, "
        f"{format_size(now.uploaded_bytes)} uploaded, ratio {ratio:.2f}"
    )
