"""One step of pseudo-arclength continuation, and what a point of a branch knows about special points near it."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import SubsetReals
from ..model import DickeModel
from ..self_consistency import self_consistency, state_of_overlaps
from .linearised import jacobian, largest_rate, tangent_basis
from .spectrum import eigensystem
from .stability import shares_of

NEWTON_STEPS = 12
GROWS = 1e-9  # real part that counts as growing, in units of the largest rate


def with_parameter(model: DickeModel, parameter: Any, value: Array) -> Any:
    """The model with another value of one rate: by name, by name and mode, or as a function makes it."""
    if callable(parameter):
        return parameter(value)
    if isinstance(parameter, str):
        return dataclasses.replace(model, **{parameter: value})
    name, mode = parameter
    return dataclasses.replace(model, **{name: getattr(model, name).at[mode].set(value)})


class Problem(eqx.Module):
    """M equations for M overlaps and one parameter in units of `scale`: u = (xi, p / scale)."""

    model: DickeModel
    lengths: SubsetReals
    scale: Float[Array, ""]
    parameter: Any = eqx.field(static=True)
    spectral: bool = eqx.field(static=True)

    def model_at(self, u: Array) -> DickeModel:
        """The model with the parameter's value at u."""
        return with_parameter(self.model, self.parameter, u[-1] * self.scale)

    def __call__(self, u: Array) -> Array:
        return self_consistency(u[:-1], (self.model_at(u), self.lengths))


class Point(NamedTuple):
    """A solution, its tangent, and functions whose signs change at special points."""

    u: Array
    tangent: Array
    good: Array
    crossing: Array  # the determinant of the equations and the tangent: zero where another branch crosses
    singular: Array  # the smallest singular value of that matrix against its largest
    growth: Array  # the largest real part among deviations that modes see
    swing: Array  # the largest real part among those that oscillate
    num_growing: Array


@eqx.filter_jit
def first_point(problem: Problem, u: Array, direction: Array) -> Point:
    """The solution at u, with the tangent that goes along `direction`."""
    equations = jax.jacfwd(problem)(u)
    tangent = jnp.linalg.svd(equations)[2][-1]
    tangent = tangent * jnp.where(jnp.sum(tangent * direction) < 0, -1, 1)
    return _describe(problem, u, tangent, jnp.array(True))


@eqx.filter_jit
def known_point(problem: Problem, u: Array, tangent: Array) -> Point:
    """A solution with a tangent, both given."""
    return _describe(problem, u, tangent, jnp.array(True))


@eqx.filter_jit
def next_point(problem: Problem, u0: Array, tangent: Array, ds: Array) -> Point:
    """Newton's method on xi = P(xi; p) and t . (u - u_0) = ds."""
    tol = 1e3 * float(jnp.finfo(u0.dtype).eps)

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        u, _, count = carry
        defect = jnp.append(problem(u), jnp.sum(tangent * (u - u0)) - ds)
        matrix = jnp.concatenate([jax.jacfwd(problem)(u), tangent[None, :]])
        shift = jnp.linalg.solve(matrix, defect)
        return u - shift, jnp.max(jnp.abs(shift)), count + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > tol) & (carry[2] < NEWTON_STEPS)

    start = u0 + ds * tangent, jnp.full_like(ds, jnp.inf), jnp.zeros((), int)
    u, size, _ = jax.lax.while_loop(unfinished, improve, start)
    matrix = jnp.concatenate([jax.jacfwd(problem)(u), tangent[None, :]])
    ahead = jnp.linalg.solve(matrix, jnp.zeros_like(u).at[-1].set(1))
    good = (size <= jnp.sqrt(tol)) & jnp.all(jnp.isfinite(ahead))
    ahead = jnp.where(good, ahead, tangent)
    return _describe(problem, jnp.where(good, u, u0), ahead / jnp.linalg.norm(ahead), good)


def other_direction(problem: Problem, u: Array, tangent: Array) -> Array:
    """At a branch point: the direction of the branch that crosses, orthogonal to the tangent of this one."""
    null = jnp.linalg.svd(jax.jacfwd(problem)(u))[2][-2:]
    along = null @ tangent
    across = null[0] * along[1] - null[1] * along[0]
    across = across / jnp.linalg.norm(across)
    return across * jnp.sign(across[jnp.argmax(jnp.abs(across))])


def _describe(problem: Problem, u: Array, tangent: Array, good: Array) -> Point:
    matrix = jnp.concatenate([jax.jacfwd(problem)(u), tangent[None, :]])
    sizes = jnp.linalg.svd(matrix, compute_uv=False)
    growth = swing = jnp.full_like(u[0], jnp.nan)
    growing = jnp.array(-1)
    if problem.spectral:
        model = problem.model_at(u)
        state = state_of_overlaps(model, u[:-1], problem.lengths)
        values, vectors = eigensystem(jacobian(model, state))
        K = model.num_subsets
        z = jnp.matmul(tangent_basis(model, state)[2 * K : 3 * K].astype(vectors.dtype), vectors, precision="highest")
        parts = [jax.vmap(model.spins.project, in_axes=1)(part) for part in (z.real, z.imag)]
        seen = jnp.sum(shares_of(jnp.hypot(*parts), jnp.linalg.norm(z, axis=0)), axis=1) > 0
        scale = largest_rate(model)
        growth = jnp.max(jnp.where(seen, values.real, -jnp.inf))
        swing = jnp.max(jnp.where(seen & (jnp.abs(values.imag) > 1e-6 * scale), values.real, -jnp.inf))
        growing = jnp.sum(values.real > GROWS * scale)
    return Point(u, tangent, good, jnp.linalg.det(matrix), sizes[-1] / sizes[0], growth, swing, growing)
