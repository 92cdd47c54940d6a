"""Phases: branches, diagrams, basins."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .._checks import refuse
from .._door import checked
from .style import COLOURS, meanings, new_axes, parameter_label, pattern_style

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
    (ax,) = new_axes(ax, 1)
    if "load" in results.coords:
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
        ax.legend(frameon=False, title=results.strength.attrs["long_name"])
    ax.set(ylabel="probability of retrieval", ylim=(-0.03, 1.03))
    return ax


@checked
def plot_branches(results: xr.Dataset, ax: Axes | None = None) -> Axes:
    """The branches of `studies.bifurcation_diagram`: the length of all overlaps, solid where stable, else dashed.

    A branch has the colour of the pattern with the largest overlap, grey where several share it.
    """
    (ax,) = new_axes(ax, 1)
    seen = set()
    for i in range(results.sizes["branch"]):
        row = results.isel(branch=i).dropna("point", subset=["value"])
        size, sorted_ = np.sqrt((row.overlap**2).sum("pattern")).values, np.sort(np.abs(row.overlap.values), axis=1)
        largest = int(np.argmax(sorted_[:, -1]))
        several = sorted_.shape[1] > 1 and sorted_[largest, -2] > 0.3 * sorted_[largest, -1]
        leading = int(np.argmax(np.abs(row.overlap.values[largest])))
        label = "normal" if size.max() < 1e-6 else "mixture" if several else f"pattern {leading + 1}"
        colour = {"normal": "0.3", "mixture": "0.65"}.get(label, COLOURS[leading % len(COLOURS)])
        for stable, line in ((1, "-"), (0, (0, (3, 2)))):
            inside = row.stable.values == stable
            part = inside | np.append(inside[1:], False) * (not stable) | np.append(False, inside[:-1]) * (not stable)
            values = np.where(part, size, np.nan)
            ax.plot(row.value, values, color=colour, ls=line, lw=1.6 if stable else 1.0)
        if label not in seen:
            ax.plot([], [], color=colour, label=label)
            seen.add(label)
    kinds, size = meanings(results.special_kind), np.sqrt((results.special_overlap.values**2).sum(axis=1))
    for kind in np.unique(kinds):
        at, name = kinds == kind, kind.replace("_", " ")
        ax.plot(results.special_value.values[at], size[at], SPECIAL[kind], color="k", ms=3.5, mfc="w", label=name)
    ax.set(xlabel=parameter_label(results.attrs["parameter"]), ylabel=r"$(\sum_\mu \xi_\mu^2)^{1/2}$")
    ax.legend(frameon=False, title="solid: stable", alignment="left")
    return ax


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
