"""Models of spins alone."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .._checks import as_float, check_all, check_count, check_shape
from .._typing import ArrayLike
from ..mean_field import CollectiveModel, Energy, IntensiveVariables, LocalDissipation, collective
from ..mean_field.rates import is_schedule


class TransverseField(Energy):
    """h = (omega0 / 2) <x>, of omega0 S_x."""

    omega0: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        return self.omega0 / 2 * jnp.sum(s.weights * s.x)


class PSpin(Energy):
    """h = field <x> - strength <z>^p."""

    strength: Any
    field: Any
    p: int = eqx.field(static=True)

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        return self.field * jnp.sum(s.weights * s.x) - self.strength * jnp.sum(s.weights * s.z) ** self.p


class QuadraticSpins(Energy):
    """h = (J_x <x>^2 + J_y <y>^2 + J_z <z>^2) / 2."""

    J: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        return jnp.sum(self.J * jnp.sum(s.weights[None] * s.m, axis=1) ** 2) / 2


def lowering(s: IntensiveVariables) -> Complex[Array, ""]:
    """(<x> - i <y>) / sqrt(2) of all spins: sqrt(N) of it is S_- / sqrt(S)."""
    return jax.lax.complex(jnp.sum(s.weights * s.x), -jnp.sum(s.weights * s.y)) / math.sqrt(2)


def boundary_time_crystal(omega0: ArrayLike, kappa: ArrayLike) -> CollectiveModel:
    """Driven spins that decay together: H = omega0 S_x, L = sqrt(kappa / S) S_-, S = N / 2.

        x' = kappa x z,   y' = (kappa y - omega0) z,   z' = omega0 y - kappa (x^2 + y^2)

    Spins keep their length r = |m|. For omega0 < kappa r they come to rest, at z = -sqrt(r^2 - (omega0 / kappa)^2);
    above, all starts are on closed orbits of one period, 2 pi / sqrt(omega0^2 - (kappa r)^2).

    Iemini et al., Phys. Rev. Lett. 121, 035301 (2018).
    """
    if not is_schedule(kappa):
        check_all("kappa", as_float(kappa, "kappa"), lambda rate: rate >= 0, "not negative")
    return CollectiveModel(TransverseField(omega0), [collective(lowering, kappa)])


def p_spin(p: int, strength: ArrayLike, field: ArrayLike, decay: ArrayLike) -> CollectiveModel:
    """Interactions of p spins in a transverse field, each spin of which decays towards it.

        H / N = field <x> - strength <z>^p,   and the jump "decay_x" of every spin at the rate `decay`

    With B = 2 field and A = B + decay^2 / (4 B), the polarised state x = -1 is left continuously for p = 2, at the
    strength A / 4; for p = 3 two ordered states appear beside it at a fold, strength^(2/3) = (2/9) A (12 / B)^(1/3).

    The model of Wang and Fazio, Phys. Rev. A 103, 013306 (2021), with another bath.
    """
    energy = PSpin(strength, field, check_count("p", p, 2))
    return CollectiveModel(energy, dissipation=LocalDissipation([("decay_x", decay)]))


def dissipative_xyz(J: ArrayLike, decay: ArrayLike) -> CollectiveModel:
    """Anisotropic Heisenberg spins, each of which decays towards -z.

        H / N = (J_x <x>^2 + J_y <y>^2 + J_z <z>^2) / 2,   and the jump "sigma_minus" of every spin

    The paramagnet z = -1 is stable while 16 (J_x - J_z) (J_z - J_y) < decay^2.

    Lee, Gopalakrishnan and Lukin, Phys. Rev. Lett. 110, 257204 (2013), in mean field.

    - `J`: (J_x, J_y, J_z).
    """
    couplings = as_float(J, "J")
    check_shape("J", couplings, (3,), "J_x, J_y and J_z")
    return CollectiveModel(QuadraticSpins(couplings), dissipation=LocalDissipation([("sigma_minus", decay)]))
