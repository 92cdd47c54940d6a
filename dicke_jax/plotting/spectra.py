"""Spectra: of deviations from a state at rest, of those across an orbit, and of the light that leaves."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from .._checks import refuse
from .._door import checked
from .._status import worst_text
from ..finite_size import OutputSpectrum
from ..phases import PeriodicOrbit, Stability
from .style import COLOURS, Panels, new_axes, pattern_style

FATES = (  # what becomes of a deviation: its marker, its colour, whether it is filled
    ("growing", "^", COLOURS[2], True),
    ("neutral", "o", "0.35", False),
    ("decaying", "o", COLOURS[1], True),
)


@checked
def plot_spectrum(stability: Stability, ax: Axes | None = None) -> Axes:
    """The eigenvalues of small deviations from a state at rest, in the complex plane: those right of 0 grow."""
    values = np.asarray(stability.eigenvalues)
    if values.ndim != 1:
        refuse("stability", "of one state, not of a batch", f"eigenvalues of shape {values.shape}")
    (ax,) = new_axes(ax, 1, room=1.2)
    ax.axvline(0, color="0.6", lw=0.9, zorder=0)
    near = float(stability.tolerance)
    rates = np.real(values)
    fate = np.where(rates > near, 0, np.where(rates < -near, 2, 1))
    _by_fate(ax, values, fate, [int(stability.num_growing), int(stability.num_neutral), int(stability.num_decaying)])
    ax.set(xlabel=r"Re $\lambda$ (unit of the rates)", ylabel=r"Im $\lambda$ (unit of the rates)")
    ax.margins(0.12)
    return ax


@checked
def plot_multipliers(orbit: PeriodicOrbit, ax: Axes | None = None) -> Axes:
    """The Floquet multipliers of a `PeriodicOrbit` and the unit circle: deviations outside of it grow.

    The cross is that of a deviation along the orbit, 1 but for errors.
    """
    values = np.asarray(orbit.multipliers)
    if values.ndim != 1:
        refuse("orbit", "one orbit, not a batch", f"multipliers of shape {values.shape}")
    (ax,) = new_axes(ax, 1, room=1.3)
    ax.add_patch(Circle((0, 0), 1, fill=False, color="0.6", lw=0.9, zorder=0))
    for line in (ax.axhline, ax.axvline):
        line(0, color="0.85", lw=0.7, zorder=0)
    counts = [int(n) for n in (orbit.num_growing, orbit.num_neutral, orbit.num_decaying)]
    fate = np.repeat([0, 1, 2], counts)  # the largest modulus comes first
    _by_fate(ax, values, fate, counts)
    ax.plot(float(orbit.trivial), 0, "x", color="k", ms=6, label="along the orbit")
    reach = 1.15 * max(1.0, float(np.nanmax(np.abs(values), initial=0.0)))
    ax.set(xlabel=r"Re $\mu$", ylabel=r"Im $\mu$", xlim=(-reach, reach), ylim=(-reach, reach), box_aspect=1)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _by_fate(ax: Axes, values: np.ndarray, fate: np.ndarray, counts: list[int]) -> None:
    """One marker for each of growing, neutral and decaying; some that are counted need not be listed."""
    for number, (name, marker, colour, filled) in enumerate(FATES):
        here, listed = values[: fate.size][fate == number], int(np.sum(fate == number))
        if not counts[number]:
            continue
        label = f"{counts[number]} {name}" + (f", {listed} shown" if listed != counts[number] else "")
        style = {"color": colour, "mfc": colour if filled else "none", "ms": 5.5, "alpha": 0.85}
        ax.plot(np.real(here), np.imag(here), marker, **style, label=label)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))


@checked
def plot_output_spectrum(spectrum: OutputSpectrum, ax: Panels | None = None) -> tuple[Axes, Axes]:
    """What leaves each mode against frequency: incoherent photons, and the least noise of a quadrature."""
    if not np.isfinite(np.asarray(spectrum.photons)).any():
        refuse("spectrum", "one with numbers", f"none, {worst_text(spectrum.status)}")
    left, right = new_axes(ax, 2)
    omega = np.asarray(spectrum.omega)
    for mu in range(spectrum.photons.shape[1]):
        style = pattern_style(mu) | {"lw": 1.3, "label": f"mode {mu + 1}"}
        left.semilogy(omega, np.asarray(spectrum.photons)[:, mu], **style)
        right.plot(omega, np.asarray(spectrum.squeezing)[:, mu], **style)
    right.axhline(1, color="0.6", lw=0.8, zorder=0)
    right.text(0.02, 1.0, "vacuum", transform=right.get_yaxis_transform(), va="bottom", fontsize="small", color="0.4")
    for axis in (left, right):
        axis.set_xlabel(r"frequency $\omega$ (unit of the rates)")
    left.set_ylabel("photons per time and bandwidth")
    right.set_ylabel("least noise of a quadrature (vacuum: 1)")
    right.set_ylim(0, 1.12 * max(1.0, float(np.nanmax(spectrum.squeezing, initial=0.0))))
    if spectrum.photons.shape[1] > 1:
        left.legend(frameon=False)
    return left, right
