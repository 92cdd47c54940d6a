"""Where a search of states at rest begins: at random, with what is conserved as it is to be."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import as_array, as_float, check_all, refuse
from .._typing import ArrayLike
from ..mean_field import CollectiveModel
from ..mean_field.at_rest import keeps_length, kept_by_lengths
from ..mean_field.site_levels import ROUND_OFF, bloch_vectors
from ..mean_field.stationary_equations import as_spin_lengths

SMALLEST_START, LARGEST_START = 0.03, 10.0  # |alpha| of starts, every size alike


def as_kept(model: CollectiveModel, spin_length: ArrayLike, populations: ArrayLike | None) -> Float[Array, "kept K"]:
    """What is conserved where no local jump acts, as `kept_of` has it."""
    K, d = model.num_subsets, model.levels
    if populations is None:
        ones = as_array(np.ones(K), model.dtype)
        return kept_by_lengths(model, ones * as_spin_lengths(model, spin_length))
    given = as_float(populations, "populations").astype(model.dtype)
    if given.shape not in ((d,), (d, K)):
        refuse("populations", f"of shape ({d},) or ({d}, {K})", f"shape {given.shape}")
    check_all("populations", given, lambda p: p >= 0, "not negative")
    check_all("sum of populations", jnp.sum(given, axis=0), lambda total: np.abs(total - 1) < ROUND_OFF, "1")
    rising = jnp.broadcast_to(jnp.sort(given, axis=0).reshape(d, -1), (d, K))
    return jnp.diff(rising, axis=0) ** 2 if d == 2 else rising


def random_starts(
    model: CollectiveModel, kept: Float[Array, "kept K"], key: PRNGKeyArray, num: int
) -> Float[Array, "starts D"]:
    """Sites turned by random unitaries where `kept_of` them is conserved, elsewhere anywhere; amplitudes of all sizes.

    So spins are uniform on spheres or in the ball, and density matrices by the measure of Hilbert and Schmidt.
    """
    K, M, d, dtype = model.num_subsets, model.num_modes, model.levels, model.dtype
    numbers = 5 if d == 2 else 2 * d**2
    normal = jax.random.normal(key, (num, numbers * K + 4 * M), dtype)
    sites, modes, sizes = jnp.split(normal, [numbers * K, numbers * K + 2 * M], axis=1)
    m = _spins(model, kept, sites) if d == 2 else _levels(model, kept, sites)
    share = jax.scipy.special.ndtr(sizes[:, :M])
    size = SMALLEST_START * (LARGEST_START / SMALLEST_START) ** share
    alpha = modes.reshape(num, 2, M)
    alpha = alpha * (size / jnp.sqrt(jnp.sum(alpha**2, axis=1)))[:, None]
    return jnp.concatenate([m.reshape(num, -1), alpha.reshape(num, -1)], axis=1)


def _spins(model: CollectiveModel, squared: Float[Array, "1 K"], normal: Array) -> Float[Array, "starts 3 K"]:
    num, K = len(normal), model.num_subsets
    m, radii = normal[:, : 3 * K].reshape(num, 3, K), normal[:, 3 * K :].reshape(num, 2, K)
    length2, wide = jnp.sum(m**2, axis=1), jnp.sum(radii**2, axis=1)
    inside = jnp.sqrt(length2 / (length2 + wide))  # three of five coordinates of a point of a sphere lie within a ball
    return m * (jnp.where(keeps_length(model)[None], jnp.sqrt(squared), inside) / jnp.sqrt(length2))[:, None]


def _levels(model: CollectiveModel, populations: Float[Array, "d K"], normal: Array) -> Float[Array, "starts B K"]:
    num, K, d = len(normal), model.num_subsets, model.levels
    X = jax.lax.complex(*jnp.moveaxis(normal.reshape(num, 2, K, d, d), 1, 0))
    p, U = jnp.linalg.eigh(jnp.matmul(X, X.conj().swapaxes(-1, -2), precision="highest"))
    p = jnp.where(keeps_length(model)[None, :, None], populations.T[None], p / jnp.sum(p, axis=-1, keepdims=True))
    turned = U * p.astype(U.dtype)[..., None, :]
    return bloch_vectors(jnp.matmul(turned, U.conj().swapaxes(-1, -2), precision="highest"))
