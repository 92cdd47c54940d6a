"""What data determine: the Fisher information of the rates, and the combinations that it leaves open."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float

from .._checks import as_array
from .free_parameters import Vector

WIDE = 1.0  # of log p: a rate known to a factor e only is not determined


class Information(eqx.Module):
    """The Fisher information F = J^T J of log rates, J the slopes of residuals in units of their noise.

    - `spreads`: (F,), the standard deviation of each independent combination sum_i d_i log p_i, the smallest first;
      inf where the data do not feel it.
    - `directions`: (F, F), the d of each, a row.
    - `covariance`: (F, F), of the log rates; inf for a rate that is not determined, NaN with others.
    - `determined`: (F,), whether each rate is.
    """

    spreads: Vector
    directions: Float[Array, "F F"]
    covariance: Float[Array, "F F"]
    determined: Bool[Array, " F"]


def information(slopes: Float[np.ndarray, "D F"]) -> Information:
    """From the slopes of the residuals in the log rates."""
    F, dtype = slopes.shape[1], slopes.dtype
    padded = np.concatenate([slopes, np.zeros((max(F - slopes.shape[0], 0), F), dtype)])
    _, sizes, rows = np.linalg.svd(padded, full_matrices=False)
    felt = sizes > unfelt(dtype) * np.max(sizes)
    spreads = np.where(felt, 1 / np.where(felt, sizes, 1), np.inf).astype(dtype)
    loads = np.where(np.abs(rows) > np.sqrt(unfelt(dtype)), rows, 0)
    wide = np.where(loads != 0, spreads[:, None], 0)
    variances = np.sum(np.where(loads != 0, loads, 1) ** 2 * wide**2, axis=0)
    determined = variances < WIDE**2
    known = np.where(felt, spreads, 0)
    covariance = rows.T @ (known[:, None] ** 2 * rows)
    both = determined[:, None] & determined[None, :]
    open_ = np.where(np.eye(F, dtype=bool), np.inf, np.nan)
    covariance = np.where(both, covariance, open_).astype(dtype)
    return Information(*(as_array(part) for part in (spreads, rows, covariance, determined)))


def unfelt(dtype: np.dtype) -> float:
    """The share of the largest slope below which one is round-off."""
    return 1e-8 if dtype == np.float64 else 1e-4


def gain(slopes: Float[np.ndarray, "D F"], gradient: Float[np.ndarray, " F"]) -> float:
    """How much a Gauss-Newton step would lower the loss: g^T F^+ g / 2. Where the data feel nothing, unknown: inf."""
    _, sizes, rows = np.linalg.svd(slopes, full_matrices=False)
    felt = sizes > unfelt(slopes.dtype) * np.max(sizes)
    along = (rows @ gradient)[felt] / sizes[felt]
    return float(np.sum(along**2) / 2) if felt.any() else float("inf")
