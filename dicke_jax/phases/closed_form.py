"""Retrieval states in closed form (paper, Eq. 12 and S26 to S28)."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import as_array, as_pattern_index, check_all, known, refuse
from .._typing import ArrayLike
from ..mean_field.model import DickeModel
from ..mean_field.state import MeanFieldState, pattern_row
from ..mean_field.stationary_equations import amplitudes


def threshold_squared(model: DickeModel, pattern: ArrayLike | None = None) -> Float[Array, "..."]:
    """g_nu^2 = Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu), negative where Omega and Omega_nu differ in sign.

    Of one pattern, or of all.
    """
    nu = slice(None) if pattern is None else as_pattern_index(pattern, model.num_modes)
    omega, kappa = model.omega_mode[nu], model.kappa[nu]
    return model.omega_spin * (omega**2 + kappa**2 / 4) / (2 * omega)


def retrieval_overlap(model: DickeModel, pattern: ArrayLike = 0, *, spin_length: ArrayLike = 1.0) -> Float[Array, ""]:
    """|xi_nu| of the stationary state that is aligned with pattern nu; 0 below threshold.

        |xi_nu|^2 = s^2 - (g_nu / g0)^4,   g_nu^2 = Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu)

    Paper, Eq. 12, for s = 1. (S28 prints s^2 - |z| where |z|^2 is meant.) Differentiable in every rate; the derivative
    diverges at threshold, while |xi_nu|^2 is smooth up to it.

    **Arguments**

    - `model`: its pattern nu must be orthogonal to the others, sum_k w_k G[nu, k] G[mu, k] = delta, as in the
      thermodynamic limit; all of them, where `pattern` is traced. `model.spins.orthogonal` says which are.
    - `pattern`: nu, from 0.
    - `spin_length`: s = |m_k|, the same for all subsets.

    Existing is not being stable: an easier pattern can take over where a small admixture of it grows.
    """
    return _components(model, *_checked(model, pattern, spin_length))[1]


def retrieval_state(
    model: DickeModel, pattern: ArrayLike = 0, sign: int = 1, *, spin_length: ArrayLike = 1.0
) -> MeanFieldState:
    """The stationary state aligned with pattern nu, or with its negative; the normal state below threshold.

        z_k = sign |xi_nu| G[nu, k],  y_k = 0,  x_k = -(g_nu / g0)^2
        alpha_mu = -i g0 xi_mu / (i Omega_mu + kappa_mu / 2)

    Paper, S27 to S28. Below threshold z_k = 0, x_k = -s, no photons (x_k = +s where Omega and Omega_nu differ in sign).

    **Arguments** as in `retrieval_overlap`; `sign`: +1 or -1, which of the two images.
    """
    if sign not in (1, -1):
        refuse("sign", "+1 or -1", sign)
    return _state(model, *_checked(model, pattern, spin_length), as_array(sign, model.dtype))


def _checked(model: DickeModel, pattern: ArrayLike, spin_length: ArrayLike) -> tuple[Int[Array, ""], Float[Array, ""]]:
    nu, length = as_pattern_index(pattern, model.num_modes), as_spin_lengths(model, spin_length)
    obstacle = closed_form_obstacle(model, pattern, length)
    if obstacle is not None:
        refuse(*obstacle)
    return nu, length


def as_spin_lengths(model: DickeModel, spin_length: ArrayLike, *, positive: bool = True) -> Float[Array, "..."]:
    """The spin lengths s_k = |m_k| in the model's precision, one for all or one for each subset."""
    lengths = as_array(spin_length, model.dtype)
    if lengths.shape not in ((), (model.num_subsets,)):
        refuse("spin_length", f"one number or of shape ({model.num_subsets},)", f"shape {lengths.shape}")
    must_be = "positive and at most 1" if positive else "from 0 to 1"
    check_all("spin_length", lengths, lambda s: ((s > 0) | ((s == 0) & (not positive))) & (s <= 1), must_be)
    return lengths


@eqx.filter_jit
def _components(model: DickeModel, nu: Int[Array, ""], length: Float[Array, ""]) -> tuple[Array, Array]:
    """x_k of the retrieval state, or of the normal one, and |xi_nu|; safe to differentiate on both sides."""
    omega, kappa = model.omega_mode[nu], model.kappa[nu]
    weight = model.omega_spin * (omega**2 + kappa**2 / 4)  # x = -weight / pull
    pull = 2 * omega * model.g0**2
    exists = jnp.abs(pull) * length > jnp.abs(weight)
    x = -weight / jnp.where(exists, pull, 1.0)
    at_rest = jnp.where(model.omega_spin * omega >= 0, -length, length)
    overlap = jnp.where(exists, jnp.sqrt(jnp.where(exists, length**2 - x**2, 1.0)), 0.0)
    return jnp.where(exists, x, at_rest), overlap


@eqx.filter_jit
def _state(model: DickeModel, nu: Int[Array, ""], length: Float[Array, ""], sign: Float[Array, ""]) -> MeanFieldState:
    x, overlap = _components(model, nu, length)
    z = sign * overlap * pattern_row(model, nu)
    m = jnp.stack([jnp.full_like(z, x), jnp.zeros_like(z), z])
    return MeanFieldState(m, amplitudes(model, model.spins.project(z)))


def closed_form_obstacle(
    model: DickeModel, pattern: ArrayLike, lengths: ArrayLike = 1.0, *, all_pairs: bool = False
) -> tuple[str, str, str] | None:
    """Why Eq. 12 does not hold: argument, what it must be, what it was. None where it does.

    The retrieval state of a pattern asks that it be orthogonal to the others; its stability, that all pairs be, and so
    does a pattern that is traced. All that is asked is static: the answer is the same under `jax.jit`.
    """
    if model.is_time_dependent:
        must_be = "one with constant rates for this closed form (model.at(t) has those of time t)"
        return "model", must_be, "one with rates that change"
    if model.dissipation is not None:
        return "model", "without single-spin dissipation for this closed form (steadystate integrates)", "one with it"
    if np.ndim(lengths):
        return "spin_length", "one number for this closed form", f"shape {np.shape(lengths)}"
    orthogonal = model.spins.orthogonal
    if all(orthogonal) or (known(pattern) and not all_pairs and orthogonal[int(np.asarray(pattern))]):
        return None
    must_be = "patterns of +-1 that are orthogonal, sum_k w_k G[nu, k] G[mu, k] = 0, for this closed form"
    return "model.spins", f"{must_be} (LargeSpins.hypercube has such)", "others, or couplings that are traced"
