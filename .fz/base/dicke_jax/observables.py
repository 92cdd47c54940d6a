"""What one looks at: overlaps with the patterns, photons, spin lengths. Leading axes (times, batches) are allowed."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .model import DickeModel


def overlaps(model: DickeModel, m: Float[Array, "*batch 3 K"]) -> Float[Array, "*batch M"]:
    """xi_mu = sum_k w_k G[mu, k] z_k, from -1 to 1: how far the spins are aligned with pattern mu (paper, Eq. 12)."""
    return jnp.vectorize(model.spins.project, signature="(k)->(m)")(m[..., 2, :])


def occupations(alpha: Complex[Array, "*batch M"]) -> Float[Array, "*batch M"]:
    """|alpha_mu|^2 = <a_mu^dag a_mu> / N_sp, photons per spin. The paper's Fig. 3(b) shows 2^(M-1) times this."""
    return jnp.real(alpha) ** 2 + jnp.imag(alpha) ** 2


def spin_lengths(m: Float[Array, "*batch 3 K"]) -> Float[Array, "*batch K"]:
    """|m_k|, conserved by the equations; 1 where all spins of a subset are alike and pure."""
    squared = jnp.sum(m**2, axis=-2)
    there = squared > 0  # elsewhere the derivative is 0, not NaN
    return jnp.where(there, jnp.sqrt(jnp.where(there, squared, 1)), 0)
