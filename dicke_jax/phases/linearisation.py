"""The equations linearised at a state, and eigenvalues whose derivatives are right, or NaN where they have none."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float

from .._checks import known, refuse
from .._implicit import implicit, nan_unless_valid
from .._typing import RealState, SpinVectors
from ..mean_field import AbstractMeanFieldModel, DickeModel, MeanFieldState, mean_field_equations
from ..mean_field.abstract_model import plane_across
from ..mean_field.site_levels import across_pure, num_alike, turning_part


def residual(model: AbstractMeanFieldModel, state: MeanFieldState) -> Float[Array, ""]:
    """Max |dy/dt|, in units of the largest rate."""
    rates, _ = ravel_pytree(mean_field_equations(0.0, state.to_real(model), model))
    return jnp.max(jnp.abs(rates)) / largest_rate(model)


def largest_rate(model: AbstractMeanFieldModel) -> Float[Array, ""]:
    """The unit of what counts as zero."""
    return jax.lax.stop_gradient(model.largest_rate())


def tangent_basis(model: AbstractMeanFieldModel, state: MeanFieldState) -> Float[Array, "full tangent"]:
    """Columns span the deviations with m_k . dm_k = 0, and all deviations of the modes; all where jumps act.

    All of sites with more than two levels, too: which deviations keep populations depends on how many are alike.
    """
    if model.dissipation is not None or model.levels > 2:
        return jnp.eye(model.num_components, dtype=model.dtype)
    return _of_planes(model, model.plane_of_turning(state.to_real(model)))


def basis_on_the_way(
    model: AbstractMeanFieldModel, state: MeanFieldState, num_kept: int
) -> Float[Array, "full tangent"]:
    """`tangent_basis` at a state that need not rest, and of d levels of those deviations that keep populations."""
    if model.dissipation is not None:
        return tangent_basis(model, state)
    m, _ = state.to_real(model)
    if model.levels == 2:
        return _of_planes(model, plane_across(m))
    units = jnp.eye(m.size, dtype=model.dtype).reshape(-1, *m.shape)
    onto = jax.vmap(lambda unit: turning_part(m, unit).ravel(), out_axes=1)(units)
    _, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(onto))  # what is kept has eigenvalues of 0, the rest of 1
    turns = jnp.linalg.qr(jnp.matmul(onto, vectors[:, num_kept:], precision="highest"))[0]
    return jax.scipy.linalg.block_diag(turns, jnp.eye(2 * model.num_modes, dtype=model.dtype))


def _of_planes(model: AbstractMeanFieldModel, planes: tuple[SpinVectors, SpinVectors]) -> Float[Array, "full tangent"]:
    spins = jnp.block([[jnp.diag(first), jnp.diag(second)] for first, second in zip(*planes, strict=True)])
    return jax.scipy.linalg.block_diag(spins, jnp.eye(2 * model.num_modes, dtype=model.dtype))


def num_kept(model: AbstractMeanFieldModel, state: MeanFieldState) -> int:
    """How many directions change what is conserved: a length of each spin, populations of sites with d levels.

    Of those d - 1 where all are different, and (d - 1)^2 of pure sites; the state must be known then, not traced.
    """
    if model.dissipation is not None or model.levels == 2:
        return 0 if model.dissipation is not None else model.num_subsets
    if not known(state.m):
        refuse("guess", "known, not traced, where sites of more than two levels keep populations", "a traced one")
    return num_alike(np.asarray(state.m)) - model.num_subsets


def jacobian(model: AbstractMeanFieldModel, state: MeanFieldState) -> Float[Array, "tangent tangent"]:
    """A, in the basis of `tangent_basis`."""
    basis = tangent_basis(model, state)
    return jnp.matmul(basis.T, push(model, state.to_real(model), basis.T).T, precision="highest")


def linearised_where_pure(
    model: AbstractMeanFieldModel, state: MeanFieldState
) -> tuple[Float[Array, "some some"], Float[Array, "full some"]]:
    """A, and the basis that it is in: deviations that can fluctuate, of pure sites those which leave them pure."""
    if model.levels == 2 or model.dissipation is not None:
        return jacobian(model, state), tangent_basis(model, state)
    y = state.to_real(model)
    across = across_pure(y[0])  # direction by direction, then ensemble by ensemble
    columns = jnp.einsum("kan,kl->aknl", across, jnp.eye(model.num_subsets, dtype=across.dtype))
    columns = columns.reshape(y[0].size, -1)
    basis = jax.scipy.linalg.block_diag(columns, jnp.eye(2 * model.num_modes, dtype=across.dtype))
    return jnp.matmul(basis.T, push(model, y, basis.T).T, precision="highest"), basis


def push(model: AbstractMeanFieldModel, y: RealState, rows: Float[Array, "n full"]) -> Float[Array, "n full"]:
    """A times each row, a deviation of (x, y, z) of all spins and of the quadratures, without the matrix A."""
    flat, unravel = ravel_pytree(y)

    def rate_of_change(flat: Array) -> Array:
        return ravel_pytree(mean_field_equations(0.0, unravel(flat), model))[0]

    return jax.vmap(lambda row: jax.jvp(rate_of_change, (flat,), (row,))[1])(rows)


def one_sign(model: DickeModel) -> Bool[Array, ""]:
    """Whether all Omega_mu have one sign. Only then is there an energy that the loss of photons brings down.

    A mode with Omega_mu = 0 turns no spin: its field, which spins drive by the other quadrature, only decays.
    """
    return jnp.all(model.omega_mode >= 0) | jnp.all(model.omega_mode <= 0)


def largest_eigenvalue(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Of a symmetric matrix; where another one is as large there is no derivative."""
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
    gap = jnp.min(values[-1] - values[:-1], initial=jnp.inf)
    simple = gap > jnp.sqrt(jnp.finfo(values.dtype).eps) * jnp.max(jnp.abs(values))
    return implicit(_eigenpair, jnp.append(vectors[:, -1], values[-1]), matrix, simple)[-1]


def _eigenpair(pair: Float[Array, " size"], matrix: Float[Array, "n n"]) -> Float[Array, " size"]:
    """What vanishes for an eigenvector of length 1 and its eigenvalue."""
    vector, value = pair[:-1], pair[-1]
    return jnp.append(jnp.matmul(matrix, vector, precision="highest") - value * vector, jnp.sum(vector**2) - 1)


@jax.custom_jvp
def eigensystem(matrix: Float[Array, "n n"]) -> tuple[Complex[Array, " n"], Complex[Array, "n n"]]:
    """Eigenvalues, the largest real part first, and eigenvectors as columns, which have no derivative."""
    values, vectors = jnp.linalg.eig(matrix)
    order = jnp.lexsort((-values.imag, -values.real))
    return values[order], vectors[:, order]


@eigensystem.defjvp
def _eigensystem_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Dlambda = u^H dA v / u^H v, with the left and right eigenvectors of a simple eigenvalue."""
    values, right, left, simple = _both_sides(primals[0])
    return (values, right), (_change(left, tangents[0], right, simple), jnp.zeros_like(right))


@jax.custom_jvp
def _both_sides(matrix: Float[Array, "n n"]) -> tuple[Array, Array, Array, Array]:
    """Eigenvalues, right eigenvectors v as columns, left ones u^H as rows with u^H v = 1, and which are simple."""
    values, left, right = jax.lax.linalg.eig(matrix, compute_left_eigenvectors=True)
    order = jnp.lexsort((-values.imag, -values.real))
    values, left, right = values[order], left[:, order].conj(), right[:, order]
    along = jnp.sum(left * right, axis=0)
    apart = _is_apart(values)
    simple = jnp.all(apart | jnp.eye(values.size, dtype=bool), axis=1)
    simple &= jnp.abs(along) > jnp.sqrt(jnp.finfo(matrix.dtype).eps)
    return values, right, (left / jnp.where(simple, along, jnp.ones_like(along))[None]).T, simple


@_both_sides.defjvp
def _both_sides_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Dv_j = sum_i v_i u_i^H dA v_j / (lambda_j - lambda_i), and du_j alike, but for length and phase, which are free.

    All u_i are needed for it, those of eigenvalues that coincide with one another too: they are V^-1.
    """
    values, right, left, simple = _both_sides(primals[0])
    inverse = jnp.linalg.inv(right)
    pushed = _times(_times(inverse, tangents[0].astype(right.dtype)), right)
    apart = _is_apart(values)
    gaps = values[None, :] - values[:, None]
    mixed = jnp.where(apart, pushed / jnp.where(apart, gaps, jnp.ones_like(gaps)), 0)
    changes = _change(left, tangents[0], right, simple), _times(right, mixed), -_times(mixed, inverse)
    return (values, right, left, simple), (*changes, np.zeros(simple.shape, jax.dtypes.float0))


def _is_apart(values: Complex[Array, " n"]) -> Bool[Array, "n n"]:
    near = jnp.sqrt(jnp.finfo(values.real.dtype).eps)
    return jnp.abs(values[:, None] - values[None, :]) > near * jnp.max(jnp.abs(values))


def _change(left: Array, change: Array, right: Array, simple: Array) -> Complex[Array, " n"]:
    return nan_unless_valid(simple, jnp.sum(left.T * _times(change.astype(right.dtype), right), axis=0))


def _times(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
