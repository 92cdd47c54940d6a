"""What all pictures share."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by colour-blind eyes, from dark to light as the pattern's number grows
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", "--", "-.", ":")


def pattern_style(pattern: int) -> dict[str, Any]:
    """Colour and line of a pattern, the same in every picture."""
    return {"color": COLOURS[pattern % len(COLOURS)], "linestyle": LINES[pattern % len(LINES)]}


def new_axes(axes: Any, number: int, rows: bool = False) -> tuple[Axes, ...]:
    """The given Axes, or new ones, side by side or as rows."""
    if axes is not None:
        return tuple(axes)
    shape, size = ((number, 1), (9.0, 1.3 * number)) if rows else ((1, number), (4.6 * number, 3.6))
    return tuple(plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)[1].ravel())


def rate_label(name: str) -> str | None:
    """A rate as in the paper, modes counted from 1, and its unit; None for what is no rate."""
    symbols = {"g0": "g_0", "omega_spin": r"\Omega", "omega_mode": r"\Omega", "kappa": r"\kappa"}
    rate, _, mode = name.partition("[")
    if rate not in symbols:
        return None
    return f"${symbols[rate]}" + (f"_{int(mode[:-1]) + 1}$" if mode else "$") + " (unit of the rates)"


def meanings(flags: xr.DataArray) -> np.ndarray:
    """The names of flags, one for each number."""
    names = dict(zip(np.asarray(flags.attrs["flag_values"]).ravel(), flags.attrs["flag_meanings"].split(), strict=True))
    return np.vectorize(names.__getitem__, otypes=[object])(flags.values)
