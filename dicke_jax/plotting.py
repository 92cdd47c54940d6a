"""Pictures of results. Every function draws into given matplotlib Axes, or into new ones, and returns them."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from ._typing import ArrayLike
from .couplings import SpinMapping
from .dynamics import MFSolution

# Okabe and Ito's palette, told apart by colour-blind eyes, from dark to light as the pattern's number grows
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", "--", "-.", ":")
ENDS = {
    "converged": "simulation",
    "oscillating": "average of an oscillation",
    "not_converged": "not converged",
    "failed": "failed",
}
MARKERS = {"converged": "o", "oscillating": "s", "not_converged": "x", "failed": "+"}


def pattern_style(pattern: int) -> dict[str, Any]:
    """Colour and line of a pattern, the same in every picture."""
    return {"color": COLOURS[pattern % len(COLOURS)], "linestyle": LINES[pattern % len(LINES)]}


def plot_transition(results: xr.Dataset, axes: tuple[Axes, Axes] | None = None) -> tuple[Axes, Axes]:
    """The two panels of the paper's Fig. 3 from `studies.retrieval_transition`: theory as lines, runs as markers.

    Panel (b) counts photons per subset, 2^(M-1) times the photons per spin that the results hold. Open circles are
    converged runs; squares are averages of runs that keep oscillating, crosses are runs to distrust.
    """
    top, bottom = _axes(axes, 2)
    subsets = 2 ** (int(results.attrs["num_patterns"]) - 1)
    unit = r"$\kappa$" if np.all(np.asarray(results.attrs["kappa"]) == 1) else "the rates"
    codes = dict(zip(results.status.attrs["flag_meanings"].split(), results.status.attrs["flag_values"], strict=True))
    for axis, name, factor in ((top, "overlap", 1), (bottom, "occupation", subsets)):
        for nu in range(results.sizes["pattern"]):
            row, style = results.isel(pattern=nu), pattern_style(nu)
            axis.plot(row.g0_curve, factor * row[f"{name}_curve"], **style, lw=1.4, label=f"pattern {nu + 1}")
            for meaning, code in codes.items():
                at = (row.status == code).values
                axis.plot(
                    row.g0[at],
                    factor * row[name][at],
                    MARKERS[meaning],
                    color=style["color"],
                    ms=4.5,
                    mfc="none",
                    mew=1.1,
                )
        axis.set_xlabel(rf"coupling $g_0$ (units of {unit})")
        axis.set_xlim(float(results.g0.min()), float(results.g0.max()))
    top.set_ylabel(r"stationary overlap $|\xi_\mu|$")
    top.set_ylim(-0.03, 1.03)
    bottom.set_ylabel(r"photons per subset $\langle a_\mu^\dagger a_\mu\rangle / N$")
    bottom.set_ylim(bottom=-0.03 * bottom.get_ylim()[1])
    top.set_title("(a)", loc="left")
    bottom.set_title("(b)", loc="left")
    for meaning, code in codes.items():
        if (results.status == code).any():
            top.plot([], [], MARKERS[meaning], color="grey", ms=4.5, mfc="none", label=ENDS[meaning])
    top.legend(frameon=False, title="lines: Eq. 12", alignment="left")
    return top, bottom


def plot_overlaps(solution: MFSolution, axis: Axes | None = None) -> Axes:
    """xi_mu against time for one run of `mfsolve`."""
    if solution.overlaps.ndim != 2:
        raise ValueError(
            f"solution must be one run, with overlaps of shape (T, M); got shape {solution.overlaps.shape}."
        )
    (axis,) = _axes(None if axis is None else (axis,), 1)
    for nu in range(solution.overlaps.shape[1]):
        axis.plot(
            np.asarray(solution.t), np.asarray(solution.overlaps[:, nu]), **pattern_style(nu), label=f"pattern {nu + 1}"
        )
    axis.set_xlabel(r"time $t$ (inverse unit of the rates)")
    axis.set_ylabel(r"overlap $\xi_\mu$")
    axis.set_ylim(-1.05, 1.05)
    axis.legend(frameon=False)
    return axis


def plot_mapping(patterns: ArrayLike, mapping: SpinMapping, axes: tuple[Axes, ...] | None = None) -> tuple[Axes, ...]:
    """The mapping of the paper's Fig. 2: G as it is, gauged, and reordered with the subsets marked.

    Where nothing was gauged (Fig. S1 and S2) the middle panel is left out.
    """
    G, gauge = np.asarray(patterns), np.asarray(mapping.gauge)
    panels = {"couplings $G$": G}
    if mapping.spins.gauged:
        panels["gauged"] = G * gauge
    panels["reordered"] = (G * gauge)[:, np.asarray(mapping.order)]
    made = _axes(axes, len(panels), rows=True)
    for axis, (title, rows) in zip(made, panels.items(), strict=True):
        axis.imshow(rows, cmap="cividis", aspect="auto", interpolation="none", vmin=G.min(), vmax=G.max())
        axis.set_title(title, loc="left")
        axis.set_yticks(range(len(G)), [f"pattern {nu + 1}" for nu in range(len(G))])
    edges = np.cumsum(np.bincount(np.asarray(mapping.subset)))
    for edge in edges[:-1]:
        made[-1].axvline(edge - 0.5, color="white", lw=1.5)
    made[-1].set_xlabel(f"spin ({len(edges)} subsets)")
    return made


def plot_mending(results: xr.Dataset, axes: Any = None) -> Any:
    """What the spins show in `studies.picture_mending`: a row of pictures for each decay rate, in the order of time."""
    decays, times = results.sizes["decay"], results.sizes["time"]
    if axes is None:
        size = (1.7 * times, 2.1 * decays)
        axes = plt.subplots(decays, times, figsize=size, layout="constrained", squeeze=False)[1]
    for i in range(decays):
        for j in range(times):
            frame, axis = results.isel(decay=i, time=j), axes[i][j]
            axis.imshow(frame.sigma_z, cmap="cividis", vmin=-1, vmax=1, interpolation="none")
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"t = {float(frame.time):g}: {100 * float(frame.share_right):.0f} %", fontsize=9)
        axes[i][0].set_ylabel(f"decay {float(results.decay[i]):g}")
    return axes


def plot_hysteresis(results: xr.Dataset, axis: Axes | None = None) -> Axes:
    """The loop of `studies.ramp_hysteresis`, with Eq. 12 and the critical coupling."""
    (axis,) = _axes(None if axis is None else (axis,), 1)
    for direction, colour, line in (("up", COLOURS[1], "-"), ("down", COLOURS[2], "--")):
        axis.plot(results.g0, results.overlap.sel(direction=direction), line, color=colour, label=f"ramped {direction}")
    axis.plot(results.g0, results.theory, ":", color=COLOURS[0], label="stationary, Eq. 12")
    axis.axvline(float(results.g_crit), color="grey", lw=0.8)
    axis.set_xlabel(r"coupling $g_0$ (unit of the rates)")
    axis.set_ylabel(rf"overlap $|\xi_{{{int(results.attrs['ramped_pattern']) + 1}}}|$")
    axis.legend(frameon=False)
    return axis


def plot_basins(results: xr.Dataset, axis: Axes | None = None) -> Axes:
    """The chance of retrieval: against coupling for each cue (`studies.retrieval_basins`), or against load.

    Bands, and bars against load, are the 95 % Wilson intervals that the results hold.
    """
    (axis,) = _axes(None if axis is None else (axis,), 1)
    if "load" in results.coords:
        y, low, high = (results[name].values for name in ("probability", "lower", "upper"))
        style = {"color": COLOURS[1], "lw": 1.4, "ms": 4.5, "capsize": 2}
        axis.errorbar(results["load"].values, y, [y - low, high - y], fmt="o-", **style)
        axis.set_xlabel(r"load $M / N_\mathrm{sp}$")
    else:
        for i in range(results.sizes["strength"]):
            row, style = results.isel(strength=i), pattern_style(i)
            axis.plot(row.g0, row.probability, marker="o", ms=3.5, lw=1.4, **style, label=f"{float(row.strength):.3g}")
            axis.fill_between(row.g0, row.lower, row.upper, color=style["color"], alpha=0.15, lw=0)
        axis.set_xlabel(r"coupling $g_0$ (unit of the rates)")
        axis.legend(frameon=False, title=results.strength.attrs["long_name"])
    axis.set_ylabel("probability of retrieval")
    axis.set_ylim(-0.03, 1.03)
    return axis


SPECIAL = {"fold": "s", "branch_point": "o", "hopf": "^"}


def plot_branches(results: xr.Dataset, axis: Axes | None = None) -> Axes:
    """The branches of `studies.bifurcation_diagram`: the length of all overlaps, solid where stable, else dashed.

    A branch has the colour of the pattern with the largest overlap, grey where several share it.
    """
    (axis,) = _axes(None if axis is None else (axis,), 1)
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
            axis.plot(row.value, values, color=colour, ls=line, lw=1.6 if stable else 1.0)
        if label not in seen:
            axis.plot([], [], color=colour, label=label)
            seen.add(label)
    meanings = results.special_kind.attrs["flag_meanings"].split()
    for code, meaning in enumerate(meanings):
        at = results.special_kind.values == code
        if at.any():
            size = np.sqrt((results.special_overlap.values[at] ** 2).sum(axis=1))
            name = meaning.replace("_", " ")
            axis.plot(results.special_value.values[at], size, SPECIAL[meaning], color="k", ms=3.5, mfc="w", label=name)
    axis.set_xlabel(rf"{_symbol(results.attrs['parameter'])} (unit of the rates)")
    axis.set_ylabel(r"$(\sum_\mu \xi_\mu^2)^{1/2}$")
    axis.legend(frameon=False, title="solid: stable", alignment="left")
    return axis


def plot_phases(results: xr.Dataset, axis: Axes | None = None) -> Axes:
    """How many patterns are stable, over the two parameters of `studies.phase_diagram`.

    Lines: where each pattern begins to exist. Dots: stable mixtures. Crosses: searches that may have missed states.
    """
    (axis,) = _axes(None if axis is None else (axis,), 1)
    x, y, number = results.x.values, results.y.values, results.sizes["pattern"]
    colours = plt.get_cmap("cividis", number + 1)
    count = results.stable.sum("pattern").values
    mesh = axis.pcolormesh(x, y, count, cmap=colours, vmin=-0.5, vmax=number + 0.5, shading="nearest", alpha=0.75)
    plt.colorbar(mesh, ax=axis, ticks=range(number + 1), label="stable patterns")
    for nu in range(number):
        exists = results.exists.isel(pattern=nu).values.astype(float)
        if x.size > 1 and y.size > 1 and 0 < exists.mean() < 1:
            axis.contour(x, y, exists, [0.5], colors=[COLOURS[nu % len(COLOURS)]], linewidths=1.4)
            axis.plot([], [], color=COLOURS[nu % len(COLOURS)], label=f"pattern {nu + 1}")
    for where, marker, label in (
        (results.stable_mixtures.values > 0, ".", "stable mixtures"),
        (~results.complete.values.astype(bool), "x", "states may be missing"),
    ):
        if where.any():
            rows, columns = np.nonzero(where)
            axis.plot(x[columns], y[rows], marker, color="w", mec="k", mew=0.5, ms=4, label=label)
    axis.set_xlabel(rf"{_symbol(results.x.attrs['long_name'])} (unit of the rates)")
    axis.set_ylabel(rf"{_symbol(results.y.attrs['long_name'])} (unit of the rates)")
    axis.legend(loc="lower right", fontsize="small", title="lines: begins to exist", title_fontsize="small")
    return axis


def _symbol(name: str) -> str:
    """A parameter as in the paper, modes counted from 1."""
    symbols = {"g0": "g_0", "omega_spin": r"\Omega", "omega_mode": r"\Omega", "kappa": r"\kappa"}
    rate, _, mode = name.partition("[")
    return f"${symbols[rate]}" + (f"_{int(mode[:-1]) + 1}$" if mode else "$") if rate in symbols else name


def _axes(axes: Any, number: int, rows: bool = False) -> tuple[Axes, ...]:
    if axes is not None:
        return tuple(axes)
    shape, size = ((number, 1), (9.0, 1.3 * number)) if rows else ((1, number), (4.6 * number, 3.6))
    return tuple(plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)[1].ravel())
