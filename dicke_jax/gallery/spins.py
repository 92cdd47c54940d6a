"""Models of spins alone."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import as_float, check_all, check_count, check_real, check_shape, refuse, told
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


class SpinExchange(Energy):
    """h = chi (<x>^2 + <y>^2) / 2 + delta <z> / 2."""

    chi: Any
    delta: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        x, y, z = jnp.sum(s.weights[None] * s.m, axis=1)
        return self.chi * (x**2 + y**2) / 2 + self.delta * z / 2


class Field(Energy):
    """h = field . <m> / 2, of field . S."""

    field: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        return jnp.sum(self.field * jnp.sum(s.weights[None] * s.m, axis=1)) / 2


class Polynomial(Energy):
    """h = sum_i c_i <x>^p_i <y>^q_i <z>^r_i."""

    coefficients: Any
    powers: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        x, y, z = jnp.sum(s.weights[None] * s.m, axis=1)
        return jnp.sum(self.coefficients * jnp.stack([x**p * y**q * z**r for p, q, r in self.powers]))


class SpinSums(eqx.Module):
    """l_j = sum_a A[j, a] <m_a>."""

    re: Any
    im: Any

    def __call__(self, s: IntensiveVariables) -> Complex[Array, " J"]:
        m = jnp.sum(s.weights[None] * s.m, axis=1)
        return jax.lax.complex(self.re @ m, self.im @ m)


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

    The interactions are those of Wang and Fazio, arXiv:2008.10045.
    """
    energy = PSpin(strength, field, check_count("p", p, 2))
    return CollectiveModel(energy, dissipation=LocalDissipation([("decay_x", decay)]))


def dissipative_xyz(J: ArrayLike, decay: ArrayLike) -> CollectiveModel:
    """Anisotropic Heisenberg spins, each of which decays towards -z.

        H / N = (J_x <x>^2 + J_y <y>^2 + J_z <z>^2) / 2,   and the jump "sigma_minus" of every spin

    The paramagnet z = -1 is stable while 16 (J_x - J_z) (J_z - J_y) < decay^2.

    Lee, Gopalakrishnan and Lukin, arXiv:1304.4959; all to all, Huybrechts et al., Phys. Rev. B 101, 214302 (2020).

    - `J`: (J_x, J_y, J_z).
    """
    couplings = as_float(J, "J")
    check_shape("J", couplings, (3,), "J_x, J_y and J_z")
    return CollectiveModel(QuadraticSpins(couplings), dissipation=LocalDissipation([("sigma_minus", decay)]))


def spin_exchange(chi: ArrayLike, delta: ArrayLike, Gamma: ArrayLike, pump: ArrayLike | None = None) -> CollectiveModel:
    """Spins that exchange excitations and emit together: H = (chi / S) S_+ S_- + delta S_z, L = sqrt(Gamma / S) S_-.

        phi' = delta - 2 chi z,   z' = -Gamma (x^2 + y^2),   tan phi = y / x

    S = N / 2. Without emission z stays and the spins precess at delta - 2 chi z. With it r = |m| stays, and there is a
    pulse of light: z = -r tanh(Gamma r (t - t0)), phi = delta t + (2 chi / Gamma) log cosh(Gamma r (t - t0)) + const.
    With the jump "sigma_plus" of every spin at the rate `pump` it is a superradiant laser for pump < 2 Gamma:
    z = pump / (2 Gamma), x^2 + y^2 = 2 z (1 - z), turning at delta - 2 chi z; beyond, all spins end at z = 1.

    Norcia et al., Science 361, 259 (2018), without the pump.
    """
    dissipation = None if pump is None else LocalDissipation([("sigma_plus", pump)])
    return CollectiveModel(SpinExchange(chi, delta), [collective(lowering, Gamma)], dissipation)


def collective_noise(A: ArrayLike, field: ArrayLike) -> CollectiveModel:
    """Noise on sums of spins, of any Kossakowski matrix: L_j = sum_a A[j, a] V_a, V_a = sum_i sigma_a^(i) / sqrt(N).

        H = field . S,   C = A^T A^*,   c = (Im C_yz, Im C_zx, Im C_xy)
        m' = field x m + 2 m x (m x c)

    the equation of Landau and Lifshitz. What is symmetric in C does not move the mean values. Lengths r = |m| stay. In
    a field parallel to c, m . c / |c| = -r tanh(2 |c| r (t - t0)); in one orthogonal to c, the boundary time crystal,
    the spins come to rest where it is below 2 |c| r.

    Benatti, Carollo, Floreanini and Narnhofer, J. Phys. A 51, 325001 (2018).

    - `A`: of shape (J, 3), complex, a row for each jump; A = sqrt(D) U^T for C = U D U^dag.
    - `field`: of shape (3,).
    """
    check_real("A", A, "numbers", or_complex=True)
    rows, along = jnp.asarray(A), as_float(field, "field")
    if rows.ndim != 2 or rows.shape[1] != 3:
        refuse("A", "of shape (J, 3), a row for each jump", f"shape {rows.shape}")
    check_shape("field", along, (3,), "along x, y and z")
    sums = SpinSums(as_float(rows.real, "A"), as_float(rows.imag, "A"))
    return CollectiveModel(Field(along), [collective(sums)])


def polynomial_spins(powers: Sequence[Sequence[int]], coefficients: ArrayLike) -> CollectiveModel:
    """Closed spin models with any polynomial for an energy: H / N = sum_i c_i <x>^p_i <y>^q_i <z>^r_i.

    H / N and |m| stay. So with chi <z>^2 / 4 + field <x> / 2, powers (0, 0, 2) and (1, 0, 0), spins that start at
    z = 1 stay at z > 0 for chi > 2 field, and swing to z = -1 below.

    Bagarello and Morchio, J. Stat. Phys. 66, 849 (1992).

    - `powers`: (p_i, q_i, r_i), whole numbers.
    - `coefficients`: c_i.
    """
    # chi z^2 / 4 + field x / 2 = chi / 4 at z = 0 asks for x = chi / (2 field), above 1
    terms = np.asarray(powers)
    if terms.ndim != 2 or terms.shape[1] != 3 or not np.issubdtype(terms.dtype, np.integer) or np.any(terms < 0):
        refuse("powers", "three whole numbers from 0 for each term", told(powers))
    factors = as_float(coefficients, "coefficients")
    check_shape("coefficients", factors, (len(terms),), "one for each term")
    return CollectiveModel(Polynomial(factors, tuple(map(tuple, terms.tolist()))))
