"""Theory beside something else: fits beside measurements, finite N beside mean field."""

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .._door import checked
from .style import COLOURS, LINES, Panels, meanings, new_axes, pattern_style

if TYPE_CHECKING:
    from ..inference import FitResult


@checked
def plot_fit(result: "FitResult", ax: Any = None) -> Any:
    """Measurements with their noise, the fit at the same points, and below the residuals in units of the noise.

    A column for each set of measurements; `ax`: two rows of as many.
    """
    from ..inference import StationaryCurve, TimeTrace  # here, for they load much that no other picture needs

    sets = result.data
    if ax is None:
        figure = plt.figure(figsize=(4.6 * len(sets), 4.6), layout="constrained")
        ax = figure.subplots(2, len(sets), squeeze=False, sharex="col", height_ratios=(3, 1))
    ends = np.cumsum([measured.values.size for measured in sets])[:-1]
    for column, (measured, part) in enumerate(zip(sets, np.split(np.asarray(result.residuals), ends), strict=True)):
        top, bottom = ax[0][column], ax[1][column]
        curve = isinstance(measured, StationaryCurve)
        assert isinstance(measured, StationaryCurve | TimeTrace)
        x = np.asarray(measured.g0 if isinstance(measured, StationaryCurve) else measured.t)
        values, noise, present, off = (
            np.asarray(array).reshape(x.size, -1) for array in (measured.values, measured.noise, measured.present, part)
        )
        order = np.argsort(x)
        for i in range(values.shape[1]):
            nu = measured.pattern if isinstance(measured, StationaryCurve) else i
            style, seen = pattern_style(nu), present[:, i]
            dots = {"color": style["color"], "ms": 3.5, "mfc": "none", "lw": 0.8}
            top.errorbar(x[seen], values[seen, i], noise[seen, i], fmt="o", **dots)
            fitted = (values + off * noise)[:, i]
            kept = order[seen[order]]
            top.plot(x[kept], fitted[kept], **style, lw=1.4, label=f"pattern {nu + 1}")
            bottom.plot(x[seen], off[seen, i], "o", **dots)
        bottom.axhline(0, color="grey", lw=0.8)
        symbol = {"overlap": r"overlap $\xi_\mu$", "photons": r"photons per spin $|\alpha_\mu|^2$"}
        top.set_ylabel(symbol[measured.quantity])
        top.legend(frameon=False, title="lines: fit")
        along = r"coupling $g_0$ (unit of the rates)" if curve else r"time $t$ (inverse unit of the rates)"
        bottom.set(ylabel="residual / noise", xlabel=along)
    return ax


@checked
def plot_exactness(results: xr.Dataset, ax: Panels | None = None) -> tuple[Axes, Axes]:
    """The two panels of `studies.mean_field_exactness`: N E_N(t) against time, and E_N at the last time against N.

    In the corner of the second: the theorem's bound, as a power of ten, beside what it bounds.
    """
    left, right = new_axes(ax, 2)
    time, limit = results.time.values, results.scaled_error_gaussian.values
    left.plot(time, limit, color=COLOURS[0], lw=1.6, label=r"Gaussian, $N\to\infty$")
    for i, (size, ended) in enumerate(zip(results.N_exact.values, meanings(results.status), strict=True)):
        style = {"color": COLOURS[1 + i % (len(COLOURS) - 1)], "lw": 1.1, "linestyle": LINES[1 + i % 3]}
        note = "" if ended == "successful" else f" ({ended.replace('_', ' ')})"
        left.plot(time, results.scaled_error_exact[i], **style, label=f"exact, $N$ = {size}{note}")
    largest = results.isel(N_sampled=-1)
    few = slice(None, None, max(1, time.size // 12))
    values, bars = largest.scaled_error_sampled[few], 2 * largest.scaled_error_sem[few]
    label = rf"sampled, $N$ = {int(largest.N_sampled):,} ($\pm$ 2 s.e.)"
    left.errorbar(time[few], values, bars, fmt="o", color="grey", ms=3.5, mfc="none", lw=0.9, label=label)
    left.set(xlabel=r"time $t$ (inverse unit of the rates)", ylabel=r"$N\,\mathcal{E}_N(t)$")
    left.legend(frameon=False, fontsize=8)
    left.set_title("(a)", loc="left")

    last = results.isel(time=-1)
    all_sizes = np.append(last.N_exact, last.N_sampled)
    sizes = np.geomspace(all_sizes.min(), all_sizes.max())
    right.loglog(sizes, limit[-1] / sizes, color=COLOURS[0], lw=1, label="Gaussian limit / $N$")
    for name, marker, colour in (("exact", "s", COLOURS[1]), ("sampled", "o", COLOURS[2])):
        power, error = float(last[f"exponent_{name}"]), float(last[f"exponent_{name}_se"])
        spread = rf" \pm {error:.3f}" if np.isfinite(error) else ""  # two sizes leave no residual
        fitted = f"{name}: $N^{{{power:.3f}{spread}}}$"
        N = last[f"N_{name}"].values
        right.loglog(N, last[f"scaled_error_{name}"] / N, marker, color=colour, ms=5, mfc="none", label=fitted)
    right.set(xlabel="spins per subset $N$", ylabel=rf"$\mathcal{{E}}_N(t)$ at $t$ = {float(last.time):g}")
    right.legend(frameon=False, fontsize=8, loc="upper right")
    right.set_title("(b)", loc="left")

    corner = right.inset_axes((0.13, 0.13, 0.36, 0.3))
    corner.plot(time, results.log_scaled_bound / np.log(10), color=COLOURS[0], lw=1)
    corner.plot(time, np.log10(limit), color=COLOURS[0], lw=1, ls=":")
    corner.set_title(r"$\log_{10}N\mathcal{E}_N$: bound (—), limit (···)", fontsize=6.5)
    corner.tick_params(labelsize=6.5)
    corner.set_xlabel("$t$", fontsize=6.5, labelpad=0)
    return left, right
