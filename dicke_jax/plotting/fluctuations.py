"""What mean field leaves out: fluctuations of spins and modes, and the theorem's error."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._checks import refuse
from .._door import checked
from ..finite_size import MasterSolution, Moments, TheoremCheck, TrajectorySolution, WignerSolution
from .style import COLOURS, LINES, Panels, new_axes, pattern_style

TIME = r"time $t$ (inverse unit of the rates)"
MOST = 6  # subsets that are shown


@checked
def plot_moments(
    result: Moments | MasterSolution | WignerSolution | TrajectorySolution, ax: Panels | None = None
) -> tuple[Axes, Axes]:
    """Mean spins with one standard deviation of their fluctuations, and the squeezing of the modes, against time.

    Left: <m_z,k>, and as a band the square root of cov(m_z,k, m_z,k) where N_sp is finite, of the first six subsets.
    Right: the least variance of any quadrature of each mode, below 1 where it is squeezed; of a model without modes
    N_sp times the variances of all spins.
    """
    moments: Any = result if isinstance(result, Moments) else result.moments
    if moments.t.ndim != 1:
        refuse("result", "of one run, not of a batch", f"times of shape {moments.t.shape}")
    left, right = new_axes(ax, 2)
    t, z, size = np.asarray(moments.t), np.asarray(moments.m)[:, 2], moments.num_spins
    spread = np.diagonal(np.asarray(moments.spin_covariance)[:, 2, :, 2], axis1=1, axis2=2)
    dots = {"marker": "o", "ms": 4} if t.size < 3 else {}
    for k in range(min(MOST, z.shape[1])):
        colour, line = COLOURS[(k + 1) % len(COLOURS)], LINES[k % len(LINES)]
        left.plot(t, z[:, k], color=colour, ls=line, lw=1.3, **dots, label=f"subset {k + 1}")
        if size is not None:
            reach = np.sqrt(np.maximum(spread[:, k], 0) / size)
            left.fill_between(t, z[:, k] - reach, z[:, k] + reach, color=colour, alpha=0.15, lw=0)
    number = r"$N_\mathrm{sp} \to \infty$" if size is None else rf"$N_\mathrm{{sp}}$ = {size:,}"
    left.set_title(number, loc="left", fontsize="medium")
    left.set(xlabel=TIME, ylabel=r"$\langle m_{z,k}\rangle$" + ("" if size is None else r" $\pm$ standard deviation"))
    if z.shape[1] > 1:
        left.legend(frameon=False, fontsize="small", title=f"of {z.shape[1]}" if z.shape[1] > MOST else None)
    if moments.alpha.shape[1]:
        for mu, least in enumerate(np.asarray(moments.squeezing).T):
            right.plot(t, least, **pattern_style(mu), lw=1.3, **dots, label=f"mode {mu + 1}")
        right.axhline(1, color="0.6", lw=0.8, zorder=0)
        right.set_ylabel("least quadrature variance (vacuum: 1)")
    else:
        total = np.trace(np.asarray(moments.covariance), axis1=1, axis2=2)
        right.plot(t, total, color=COLOURS[0], lw=1.3, **dots)
        right.set_ylabel(r"$N_\mathrm{sp} \sum_{a,k} \mathrm{var}(m_{a,k})$")
    right.set_xlabel(TIME)
    if moments.alpha.shape[1] > 1:
        right.legend(frameon=False, fontsize="small")
    return left, right


@checked
def plot_theorem(check: TheoremCheck, ax: Axes | None = None) -> Axes:
    """N E_N(t) beside the bound of the paper's theorem, N E_N(0) exp(C t), as powers of ten."""
    (ax,) = new_axes(ax, 1)
    t = np.asarray(check.t)
    with np.errstate(divide="ignore"):
        error = np.log10(np.asarray(check.scaled_error))
    ax.plot(t, np.asarray(check.log_scaled_bound) / np.log(10), "--", color=COLOURS[2], lw=1.3, label="bound")
    number = r"$N \to \infty$" if check.N is None else f"$N$ = {check.N:,g}"
    ax.plot(t, error, color=COLOURS[1], lw=1.6, label=f"error, {number}")
    ax.set_yscale("symlog", linthresh=1.0)  # bounds of 10^1000 beside errors of 10
    ax.set(xlabel=TIME, ylabel=r"$\log_{10} N \mathcal{E}_N(t)$")
    ax.legend(frameon=False)
    return ax
