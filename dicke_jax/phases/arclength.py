"""One step of pseudo-arclength continuation, and what a point of a branch knows about special points near it."""

from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._typing import ModeReals, SubsetReals
from ..mean_field import DickeModel, MeanFieldState, overlaps
from ..mean_field.stationary_equations import self_consistency, signed_lengths, state_of_overlaps
from .linearisation import eigensystem, jacobian, largest_rate
from .roots import iterate, newton
from .stability_spectrum import pattern_shares

Numbers: TypeAlias = Array | np.ndarray  # on the host between steps, where it is decided how to go on
NEWTON_STEPS = 12
GROWS = 1e-9  # real part that counts as growing, in units of the largest rate


def with_parameter(model: Any, parameter: Any, value: Array) -> Any:
    """The model with another value of one rate: by name, by name and mode, or as a function makes it."""
    if callable(parameter):
        return parameter(value)
    if isinstance(parameter, str):
        return model.replace(**{parameter: value})
    name, mode = parameter
    return model.replace(**{name: getattr(model, name).at[mode].set(value)})


class Problem(eqx.Module):
    """M equations for M overlaps and one parameter in units of `scale`: u = (xi, p / scale)."""

    model: DickeModel
    lengths: SubsetReals
    scale: Float[Array, ""]
    parameter: Any = eqx.field(static=True)
    spectral: bool = eqx.field(static=True)

    def model_at(self, u: Numbers) -> DickeModel:
        """The model with the parameter's value at u."""
        return with_parameter(self.model, self.parameter, u[-1] * self.scale)

    def __call__(self, u: Numbers) -> Array:
        return self_consistency(jnp.asarray(u)[:-1], (self.model_at(u), self.lengths))


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
    problem: Problem, start: MeanFieldState | ModeReals, value: Numbers, direction: Numbers
) -> tuple[Problem, Point]:
    """The solution near a state or overlaps at this parameter, with the tangent along which the parameter changes.

    A state brings its own spin lengths, which the problem then has.
    """
    here = problem.model_at(value[None])
    if isinstance(start, MeanFieldState):
        problem = eqx.tree_at(lambda p: p.lengths, problem, signed_lengths(here, start))
        start = overlaps(here, start.m)
    xi, good = newton(start.astype(value.dtype), (here, problem.lengths))
    u = jnp.append(xi, value)
    tangent = jnp.linalg.svd(jax.jacfwd(problem)(u))[2][-1]
    tangent = tangent * jnp.where(tangent[-1] * direction < 0, -1, 1)
    return problem, describe(problem, u, tangent, good)


@eqx.filter_jit
def next_point(problem: Problem, u0: Numbers, tangent: Numbers, ds: Numbers) -> Point:
    """Newton's method on xi = P(xi; p) and t . (u - u_0) = ds."""
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
def other_direction(problem: Problem, u: Numbers, tangent: Numbers) -> Array:
    """At a branch point: the direction of the branch that crosses, orthogonal to the tangent of this one."""
    null = jnp.linalg.svd(jax.jacfwd(problem)(u))[2][-2:]
    along = null @ tangent
    across = null[0] * along[1] - null[1] * along[0]
    across = across / jnp.linalg.norm(across)
    return across * jnp.sign(across[jnp.argmax(jnp.abs(across))])


@eqx.filter_jit
def state_at(problem: Problem, u: Numbers) -> tuple[DickeModel, MeanFieldState]:
    """The model and the state of a point."""
    model = problem.model_at(u)
    return model, state_of_overlaps(model, jnp.asarray(u)[:-1], problem.lengths)


@eqx.filter_jit
def describe(problem: Problem, u: Numbers, tangent: Numbers, good: Numbers) -> Point:
    """A point that is known, or thought to be, with its tangent."""
    matrix = jnp.concatenate([jax.jacfwd(problem)(u), tangent[None, :]])
    sizes = jnp.linalg.svd(matrix, compute_uv=False)
    growth = swing = jnp.full_like(u[0], jnp.nan)
    growing = jnp.array(-1)
    if problem.spectral:
        model, state = state_at(problem, u)
        values, vectors = eigensystem(jacobian(model, state))
        seen = jnp.sum(pattern_shares(model, state, vectors), axis=1) > 0
        scale = largest_rate(model)
        growth = jnp.max(jnp.where(seen, values.real, -jnp.inf))
        swing = jnp.max(jnp.where(seen & (jnp.abs(values.imag) > 1e-6 * scale), values.real, -jnp.inf))
        growing = jnp.sum(values.real > GROWS * scale)
    return Point(u, tangent, good, jnp.linalg.det(matrix), sizes[-1] / sizes[0], growth, swing, growing)
