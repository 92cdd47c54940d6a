"""Fits: data, the fitted model, residuals."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ..inference import FitResult, StationaryCurve, TimeTrace
from .style import pattern_style


def plot_fit(result: FitResult, axes: Any = None) -> Any:
    """Measurements with their noise, the fit at the same points, and below the residuals in units of the noise.

    A column for each set of measurements; `axes`: two rows of as many.
    """
    sets = result.data
    if axes is None:
        size = (4.6 * len(sets), 4.6)
        options = {"height_ratios": (3, 1)}
        axes = plt.subplots(
            2, len(sets), figsize=size, layout="constrained", squeeze=False, sharex="col", gridspec_kw=options
        )[1]
    ends = np.cumsum([each.values.size for each in sets])[:-1]
    for column, (each, part) in enumerate(zip(sets, np.split(np.asarray(result.residuals), ends), strict=True)):
        top, bottom = axes[0][column], axes[1][column]
        curve = isinstance(each, StationaryCurve)
        assert isinstance(each, StationaryCurve | TimeTrace)
        x = np.asarray(each.g0 if isinstance(each, StationaryCurve) else each.t)
        values, noise, present, off = (
            np.asarray(array).reshape(x.size, -1) for array in (each.values, each.noise, each.present, part)
        )
        order = np.argsort(x)
        for i in range(values.shape[1]):
            nu = each.pattern if isinstance(each, StationaryCurve) else i
            style, seen = pattern_style(nu), present[:, i]
            dots = {"color": style["color"], "ms": 3.5, "mfc": "none", "lw": 0.8}
            top.errorbar(x[seen], values[seen, i], noise[seen, i], fmt="o", **dots)
            fitted = (values + off * noise)[:, i]
            kept = order[seen[order]]
            top.plot(x[kept], fitted[kept], **style, lw=1.4, label=f"pattern {nu + 1}")
            bottom.plot(x[seen], off[seen, i], "o", **dots)
        bottom.axhline(0, color="grey", lw=0.8)
        symbol = {"overlap": r"overlap $\xi_\mu$", "photons": r"photons per spin $|\alpha_\mu|^2$"}
        top.set_ylabel(symbol[each.quantity])
        top.legend(frameon=False, title="lines: fit")
        bottom.set_ylabel("residual / noise")
        bottom.set_xlabel(r"coupling $g_0$ (unit of the rates)" if curve else r"time $t$ (inverse unit of the rates)")
    return axes
