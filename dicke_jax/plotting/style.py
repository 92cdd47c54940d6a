"""What all pictures share."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .._checks import refuse

# Okabe and Ito's palette, told apart by colour-blind eyes, from dark to light as the pattern's number grows
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
Panels: TypeAlias = Sequence[Axes] | np.ndarray  # several Axes, as plt.subplots gives them
LINES = ("-", "--", "-.", ":")


def pattern_style(pattern: int) -> dict[str, Any]:
    """Colour and line of a pattern, the same in every picture."""
    return {"color": COLOURS[pattern % len(COLOURS)], "linestyle": LINES[pattern % len(LINES)]}


def new_axes(axes: Any, number: int, rows: bool = False, room: float = 0.0) -> tuple[Axes, ...]:
    """The given Axes, or new ones, side by side or as rows, with `room` inches for a legend on their right."""
    if axes is not None:
        given = tuple(axes) if isinstance(axes, Sequence | np.ndarray) else (axes,)
        if len(given) != number or not all(isinstance(axis, Axes) for axis in given):
            refuse("ax", f"{number} matplotlib Axes", ", ".join(type(axis).__name__ for axis in given))
        return given
    shape, size = ((number, 1), (9.0, 1.3 * number)) if rows else ((1, number), (4.6 * number + room, 3.6))
    return tuple(plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)[1].ravel())


def legend_beside(ax: Axes, **options: Any) -> None:
    """A legend right of the Axes, where no line can be."""
    small = {"fontsize": "small", "title_fontsize": "small", "frameon": False, "alignment": "left"}
    ax.legend(**small | options, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def solid_where_stable(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    stable: np.ndarray,
    special: Sequence[tuple[int, float, float]],
    **style: Any,
) -> None:
    """Solid and dashed lines, which meet at special points: the index of the point before, x and y.

    Between two points stability is lost at the first special point, or won at the last one. Where it changes without
    any, the dashed line reaches to the last stable point.
    """
    stable = np.asarray(stable, bool)
    if special:
        special = sorted(special, key=lambda point: (point[0], abs(point[1] - x[point[0]])))
        after, *there = (np.array(values) for values in zip(*special, strict=True))
        first, last = np.diff(after, prepend=-1) > 0, np.diff(after, append=x.size) > 0
        joined = first & stable[after] | last & stable[np.minimum(after + 1, x.size - 1)]
        x, y, stable = (
            np.insert(old, after + 1, new) for old, new in zip((x, y, stable), (*there, joined), strict=True)
        )
    beside = np.append(~stable[1:], False) | np.append(False, ~stable[:-1])
    ax.plot(x, np.where(stable, y, np.nan), lw=1.6, **style)
    ax.plot(x, np.where(~stable | beside, y, np.nan), lw=1.0, ls=(0, (3, 2)), **style)


def rate_symbol(name: str) -> str | None:
    """A rate as in the paper, modes counted from 1; None for what is no rate."""
    symbols = {"g0": "g_0", "omega_spin": r"\Omega", "omega_mode": r"\Omega", "kappa": r"\kappa"}
    rate, _, mode = name.partition("[")
    if rate not in symbols:
        return None
    return f"${symbols[rate]}" + (f"_{int(mode[:-1]) + 1}$" if mode else "$")


def rate_label(name: str) -> str | None:
    """A rate, and its unit; None for what is no rate."""
    symbol = rate_symbol(name)
    return None if symbol is None else f"{symbol} (unit of the rates)"


def parameter_label(name: str) -> str:
    """A parameter as in the paper, and its unit."""
    return rate_label(name) or f"{name} (unit of the rates)"


def meanings(flags: xr.DataArray) -> np.ndarray:
    """The names of flags, one for each number."""
    names = dict(zip(np.asarray(flags.attrs["flag_values"]).ravel(), flags.attrs["flag_meanings"].split(), strict=True))
    return np.vectorize(names.__getitem__, otypes=[object])(flags.values)
