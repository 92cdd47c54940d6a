"""What data determine: the Fisher information of the rates, and the combinations that it leaves open."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .parameters import Vector

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


def information(slopes: Float[Array, "D F"]) -> Information:
    """From the slopes of the residuals in the log rates."""
    F = slopes.shape[1]
    padded = jnp.concatenate([slopes, jnp.zeros((max(F - slopes.shape[0], 0), F), slopes.dtype)])
    _, sizes, rows = jnp.linalg.svd(padded, full_matrices=False)
    felt = sizes > unfelt(slopes.dtype) * jnp.max(sizes)
    spreads = jnp.where(felt, 1 / jnp.where(felt, sizes, 1), jnp.inf)
    loads = jnp.where(jnp.abs(rows) > jnp.sqrt(unfelt(slopes.dtype)), rows, 0)
    variances = jnp.sum(jnp.where(loads != 0, loads**2 * jnp.where(felt, spreads, jnp.inf)[:, None] ** 2, 0), axis=0)
    determined = variances < WIDE**2
    known = jnp.where(felt, spreads, 0)
    covariance = rows.T @ (known[:, None] ** 2 * rows)
    both = determined[:, None] & determined[None, :]
    open_ = jnp.where(jnp.eye(F, dtype=bool), jnp.inf, jnp.nan)
    return Information(spreads, rows, jnp.where(both, covariance, open_), determined)


def unfelt(dtype: jnp.dtype) -> float:
    """The share of the largest slope below which one is round-off."""
    return 1e-8 if dtype == jnp.float64 else 1e-4


def gain(slopes: Float[Array, "D F"], gradient: Vector) -> Float[Array, ""]:
    """How much a Gauss-Newton step would lower the loss: g^T F^+ g / 2. Where the data feel nothing, unknown: inf."""
    _, sizes, rows = jnp.linalg.svd(slopes, full_matrices=False)
    felt = sizes > unfelt(slopes.dtype) * jnp.max(sizes)
    along = (rows @ gradient) / jnp.where(felt, sizes, 1)
    return jnp.where(jnp.any(felt), jnp.sum(jnp.where(felt, along, 0) ** 2) / 2, jnp.inf)
