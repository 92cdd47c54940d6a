"""Phases: branches, diagrams, basins."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .._checks import refuse
from .._door import checked
from .style import COLOURS, legend_beside, meanings, new_axes, parameter_label, pattern_style, solid_where_stable

MIXED = (
    0.2  # share of the largest overlap: random patterns of 100 spins share a tenth, mixtures of four have .27 or more
)
SPECIAL = {"fold": "s", "branch_point": "o", "hopf": "^"}


@checked
def plot_basins(results: xr.Dataset, ax: Axes | None = None) -> Axes:
    """The chance of retrieval: against coupling for each cue (`studies.retrieval_basins`), or against load.

    Bands, and bars against load, are the 95 % Wilson intervals that the results hold.
    """
    wanted = {"num_patterns"} if "load" in results.coords else {"g0", "strength"}
    if (found := set(results["probability"].dims)) != wanted:
        must_be = f"one study over {' and '.join(sorted(wanted))} (choose one of several by isel)"
        refuse("results", must_be, f"one over {' and '.join(sorted(map(str, found))) or 'nothing'}")
    results = results.sortby(sorted(wanted)[0])  # studies that were joined come one after the other
    against_load = "load" in results.coords
    (ax,) = new_axes(ax, 1, room=0.0 if against_load else 1.9)
    if against_load:
        y, low, high = (results[name].values for name in ("probability", "lower", "upper"))
        style = {"color": COLOURS[1], "lw": 1.4, "ms": 4.5, "capsize": 2}
        ax.errorbar(results["load"].values, y, [y - low, high - y], fmt="o-", **style)
        ax.set_xlabel(r"load $M / N_\mathrm{sp}$")
    else:
        for i in range(results.sizes["strength"]):
            row, style = results.isel(strength=i), pattern_style(i)
            ax.plot(row.g0, row.probability, marker="o", ms=3.5, lw=1.4, **style, label=f"{float(row.strength):.3g}")
            ax.fill_between(row.g0, row.lower, row.upper, color=style["color"], alpha=0.15, lw=0)
        ax.set_xlabel(r"coupling $g_0$ (unit of the rates)")
        legend_beside(ax, title=f"{results.strength.attrs['long_name']}\n(band: 95 % interval)")
    of = f"pattern {int(results.attrs['cued_pattern']) + 1}, " if "cued_pattern" in results.attrs else ""
    cues = int(results["counts"].sum("end").max())
    ax.set_title(f"{of}{cues} cues at each point", loc="left", fontsize="medium")
    ax.set(ylabel="probability of retrieval", ylim=(-0.03, 1.03))
    return ax


@checked
def plot_branches(results: xr.Dataset, ax: Axes | None = None, *, mixtures: bool = True) -> Axes:
    """The branches of `studies.bifurcation_diagram`: the length of all overlaps, solid where stable, else dashed.

    A branch has the colour of its pattern; it is a mixture, and grey, if another overlap is more than a fifth of the
    largest where that is largest.

    - `mixtures`: False leaves them out.
    """
    (ax,) = new_axes(ax, 1, room=2.0)
    kinds, states, marks = meanings(results.special_kind), dict[str, Any](), dict[str, Any]()
    for i in range(results.sizes["branch"]):
        row = results.isel(branch=i).dropna("point", subset=["value"])
        label, colour = _named(np.abs(row.overlap.values))
        if label == "mixture" and not mixtures:
            continue
        here = np.flatnonzero(results.special_branch.values == i)
        points = np.column_stack([row.value, row.overlap])
        places = np.column_stack([results.special_value[here], results.special_overlap[here]])
        special = [(_segment(points, place), place[0], np.sqrt(np.sum(place[1:] ** 2))) for place in places]
        length = np.sqrt((row.overlap**2).sum("pattern")).values
        solid_where_stable(ax, row.value.values, length, row.stable.values, special, color=colour)
        states[label] = {"color": colour}
        style: dict[str, Any] = {"mfc": "w", "ls": "none"}
        edge, size = (colour, 2.5) if label == "mixture" else ("k", 4.0)  # the many of mixtures would hide the others
        for kind, (_, x, y) in zip(kinds[here], special, strict=True):
            ax.plot(x, y, marker=SPECIAL[kind], color=edge, ms=size, zorder=4, **style)
            marks[kind.replace("_", " ")] = {"marker": SPECIAL[kind], "color": "k", "ms": 4.0, **style}
    for label in [*sorted(states, key=lambda label: (label == "mixture", len(label), label)), *sorted(marks)]:
        ax.plot([], [], label=label, **(states | marks)[label])
    ax.set(xlabel=parameter_label(results.attrs["parameter"]), ylabel=r"$(\sum_\mu \xi_\mu^2)^{1/2}$")
    legend_beside(ax, title="solid: stable")
    return ax


def _named(size: np.ndarray) -> tuple[str, str]:
    """What a branch is, and its colour, from overlaps (points, patterns) without sign."""
    if size.max() < 1e-6:
        return "normal", "0.3"
    furthest = size[np.argmax(size.max(axis=1))]  # near its begin a pattern of few spins has much of others in it
    leading = int(np.argmax(furthest))
    if np.sum(furthest > MIXED * furthest[leading]) > 1:
        return "mixture", "0.65"
    return f"pattern {leading + 1}", COLOURS[leading % len(COLOURS)]


def _segment(points: np.ndarray, place: np.ndarray) -> int:
    """Between which point of a branch and the next one a place lies: that of the nearest chord."""
    step = np.diff(points, axis=0)
    share = np.sum((place - points[:-1]) * step, axis=1) / np.maximum(np.sum(step**2, axis=1), 1e-300)
    nearest = points[:-1] + np.clip(share, 0, 1)[:, None] * step
    return int(np.argmin(np.sum((nearest - place) ** 2, axis=1)))


@checked
def plot_phases(results: xr.Dataset, ax: Axes | None = None) -> Axes:
    """How many patterns are stable, over the two parameters of `studies.phase_diagram`.

    Lines: where each pattern begins to exist. Dots: stable mixtures. Crosses: searches that may have missed states.
    """
    (ax,) = new_axes(ax, 1)
    x, y, number = results.x.values, results.y.values, results.sizes["pattern"]
    colours = plt.get_cmap("cividis", number + 1)
    count = results.stable.sum("pattern").values
    mesh = ax.pcolormesh(x, y, count, cmap=colours, vmin=-0.5, vmax=number + 0.5, shading="nearest", alpha=0.75)
    plt.colorbar(mesh, ax=ax, ticks=range(number + 1), label="stable patterns")
    for nu in range(number):
        exists = results.exists.isel(pattern=nu).values.astype(float)
        if x.size > 1 and y.size > 1 and 0 < exists.mean() < 1:
            ax.contour(x, y, exists, [0.5], colors=[COLOURS[nu % len(COLOURS)]], linewidths=1.4)
            ax.plot([], [], color=COLOURS[nu % len(COLOURS)], label=f"pattern {nu + 1}")
    mixtures, incomplete = results.stable_mixtures.values > 0, ~results.complete.values.astype(bool)
    for where, marker, label in ((mixtures, ".", "stable mixtures"), (incomplete, "x", "states may be missing")):
        rows, columns = np.nonzero(where)
        if rows.size:
            ax.plot(x[columns], y[rows], marker, color="w", mec="k", mew=0.5, ms=4, label=label)
    ax.set(xlabel=parameter_label(results.x.attrs["long_name"]), ylabel=parameter_label(results.y.attrs["long_name"]))
    ax.legend(loc="lower right", fontsize="small", title="lines: begins to exist", title_fontsize="small")
    return ax
