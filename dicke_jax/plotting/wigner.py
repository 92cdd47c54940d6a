"""The Wigner function of a mode."""

from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from .._checks import as_pattern_index, as_whole, refuse
from .._door import checked
from .._status import worst_text
from ..finite_size import MasterSolution, Moments, StationaryCovariance, TrajectorySolution, WignerSolution
from .style import new_axes

POINTS = 161  # along each axis
MOMENTS = Moments | MasterSolution | TrajectorySolution | WignerSolution | StationaryCovariance


@checked
def plot_wigner(
    result: Any, ax: Axes | None = None, *, mode: int = 0, time: int = -1, reach: float | None = None
) -> Axes:
    """The Wigner function of a mode over Re a and Im a, of which the vacuum has W = (2 / pi) exp(-2 |a|^2).

    The dashed circle has the vacuum's standard deviation, 1/2.

    - `result`: one with `Moments`, or these: W is the Gaussian with their mean and covariance, all that there is in the
      limit of many spins. In the limit itself the mean is of order sqrt(N_sp), and W is drawn around it. Or the density
      matrix of the mode in the basis of photon numbers, as `ptrace` of QuTiP has it: then W is exact.
    - `mode`: which, from 0; `time`: which of the saved times, by its index, by default the last.
    - `reach`: how far from its middle the picture goes; by default as far as W does.

    **Example**

        >>> one_photon = np.diag([0.0, 1.0])
        >>> mesh = dj.plotting.plot_wigner(one_photon).collections[0]
        >>> print(mesh.get_array().min() * np.pi / 2)
        -1.0
    """
    if isinstance(result, np.ndarray | jax.Array):
        values, edges, around = _of_density_matrix(np.asarray(result), reach)
        marked, centred = around, False
    elif isinstance(result, MOMENTS):
        values, edges, around, centred = _of_moments(result, mode, time, reach)
        marked = around
    else:
        refuse("result", "a result with moments or the density matrix of a mode", type(result).__name__)
    (ax,) = new_axes(ax, 1)
    high = float(np.max(np.abs(values)))
    mesh = ax.pcolormesh(*edges, values, cmap="RdBu_r", vmin=-high, vmax=high, shading="nearest")
    mesh.set_rasterized(True)
    ax.figure.colorbar(mesh, ax=ax, label=r"$W$")
    ax.add_patch(Circle(marked, 0.5, fill=False, color="k", lw=1.0, ls="--"))
    what = r"(a - \langle a\rangle)" if centred else "a"
    ax.set(xlabel=rf"Re ${what}$", ylabel=rf"Im ${what}$", aspect="equal")
    return ax


def _of_moments(result: Any, mode: int, time: int, reach: float | None) -> Any:
    moments = result if isinstance(result, Moments) else result.moments
    if moments.t.ndim != 1:
        refuse("result", "of one run, not of a batch", f"times of shape {moments.t.shape}")
    if not moments.alpha.shape[1]:
        refuse("result", "of a model with modes", "one without")
    mu, number = int(as_pattern_index(mode, moments.alpha.shape[1])), moments.t.size
    i = as_whole("time", time, f"the index of a saved time, from 0 to {number - 1}")
    if not -number <= i < number:
        refuse("time", f"the index of a saved time, from 0 to {number - 1}", i)
    covariance = np.asarray(moments.mode_covariance)[i, :, mu, :, mu]
    if not np.isfinite(covariance).all():
        refuse("result", "one with a covariance", f"none, {worst_text(result.status)}")
    alpha, size = complex(moments.alpha[i, mu]), moments.num_spins
    centre = (0.0, 0.0) if size is None else (alpha.real * size**0.5, alpha.imag * size**0.5)
    far = 3.5 * float(np.sqrt(np.linalg.eigvalsh(covariance)[-1])) if reach is None else reach
    x, y = (c + np.linspace(-far, far, POINTS) for c in centre)
    off = np.stack(np.meshgrid(x - centre[0], y - centre[1]))
    exponent = np.einsum("ayx,ab,byx->yx", off, np.linalg.inv(covariance), off)
    values = np.exp(-exponent / 2) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    return values, (x, y), centre, size is None


def _of_density_matrix(rho: np.ndarray, reach: float | None) -> Any:
    if rho.ndim != 2 or rho.shape[0] != rho.shape[1] or not np.allclose(rho, rho.conj().T, atol=1e-6):
        refuse("result", "a Hermitian matrix over photon numbers, where it is an array", f"shape {rho.shape}")
    levels = np.arange(len(rho))
    photons = float(np.real(np.diag(rho)) @ levels)
    spread = float(np.real(np.diag(rho)) @ (levels - photons) ** 2)
    far = float(np.sqrt(photons + np.sqrt(spread)) + 1.7) if reach is None else reach
    x = np.linspace(-far, far, POINTS)
    values = wigner_of(rho, x[None, :] + 1j * x[:, None])
    return values, (x, x), (0.0, 0.0)


def wigner_of(rho: np.ndarray, a: np.ndarray) -> np.ndarray:
    """W(a) = sum_mn rho_mn W_mn(a), W_00 = (2 / pi) exp(-2 |a|^2), with one step up or right at a time:

        sqrt(n) W_m,n = 2 a W_m,n-1 - sqrt(m) W_m-1,n-1,   W_n,m = W_m,n^*

    Cahill and Glauber, Phys. Rev. 177, 1882 (1969).
    """
    number = len(rho)
    above = np.zeros((number, *a.shape), complex)  # the row of m - 1, from its diagonal on
    total = np.zeros(a.shape)
    for m in range(number):
        row = np.zeros_like(above)
        if m == 0:
            row[0] = 2 / np.pi * np.exp(-2 * np.abs(a) ** 2)
        else:  # W_m,m from W_m-1,m and W_m-1,m-1 by the same rule, mirrored
            row[m] = (2 * np.conj(a) * above[m] - np.sqrt(m) * above[m - 1]) / np.sqrt(m)
        total += np.real(rho[m, m] * row[m])
        for n in range(m + 1, number):
            row[n] = (2 * a * row[n - 1] - np.sqrt(m) * above[n - 1]) / np.sqrt(n)
            total += 2 * np.real(rho[m, n] * row[n])
        above = row
    return total
