"""A run as a picture: completion against the bound, the rarity of pieces. The one door to matplotlib."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swarm.sim.report import Report
from swarm.sim.simulation import Simulation

_BLUE, _ORANGE, _GREY, _INK, _GREEN = "#2a6fbb", "#d9730d", "#9aa3ad", "#22272e", "#2e8b57"
_ROLES = (_BLUE, _GREEN, "#8e5bb5", "#b5483a", "#5b7083")
#: So many curves are drawn one by one; of more, a part stands for all.
CURVES_MAX = 200


def draw(simulation: Simulation, result: Report, path: Path) -> None:
    """Write the picture of a simulation that has run to `path`; its suffix says which kind.

    Raises:
        OSError: it cannot be written.
    """
    figure = Figure(figsize=(10, 8), dpi=130, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_completion(above, simulation, result)
    _draw_availability(figure, below, simulation)
    figure.suptitle(
        f"{result.scenario}: {result.peers} leechers, seed {result.seed}",
        fontsize=14,
        color=_INK,
        weight="bold",
    )
    figure.savefig(path)


def _draw_completion(axes: Axes, simulation: Simulation, result: Report) -> None:
    pieces = simulation.scenario.geometry.piece_count
    roles = list(dict.fromkeys(client.role for client in simulation.leeches))
    step = -(-len(simulation.leeches) // CURVES_MAX)
    shown: set[str] = set()
    for client in simulation.leeches[::step]:
        instants = simulation.history.verified_at.get(client.number, [])
        brought = pieces - len(instants) if client.is_finished else 0
        shares = [100 * (brought + count) / pieces for count in range(len(instants) + 1)]
        axes.step(
            [client.arrived_at or 0.0, *instants],
            [max(0.0, share) for share in shares],
            where="post",
            color=_ROLES[roles.index(client.role) % len(_ROLES)],
            alpha=max(0.12, min(0.8, 8 / len(simulation.leeches))),
            linewidth=1.0,
            label=None if client.role in shown else client.role,
        )
        shown.add(client.role)
    axes.plot(
        [0, result.bound_s], [0, 100], color=_INK, linewidth=1.4, linestyle=(0, (4, 3)), label="fluid ideal"
    )
    axes.axvline(result.bound_s, color=_ORANGE, linewidth=1.6)
    axes.annotate(
        f"bound {result.bound_s:.1f} s",
        (result.bound_s, 4),
        xytext=(-5, 0),
        textcoords="offset points",
        color=_ORANGE,
        ha="right",
    )
    axes.axvline(result.last_s, color=_GREY, linewidth=1.2)
    axes.annotate(
        f"last {result.last_s:.1f} s",
        (result.last_s, 4),
        xytext=(5, 0),
        textcoords="offset points",
        color=_GREY,
    )
    axes.set_title(
        f"efficiency {result.efficiency:.3f}    seeder upload {result.seeder_upload_ratio:.2f} copies    "
        f"duplicates {result.duplicate_share:.2%}    fairness {result.fairness:.3f}",
        fontsize=10,
        color=_INK,
    )
    axes.set_ylabel("verified, % of the torrent")
    axes.set_ylim(0, 101)
    axes.set_xlim(0, result.last_s * 1.1)
    legend = axes.legend(loc="upper left", frameon=False)
    for line in legend.get_lines():
        line.set_alpha(1.0)
    _tidy(axes)


def _draw_availability(figure: Figure, axes: Axes, simulation: Simulation) -> None:
    """A row a piece, those that went out first below; the colour is how many have it."""
    samples = simulation.history.samples
    rows = list(zip(*(sample.holders for sample in samples), strict=True))
    # When a piece reached half of the swarm says more than when it left the seeder: the front is smooth.
    rows.sort(key=lambda holders: sum(holders), reverse=True)
    picture = axes.imshow(
        rows,
        aspect="auto",
        origin="lower",
        extent=(samples[0].at, samples[-1].at, 0, simulation.scenario.geometry.piece_count),
        cmap="viridis",
        interpolation="nearest",
        vmin=0,
    )
    bar = figure.colorbar(picture, ax=axes, pad=0.01, fraction=0.04)
    bar.set_label("peers that have it")
    bar.outline.set_visible(False)
    axes.set_ylabel("pieces, by how early they spread")
    axes.set_xlabel("seconds of virtual time")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _tidy(axes: Axes) -> None:
    axes.grid(color="#e5e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
