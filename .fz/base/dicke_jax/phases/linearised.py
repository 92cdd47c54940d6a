"""The equations linearised at a state."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._typing import RealState
from ..equations import mean_field_equations
from ..model import DickeModel
from ..state import MeanFieldState


def residual(model: DickeModel, state: MeanFieldState) -> Float[Array, ""]:
    """Max |dy/dt|, in units of the largest rate."""
    rates = mean_field_equations(0.0, state.to_real(model), model)
    return jnp.max(jnp.array([jnp.max(jnp.abs(rate)) for rate in rates])) / largest_rate(model)


def largest_rate(model: DickeModel) -> Float[Array, ""]:
    """The largest of |2 Omega|, |Omega_mu|, kappa_mu and |g0|: the unit of what counts as zero."""
    rates = (2 * model.omega_spin, model.omega_mode, model.kappa, model.g0)
    return jax.lax.stop_gradient(jnp.max(jnp.array([jnp.max(jnp.abs(rate)) for rate in rates])))


def tangent_basis(model: DickeModel, state: MeanFieldState) -> Float[Array, "full tangent"]:
    """Columns span the deviations with m_k . dm_k = 0, and all deviations of the modes; all where jumps act.

    At rest m_k is parallel to the field (Omega, 0, b_k), so that y and (b_k, 0, -Omega) / |B_k| are orthogonal to it.
    """
    K, M = model.num_subsets, model.num_modes
    if model.dissipation is not None:
        return jnp.eye(3 * K + 2 * M, dtype=model.dtype)
    b = model.g0 * model.spins.field(2 * state.alpha.real.astype(model.dtype))
    strength = jnp.hypot(model.omega_spin, b)
    each = jnp.eye(K, dtype=model.dtype)
    none = jnp.zeros_like(each)
    tilt = jnp.concatenate([jnp.diag(b / strength), none, jnp.diag(-model.omega_spin / strength)])
    spins = jnp.concatenate([jnp.concatenate([none, each, none]), tilt], axis=1)
    modes = jnp.eye(2 * M, dtype=model.dtype)
    return jnp.concatenate([jnp.pad(spins, ((0, 2 * M), (0, 0))), jnp.pad(modes, ((3 * K, 0), (0, 0)))], axis=1)


def jacobian(model: DickeModel, state: MeanFieldState) -> Float[Array, "tangent tangent"]:
    """A, in the basis of `tangent_basis`."""
    basis = tangent_basis(model, state)
    pushed = push(model, state.to_real(model), basis.T).T
    return jnp.matmul(basis.T, pushed, precision="highest")


def push(model: DickeModel, y: RealState, rows: Float[Array, "n full"]) -> Float[Array, "n full"]:
    """A times each row, a deviation of (x, y, z) of all spins and of the quadratures, without the matrix A."""
    flat, unravel = ravel_pytree(y)

    def rate_of_change(flat: Array) -> Array:
        return ravel_pytree(mean_field_equations(0.0, unravel(flat), model))[0]

    return jax.vmap(lambda row: jax.jvp(rate_of_change, (flat,), (row,))[1])(rows)
