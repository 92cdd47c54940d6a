"""Stationary states as M equations: spins follow the field of the modes, modes follow the overlaps."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact

from ._typing import ModeReals, SpinVectors, SubsetReals
from .model import DickeModel
from .observables import spin_lengths
from .state import MeanFieldState


def field_per_overlap(model: DickeModel) -> ModeReals:
    """c_mu = -2 g0^2 Omega_mu / (Omega_mu^2 + kappa_mu^2 / 4): stationary modes turn spin k at 2 b_k about z."""
    return -2 * model.g0**2 * model.omega_mode / (model.omega_mode**2 + model.kappa**2 / 4)


def stationary_spins(model: DickeModel, b: SubsetReals, lengths: SubsetReals) -> SpinVectors:
    """Bloch vectors at rest in the fields B_k = (Omega, 0, b_k).

        m_k = -s_k B_k / |B_k|                         without dissipation
        m_k = -(2 [B_k]_x + T_k)^-1 c_k                with it

    `lengths` are signed: s_k = |m_k| where the spin is antiparallel to its field, as at low energy, -|m_k| where it is
    parallel. Dissipation decides on length and direction by itself; a component that it leaves free is put to 0.
    """
    omega = jnp.broadcast_to(model.omega_spin, b.shape)
    strength = jnp.hypot(omega, b)
    along = -lengths / jnp.where(strength > 0, strength, 1)
    free = jnp.stack([along * omega, jnp.zeros_like(b), along * b])
    if model.dissipation is None:
        return free
    linear, constant = (
        jnp.broadcast_to(term, (*term.shape[:-1], b.size)) for term in model.dissipation.terms(model.dtype)
    )
    none = jnp.zeros_like(b)
    turn = 2 * jnp.stack([jnp.stack(row) for row in ((none, -b, none), (b, none, -omega), (none, omega, none))])
    rate = jnp.max(jnp.abs(linear), axis=(0, 1))
    jumps = rate > 0
    # an infinitesimal decay to m = 0 keeps the matrix regular where jumps leave a component of the spin as it is
    slightly = jnp.where(jumps, float(jnp.finfo(b.dtype).eps) * (rate + strength), 1)
    matrix = turn + linear - jnp.eye(3, dtype=b.dtype)[:, :, None] * slightly[None, None, :]
    driven = jnp.linalg.solve(jnp.moveaxis(matrix, -1, 0), -constant.T[:, :, None])[:, :, 0].T
    return jnp.where(jumps[None, :], driven, free)


def signed_lengths(model: DickeModel, state: MeanFieldState) -> SubsetReals:
    """The `lengths` of `stationary_spins` that belong to a stationary state."""
    b = model.g0 * model.spins.field(2 * state.alpha.real.astype(model.dtype))
    m = state.m.astype(model.dtype)
    towards = model.omega_spin * m[0] + b * m[2]
    return jnp.where(towards > 0, -1, 1) * spin_lengths(m)


def resulting_overlaps(model: DickeModel, xi: ModeReals, lengths: SubsetReals) -> ModeReals:
    """P(xi): the overlaps of spins at rest in the field of modes at rest at overlaps xi; xi = P(xi) is stationary."""
    b = model.spins.field(field_per_overlap(model) * xi)
    return model.spins.project(stationary_spins(model, b, lengths)[2])


def self_consistency(xi: ModeReals, args: tuple[DickeModel, SubsetReals]) -> ModeReals:
    """What vanishes at stationary states, xi - P(xi): M equations, with a regular Jacobian where 3K + 2M are singular.

    P is bounded: the signs of the determinants at all roots add up to 1, if none is degenerate.
    """
    return xi - resulting_overlaps(args[0], xi, args[1])


def state_of_overlaps(model: DickeModel, xi: ModeReals, lengths: SubsetReals) -> MeanFieldState:
    """The state with these overlaps, were it stationary.

    alpha_mu = -i g0 xi_mu / (i Omega_mu + kappa_mu / 2)
    """
    b = model.spins.field(field_per_overlap(model) * xi)
    drive = jax.lax.complex(jnp.zeros_like(xi), -model.g0 * xi)
    alpha = drive / jax.lax.complex(model.kappa / 2, model.omega_mode)
    return MeanFieldState(stationary_spins(model, b, lengths), alpha)


def follow(xi: ModeReals, valid: Bool[Array, "..."], model: DickeModel, lengths: SubsetReals) -> ModeReals:
    """`xi`, known to solve xi = P(xi), as a function of the model and the spin lengths.

        (1 - P') dxi = dP

    The implicit function theorem on M equations: the zero modes of the full Jacobian, one for each spin length, are
    not among its unknowns. A derivative where `valid` is false is NaN.
    """
    return _follow(jax.lax.stop_gradient(xi), valid, (model, lengths))


@eqx.filter_custom_jvp
def _follow(xi: ModeReals, valid: Bool[Array, "..."], args: tuple[DickeModel, SubsetReals]) -> ModeReals:
    return xi


@_follow.def_jvp
def _(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    xi, valid, args = primals
    _, _, d_args = tangents
    jacobian = jax.jacfwd(self_consistency)(xi, args)
    _, d_residual = eqx.filter_jvp(lambda a: self_consistency(xi, a), (args,), (d_args,))
    return xi, trusted(valid, -jnp.linalg.solve(jacobian, d_residual))


def trusted(valid: Bool[Array, "..."], tangent: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """A derivative, or NaN where it is not `valid`, in forward and in reverse mode.

    In reverse mode only what is asked for can be NaN: a row of a batch that is masked out spoils no other row.
    """
    return jax.lax.custom_linear_solve(
        lambda x: x,
        tangent,
        solve=lambda _, t: jnp.where(valid, t, jnp.nan),
        transpose_solve=lambda _, cotangent: jnp.where(valid | (cotangent == 0), cotangent, jnp.nan),
    )
