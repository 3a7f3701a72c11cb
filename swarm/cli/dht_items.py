"""`swarm dht get` and `put`: small items stored in the DHT (BEP 44)."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.base.errors import BencodeError, SettingsError, SwarmError
from swarm.base.units import format_count
from swarm.cli.dht_node import (
    NodeOptions,
    asked,
    node_options,
    opened,
    outcome_fields,
    read_file,
    refusals,
    run,
    target_of,
)
from swarm.cli.exits import EXIT_DONE
from swarm.cli.options import FileName, Text, Whole, option
from swarm.cli.output import Output

if TYPE_CHECKING:
    from swarm.dht.items import Item
    from swarm.session.finding.dht import Dht

_SEED_BYTES = 32
_KEY_FILE_BYTES_MAX = 200


# -- get --------------------------------------------------------------------------------------------


@click.command("get", short_help="Fetch an item, by its target or its owner's key.")
@click.argument("target", required=False, metavar="[TARGET]")
@option("--key", type=Text(), metavar="HEX|FILE",
        help="A mutable item, by its public key or the file of the secret one.")  # fmt: skip
@option("--salt", default="", help="Which of the key's items.")
@option("-o", "--output", "path", type=click.Path(dir_okay=False), metavar="FILE",
        help="Write the bytes of the value there (-: to stdout) instead of showing it.")  # fmt: skip
@node_options
def get(target: str | None, key: str | None, salt: str, path: str | None, node: NodeOptions) -> None:
    """Fetch an item, by its target (40 hex digits) or by the public key of its owner.

    Of a mutable item the newest version that is found is shown; exits 1 if there is none.
    """
    from swarm.dht.items import mutable_target

    if (target is None) == (key is None):
        raise click.UsageError("Give either TARGET or --key.")
    salt_bytes = salt.encode()
    wanted = target_of(target) if target is not None else mutable_target(_public_key(str(key)), salt_bytes)
    run(node, lambda: _get(wanted, salt_bytes, path, node))


async def _get(target: bytes, salt: bytes, path: str | None, node: NodeOptions) -> int:
    output = node.output()
    async with opened(node) as dht:
        await dht.joined()
        item, outcome = await _newest(dht, target, salt)
    if item is None:
        raise SwarmError(f"no such item found; {asked(outcome)}")
    output.event("item", **_item_fields(item), **outcome_fields(outcome))
    if path is not None:
        _write(path, _payload(item.value))
    else:
        output.result(_shown(item.value))
    _say_version(item, output)
    return EXIT_DONE


async def _newest(dht: Dht, target: bytes, salt: bytes) -> tuple[Item | None, Any]:
    from swarm.dht.items import MutableItem

    newest: Item | None = None
    inquiry = dht.get(target, salt=salt)
    async for found in inquiry.results():
        item = found.item
        if not isinstance(newest, MutableItem) or (isinstance(item, MutableItem) and item.seq > newest.seq):
            newest = item
    return newest, inquiry.outcome()


def _item_fields(item: Item) -> dict[str, Any]:
    from swarm.dht.items import MutableItem

    fields: dict[str, Any] = {
        "target": item.target.hex(),
        "value": _text(item.value),
        "bencoded": item.value.hex(),
    }
    if isinstance(item, MutableItem):
        fields |= {"key": item.public_key.hex(), "salt": item.salt.hex(), "seq": item.seq}
    return fields


def _say_version(item: Item, output: Output) -> None:
    from swarm.dht.items import MutableItem

    if isinstance(item, MutableItem):
        output.detail(f"version {item.seq} of {item.public_key.hex()}")


def _payload(value: bytes) -> bytes:
    """The bytes of an item's value, if it is a byte string; otherwise its bencode."""
    from swarm.base import bencode

    try:
        decoded = bencode.decode(value)
    except BencodeError:
        return value
    return decoded if isinstance(decoded, bytes) else value


def _text(value: bytes) -> str | None:
    try:
        return _payload(value).decode()
    except UnicodeDecodeError:
        return None


def _shown(value: bytes) -> str:
    text = _text(value)
    return text if text is not None else _payload(value).hex()


def _write(path: str, payload: bytes) -> None:
    from swarm.storage.faults import storage_error

    if path == "-":
        sys.stdout.buffer.write(payload)
        sys.stdout.buffer.flush()
        return
    try:
        Path(path).write_bytes(payload)
    except OSError as error:
        raise storage_error(error, path) from None


# -- put --------------------------------------------------------------------------------------------


@click.command("put", short_help="Store a text or a small file for two hours or so.")
@click.argument("text", required=False, metavar="[TEXT]")
@option("--file", "path", type=FileName(Path), metavar="FILE", help="Store what is in FILE.")
@option("--key", "key_path", type=FileName(Path), metavar="FILE",
        help="A mutable item, signed with the key in FILE; it is made if it is missing.")  # fmt: skip
@option("--salt", default="", help="Which of the key's items.")
@option("--seq", type=Whole(0, 2**63 - 1), metavar="N",
        help="Version (default: one more than the newest that is found).")  # fmt: skip
@option("--cas", type=Whole(0, 2**63 - 1), metavar="N", help="Only over version N.")
@node_options
def put(
    text: str | None,
    path: Path | None,
    key_path: Path | None,
    salt: str,
    seq: int | None,
    cas: int | None,
    node: NodeOptions,
) -> None:
    """Store TEXT or a small file in the DHT, for two hours or so; prints its target.

    Without --key it is immutable: its target is its hash. With --key, whoever has the key can replace it.
    """
    from swarm.wire.krpc import SALT_BYTES_MAX, VALUE_BYTES_MAX

    if (text is None) == (path is None):
        raise click.UsageError("Give either TEXT or --file.")
    if key_path is None and (salt or seq is not None or cas is not None):
        raise click.UsageError("--salt, --seq and --cas go with --key.")
    value = _value(text.encode() if text is not None else read_file(path or Path(), VALUE_BYTES_MAX))
    salt_bytes = salt.encode()
    if len(salt_bytes) > SALT_BYTES_MAX:
        raise SettingsError(f"--salt: at most {SALT_BYTES_MAX} bytes")
    seed = None if key_path is None else _secret_key(key_path, node.output())
    run(node, lambda: _put(value, seed, salt_bytes, seq, cas, node))


def _value(payload: bytes) -> bytes:
    from swarm.base import bencode
    from swarm.wire.krpc import VALUE_BYTES_MAX

    value = bencode.encode(payload)
    if len(value) > VALUE_BYTES_MAX:
        raise SettingsError("too large: an item holds 996 bytes")
    return value


async def _put(
    value: bytes, seed: bytes | None, salt: bytes, seq: int | None, cas: int | None, node: NodeOptions
) -> int:
    from swarm.dht.items import ImmutableItem, MutableItem, mutable_target
    from swarm.dht.signatures import public_key_of

    output = node.output()
    async with opened(node) as dht:
        await dht.joined()
        item: Item = ImmutableItem(value)
        if seed is not None:
            if seq is None:
                newest, _ = await _newest(dht, mutable_target(public_key_of(seed), salt), salt)
                seq = newest.seq + 1 if isinstance(newest, MutableItem) else 1
            item = MutableItem.signed(seed, value, seq, salt)
        outcome = await dht.put(item, cas=cas).ended()
    count = outcome.announced_count
    if not count:
        raise SwarmError(f"no node took it: {refusals(outcome) or asked(outcome)}")
    output.event("stored", **_item_fields(item), nodes=count, **outcome_fields(outcome))
    output.result(item.target.hex())
    if isinstance(item, MutableItem):
        output.info(f"version {item.seq} of {item.public_key.hex()}, stored on {format_count(count, 'node')}")
    else:
        output.info(f"stored on {format_count(count, 'node')}")
    return EXIT_DONE


# -- keys -------------------------------------------------------------------------------------------


def _secret_key(path: Path, output: Output) -> bytes:
    """The seed in a key file (64 hex digits); a missing file is made, readable by its owner alone."""
    from swarm.storage.faults import storage_error
    from swarm.storage.sealed import sync_folder

    seed = os.urandom(_SEED_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w") as file:
                file.write(seed.hex() + "\n")
                file.flush()
                # Before anything is signed with it: an item whose key is lost can never be replaced again.
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
    except FileExistsError:
        return _seed_in(path)
    except OSError as error:
        raise storage_error(error, path) from None
    output.info(f"{path}: made a new key; whoever has this file can replace the item")
    return seed


def _seed_in(path: Path) -> bytes:
    try:
        seed = bytes.fromhex(read_file(path, _KEY_FILE_BYTES_MAX).decode("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise SettingsError(f"{path}: not a key (64 hex digits)")
    return seed


def _public_key(text: str) -> bytes:
    """A public key given in hex, or that of a key file."""
    from swarm.dht.signatures import PUBLIC_KEY_BYTES, public_key_of

    if len(text) == 2 * PUBLIC_KEY_BYTES and not os.path.lexists(text):
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise SettingsError(f"--key {text}: not hex") from None
    return public_key_of(_seed_in(Path(text)))
