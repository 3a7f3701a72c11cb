"""`swarm simulate`: a swarm in virtual time, compared with the bound that no protocol can beat."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import click

from swarm.base.units import format_size
from swarm.cli.options import Number, Whole, option
from swarm.cli.output import Output
from swarm.sim.report import Report, report
from swarm.sim.scenario import Faults
from swarm.sim.scenarios import RECIPES, scenario
from swarm.sim.simulation import Simulation
from swarm.storage.faults import check_folder, storage_error

#: Progress is shown after so long, and then ...
PROGRESS_S = 1.0


@click.command("simulate")
@click.argument("name", metavar="SCENARIO", required=False)
@option("--list", "is_listing", is_flag=True, help="Show the scenarios and stop.")
@option("--seed", type=Whole(min=0), default=0, metavar="N", help="Chance, made repeatable (default: 0).")
@option("--peers", type=Whole(min=1), metavar="N", help="Leechers (default: what suits the scenario).")
@option(
    "--faults",
    "faults_s",
    type=Number(min=0, min_open=True, max=1e6),
    metavar="SECONDS",
    help="At first, for so long, lines and disks fail now and then.",
)
@option(
    "--plot",
    "plot_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Draw completion against the bound, and availability (needs the extra swarm-bt[plot]).",
)
@option("--json", "is_json", is_flag=True, help="One JSON object on stdout.")
@option("--quiet", "is_quiet", is_flag=True, help="No progress.")
def command(
    name: str | None,
    is_listing: bool,
    seed: int,
    peers: int | None,
    faults_s: float | None,
    plot_path: Path | None,
    is_json: bool,
    is_quiet: bool,
) -> None:
    """Run the scenario SCENARIO in virtual time, with the engine that downloads for you.

    The same seed gives the same run, to the last event. The bound is the time that no protocol can beat: what
    only the seeder has must leave it once, and all that is lacking must leave somebody's line up.
    """  # fmt: skip
    output = Output(is_json=is_json, is_quiet=is_quiet)
    if is_listing:
        _list(output)
        return
    if name is None:
        raise click.UsageError("Missing argument 'SCENARIO'; --list shows them.")
    chosen = scenario(name, peers)
    if faults_s is not None:
        chosen = chosen.with_faults(Faults(until_s=faults_s))
    if plot_path is not None:
        # Checked before the work, not after it.
        _check_plot(plot_path)
    simulation = Simulation(chosen, seed)
    progress = _Progress(output)
    try:
        simulation.run(progress.show)
    finally:
        progress.clear()
    result = report(simulation)
    if is_json:
        output.json(dataclasses.asdict(result))
    else:
        _print(output, result)
    if plot_path is not None:
        from swarm.sim.plot import draw

        try:
            draw(simulation, result, plot_path)
        except OSError as error:
            raise storage_error(error, plot_path) from None
        output.info(f"wrote {plot_path}")


def _check_plot(path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise click.UsageError("--plot needs matplotlib: pip install 'swarm-bt[plot]'")
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise click.UsageError(f"--plot writes .png, .svg or .pdf, not {path.name!r}")
    check_folder(path.absolute().parent)


def _list(output: Output) -> None:
    if output.is_json:
        for name, recipe in RECIPES.items():
            output.json({"name": name, "peers": recipe.peers, "summary": recipe.summary})
        return
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        output.result(f"{name:<{width}}  {recipe.peers:>5} peers  {recipe.summary}")


class _Progress:
    """Progress on stderr; in a terminal it is one line that is overwritten."""

    def __init__(self, output: Output) -> None:
        self._is_shown = not output.is_quiet and not output.is_json
        self._is_terminal = sys.stderr.isatty()
        self._next_at = time.monotonic() + PROGRESS_S
        self._is_dirty = False

    def show(self, virtual_s: float, share: float) -> None:
        now = time.monotonic()
        if not self._is_shown or now < self._next_at:
            return
        text = f"simulating: {virtual_s:.1f} s of virtual time, {share:.0%} of all pieces are there"
        if self._is_terminal:
            self._next_at = now + PROGRESS_S / 5
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_dirty = True
        else:
            self._next_at = now + 10 * PROGRESS_S
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._is_dirty:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(output: Output, result: Report) -> None:
    rows = [
        ("fluid bound", f"{result.bound_s:.2f} s"),
        ("first finisher", f"{result.first_s:.2f} s"),
        ("median finisher", f"{result.median_s:.2f} s"),
        ("last finisher", f"{result.last_s:.2f} s"),
        ("efficiency", f"{result.efficiency:.3f} (bound / last finisher)"),
        ("seeder upload", f"{result.seeder_upload_ratio:.2f} copies"),
        ("duplicates", f"{format_size(result.duplicate_bytes)} ({result.duplicate_share:.2%})"),
        ("fairness", f"{result.fairness:.3f} (Jain, of the leechers' rates)"),
    ]
    output.result(f"{result.scenario}: {result.peers} leechers, seed {result.seed}")
    for label, value in rows:
        output.result(f"  {label:<16} {value}")
    output.result(f"  {'role':<16} {'count':>6} {'first':>9} {'median':>9} {'last':>9} {'uploaded':>10}")
    for role in result.roles:
        spans = "".join(f" {span:>7.2f} s" for span in (role.first_s, role.median_s, role.last_s))
        if not role.last_s:
            spans = f" {'-':>9} {'-':>9} {'-':>9}"
        output.result(f"  {role.role:<16} {role.count:>6}{spans} {format_size(role.up_bytes):>10}")
    output.result(f"  {'trace':<16} {result.digest} ({result.engine_events:,} events of all engines)")
