"""What is stored, and its course in time."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .._checks import refuse
from .._door import checked
from .._typing import ArrayLike
from ..couplings import SpinMapping
from ..dynamics import MFSolution
from ..phases.cue_outcome import FINITE, INVOLVED
from .style import COLOURS, Panels, meanings, new_axes, pattern_style

ENDED = {  # marker and label; "converged" as older results have it
    "successful": ("o", "simulation"),
    "converged": ("o", "simulation"),
    "oscillating": ("s", "average of an oscillation"),
    "not_converged": ("x", "not converged"),
}


@checked
def plot_transition(results: xr.Dataset, ax: Panels | None = None) -> tuple[Axes, Axes]:
    """The two panels of the paper's Fig. 3 from `studies.retrieval_transition`: theory as lines, runs as markers.

    Panel (b) counts photons per subset, 2^(M-1) times the photons per spin that the results hold. Open circles are
    converged runs; squares are averages of runs that keep oscillating, crosses are runs to distrust.
    """
    top, bottom = new_axes(ax, 2)
    subsets = 2 ** (int(results.attrs["num_patterns"]) - 1)
    unit = r"$\kappa$" if np.all(np.asarray(results.attrs["kappa"]) == 1) else "the rates"
    ended = meanings(results.status)
    markers = {name: ENDED.get(name, ("+", name.replace("_", " "))) for name in np.unique(ended)}
    for axis, name, factor in ((top, "overlap", 1), (bottom, "occupation", subsets)):
        for nu in range(results.sizes["pattern"]):
            row, style = results.isel(pattern=nu), pattern_style(nu)
            axis.plot(row.g0_curve, factor * row[f"{name}_curve"], **style, lw=1.4, label=f"pattern {nu + 1}")
            points = {"color": style["color"], "ms": 4.5, "mfc": "none", "mew": 1.1}
            for meaning, (marker, _) in markers.items():
                at = ended[nu] == meaning
                axis.plot(row.g0[at], factor * row[name][at], marker, **points)
        limits = float(results.g0.min()), float(results.g0.max())
        axis.set(xlabel=rf"coupling $g_0$ (units of {unit})", xlim=limits)
    top.set(ylabel=r"stationary overlap $|\xi_\mu|$", ylim=(-0.03, 1.03))
    bottom.set_ylabel(r"photons per subset $\langle a_\mu^\dagger a_\mu\rangle / N$")
    bottom.set_ylim(bottom=-0.03 * bottom.get_ylim()[1])
    top.set_title("(a)", loc="left")
    bottom.set_title("(b)", loc="left")
    for marker, label in markers.values():
        top.plot([], [], marker, color="grey", ms=4.5, mfc="none", label=label)
    top.legend(frameon=False, fontsize="small", title="lines: Eq. 12", title_fontsize="small", alignment="left")
    return top, bottom


@checked
def plot_overlaps(solution: MFSolution, ax: Axes | None = None) -> Axes:
    """xi_mu against time for one run of `mfsolve`."""
    if solution.overlaps.ndim != 2:
        refuse("solution", "one run, with overlaps of shape (T, M)", f"shape {solution.overlaps.shape}")
    (ax,) = new_axes(ax, 1)
    for nu, overlap in enumerate(np.asarray(solution.overlaps).T):
        ax.plot(np.asarray(solution.t), overlap, **pattern_style(nu), label=f"pattern {nu + 1}")
    ax.set(xlabel=r"time $t$ (inverse unit of the rates)", ylabel=r"overlap $\xi_\mu$", ylim=(-1.05, 1.05))
    ax.legend(frameon=False)
    return ax


@checked
def plot_photons(solution: MFSolution, ax: Axes | None = None) -> Axes:
    """|alpha_mu|^2, photons per spin, against time for one run of `mfsolve`."""
    photons = np.asarray(solution.occupations)
    if photons.ndim != 2 or not photons.shape[1]:
        refuse("solution", "one run with modes, occupations of shape (T, M)", f"shape {photons.shape}")
    (ax,) = new_axes(ax, 1)
    for nu, number in enumerate(photons.T):
        ax.plot(np.asarray(solution.t), number, **pattern_style(nu), label=f"mode {nu + 1}")
    ax.set(xlabel=r"time $t$ (inverse unit of the rates)", ylabel=r"photons per spin $|\alpha_\mu|^2$")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


@checked
def plot_mapping(patterns: ArrayLike, mapping: SpinMapping, ax: Panels | None = None) -> tuple[Axes, ...]:
    """The mapping of the paper's Fig. 2: G as it is, gauged, and reordered with the subsets marked.

    Where nothing was gauged (Fig. S1 and S2) the middle panel is left out.
    """
    G, gauge = np.asarray(patterns), np.asarray(mapping.gauge)
    panels = {"couplings $G$": G}
    if mapping.spins.gauged:
        panels["gauged"] = G * gauge
    panels["reordered"] = (G * gauge)[:, np.asarray(mapping.order)]
    made = new_axes(ax, len(panels), rows=True)
    for axis, (title, rows) in zip(made, panels.items(), strict=True):
        axis.imshow(rows, cmap="cividis", aspect="auto", interpolation="none", vmin=G.min(), vmax=G.max())
        axis.set_title(title, loc="left")
        axis.set_yticks(range(len(G)), [f"pattern {nu + 1}" for nu in range(len(G))])
    edges = np.cumsum(np.bincount(np.asarray(mapping.subset)))
    for edge in edges[:-1]:
        made[-1].axvline(edge - 0.5, color="white", lw=1.5)
    made[-1].set_xlabel(f"spin ({len(edges)} subsets)")
    return made


@checked
def plot_mending(results: xr.Dataset, ax: Any = None) -> Any:
    """What the spins show in `studies.picture_mending`: a row of pictures for each decay rate, in the order of time.

    The first column is the stored picture. Above the others stands how many pixels are right, up to a common sign, and
    where a run ended at another picture, which one.

    - `ax`: rows of Axes, as many columns as there are times, or one more.
    """
    if not {"decay", "time", "row", "column"} <= set(results.dims) or "sigma_z" not in results:
        refuse("results", "those of studies.picture_mending", f"dimensions {', '.join(map(str, results.dims))}")
    decays, times = results.sizes["decay"], results.sizes["time"]
    columns = times + ("stored" in results)
    if ax is None:
        size = (1.5 * columns, 2.0 * decays)
        ax = plt.subplots(decays, columns, figsize=size, layout="constrained", squeeze=False)[1]
    elif np.shape(ax) not in ((decays, times), (decays, columns)):
        refuse("ax", f"{decays} rows of {times} or {columns} Axes", f"shape {np.shape(ax)}")
    extra, nu = np.shape(ax)[1] - times, int(results.attrs.get("picture", 0))
    for i in range(decays):
        for j in range(-extra, times):
            frame = results.isel(decay=i, time=max(j, 0))
            told = f"$t$ = {float(frame.time):g}\n{100 * float(frame.share_right):.0f} % right pixels"
            shown, panel = frame.sigma_z, ax[i][j + extra]
            if j < 0:
                told, shown = f"stored\npicture {nu + 1}", results.stored.isel(pattern=nu)
            elif j == times - 1 and (other := _other_picture(frame, nu)):
                told += f"\n{other}"
            panel.imshow(shown, cmap="gray", vmin=-1, vmax=1, interpolation="none")
            panel.set(xticks=[], yticks=[])
            panel.set_title(told, fontsize=9)
        ax[i][0].set_ylabel(f"decay {float(results.decay[i]):g}")
    return ax


def _other_picture(frame: xr.Dataset, nu: int) -> str:
    """Where a run has ended, unless at picture nu."""
    if "overlap" not in frame:
        return ""
    size = np.abs(frame.overlap.values)
    leading = int(np.argmax(size))
    if leading == nu or size[leading] < FINITE:
        return ""
    alone = np.sum(size >= INVOLVED * size[leading]) == 1
    return f"{'ended at' if alone else 'nearest:'} picture {leading + 1}"


@checked
def plot_hysteresis(results: xr.Dataset, ax: Axes | None = None) -> Axes:
    """The loop of `studies.ramp_hysteresis`, with Eq. 12 and the critical coupling."""
    (ax,) = new_axes(ax, 1)
    for direction, colour, line in (("up", COLOURS[1], "-"), ("down", COLOURS[2], "--")):
        ax.plot(results.g0, results.overlap.sel(direction=direction), line, color=colour, label=f"ramped {direction}")
    ax.plot(results.g0, results.theory, ":", color=COLOURS[0], label="stationary, Eq. 12")
    ax.axvline(float(results.g_crit), color="grey", lw=0.8)
    overlap = rf"overlap $|\xi_{{{int(results.attrs['ramped_pattern']) + 1}}}|$"
    ax.set(xlabel=r"coupling $g_0$ (unit of the rates)", ylabel=overlap)
    ax.legend(frameon=False)
    return ax
