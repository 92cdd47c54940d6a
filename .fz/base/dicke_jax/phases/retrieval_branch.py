"""The retrieval branch of a pattern, followed by the strength of its own field, from strong fields down.

A state is stationary at coupling g0 where, with f_mu = c_mu xi_mu the field of each mode and c_mu = g0^2 chi_mu,

    lambda f = chi P(f),   |f_nu| = a,   lambda = 1 / g0^2

P(f) are the overlaps of spins at rest in the field f. The strength a runs through the branch where g0 turns back (a
fold) and where the overlap vanishes (a -> 0, the state merges with the normal one); neither the overlap nor the
coupling need be monotonic. A point is (f / a, lambda), a function of log a that becomes constant at both ends.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._typing import ModeReals, SubsetReals
from ..model import DickeModel
from ..self_consistency import field_per_overlap, stationary_spins, trusted

STRONGEST, WEAKEST = 1e3, 1e-7  # a, in units of the spins' splitting
LONGEST_STEP, SHORTEST_STEP = 0.7, 1e-7  # in log a
OFF_COURSE = 0.02  # the distance from the tangent at which a point may be one of another branch
MOST_POINTS = 300
NEWTON_STEPS = 8


class RetrievalBranch(eqx.Module):
    """Points of a branch, from strong to weak field: the first `number` ones. The rest repeats the last.

    `number` is 0 where strong fields have no state with this pattern's overlap the largest; `complete` is false where
    the branch was lost on the way.
    """

    strength: Float[Array, " P"]  # log a
    points: Float[Array, "P U"]
    number: Int[Array, ""]
    complete: Bool[Array, ""]


def follow_branch(model: DickeModel, pattern: Int[Array, ""], lengths: SubsetReals) -> RetrievalBranch:
    """Newton's method from a prediction along the tangent, with steps so short that the branch is not lost."""
    unit = jnp.abs(2 * model.omega_spin)
    start, end = jnp.log(STRONGEST * unit), jnp.log(WEAKEST * unit)
    chi = response(model)
    own = jnp.arange(model.num_modes) == pattern
    pull = chi * overlaps_in_field(model, jnp.where(own, jnp.sign(chi) * jnp.exp(start), 0), lengths)
    inverse = jnp.sum(jnp.where(own, jnp.abs(pull), 0)) / jnp.exp(start)
    guess = jnp.append(pull / jnp.exp(start) / inverse, inverse)
    first, good = refine(model, pattern, lengths, start, jnp.where(jnp.isfinite(guess), guess, 1))
    xi = jnp.abs(overlaps_in_field(model, jnp.exp(start) * first[:-1], lengths))
    good &= jnp.argmax(xi) == pattern

    def advance(carry: Any) -> Any:
        branch, step = carry
        at = branch.number - 1
        s, u = branch.strength[at], branch.points[at]
        further = jnp.maximum(s - step, end)
        predicted = u + tangent(u, model, pattern, lengths, s) * (further - s)
        point, good = refine(model, pattern, lengths, further, predicted)
        scale = jnp.append(jnp.ones(model.num_modes, u.dtype), u[-1])
        good &= jnp.max(jnp.abs(point - predicted) / scale) < OFF_COURSE
        index = jnp.arange(MOST_POINTS)
        new = good & (index > at)
        strength = jnp.where(new, further, branch.strength)
        points = jnp.where(new[:, None], point[None, :], branch.points)
        step = jnp.where(good, jnp.minimum(1.5 * step, LONGEST_STEP), step / 2)
        return RetrievalBranch(strength, points, branch.number + good.astype(int), branch.complete), step

    def unfinished(carry: Any) -> Array:
        branch, step = carry
        going = (branch.strength[-1] > end) & (step > SHORTEST_STEP)
        return going & (branch.number > 0) & (branch.number < MOST_POINTS)

    points = jnp.broadcast_to(first, (MOST_POINTS, first.size))
    branch = RetrievalBranch(jnp.full(MOST_POINTS, start), points, good.astype(int), jnp.array(False))
    branch, _ = jax.lax.while_loop(unfinished, advance, (branch, jnp.asarray(LONGEST_STEP, model.dtype)))
    return dataclasses.replace(branch, complete=branch.strength[-1] <= end)


def refine(
    model: DickeModel, pattern: Int[Array, ""], lengths: SubsetReals, s: Array, guess: Array
) -> tuple[Array, Bool[Array, ""]]:
    """The point at strength exp(s) near a guess, and whether it is one."""
    tol = 1e4 * float(jnp.finfo(s.dtype).eps)

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        u, _, count = carry
        matrix = jax.jacfwd(_residual)(u, model, pattern, lengths, s)
        shift = jnp.linalg.solve(matrix, _residual(u, model, pattern, lengths, s))
        return u - shift, jnp.maximum(jnp.max(jnp.abs(shift[:-1])), jnp.abs(shift[-1] / u[-1])), count + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, size, count = carry
        return (size > tol) & (count < NEWTON_STEPS)

    u, size, _ = jax.lax.while_loop(unfinished, improve, (guess, jnp.full_like(s, jnp.inf), jnp.zeros((), int)))
    return u, (size <= tol) & (u[-1] > 0)


@eqx.filter_custom_jvp
def as_function(u: Array, args: tuple[DickeModel, SubsetReals, Array], pattern: Int[Array, ""]) -> Array:
    """A known point as a function of the model, the spin lengths and log a: its derivative is implicit."""
    return u


@as_function.def_jvp
def _(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    u, args, pattern = primals
    _, d_args, _ = tangents
    matrix = jax.jacfwd(_residual)(u, args[0], pattern, *args[1:])
    _, change = eqx.filter_jvp(lambda x: _residual(u, x[0], pattern, *x[1:]), (args,), (d_args,))
    # where another branch crosses, the matrix is singular in the direction of that one, in which nothing changes
    inverse = jnp.linalg.pinv(matrix, rtol=1e4 * float(jnp.finfo(u.dtype).eps))
    return u, trusted(jnp.all(jnp.isfinite(u)), -jnp.matmul(inverse, change, precision="highest"))


def tangent(u: Array, model: DickeModel, pattern: Int[Array, ""], lengths: SubsetReals, s: Array) -> Array:
    """Du / ds. Its last entry, dlambda / ds, vanishes where g0 turns back."""
    matrix = jax.jacfwd(_residual)(u, model, pattern, lengths, s)
    _, change = jax.jvp(lambda s: _residual(u, model, pattern, lengths, s), (s,), (jnp.ones_like(s),))
    return -jnp.linalg.solve(matrix, change)


def side(u: Array, model: DickeModel, pattern: Int[Array, ""], lengths: SubsetReals, s: Array) -> Array:
    """A sign that changes along the branch only where another one crosses it."""
    return jnp.linalg.slogdet(jax.jacfwd(_residual)(u, model, pattern, lengths, s))[0]


def response(model: DickeModel) -> ModeReals:
    """chi_mu, the field of a mode per overlap, c_mu = g0^2 chi_mu."""
    return field_per_overlap(dataclasses.replace(model, g0=jnp.ones((), model.dtype)))


def overlaps_in_field(model: DickeModel, f: ModeReals, lengths: SubsetReals) -> ModeReals:
    """P(f)."""
    return model.spins.project(stationary_spins(model, model.spins.field(f), lengths)[2])


def coupling_at(u: Float[Array, " U"]) -> Float[Array, ""]:
    """g0 of a point."""
    return jax.lax.rsqrt(u[-1])


def _residual(u: Array, model: DickeModel, pattern: Array, lengths: SubsetReals, s: Array) -> Array:
    direction, inverse, a = u[:-1], u[-1], jnp.exp(s)
    chi = response(model)
    own = jnp.arange(direction.size) == pattern
    fixed = jnp.sum(jnp.where(own, direction * jnp.sign(chi), 0)) - 1
    return jnp.append(inverse * direction - chi * overlaps_in_field(model, a * direction, lengths) / a, fixed)
