"""kill -9 at random moments of a real `swarm leech`, which is started again with the same command.

After every kill the resume data must be whole and true: each piece it names is on the disk, byte for byte.
After every start only what that record did not name may be hashed. Meanwhile a witness downloads from the
process that is killed, and verifies: not one piece may come to it wrong. When the content has been
complete and seeded through a few kills it is compared byte for byte, and the next one begins.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

from swarm.base.endpoint import Endpoint
from swarm.base.errors import StorageError
from swarm.base.units import format_size, parse_size
from swarm.engine.settings import EngineSettings
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.session.session import Session
from swarm.session.settings import SessionSettings
from swarm.session.torrent import Torrent
from swarm.storage.create import create_torrent
from swarm.storage.resume import ResumeRecord
from tools.torture.reporting import Report, end, parser_of

SWARM = [sys.executable, "-c", "import sys; from swarm.cli.main import main; sys.argv[0] = 'swarm'; main()"]
#: Kills that a complete content goes through, being seeded, before the next download begins.
KILLS_WHILE_SEEDING = 5
#: Nothing waits for it to pass: a step that takes longer hangs.
PATIENCE_S = 60.0


@dataclass(slots=True)
class CrashReport(Report):
    """What was killed, and what was found afterwards."""

    kills: int = 0
    kills_while_starting: int = 0
    kills_while_downloading: int = 0
    kills_while_seeding: int = 0
    downloads_completed: int = 0
    records_read: int = 0
    starts_checked: int = 0
    rehashed_bytes: int = 0
    known_bytes: int = 0
    witnessed_bytes: int = 0
    witness_downloads: int = 0


class Content:
    """What is downloaded: a few files of random bytes, one of them larger than all others."""

    def __init__(self, folder: Path, size: int, rng: random.Random) -> None:
        self.path = folder / "content"
        self.path.mkdir()
        sizes = {"large": size * 3 // 4, "a/b/small": 777, "empty": 0, "rest": size // 4 - 777}
        for name, length in sizes.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.randbytes(length))
        raw = create_torrent(self.path, TorrentOptions(piece_length=1 << 15))
        self.metainfo = Metainfo.parse(raw)
        self.torrent = folder / "content.torrent"
        self.torrent.write_bytes(raw)

    def right_pieces(self, place: Path) -> list[bool]:
        """By piece: is it at `place`, byte for byte?"""
        found = b"".join(_read(place.joinpath(*file.path), file.length) for file in self.metainfo.files)
        geometry, hashes = self.metainfo.geometry, self.metainfo.piece_hashes
        right = []
        for piece in range(geometry.piece_count):
            start = geometry.piece_offset(piece)
            digest = sha1(found[start : start + geometry.piece_bytes(piece)]).digest()
            right.append(digest == hashes[20 * piece : 20 * piece + 20])
        return right

    def touched_bytes(self, place: Path) -> list[bool]:
        """By piece: has anything of it been written?"""
        found = b"".join(_read(place.joinpath(*file.path), file.length) for file in self.metainfo.files)
        geometry = self.metainfo.geometry
        pieces = map(geometry.piece_offset, range(geometry.piece_count))
        return [any(found[start : start + geometry.piece_length]) for start in pieces]


def _read(path: Path, length: int) -> bytes:
    try:
        return path.read_bytes().ljust(length, b"\0")[:length]
    except FileNotFoundError:
        return bytes(length)


class Victim:
    """One run of `swarm leech`, from its start to its kill."""

    def __init__(self, content: Content, folder: Path, seeder_port: int, port: int, down: str) -> None:
        self.events: list[dict[str, object]] = []
        self._command = [
            *SWARM, "leech", str(content.torrent), "-o", str(folder), "--seed-time", "100000",
            "--peer", f"127.0.0.1:{seeder_port}", "--port", str(port), "--bind", "127.0.0.1",
            "--down", down, "--no-dht", "--no-pex", "--no-lsd", "--no-trackers", "--json",
        ]  # fmt: skip
        self._environment = environment_of(folder)

    async def live(self, seconds: float) -> None:
        """Run for so long, then die; what it said is in `events`."""
        process = await asyncio.create_subprocess_exec(
            *self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._environment
        )
        assert process.stdout is not None and process.stderr is not None
        reading = asyncio.ensure_future(process.stdout.read())
        complaining = asyncio.ensure_future(process.stderr.read())
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            process.kill()
            await process.wait()
        else:
            said = (await complaining).decode(errors="replace")
            raise RuntimeError(f"it ended by itself with {process.returncode}: {said[-500:]}")
        finally:
            lines = (await reading).decode().splitlines()
            await complaining
            # The last line may have been cut by the kill.
            self.events = [json.loads(line) for line in lines if line.endswith("}")]

    def last(self, *states: str) -> dict[str, object] | None:
        """The last progress it reported in one of these states."""
        for event in reversed(self.events):
            if event["event"] == "progress" and event["state"] in states:
                return event
        return None


def environment_of(folder: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SWARM_")}
    return {**own, "SWARM_STATE_DIR": str(folder / "state"), "SWARM_DHT_BOOTSTRAP": ""}


class Torture:
    """The kills, and what is looked at between them."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.report = CrashReport()
        self._options = options
        self._folder = folder
        self._rng = random.Random(options.seed)
        self._content = Content(folder, options.size, self._rng)
        self._rounds = 0
        self._seeded_kills = 0

    async def run(self) -> None:
        started_at = time.monotonic()
        seeding = Session(port=0, bind="127.0.0.1", settings=_settings(self._folder / "seeder"))
        witness = Session(port=0, bind="127.0.0.1", settings=_settings(self._folder / "witness"))
        async with seeding, witness:
            seed = await seeding.add(self._content.metainfo, content=self._content.path, is_seeding_only=True)
            await asyncio.wait_for(seed.completed(), PATIENCE_S)
            port = _free_port()
            while self.report.kills < self._options.kills and not self.report.wrong:
                await self._download_and_seed(seeding.port, port, witness)
        self.report.seconds = round(time.monotonic() - started_at, 1)

    async def _download_and_seed(self, seeder_port: int, port: int, witness: Session) -> None:
        """One content from nothing to complete and seeded, killed all the way."""
        self._rounds += 1
        self._seeded_kills = 0
        place = self._folder / f"round-{self._rounds}"
        watching = asyncio.ensure_future(self._witness(witness, port))
        try:
            while self._seeded_kills < KILLS_WHILE_SEEDING and self.report.kills < self._options.kills:
                await self._kill_once(place, seeder_port, port)
                if self.report.wrong:
                    return
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        if self._seeded_kills:
            if not all(self._content.right_pieces(place / "content")):
                self.report.wrong.append("it was complete, and is not what it should be")
            self.report.downloads_completed += 1
        shutil.rmtree(place)

    async def _kill_once(self, place: Path, seeder_port: int, port: int) -> None:
        record = self._check_record(place)
        # What may be hashed at the start: what has been touched, and no record names.
        touched = self._content.touched_bytes(place / "content")
        geometry = self._content.metainfo.geometry
        unknown = sum(
            geometry.piece_bytes(piece)
            for piece, is_touched in enumerate(touched)
            if is_touched and (record is None or piece not in record.verified)
        )
        victim = Victim(self._content, place, seeder_port, port, self._options.down)
        await victim.live(self._rng.uniform(0.05, self._options.longest))
        self.report.kills += 1
        known = geometry.pieces_bytes(record.verified) if record is not None else 0
        self._check_start(victim, known, unknown)
        if victim.last("seeding"):
            self.report.kills_while_seeding += 1
            self._seeded_kills += 1
        elif victim.last("downloading"):
            self.report.kills_while_downloading += 1
        else:
            self.report.kills_while_starting += 1

    def _check_record(self, place: Path) -> ResumeRecord | None:
        """What is known must be there."""
        records = list((place / "state").glob("*.resume")) if place.exists() else []
        if list((place / "state").glob("*.broken*")):
            self.report.wrong.append("resume data was found broken")
        if not records:
            return None
        try:
            record = ResumeRecord.decode(records[0].read_bytes())
        except StorageError as error:
            self.report.wrong.append(f"resume data cannot be read: {error}")
            return None
        right = self._content.right_pieces(place / "content")
        untrue = [piece for piece in record.verified if not right[piece]]
        if untrue:
            self.report.wrong.append(f"the record names pieces that are not there: {untrue[:10]}")
        self.report.records_read += 1
        return record

    def _check_start(self, victim: Victim, known: int, unknown: int) -> None:
        now = victim.last("downloading", "seeding")
        if now is None:
            return
        hashed, done = now["checking_bytes"], now["done_bytes"]
        assert isinstance(hashed, int) and isinstance(done, int)
        self.report.starts_checked += 1
        self.report.rehashed_bytes += hashed
        self.report.known_bytes += known
        if hashed > unknown:
            self.report.wrong.append(f"{hashed} bytes were hashed again where {unknown} were not known")
        if done < known:
            self.report.wrong.append(f"{known} bytes were known, {done} were taken over")

    async def _witness(self, session: Session, port: int) -> None:
        """Download from the victim, whenever it lives; again from the start when all is here."""
        while True:
            place = self._folder / "witness-content"
            torrent = await session.add(
                self._content.metainfo, save_to=place, peers=[("127.0.0.1", port)], use_trackers=False
            )
            try:
                await self._watch(torrent, port)
                self.report.witness_downloads += 1
            finally:
                now = torrent.snapshot()
                self.report.witnessed_bytes += now.downloaded_bytes
                if now.failed_pieces:
                    self.report.wrong.append(f"{now.failed_pieces} wrong pieces were served")
                await asyncio.shield(session.remove(torrent))
                shutil.rmtree(place, ignore_errors=True)
            # What it fetches again and again must not take all of the machine.
            await asyncio.sleep(1.0)

    async def _watch(self, torrent: Torrent, port: int) -> None:
        complete = asyncio.ensure_future(torrent.completed())
        try:
            while not complete.done():
                # The victim comes and goes faster than a failed dial is tried again.
                if torrent.runner is not None and not torrent.peers():
                    torrent.runner.candidates_found([Endpoint("127.0.0.1", port)], "user")
                await asyncio.wait([complete], timeout=0.2)
        finally:
            complete.cancel()
            await asyncio.gather(complete, return_exceptions=True)


def _settings(folder: Path) -> SessionSettings:
    # A peer that was just killed is tried again at once and for ever.
    engine = EngineSettings(redial_s=0.1, redial_max_s=0.2, dial_failures_max=1_000_000)
    return SessionSettings(state_dir=folder / "state", is_dht_enabled=False, engine=engine)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def main() -> None:
    parser = parser_of(
        "crash",
        "Kill a download and its seeding with SIGKILL, at random moments, and look for harm.",
        "anything was lost, wrong, or hashed again although it was known.",
    )
    parser.add_argument("--kills", type=int, default=200, help="how often (default: 200)")
    parser.add_argument("--size", type=parse_size, default="24M", help="of the content (default: 24M)")
    parser.add_argument("--down", default="3M", help="rate of the download (default: 3M a second)")
    parser.add_argument("--longest", type=float, default=7.0, help="seconds to live at most (default: 7)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarm-crash-") as folder:
        torture = Torture(options, Path(folder))
        asyncio.run(torture.run())
    end(torture.report, _lines(torture.report), is_json=options.json)


def _lines(report: CrashReport) -> list[str]:
    return [
        f"{report.kills} kills in {report.seconds} s: {report.kills_while_starting} while starting, "
        f"{report.kills_while_downloading} while downloading, {report.kills_while_seeding} while seeding",
        f"downloads completed, compared byte for byte: {report.downloads_completed}",
        f"records read, every piece they name compared: {report.records_read}",
        f"starts checked: {report.starts_checked}; taken over unhashed {format_size(report.known_bytes)}, "
        f"hashed again {format_size(report.rehashed_bytes)}",
        f"a witness fetched and verified {format_size(report.witnessed_bytes)} from it meanwhile",
    ]
