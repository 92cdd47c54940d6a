"""The search for roots of the self-consistent equations, from many starts at once."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._typing import ModeReals, SubsetReals
from ..model import DickeModel
from ..self_consistency import self_consistency

NEWTON_STEPS = 64


def newton(start: ModeReals, args: tuple[DickeModel, SubsetReals]) -> tuple[ModeReals, Bool[Array, ""]]:
    """A root, and whether it is one: the last correction is small, also where the root is nearly degenerate."""
    tol = 1e2 * float(jnp.finfo(start.dtype).eps)
    solver = optx.Newton(rtol=tol, atol=tol)
    xi = optx.root_find(self_consistency, solver, start, args=args, max_steps=NEWTON_STEPS, throw=False).value
    residual = self_consistency(xi, args)
    correction = jnp.linalg.solve(jax.jacfwd(self_consistency)(xi, args), residual)
    near = jnp.sqrt(jnp.finfo(start.dtype).eps)
    return xi, (jnp.max(jnp.abs(residual)) < 1e2 * tol) & (jnp.max(jnp.abs(correction)) < near)


@eqx.filter_jit
def search_roots(model: DickeModel, lengths: SubsetReals, key: PRNGKeyArray, num_starts: int) -> tuple[Any, ...]:
    """Roots of all starts, brought to one sign image, sorted: the first of each, its hits and images."""
    starts = _starts(model, key, num_starts)
    args = (model, lengths)
    xi, good = jax.vmap(lambda start: newton(start, args))(starts)
    reversible, mirror = _sign_symmetries(args, starts[0])
    xi = jnp.where(reversible[None, :], jnp.abs(xi), xi)
    others = jnp.where(reversible[None, :], 0, xi)
    largest = jnp.take_along_axis(others, jnp.argmax(jnp.abs(others), axis=1)[:, None], axis=1)
    xi = jnp.where((mirror & ~reversible)[None, :] & (largest < 0), -xi, xi)

    # roots along a random line: those that agree come next to each other
    line = jax.random.normal(jax.random.fold_in(key, 1), (model.num_modes,), model.dtype)
    order = jnp.argsort(jnp.where(good, xi @ line, jnp.inf))
    xi, good = xi[order], good[order]
    close = same(xi.dtype)
    new = good & jnp.append(jnp.array([True]), jnp.max(jnp.abs(jnp.diff(xi, axis=0)), axis=1) > close)
    label = jnp.cumsum(new) - 1
    hits = jnp.zeros(num_starts, int).at[label].add(good.astype(int))
    first = jnp.nonzero(new, size=num_starts, fill_value=num_starts - 1)[0]
    finite = jnp.abs(xi[first]) > close
    alone, together = finite & reversible[None, :], finite & ~reversible[None, :]
    images = 2 ** jnp.sum(alone, axis=1) * jnp.where(mirror & jnp.any(together, axis=1), 2, 1)
    return xi[first], hits, images, jnp.sum(new), num_starts - jnp.sum(good)


def same(dtype: jnp.dtype) -> float:
    """The distance, in overlap, below which two roots are one: 5e-7 in float64."""
    return float(jnp.finfo(dtype).eps) ** 0.4


def _starts(model: DickeModel, key: PRNGKeyArray, num_starts: int) -> Float[Array, "starts M"]:
    """Uniform overlaps, without the components that make a field on a few subsets drawn at random, of 0 to M - 1."""
    M, dtype = model.num_modes, model.dtype
    uniform, which, count, noise = jax.random.split(key, 4)
    xi = jax.random.uniform(uniform, (num_starts, M), dtype, -1, 1)
    subsets = jax.random.randint(which, (num_starts, M), 0, model.num_subsets)
    number = jax.random.randint(count, (num_starts,), 0, M)
    G = jax.vmap(model.spins.field)(jnp.eye(M, dtype=dtype))
    response = model.omega_mode / (model.omega_mode**2 + model.kappa**2 / 4)

    def without_field(xi: Array, subsets: Array, number: Array) -> Array:
        rows = (G[:, subsets] * response[:, None]).T * (jnp.arange(M) < number).astype(dtype)[:, None]
        _, sizes, directions = jnp.linalg.svd(rows)
        kept = sizes > 1e-3 * sizes[0]
        return xi - directions.T @ jnp.where(kept, directions @ xi, 0)

    xi = jax.vmap(without_field)(xi, subsets, number) + 1e-3 * jax.random.normal(noise, xi.shape, dtype)
    return xi.at[0].set(0)


def _sign_symmetries(args: tuple[DickeModel, SubsetReals], point: ModeReals) -> tuple[Array, Array]:
    """Whether each overlap can be reversed alone, (M,), and whether all can at once."""
    M = point.size
    probe = point + jnp.linspace(0.3, 0.7, M, dtype=point.dtype)
    near = 1e3 * jnp.finfo(point.dtype).eps

    def is_symmetry(signs: Array) -> Array:
        return jnp.max(jnp.abs(self_consistency(signs * probe, args) - signs * self_consistency(probe, args))) < near

    each = jax.lax.map(is_symmetry, 1 - 2 * jnp.eye(M, dtype=point.dtype))
    return each, is_symmetry(-jnp.ones(M, point.dtype))
