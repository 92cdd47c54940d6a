"""Roots of the self-consistent equations: by Newton's method, from one start or from many at once."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._typing import ModeReals, SubsetReals
from ..mean_field.model import DickeModel
from ..mean_field.stationary_equations import self_consistency


def iterate(
    equations: Callable[[Array], Array],
    start: Float[Array, " n"],
    tol: float,
    most: int,
    size: Callable[[Array, Array], Array] = lambda shift, u: jnp.max(jnp.abs(shift)),
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Where at `most` so many steps end, and the size of the last correction, which is not above `tol` if it ended."""

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        u, _, count = carry
        shift = jnp.linalg.solve(jax.jacfwd(equations)(u), equations(u))
        return u - shift, size(shift, u), count + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > tol) & (carry[2] < most)  # not a number is not above

    far = jnp.full_like(start[0], jnp.inf), jnp.zeros_like(start[0], int)
    return jax.lax.while_loop(unfinished, improve, (start, *far))[:2]


def iterate_along(
    linearised: Callable[[Array], tuple[Array, Array, Array]],
    start: Float[Array, " n"],
    tol: float,
    most: int,
    size: Callable[[Array, Array], Array] = lambda shift, u: jnp.max(jnp.abs(shift)),
) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, ""], Float[Array, ""]]:
    """As `iterate`, for a point of a branch: `linearised` gives F, the matrix A of its slopes, and a vector b.

    Also A^-1 b, which is where the branch goes, and the sign of det A, both from the last step: a Jacobian of their own
    would be compiled once more.
    """

    def improve(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        u, _, _, _, count = carry
        value, matrix, push = linearised(u)
        shift, tangent = jnp.linalg.solve(matrix, jnp.stack([value, push], axis=1)).T
        return u - shift, tangent, jnp.linalg.slogdet(matrix)[0], size(shift, u), count + 1

    def unfinished(carry: tuple[Array, ...]) -> Array:
        return (carry[3] > tol) & (carry[4] < most)  # not a number is not above

    one = start[0]
    begin = jnp.zeros_like(start), jnp.zeros_like(one), jnp.full_like(one, jnp.inf), jnp.zeros_like(one, int)
    u, tangent, orientation, last, _ = jax.lax.while_loop(unfinished, improve, (start, *begin))
    return u, tangent, orientation, last


def newton(start: ModeReals, args: tuple[DickeModel, SubsetReals]) -> tuple[ModeReals, Bool[Array, ""]]:
    """A root, and whether it is one: the last correction is small, also where the root is nearly degenerate."""
    eps = float(jnp.finfo(start.dtype).eps)
    xi, correction = iterate(lambda xi: self_consistency(xi, args), start, 1e2 * eps, 64)
    return xi, (jnp.max(jnp.abs(self_consistency(xi, args))) < 1e4 * eps) & (correction < jnp.sqrt(eps))


class Roots(NamedTuple):
    """The first `number` of `xi` are different roots; the rest is filling."""

    xi: Float[Array, "starts M"]
    hits: Int[Array, " starts"]
    images: Int[Array, " starts"]
    number: Int[Array, ""]
    failed: Int[Array, ""]


@eqx.filter_jit
def search_roots(model: DickeModel, lengths: SubsetReals, key: PRNGKeyArray, num_starts: int) -> Roots:
    """Roots of all starts, brought to one sign image, sorted: the first of each, its hits and images."""
    starts = _starts(model, key, num_starts)
    args = (model, lengths)
    xi, good = jax.vmap(lambda start: newton(start, args))(starts)
    reversible, mirror = _sign_symmetries(args, starts[0])
    close = merge_distance(xi.dtype)
    xi = jnp.where(reversible[None, :], jnp.abs(xi), xi)
    others = jnp.where(reversible[None, :], 0, xi)
    sizes = jnp.abs(others)
    # the first of the largest ones: where some are as large as others, round-off must not choose
    leading = jnp.argmax(sizes > jnp.max(sizes, axis=1, keepdims=True) - close, axis=1)
    largest = jnp.take_along_axis(others, leading[:, None], axis=1)
    xi = jnp.where((mirror & ~reversible)[None, :] & (largest < 0), -xi, xi)

    # roots along a line of no special direction: those that agree come next to each other
    line = jnp.cos(jnp.arange(1.0, model.num_modes + 1, dtype=xi.dtype) ** 2)
    order = jnp.argsort(jnp.where(good, xi @ line, jnp.inf))
    xi, good = xi[order], good[order]
    new = good & jnp.append(jnp.array([True]), jnp.max(jnp.abs(jnp.diff(xi, axis=0)), axis=1) > close)
    label = jnp.cumsum(new) - 1
    hits = jnp.zeros(num_starts, int).at[label].add(good.astype(int))
    first = jnp.full(num_starts, num_starts - 1).at[label].min(jnp.arange(num_starts))
    finite = jnp.abs(xi[first]) > close
    alone, together = finite & reversible[None, :], finite & ~reversible[None, :]
    images = 2 ** jnp.sum(alone, axis=1) * jnp.where(mirror & jnp.any(together, axis=1), 2, 1)
    return Roots(xi[first], hits, images, jnp.sum(new), num_starts - jnp.sum(good))


def merge_distance(dtype: jnp.dtype) -> float:
    """The distance, in overlap, below which two roots are one: 5e-7 in float64."""
    return float(jnp.finfo(dtype).eps) ** 0.4


def _starts(model: DickeModel, key: PRNGKeyArray, num_starts: int) -> Float[Array, "starts M"]:
    """Uniform overlaps, without the components that make a field on a few subsets drawn at random, of 0 to M - 1."""
    M, dtype = model.num_modes, model.dtype
    # one draw for all: each kind of random numbers is a program part that takes its time to compile
    xi, noise, where, number = jnp.split(jax.random.uniform(key, (num_starts, 3 * M + 1), dtype), [M, 2 * M, 3 * M], 1)
    xi, noise = 2 * xi - 1, 2 * noise - 1
    subsets = jnp.floor(where * model.num_subsets).astype(int)
    number = jnp.floor(number[:, 0] * M).astype(int)
    G = jax.vmap(model.spins.field)(jnp.eye(M, dtype=dtype))
    response = model.omega_mode / (model.omega_mode**2 + model.kappa**2 / 4)

    def without_field(xi: Array, subsets: Array, number: Array) -> Array:
        rows = (G[:, subsets] * response[:, None]).T * (jnp.arange(M) < number).astype(dtype)[:, None]
        _, sizes, directions = jnp.linalg.svd(rows)
        kept = sizes > 1e-3 * sizes[0]
        return xi - directions.T @ jnp.where(kept, directions @ xi, 0)

    xi = jax.vmap(without_field)(xi, subsets, number) + 2e-3 * noise
    return xi.at[0].set(0)


def _sign_symmetries(args: tuple[DickeModel, SubsetReals], point: ModeReals) -> tuple[Array, Array]:
    """Whether each overlap can be reversed alone, (M,), and whether all can at once."""
    M = point.size
    probe = point + jnp.linspace(0.3, 0.7, M, dtype=point.dtype)
    near = 1e3 * jnp.finfo(point.dtype).eps

    def is_symmetry(signs: Array) -> Array:
        return jnp.max(jnp.abs(self_consistency(signs * probe, args) - signs * self_consistency(probe, args))) < near

    all_reversed = -jnp.ones((1, M), point.dtype)
    symmetric = jax.lax.map(is_symmetry, jnp.concatenate([1 - 2 * jnp.eye(M, dtype=point.dtype), all_reversed]))
    return symmetric[:-1], symmetric[-1]
