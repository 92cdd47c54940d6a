"""Retrieval states in closed form (paper, Eq. 12 and S26 to S28)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_pattern_index, check_all, known, refuse
from .._typing import ArrayLike
from ..model import DickeModel
from ..state import MeanFieldState, pattern_signs

ORTHOGONAL = 1e-6  # largest overlap with another pattern at which Eq. 12 is taken to hold


def threshold_squared(model: DickeModel, pattern: ArrayLike) -> Float[Array, ""]:
    """g_nu^2 = Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu), negative where Omega and Omega_nu differ in sign."""
    nu = as_pattern_index(pattern, model.num_modes)
    omega, kappa = model.omega_mode[nu], model.kappa[nu]
    return model.omega_spin * (omega**2 + kappa**2 / 4) / (2 * omega)


def retrieval_overlap(model: DickeModel, pattern: ArrayLike = 0, *, spin_length: ArrayLike = 1.0) -> Float[Array, ""]:
    """|xi_nu| of the stationary state that is aligned with pattern nu; 0 below threshold.

        |xi_nu|^2 = s^2 - (g_nu / g0)^4,   g_nu^2 = Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu)

    Paper, Eq. 12, for s = 1. (S28 prints s^2 - |z| where |z|^2 is meant.) Differentiable in every rate; the derivative
    diverges at threshold, while |xi_nu|^2 is smooth up to it.

    **Arguments**

    - `model`: its patterns must be orthogonal, sum_k w_k G[nu, k] G[mu, k] = delta, as in the thermodynamic limit.
    - `pattern`: nu, from 0.
    - `spin_length`: s = |m_k|, the same for all subsets.

    Existing is not being stable: an easier pattern can take over where a small admixture of it grows.
    """
    check_closed_form(model, pattern)
    length = as_spin_length(model, spin_length)
    x, exists = _retrieved_x(model, pattern, length)
    return jnp.where(exists, jnp.sqrt(jnp.where(exists, length**2 - x**2, 1.0)), 0.0)


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
    xi = sign * retrieval_overlap(model, pattern, spin_length=spin_length)
    length = as_spin_length(model, spin_length)
    x, exists = _retrieved_x(model, pattern, length)
    side = jnp.where(model.omega_spin * model.omega_mode[as_pattern_index(pattern, model.num_modes)] >= 0, -1.0, 1.0)
    x = jnp.where(exists, x, side * length)
    z = xi * pattern_signs(model, pattern)
    m = jnp.stack([jnp.full_like(z, x), jnp.zeros_like(z), z])
    response = jax.lax.complex(model.kappa / 2, model.omega_mode)
    drive = model.g0 * model.spins.project(z)
    return MeanFieldState(m, jax.lax.complex(jnp.zeros_like(drive), -drive) / response)


def as_spin_length(model: DickeModel, spin_length: ArrayLike) -> Float[Array, ""]:
    """The spin length s = |m_k|, in the model's precision."""
    length = jnp.asarray(spin_length, model.dtype)
    if length.ndim:
        refuse("spin_length", "one number for this closed form", f"shape {length.shape}")
    check_all("spin_length", length, lambda s: (s > 0) & (s <= 1), "positive and at most 1")
    return length


def _retrieved_x(model: DickeModel, pattern: ArrayLike, length: Array) -> tuple[Array, Array]:
    """x_k of the retrieval state, and whether there is one; safe to differentiate on both sides."""
    nu = as_pattern_index(pattern, model.num_modes)
    omega, kappa = model.omega_mode[nu], model.kappa[nu]
    weight = model.omega_spin * (omega**2 + kappa**2 / 4)  # x = -weight / pull
    pull = 2 * omega * model.g0**2
    exists = jnp.abs(pull) * length > jnp.abs(weight)
    return -weight / jnp.where(exists, pull, 1.0), exists


def check_closed_form(model: DickeModel, pattern: ArrayLike, *, all_pairs: bool = False) -> None:
    """Refuse a model that is known not to be one that Eq. 12 is about."""
    obstacle = closed_form_obstacle(model, pattern, all_pairs=all_pairs)
    if obstacle is not None and obstacle != UNKNOWN:
        refuse(*obstacle)


UNKNOWN = ("model", "known", "traced")


def closed_form_obstacle(
    model: DickeModel, pattern: ArrayLike, *, all_pairs: bool = False
) -> tuple[str, str, str] | None:
    """Why Eq. 12 does not hold: argument, what it must be, what it was. None where it does; `UNKNOWN` where traced.

    The retrieval state of a pattern asks that it be orthogonal to the others; its stability, that all pairs be.
    """
    if model.is_time_dependent:
        must_be = "one with constant rates for this closed form (model.at(t) has those of time t)"
        return "model", must_be, "one with rates that change"
    if model.dissipation is not None:
        return "model", "without single-spin dissipation for this closed form (steadystate integrates)", "one with it"
    if not known(model.spins.weights) or not known(pattern):
        return UNKNOWN
    G = model.spins.couplings
    if not known(G):
        return UNKNOWN
    signs, weights = np.asarray(G, dtype=float), np.asarray(model.spins.weights, dtype=float)
    chosen = np.arange(model.num_modes) if all_pairs else np.atleast_1d(as_pattern_index(pattern, model.num_modes))
    rows = signs[chosen]
    gram = rows @ (weights * signs).T
    others = np.abs(gram[chosen[:, None] != np.arange(model.num_modes)])
    must_be = (
        "patterns of +-1 that are orthogonal, sum_k w_k G[nu, k] G[mu, k] = 0, for this closed form "
        "(LargeSpins.hypercube has such)"
    )
    if np.any(np.abs(np.abs(rows) - 1) >= ORTHOGONAL):
        return "model.spins", must_be, "other couplings"
    if others.size and others.max() > ORTHOGONAL:
        return "model.spins", must_be, f"an overlap of {others.max():.3g} with another pattern"
    return None
