"""The Dicke model's energy, for `DickeModel.as_collective`."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..couplings import LargeSpins
from .energy import Energy, IntensiveVariables


class DickeEnergy(Energy):
    """h = Omega sum_k w_k x_k + sum_mu Omega_mu |alpha_mu|^2 + g0 sum_k w_k z_k sum_mu G[mu, k] 2 Re alpha_mu."""

    spins: LargeSpins
    omega_spin: Any
    omega_mode: Any
    g0: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        field = self.spins.field(2 * jnp.real(s.alpha))
        spins = jnp.sum(s.weights * (self.omega_spin * s.x + self.g0 * field * s.z))
        return spins + jnp.sum(self.omega_mode * s.photons)
