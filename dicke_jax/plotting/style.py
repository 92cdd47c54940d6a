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


def rate_label(name: str) -> str | None:
    """A rate as in the paper, modes counted from 1, and its unit; None for what is no rate."""
    symbols = {"g0": "g_0", "omega_spin": r"\Omega", "omega_mode": r"\Omega", "kappa": r"\kappa"}
    rate, _, mode = name.partition("[")
    if rate not in symbols:
        return None
    return f"${symbols[rate]}" + (f"_{int(mode[:-1]) + 1}$" if mode else "$") + " (unit of the rates)"


def parameter_label(name: str) -> str:
    """A parameter as in the paper, and its unit."""
    return rate_label(name) or f"{name} (unit of the rates)"


def meanings(flags: xr.DataArray) -> np.ndarray:
    """The names of flags, one for each number."""
    names = dict(zip(np.asarray(flags.attrs["flag_values"]).ravel(), flags.attrs["flag_meanings"].split(), strict=True))
    return np.vectorize(names.__getitem__, otypes=[object])(flags.values)
