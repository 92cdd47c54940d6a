"""Patterns: rows of +-1, one for each mode."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8, PRNGKeyArray

from .._checks import as_float, check_count, refuse
from .._typing import ArrayLike


def random_patterns(key: PRNGKeyArray, num_patterns: int, num_spins: int) -> Int8[Array, "M N"]:
    """G[mu, k] = +1 or -1 with equal probability, independently: M patterns of N_sp spins (paper, below Eq. 2).

    Stored in one byte an entry, so that ten million spins with eight patterns take 80 MB.
    """
    check_count("num_patterns", num_patterns)
    check_count("num_spins", num_spins)
    return jax.random.rademacher(key, (num_patterns, num_spins), dtype=jnp.int8)


def pattern_overlaps(patterns: ArrayLike, sigma_z: ArrayLike) -> Float[Array, " M"]:
    """xi_mu = (1/N_sp) sum_k G[mu, k] <sigma_z^(k)>, the overlap of single spins with every pattern.

    `patterns` is the raw G of shape (M, N_sp), `sigma_z` has shape (N_sp,). Paper, above Eq. 12.
    """
    rows, z = jnp.asarray(patterns), as_float(sigma_z)
    if rows.ndim != 2:
        refuse("patterns", "of shape (M, N_sp)", f"shape {rows.shape}")
    if z.shape != rows.shape[1:]:
        refuse("sigma_z", f"of shape {rows.shape[1:]}, one value for each spin of the patterns", f"shape {z.shape}")
    return jnp.matmul(rows.astype(z.dtype), z, precision="highest") / z.size
