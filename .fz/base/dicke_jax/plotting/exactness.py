"""Where finite N differs."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .style import COLOURS, LINES, new_axes


def plot_exactness(results: xr.Dataset, axes: tuple[Axes, Axes] | None = None) -> tuple[Axes, Axes]:
    """The two panels of `studies.mean_field_exactness`: N E_N(t) against time, and E_N at the last time against N.

    In the corner of the second: the theorem's bound, as a power of ten, beside what it bounds.
    """
    left, right = new_axes(axes, 2)
    time, limit = results.time.values, results.scaled_error_gaussian.values
    left.plot(time, limit, color=COLOURS[0], lw=1.6, label=r"Gaussian, $N\to\infty$")
    for i, size in enumerate(results.N_exact.values):
        style = {"color": COLOURS[1 + i % (len(COLOURS) - 1)], "lw": 1.1, "linestyle": LINES[1 + i % 3]}
        ended = results.status.attrs["flag_meanings"].split()[int(results.status[i])].replace("_", " ")
        note = "" if ended == "successful" else f" ({ended})"
        left.plot(time, results.scaled_error_exact[i], **style, label=f"exact, $N$ = {size}{note}")
    largest = results.isel(N_sampled=-1)
    few = slice(None, None, max(1, time.size // 12))
    left.errorbar(
        time[few],
        largest.scaled_error_sampled[few],
        2 * largest.scaled_error_sem[few],
        fmt="o",
        color="grey",
        ms=3.5,
        mfc="none",
        lw=0.9,
        label=rf"sampled, $N$ = {int(largest.N_sampled):,} ($\pm$ 2 s.e.)",
    )
    left.set_xlabel(r"time $t$ (inverse unit of the rates)")
    left.set_ylabel(r"$N\,\mathcal{E}_N(t)$")
    left.legend(frameon=False, fontsize=8)
    left.set_title("(a)", loc="left")

    last = results.isel(time=-1)
    sizes = np.geomspace(
        min(last.N_exact.values[0], last.N_sampled.values[0]), max(last.N_exact.values[-1], last.N_sampled.values[-1])
    )
    right.loglog(sizes, limit[-1] / sizes, color=COLOURS[0], lw=1, label="Gaussian limit / $N$")
    for name, marker, colour, text in (
        ("exact", "s", COLOURS[1], "exact"),
        ("sampled", "o", COLOURS[2], "sampled"),
    ):
        power, error = float(last[f"exponent_{name}"]), float(last[f"exponent_{name}_se"])
        spread = rf" \pm {error:.3f}" if np.isfinite(error) else ""  # two sizes leave no residual
        fitted = f"{text}: $N^{{{power:.3f}{spread}}}$"
        N = last[f"N_{name}"].values
        right.loglog(N, last[f"scaled_error_{name}"] / N, marker, color=colour, ms=5, mfc="none", label=fitted)
    right.set_xlabel("spins per subset $N$")
    right.set_ylabel(rf"$\mathcal{{E}}_N(t)$ at $t$ = {float(last.time):g}")
    right.legend(frameon=False, fontsize=8, loc="upper right")
    right.set_title("(b)", loc="left")

    corner = right.inset_axes((0.13, 0.13, 0.36, 0.3))
    corner.plot(time, results.log_scaled_bound / np.log(10), color=COLOURS[0], lw=1)
    corner.plot(time, np.log10(limit), color=COLOURS[0], lw=1, ls=":")
    corner.set_title(r"$\log_{10}N\mathcal{E}_N$: bound (—), limit (···)", fontsize=6.5)
    corner.tick_params(labelsize=6.5)
    corner.set_xlabel("$t$", fontsize=6.5, labelpad=0)
    return left, right
