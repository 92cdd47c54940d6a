"""Fits: data, the fitted model, residuals."""

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from .style import pattern_style

if TYPE_CHECKING:
    from ..inference import FitResult


def plot_fit(result: "FitResult", axes: Any = None) -> Any:
    """Measurements with their noise, the fit at the same points, and below the residuals in units of the noise.

    A column for each set of measurements; `axes`: two rows of as many.
    """
    from ..inference import StationaryCurve, TimeTrace  # here, for they load much that no other picture needs

    sets = result.data
    if axes is None:
        figure = plt.figure(figsize=(4.6 * len(sets), 4.6), layout="constrained")
        axes = figure.subplots(2, len(sets), squeeze=False, sharex="col", height_ratios=(3, 1))
    ends = np.cumsum([measured.values.size for measured in sets])[:-1]
    for column, (measured, part) in enumerate(zip(sets, np.split(np.asarray(result.residuals), ends), strict=True)):
        top, bottom = axes[0][column], axes[1][column]
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
    return axes
