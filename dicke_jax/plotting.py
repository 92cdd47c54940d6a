"""Pictures of results. Every function draws into given matplotlib Axes, or into new ones, and returns them."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

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


def _axes(axes: Any, number: int) -> tuple[Axes, ...]:
    if axes is not None:
        return tuple(axes)
    _, made = plt.subplots(1, number, figsize=(4.6 * number, 3.6), layout="constrained", squeeze=False)
    return tuple(made[0])
