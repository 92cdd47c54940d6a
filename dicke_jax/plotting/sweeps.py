"""Sweeps over one axis, as lines, or over two, as a map."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .._checks import check_count, refuse
from .._door import checked
from ..phases.cue_outcome import wilson_interval
from ..studies.sweeps import name_of, quantity_of
from .style import COLOURS, legend_beside, new_axes, pattern_style, rate_label, rate_symbol

WORDS = {
    "num_patterns": "stored patterns $M$",
    "num_spins": r"spins $N_\mathrm{sp}$",
    "subset_size": "spins per subset $N$",
    "duration": "duration of each way (inverse unit of the rates)",
    "pattern": "pattern",
    "mode": "mode",
}
SHORT = {"num_patterns": "$M$", "num_spins": r"$N_\mathrm{sp}$", "subset_size": "$N$"}  # in a title
SHARES = ("outcome", "is_stable")  # which lie between 0 and 1
OF_CUES = ("outcome", "overlap", "occupation", "fluctuation")  # of the cue's own pattern, the first unless told
COUNTED = ("pattern", "mode")  # from 1, in pictures
CRITICAL, DASHED = "critical coupling, closed form", (0, (4, 3))


@checked
def plot_sweep(
    results: xr.Dataset, variable: Any = None, ax: Axes | None = None, *, pattern: int | None = None
) -> Axes:
    """What a `Sweep` found: over one axis a line for each pattern, over two a map with its colour bar.

    Overlaps, occupations and fluctuations are those of the cue's own pattern, or of each mode where cues have none;
    seeds are averaged over, and bars are 95 % Wilson intervals of the chance that so many seeds leave. Dashed lines are
    critical couplings, where an axis is g0 and they have a closed form. The title has what was chosen of other axes,
    the pattern, counted from 1, and the number of seeds.

    - `results`: of `Sweep.run` or `studies.open_store`, with at most two axes besides patterns and seeds: choose of
      others by `results.sel`.
    - `variable`: its name; by default the chance of retrieval, the overlap, or the first that there is.
    - `pattern`: which one a map shows, from 0; by default the first.
    """
    name = name_of(results.data_vars, variable)
    values = quantity_of(results, name)
    along = [str(dim) for dim in values.dims if dim not in COUNTED] or [str(dim) for dim in values.dims]
    if len(along) > 2 or not along:
        must_be = "over one or two axes besides pattern and seed (choose one of several by sel)"
        refuse("results", must_be, f"over {', '.join(along) or 'none'}")
    along.sort(key=lambda dim: dim != "g0")  # across, where it is one
    of = next((dim for dim in COUNTED if dim in values.dims and dim not in along), None)
    chosen = results["pattern"].item() if "pattern" in results.coords and not results["pattern"].ndim else None
    own = int(results.attrs.get("pattern", 0) if chosen is None else chosen)
    numbers = results[of].values.astype(int).tolist() if of else [own]
    if len(along) == 1:
        (ax,) = new_axes(ax, 1, room=2.0 if of or name == "outcome" or "thresholds" in results.attrs else 0.0)
        _lines(ax, results, values, along[0], numbers, of)
        title = _title(results, name, None)
        ax.set_title(title, loc="left", fontsize="medium")
        return ax
    nu = numbers[0] if pattern is None else check_count("pattern", pattern, 0)
    if of and nu not in numbers:
        refuse("pattern", f"one of {', '.join(map(str, numbers))}", nu)
    (ax,) = new_axes(ax, 1)
    _map(ax, results, values.isel({of: numbers.index(nu)}) if of else values, along, nu)
    title = _title(results, name, f"{of} {nu + 1}" if of else None)
    ax.set_title(title, loc="left", fontsize="medium", pad=20 if ax.get_legend() else None)
    return ax


def _title(results: xr.Dataset, name: str, pattern: str | None) -> str:
    """What was chosen of axes that are not shown, which pattern it is, and over how many seeds is averaged."""
    parts = []
    for axis, value in results.coords.items():
        if not value.ndim and axis not in COUNTED:
            symbol = SHORT.get(str(axis)) or rate_symbol(str(axis)) or str(axis).replace("_", " ")
            number = value.item()
            parts.append(f"{symbol} = {number:.4g}" if isinstance(number, int | float) else f"{symbol} = {number}")
    parts += [pattern] if pattern else []
    if infinite := int(np.isinf(results[name]).sum()):  # no coupling at which it happens, and nothing to be seen
        parts.append(f"infinite in {infinite:,} of {results[name].size:,} rows")
    if "seed" in results[name].dims:
        parts.append(f"mean of {results.sizes['seed']} seeds")
    return ", ".join(parts)


def _lines(ax: Axes, results: xr.Dataset, values: xr.DataArray, along: str, numbers: list[int], of: str | None) -> None:
    x = values[along].values + (along in COUNTED)
    spread, told = _spread(results, values), dict[str, Any]()
    for i, nu in enumerate(numbers):
        at, style = {of: i} if of else {}, pattern_style(nu)
        y = values.isel(at).values
        ax.plot(x, y, marker="o", ms=3, lw=1.3, **style, label=f"{of} {nu + 1}" if of else None)
        if spread is not None:
            bars, colour = [side.isel(at).values for side in spread], style["color"]
            told["95 % interval"] = ax.errorbar(x, y, bars, fmt="none", capsize=2, ecolor=colour, elinewidth=0.9)
        threshold = _threshold(results, nu) if along == "g0" else None
        if threshold is not None and not threshold.ndim and x.min() <= float(threshold) <= x.max():
            ax.axvline(float(threshold), color=style["color"], lw=0.9, ls=DASHED, zorder=0)
            told[CRITICAL] = Line2D([], [], color="0.4" if of else style["color"], lw=0.9, ls=DASHED)
    ax.set(xlabel=_label(values[along]), ylabel=_label(values))
    if values.name in SHARES:
        ax.set_ylim(-0.03, 1.03)
    if np.isinf(values).any() and x.size > 1:
        ax.set_xlim(*_edges(x)[[0, -1]].tolist())  # the whole axis, with what is not to be seen on it
    _spaced(ax, "x", x)
    handles, labels = ax.get_legend_handles_labels()
    if handles or told:
        legend_beside(ax, handles=handles + list(told.values()), labels=labels + list(told))


def _spread(results: xr.Dataset, values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray] | None:
    """How far the 95 % Wilson interval reaches below and above a chance that seeds were averaged for."""
    if values.name != "outcome" or "seed" not in results["outcome"].dims:
        return None
    there = results["outcome"] >= 0
    if "complete" in results:
        there = there & (results["complete"] == 1)
    number = there.sum("seed").transpose(*values.dims)

    def sides(chance: float, of: int) -> tuple[float, float]:
        low, high = wilson_interval(round(chance * of), of) if of else (np.nan, np.nan)
        return chance - low, high - chance

    below, above = np.maximum(np.vectorize(sides, otypes=[float, float])(values, number), 0.0)
    return values.copy(data=below), values.copy(data=above)


def _map(ax: Axes, results: xr.Dataset, values: xr.DataArray, along: list[str], nu: int) -> None:
    across, up = along
    x, y = (_edges(values[dim].values + (dim in COUNTED)) for dim in along)
    low, high = (0, 1) if values.name in SHARES else (None, None)  # the same colours in every panel
    mesh = ax.pcolormesh(x, y, values.transpose(up, across).values, cmap="cividis", vmin=low, vmax=high)
    mesh.set_rasterized(True)
    plt.colorbar(mesh, ax=ax, label=_label(values))
    ax.set(xlabel=_label(values[across]), ylabel=_label(values[up]))
    heights = np.linspace(y[0], y[-1], 201)
    threshold = _threshold(_at(results, up, heights), nu) if across == "g0" else None
    if threshold is not None and set(threshold.dims) <= {up}:
        curve = np.broadcast_to(threshold.values, heights.shape)
        if ((curve >= x[0]) & (curve <= x[-1])).any():
            ax.plot(curve, heights, color="white", lw=3)
            ax.plot(curve, heights, color=COLOURS[2], lw=1.4, ls="--", label=CRITICAL)
            ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.99), frameon=False, fontsize="small")  # above the map
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    _spaced(ax, "x", values[across].values + (across in COUNTED))
    _spaced(ax, "y", values[up].values + (up in COUNTED))


def _at(results: xr.Dataset, dim: str, values: np.ndarray) -> xr.Dataset:
    """The rates at other values of an axis, and of those that go with it, up to where cells of a map end."""
    if dim not in results.coords or results.sizes[dim] < 2:
        return results
    return results.coords.to_dataset().interp({dim: values}, kwargs={"fill_value": "extrapolate"})


def _threshold(results: xr.Dataset, nu: int) -> xr.DataArray | None:
    """g_nu = sqrt(Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu)), paper, below Eq. 12, at every row; else None."""
    if results.attrs.get("thresholds") != "closed form":
        return None

    def rate(name: str) -> Any:
        for known in (f"{name}[{nu}]", name):
            if known in results.coords:
                return results[known]
            if known in results.attrs:
                told = np.atleast_1d(np.asarray(results.attrs[known], float))
                return xr.DataArray(told[min(nu, told.size - 1)])
        return None

    omega_spin, omega_mode, kappa = rates = [rate(name) for name in ("omega_spin", "omega_mode", "kappa")]
    if any(told is None for told in rates):  # a size decides it, or an axis that was chosen of and dropped
        return None
    squared = omega_spin * (omega_mode**2 + kappa**2 / 4) / (2 * omega_mode)
    threshold = np.sqrt(squared.where(squared >= 0))
    return threshold if np.isfinite(threshold).any() else None


def _label(values: xr.DataArray) -> str:
    """What it is, and its unit."""
    if (symbol := rate_label(str(values.name))) is not None:
        return symbol
    units = values.attrs.get("units", "1")
    name = WORDS.get(str(values.name)) or values.attrs.get("long_name", str(values.name))
    name = str(name).replace("xi_mu", r"$|\xi_\mu|$").replace("N E_N(t)", "$N E_N(t)$")
    return name if units == "1" else f"{name} ({units})"


def _is_geometric(x: np.ndarray) -> bool:
    return bool(
        x.size > 2 and (x > 0).all() and np.allclose(x[1:] / x[:-1], x[1] / x[0]) and not np.isclose(x[1], x[0])
    )


def _edges(x: np.ndarray) -> np.ndarray:
    """Where the cells of a map begin and end."""
    if _is_geometric(x):
        return np.exp(_edges(np.log(x)))
    steps = np.diff(x) if x.size > 1 else np.ones(1)
    middles = (x[1:] + x[:-1]) / 2
    return np.concatenate([[x[0] - steps[0] / 2], middles, [x[-1] + steps[-1] / 2]])


def _spaced(ax: Axes, which: str, x: np.ndarray) -> None:
    """A logarithmic axis for what is spaced so, and whole numbers where there are no others."""
    axis, whole = getattr(ax, f"{which}axis"), np.issubdtype(x.dtype, np.integer)
    if _is_geometric(x):
        getattr(ax, f"set_{which}scale")("log")
    if x.size <= 8 and (whole or _is_geometric(x)):
        axis.set_ticks(x, [f"{value:.4g}" for value in x])
        axis.set_ticks([], minor=True)
    elif whole and not _is_geometric(x):
        axis.set_major_locator(MaxNLocator(integer=True))
