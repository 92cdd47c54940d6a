"""One step of pseudo-arclength continuation, and what a point of a branch knows about special points near it."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._typing import ModeReals
from ..mean_field import MeanFieldState
from .branch_equations import AbstractProblem, Numbers
from .linearisation import eigensystem, jacobian, largest_rate
from .roots import iterate

NEWTON_STEPS = 12
GROWS = 1e-9  # real part that counts as growing, in units of the largest rate


class Point(NamedTuple):
    """A solution, its tangent, and functions whose signs change at special points."""

    u: Numbers
    tangent: Numbers
    good: Numbers
    crossing: Numbers  # the determinant of the equations and the tangent: zero where another branch crosses
    singular: Numbers  # the smallest singular value of that matrix against its largest
    growth: Numbers  # the largest real part among deviations that modes see
    swing: Numbers  # the largest real part among those that oscillate
    num_growing: Numbers


@eqx.filter_jit
def first_point(
    problem: AbstractProblem, start: MeanFieldState | ModeReals, value: Numbers, direction: Numbers
) -> tuple[AbstractProblem, Point]:
    """The solution near a state or overlaps at this parameter, with the tangent along which the parameter changes.

    A state brings its own spin lengths, which the problem then has.
    """
    problem, x, good = problem.begin(start, value)
    u = jnp.append(x, value)
    tangent = jnp.linalg.svd(jax.jacfwd(problem)(u))[2][-1]
    tangent = tangent * jnp.where(tangent[-1] * direction < 0, -1, 1)
    return problem, describe(problem, u, tangent, good)


@eqx.filter_jit
def next_point(problem: AbstractProblem, u0: Numbers, tangent: Numbers, ds: Numbers) -> Point:
    """Newton's method on F(u) = 0 and t . (u - u_0) = ds."""
    tol = 1e3 * float(jnp.finfo(u0.dtype).eps)

    def equations(u: Array) -> Array:
        return jnp.append(problem(u), jnp.sum(tangent * (u - u0)) - ds)

    u, size = iterate(equations, jnp.asarray(u0 + ds * tangent), tol, NEWTON_STEPS)
    matrix = jnp.concatenate([jax.jacfwd(problem)(u), tangent[None, :]])
    ahead = jnp.linalg.solve(matrix, jnp.zeros_like(u).at[-1].set(1))
    good = (size <= jnp.sqrt(tol)) & jnp.all(jnp.isfinite(ahead))
    ahead = jnp.where(good, ahead, tangent)
    return describe(problem, jnp.where(good, u, u0), ahead / jnp.linalg.norm(ahead), good)


@eqx.filter_jit
def other_direction(problem: AbstractProblem, u: Numbers, tangent: Numbers) -> Array:
    """At a branch point: the direction of the branch that crosses, orthogonal to the tangent of this one."""
    null = jnp.linalg.svd(jax.jacfwd(problem)(u))[2][-2:]
    along = null @ tangent
    across = null[0] * along[1] - null[1] * along[0]
    across = across / jnp.linalg.norm(across)
    return across * jnp.sign(across[jnp.argmax(jnp.abs(across))])


@eqx.filter_jit
def state_at(problem: AbstractProblem, u: Numbers) -> tuple[Any, MeanFieldState]:
    """The model and the state of a point."""
    model = problem.model_at(u)
    return model, problem.state(model, u)


@eqx.filter_jit
def describe(problem: AbstractProblem, u: Numbers, tangent: Numbers, good: Numbers) -> Point:
    """A point that is known, or thought to be, with its tangent."""
    matrix = jnp.concatenate([jax.jacfwd(problem)(u), tangent[None, :]])
    sizes = jnp.linalg.svd(matrix, compute_uv=False)
    growth = swing = jnp.full_like(u[0], jnp.nan)
    growing = jnp.array(-1)
    if problem.spectral:
        model, state = state_at(problem, u)
        values, vectors = eigensystem(jacobian(model, state))
        seen = problem.counts(model, state, vectors)
        scale = largest_rate(model)
        growth = jnp.max(jnp.where(seen, values.real, -jnp.inf))
        swing = jnp.max(jnp.where(seen & (jnp.abs(values.imag) > 1e-6 * scale), values.real, -jnp.inf))
        growing = jnp.sum(values.real > GROWS * scale)
    return Point(u, tangent, good, jnp.linalg.det(matrix), sizes[-1] / sizes[0], growth, swing, growing)
