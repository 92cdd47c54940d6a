"""Stationary states as M equations: spins follow the field of the modes, modes follow the overlaps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from .._checks import as_array, check_all, refuse
from .._implicit import implicit
from .._typing import ArrayLike, ModeReals, SpinVectors, SubsetReals
from .abstract_model import AbstractMeanFieldModel
from .model import DickeModel
from .state import MeanFieldState, spin_lengths


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
    linear, constant = model.dissipation.terms(model.dtype)  # of all subsets alike, or of each
    none = jnp.zeros_like(b)
    turn = 2 * jnp.stack([jnp.stack(row) for row in ((none, -b, none), (b, none, -omega), (none, omega, none))])
    linear, constant = (jnp.broadcast_to(part, (*part.shape[:-1], b.size)) for part in (linear, constant))
    rate = jnp.max(jnp.abs(linear), axis=(0, 1))
    jumps = rate > 0
    # jumps alone decide on the length, however slow they are: B . (T m + c) = 0, an equation without the field
    along = jnp.stack([omega, none, b]) / jnp.where(strength > 0, strength, 1)[None]
    left = jnp.sum(along[:, None] * linear, axis=0)
    size = jax.lax.stop_gradient(jnp.sum(jnp.abs(left), axis=0))
    scaled = along * jnp.where(size > 0, (rate + strength) / jnp.where(size > 0, size, 1), 0)[None]
    matrix = turn + linear + scaled[:, None] * left[None, :]
    constant = constant + scaled * jnp.sum(along * constant, axis=0)[None]
    # an infinitesimal decay to m = 0 keeps the matrix regular where jumps leave a component of the spin as it is
    slightly = jnp.where(jumps, float(jnp.finfo(b.dtype).eps) * (rate + strength), 1)
    matrix = matrix - jnp.eye(3, dtype=b.dtype)[:, :, None] * slightly[None, None, :]
    return jnp.where(jumps[None, :], _solve_three(matrix, -constant), free)


def _solve_three(matrix: Float[Array, "3 3 K"], right: SpinVectors) -> SpinVectors:
    """A^-1 b of every spin, number by number.

    Not by `jnp.linalg.solve`: of two batches of many small matrices, as a value's and a derivative's, XLA's CPU backend
    works on both at once, and on a machine of two cores each of them may then wait for the other for ever.
    """
    transposed = jnp.swapaxes(matrix, 0, 1)
    return jax.lax.custom_linear_solve(  # derivatives are solutions, too, and not those of what is done to find them
        lambda x: jnp.sum(matrix * x[None], axis=1),
        right,
        solve=lambda _, b: _by_minors(matrix, b),
        transpose_solve=lambda _, b: _by_minors(transposed, b),
    )


def _by_minors(matrix: Float[Array, "3 3 K"], right: SpinVectors) -> SpinVectors:
    # a product of three rates may be more or less than a float holds
    scale = jnp.max(jnp.abs(matrix), axis=(0, 1))[None]
    u, v, w = (matrix[:, i] / scale for i in range(3))
    minors = jnp.stack([_cross(v, w), _cross(w, u), _cross(u, v)])
    return jnp.sum(minors * (right / scale)[None], axis=1) / jnp.sum(minors[0] * u, axis=0)[None]


def _cross(a: SpinVectors, b: SpinVectors) -> SpinVectors:
    return jnp.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def as_spin_lengths(
    model: AbstractMeanFieldModel, spin_length: ArrayLike, *, positive: bool = True
) -> Float[Array, "..."]:
    """The spin lengths s_k = |m_k| in the model's precision, one for all or one for each subset."""
    lengths = as_array(spin_length, model.dtype)
    if lengths.shape not in ((), (model.num_subsets,)):
        refuse("spin_length", f"one number or of shape ({model.num_subsets},)", f"shape {lengths.shape}")
    must_be = "positive and at most 1" if positive else "from 0 to 1"
    check_all("spin_length", lengths, lambda s: ((s > 0) | ((s == 0) & (not positive))) & (s <= 1), must_be)
    return lengths


def signed_lengths(model: DickeModel, state: MeanFieldState) -> SubsetReals:
    """The `lengths` of `stationary_spins` that belong to a stationary state."""
    b = model.g0 * model.spins.field(2 * state.alpha.real.astype(model.dtype))
    m = state.m.astype(model.dtype)
    towards = model.omega_spin * m[0] + b * m[2]
    return jnp.where(towards > 0, -1, 1) * spin_lengths(m)


def resulting_overlaps(model: DickeModel, xi: ModeReals, lengths: SubsetReals) -> ModeReals:
    """P(xi): the overlaps of spins at rest in the field of modes at rest at overlaps xi; xi = P(xi) is stationary."""
    return overlaps_in_field(model, field_per_overlap(model) * xi, lengths)


def overlaps_in_field(model: DickeModel, f: ModeReals, lengths: SubsetReals) -> ModeReals:
    """The overlaps of spins at rest in the field b_k = sum_mu G[mu, k] f_mu."""
    return model.spins.project(stationary_spins(model, model.spins.field(f), lengths)[2])


def self_consistency(xi: ModeReals, args: tuple[DickeModel, SubsetReals]) -> ModeReals:
    """What vanishes at stationary states, xi - P(xi): M equations, with a regular Jacobian where 3K + 2M are singular.

    P is bounded: the signs of the determinants at all roots add up to 1, if none is degenerate.
    """
    return xi - resulting_overlaps(args[0], xi, args[1])


def state_of_overlaps(model: DickeModel, xi: ModeReals, lengths: SubsetReals) -> MeanFieldState:
    """The state with these overlaps, were it stationary."""
    b = model.spins.field(field_per_overlap(model) * xi)
    return MeanFieldState(stationary_spins(model, b, lengths), amplitudes(model, xi))


def amplitudes(model: DickeModel, xi: ModeReals) -> Complex[Array, " M"]:
    """alpha_mu = -i g0 xi_mu / (i Omega_mu + kappa_mu / 2), of modes at rest.

    Written out, since a complex division takes longer to compile than all the rest.
    """
    omega, loss = model.omega_mode, model.kappa / 2
    per_part = -model.g0 * xi / (omega**2 + loss**2)
    return jax.lax.complex(per_part * omega, per_part * loss)


def follow(xi: ModeReals, valid: Bool[Array, "..."], model: DickeModel, lengths: SubsetReals) -> ModeReals:
    """`xi`, known to solve xi = P(xi), as a function of the model and the spin lengths.

        (1 - P') dxi = dP

    The implicit function theorem on M equations: the zero modes of the full Jacobian, one for each spin length, are
    not among its unknowns. A derivative where `valid` is false is NaN.
    """
    return implicit(self_consistency, xi, (model, lengths), valid)
