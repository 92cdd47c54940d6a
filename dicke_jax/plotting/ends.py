"""Where runs end: one of them, many of them, and all states in which one could."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .._checks import refuse
from .._door import checked
from .._status import counts, worst_text
from ..dynamics import Attractor, AttractorKind, EnsembleSolution, LyapunovExponent, SteadyState
from ..phases import BasinShares, CollectiveStates, CueOutcomes, StateKind, StationaryStates
from ..phases.cue_outcome import wilson_interval
from .style import COLOURS, new_axes, pattern_style

MOST = 12  # states whose rows have room for numbers
SHOWN = 4  # overlaps by which a state is named


@checked
def plot_end(end: SteadyState | Attractor, ax: Axes | None = None) -> Axes:
    """The overlap with every pattern at the end of a run; bars are its standard deviation in time where it moves."""
    overlaps, spread = np.asarray(end.overlaps), np.asarray(end.fluctuations)
    if overlaps.ndim != 1:
        refuse("end", "of one run, not of a batch (plot_ensemble shows many)", f"overlaps of shape {overlaps.shape}")
    (ax,) = new_axes(ax, 1)
    for nu, (xi, error) in enumerate(zip(overlaps, spread, strict=True)):
        colour = pattern_style(nu)["color"]
        ax.vlines(nu + 1, 0, xi, color=colour, lw=2)
        ax.errorbar(nu + 1, xi, error, fmt="o", color=colour, ms=6, capsize=4, lw=1)
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    text = AttractorKind[end.kind] if isinstance(end, Attractor) else worst_text(end.status)
    ax.set_title(text.split(":")[0].split(";")[0], loc="left", fontsize="medium")
    ax.set(xlabel="pattern", ylabel=r"overlap $\xi_\mu$", xlim=(0.5, overlaps.size + 0.5), ylim=(-1.05, 1.05))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@checked
def plot_ensemble(ensemble: EnsembleSolution, ax: Axes | None = None, *, bins: int = 41) -> Axes:
    """How the overlaps with each pattern are distributed over the rows of an ensemble, at their end.

    Rows that failed are left out, and counted in the title.
    """
    if ensemble.overlaps is None:
        refuse("ensemble", "one that keeps overlaps (save='final', 'overlaps' or 'all')", "one of save=function")
    overlaps, good = np.asarray(ensemble.overlaps), np.isfinite(np.asarray(ensemble.overlaps))
    if overlaps.ndim > ensemble.successful.ndim + 1:
        overlaps, good = overlaps[..., -1, :], good[..., -1, :]
    rows, good = overlaps.reshape(-1, overlaps.shape[-1]), good.all(axis=-1).ravel()
    (ax,) = new_axes(ax, 1, room=1.2)
    edges = np.linspace(-1, 1, bins + 1).tolist()
    for nu in range(rows.shape[1]):
        ax.hist(rows[good, nu], edges, histtype="step", lw=1.5, **pattern_style(nu), label=f"pattern {nu + 1}")
    ax.set(xlabel=r"overlap $\xi_\mu$ at the end", ylabel="runs", xlim=(-1.02, 1.02))
    failed = f", {int(np.sum(~good)):,} without an end" if not good.all() else ""
    ax.set_title(f"{good.size:,} runs{failed}", loc="left", fontsize="medium")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, labels, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


@checked
def plot_outcomes(outcomes: CueOutcomes, ax: Axes | None = None) -> Axes:
    """How many cues ended in each way, and the chance of retrieval with its 95 % interval."""
    (ax,) = new_axes(ax, 1)
    counts = {name: count for name, count in outcomes.counts().items() if count}
    names, numbers = list(counts)[::-1], list(counts.values())[::-1]
    home = ("retrieved", "retrieved_negative")
    colours = [COLOURS[3] if name in home else COLOURS[2] if name in ("failed", "not_converged") else "0.6"
               for name in names]  # fmt: skip
    bars = ax.barh([name.replace("_", " ") for name in names], numbers, color=colours, height=0.65)
    ax.bar_label(bars, padding=4)
    ax.set(xlim=(0, 1.15 * max(numbers)), ylim=(-0.7, max(len(names), 3) - 0.3))
    ax.set_xlabel(f"cues of pattern {int(outcomes.pattern) + 1}")
    low, high = outcomes.interval()
    chance = f"retrieved: {outcomes.probability:.2f}, 95 % interval {low:.2f} to {high:.2f}"
    ax.set_title(chance, loc="left", fontsize="medium")
    return ax


@checked
def plot_shares(shares: BasinShares, ax: Axes | None = None) -> Axes:
    """The shares of runs that came to rest at each state, the most frequent ones, with their 95 % intervals.

    Rows are named by the first overlaps of the state. Runs that came to rest nowhere have rows of their own, in another
    colour, named by what they did instead.
    """
    (ax,) = new_axes(ax, 1)
    here = range(min(shares.hits.size, MOST))
    rows = [(", ".join(f"{xi + 0.0:.2f}" for xi in shares.overlaps[i, :SHOWN]), int(shares.hits[i]), COLOURS[1])
            for i in here]  # fmt: skip
    if (rest := int(np.sum(shares.hits[MOST:]))) > 0:
        rows.append((f"{shares.hits.size - MOST} more states", rest, COLOURS[1]))
    others = {name: number for name, number in counts(shares.status).items() if name != "successful"}
    rows += [(name.replace("_", " "), number, COLOURS[2]) for name, number in others.items()]
    for row, (_, number, colour) in enumerate(rows):
        share, (low, high) = number / shares.end.size, wilson_interval(number, shares.end.size)
        ax.barh(row, share, color=colour, height=0.65)
        ax.errorbar(share, row, xerr=[[share - low], [high - share]], color="0.3", capsize=3, lw=1)
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows], fontsize="small")
    ax.set(xlim=(0, 1), ylim=(max(len(rows), 3) - 0.3, -0.7), xlabel="share of the runs")
    ax.set_ylabel(r"overlaps $\xi_\mu$ at rest")
    ax.set_title(f"{shares.hits.size:,} ends of {shares.end.size:,} runs", loc="left", fontsize="medium")
    return ax


@checked
def plot_lyapunov(found: LyapunovExponent, ax: Axes | None = None) -> Axes:
    """The mean growth of a deviation up to every window, and the exponent that it tends to with its standard error."""
    growth = np.asarray(found.growth)
    if growth.ndim != 1:
        refuse("found", "of one run, not of a batch", f"growth of shape {growth.shape}")
    (ax,) = new_axes(ax, 1)
    number = np.arange(1, growth.size + 1)
    time = number * float(found.time) / growth.size
    exponent, error = float(found.exponent), float(found.error)
    ax.axhspan(exponent - error, exponent + error, color=COLOURS[1], alpha=0.15, lw=0)
    ax.axhline(exponent, color=COLOURS[1], lw=1.2, label=rf"{exponent:.3g} $\pm$ {error:.1g}")
    ax.axhline(0, color="0.6", lw=0.8, ls=":", zorder=0)
    ax.plot(time, np.cumsum(growth) / time, color=COLOURS[0], lw=1.2, label="mean so far")
    ax.set(xlabel=r"time $t$ (inverse unit of the rates)", ylabel="growth rate (unit of the rates)", xlim=(0, None))
    ax.legend(frameon=False)
    return ax


@checked
def plot_states(states: StationaryStates | CollectiveStates, ax: Axes | None = None) -> Axes:
    """All stationary states that a search found, a row each: overlaps as colours, and what becomes of a deviation.

    Of a `CollectiveModel` the columns are the components of its mean spins.
    """
    if states.growth_rate.ndim != 1:
        refuse("states", "of one model, not of a batch", f"growth rates of shape {states.growth_rate.shape}")
    found = np.flatnonzero(np.asarray(states.found))
    if not found.size:
        refuse("states", "at least one", "none")
    memory = isinstance(states, StationaryStates)
    m = np.asarray(states.m)[found]
    values = np.asarray(states.overlaps)[found] if memory else np.moveaxis(m, 1, 2).reshape(len(m), -1)
    columns = [str(nu + 1) for nu in range(values.shape[1])]
    if not memory:
        names = "xyz" if m.shape[1] == 3 else range(1, m.shape[1] + 1)
        columns = [f"$m_{{{name},{k + 1}}}$" for k in range(m.shape[2]) for name in names]
    (ax,) = new_axes(ax, 1)
    picture = ax.imshow(values, cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto", interpolation="none")
    ax.figure.colorbar(picture, ax=ax, label=r"overlap $\xi_\mu$" if memory else "component of a mean spin")
    rates, grows = np.asarray(states.growth_rate)[found], np.asarray(states.num_growing)[found] > 0
    fates = [f"grows at {rate:.2g}" if up else "stable" for rate, up in zip(rates, grows, strict=True)]
    if memory:
        kinds = np.asarray(states.kind._value)[found]  # pyright: ignore[reportAttributeAccessIssue]
        names = list(StateKind._name_to_item)  # pyright: ignore[reportAttributeAccessIssue]
        fates = [f"{names[kind]}, {fate}" for kind, fate in zip(kinds, fates, strict=True)]
    ax.set_yticks(range(len(fates)), fates, fontsize="small")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_xlabel("pattern" if memory else "mean spins")
    for label, up in zip(ax.get_yticklabels(), grows, strict=True):
        label.set_color(COLOURS[2] if up else COLOURS[0])
    if values.size <= MOST * MOST and values.shape[1] <= MOST:
        for (row, column), value in np.ndenumerate(values):
            ax.text(column, row, f"{round(float(value), 2) + 0.0:.2f}", ha="center", va="center", fontsize="small",
                      color="white" if abs(value) > 0.6 else "black")  # fmt: skip
    return ax
