"""How searches went: for rates that meet targets or score best, for a threshold, for a posterior."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .._door import checked
from ..inference import DesignResult, Inversion, LocatedCoupling, PosteriorSamples
from .style import COLOURS, Panels, new_axes, parameter_label


@checked
def plot_search(result: Inversion | DesignResult, ax: Axes | None = None) -> Axes:
    """The loss before each step of an inversion, or the objective before each step of a design."""
    (ax,) = new_axes(ax, 1)
    if isinstance(result, Inversion):
        losses = np.asarray(result.losses)
        ax.semilogy(np.arange(losses.size), losses, color=COLOURS[1], lw=1.4)
        ax.set_ylabel("loss (from misses and changes of rates)")
    else:
        history, best = np.asarray(result.history), float(result.objective)
        ax.plot(np.arange(history.size), history, color=COLOURS[1], lw=1.4)
        ax.axhline(best, color=COLOURS[2], lw=1, ls="--", label=f"best: {best:.5g}")
        ax.set_ylabel("objective")
        ax.legend(frameon=False)
    ax.set_xlabel("step")
    return ax


@checked
def plot_location(result: LocatedCoupling, ax: Axes | None = None) -> Axes:
    """Small stationary overlaps against the couplings at which they were found, and the threshold they lead to."""
    (ax,) = new_axes(ax, 1)
    g0 = float(result.g0)
    ax.plot(np.asarray(result.couplings), np.asarray(result.overlaps), "o", color=COLOURS[1], mfc="none",
              label="found by descent")  # fmt: skip
    ax.plot(g0, float(result.overlap), "D", color=COLOURS[2], ms=6, clip_on=False, label=rf"$g_0$ = {g0:.8g}")
    ax.set(xlabel=parameter_label("g0"), ylabel=r"stationary overlap $|\xi_\nu|$")
    ax.set_ylim(bottom=0)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.legend(frameon=False)
    return ax


@checked
def plot_posterior(samples: PosteriorSamples, ax: Panels | None = None) -> tuple[Axes, ...]:
    """The posterior of every rate, a line for each chain: chains that agree lie upon each other. Bars: 95 %."""
    number = len(samples.names)
    made = new_axes(ax, number) if ax is not None or number < 4 else _grid(number)
    low, high = np.asarray(samples.intervals())
    for i, (axis, name) in enumerate(zip(made, samples.names, strict=True)):
        rates = np.asarray(samples.rates)[:, :, i]
        edges = np.linspace(rates.min(), rates.max(), 31).tolist()
        for c, chain in enumerate(rates):
            axis.hist(chain, edges, histtype="step", density=True, lw=1.1, color=COLOURS[(c + 1) % len(COLOURS)])
        axis.axvspan(low[i], high[i], color="0.5", alpha=0.15, lw=0)
        axis.axvline(float(np.median(rates)), color=COLOURS[0], lw=1)
        axis.set(xlabel=parameter_label(name), ylabel="density" if i == 0 else "", yticks=[])
    return made


def _grid(number: int) -> tuple[Axes, ...]:
    rows = -(-number // 3)
    axes = plt.subplots(rows, 3, figsize=(10, 2.6 * rows), layout="constrained", squeeze=False)[1].ravel()
    for axis in axes[number:]:
        axis.remove()
    return tuple(axes[:number])
