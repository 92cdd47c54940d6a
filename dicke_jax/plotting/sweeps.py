"""Sweeps over one axis, as lines, or over two, as a map."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .._checks import check_count, refuse
from .._door import checked
from ..studies.sweeps import name_of, quantity_of
from .style import COLOURS, new_axes, pattern_style, rate_label


@checked
def plot_sweep(
    results: xr.Dataset, variable: Any = None, ax: Axes | None = None, *, pattern: int | None = None
) -> Axes:
    """What a `Sweep` found: over one axis a line for each pattern, over two a map with its colour bar.

    Overlaps, occupations and fluctuations are those of the cue's own pattern, or of each mode where cues have none;
    seeds are averaged over. Dashed lines are critical couplings, where an axis is g0 and they have a closed form.

    - `results`: of `Sweep.run` or `studies.open_store`, with at most two axes besides patterns and seeds: choose of
      others by `results.sel`.
    - `variable`: its name; by default the chance of retrieval, the overlap, or the first that there is.
    - `pattern`: which one a map shows, from 0; by default the first.
    """
    values = quantity_of(results, name_of(results.data_vars, variable))
    along = [str(dim) for dim in values.dims if dim not in ("pattern", "mode")] or [str(dim) for dim in values.dims]
    if len(along) > 2 or not along:
        must_be = "over one or two axes besides pattern and seed (choose one of several by sel)"
        refuse("results", must_be, f"over {', '.join(along) or 'none'}")
    along.sort(key=lambda dim: dim != "g0")  # across, where it is one
    (ax,) = new_axes(ax, 1)
    of = next((dim for dim in ("pattern", "mode") if dim in values.dims and dim not in along), None)
    chosen = results["pattern"].item() if "pattern" in results.coords and not results["pattern"].ndim else None
    own = int(results.attrs.get("pattern", 0) if chosen is None else chosen)
    numbers = results[of].values.astype(int).tolist() if of else [own]
    if len(along) == 1:
        _lines(ax, results, values, along[0], numbers, of)
    else:
        nu = numbers[0] if pattern is None else check_count("pattern", pattern, 0)
        if of and nu not in numbers:
            refuse("pattern", f"one of {', '.join(map(str, numbers))}", nu)
        _map(ax, results, values.isel({of: numbers.index(nu)}) if of else values, along, nu)
        if of and len(numbers) > 1:
            ax.set_title(f"{of} {nu + 1}", loc="left")
    return ax


def _lines(ax: Axes, results: xr.Dataset, values: xr.DataArray, along: str, numbers: list[int], of: str | None) -> None:
    x = values[along].values
    for i, nu in enumerate(numbers):
        row, style = values.isel({of: i}) if of else values, pattern_style(nu)
        ax.plot(x, row.values, marker="o", ms=3, lw=1.3, **style, label=f"{of} {nu + 1}")
        threshold = _threshold(results, nu) if along == "g0" else None
        if threshold is not None and not threshold.ndim and x.min() <= float(threshold) <= x.max():
            ax.axvline(float(threshold), color=style["color"], lw=0.9, ls=(0, (4, 3)), zorder=0)
    ax.set(xlabel=_label(values[along]), ylabel=_label(values))
    _spaced(ax, "x", x)
    if of:
        ax.legend(frameon=False)


def _map(ax: Axes, results: xr.Dataset, values: xr.DataArray, along: list[str], nu: int) -> None:
    across, up = along
    x, y = values[across].values, values[up].values
    mesh = ax.pcolormesh(x, y, values.transpose(up, across).values, cmap="cividis", shading="nearest")
    mesh.set_rasterized(True)
    plt.colorbar(mesh, ax=ax, label=_label(values))
    ax.set(xlabel=_label(values[across]), ylabel=_label(values[up]))
    threshold = _threshold(results, nu) if across == "g0" else None
    if threshold is not None and set(threshold.dims) <= {up}:
        curve = np.broadcast_to(threshold.values, y.shape)
        ax.plot(curve, y, color="white", lw=3)
        ax.plot(curve, y, color=COLOURS[2], lw=1.4, ls="--", label=rf"$g_{{{nu + 1}}}$, closed form")
        ax.set_xlim(*_edges(x))
        ax.legend(loc="upper left", fontsize="small")
    _spaced(ax, "x", x)
    _spaced(ax, "y", y)


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

    omega_spin, omega_mode, kappa = (rate(name) for name in ("omega_spin", "omega_mode", "kappa"))
    return np.sqrt(omega_spin * (omega_mode**2 + kappa**2 / 4) / (2 * omega_mode))


def _label(values: xr.DataArray) -> str:
    """What it is, and its unit."""
    if (symbol := rate_label(str(values.name))) is not None:
        return symbol
    units = values.attrs.get("units", "1")
    name = values.attrs.get("long_name", str(values.name)).replace("xi_mu", r"$|\xi_\mu|$")
    return name if units == "1" else f"{name} ({units})"


def _edges(x: np.ndarray) -> tuple[float, float]:
    """Where the first and the last cell of a map end."""
    steps = np.diff(x) if x.size > 1 else np.ones(1)
    return float(x[0] - steps[0] / 2), float(x[-1] + steps[-1] / 2)


def _spaced(ax: Axes, which: str, x: np.ndarray) -> None:
    """A logarithmic axis for what is spaced so."""
    if x.size > 2 and (x > 0).all() and np.allclose(x[1:] / x[:-1], x[1] / x[0]) and not np.isclose(x[1], x[0]):
        getattr(ax, f"set_{which}scale")("log")
