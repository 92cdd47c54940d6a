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
from ..mean_field.model import DickeModel
from ..mean_field.stationary_equations import field_per_overlap, overlaps_in_field
from .roots import iterate

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


class PatternStates(eqx.Module):
    """The equations of one pattern's branch, for points u = (f / a, lambda) at strength a = exp(s)."""

    model: DickeModel
    pattern: Int[Array, ""]
    lengths: SubsetReals

    def __call__(self, u: Array, s: Array) -> Array:
        """What vanishes at the points of the branch."""
        chi, a = response(self.model), jnp.exp(s)
        fixed = (u[:-1] * jnp.sign(chi))[self.pattern] - 1
        return jnp.append(u[-1] * u[:-1] - chi * overlaps_in_field(self.model, a * u[:-1], self.lengths) / a, fixed)

    def refine(self, s: Array, guess: Array) -> tuple[Array, Bool[Array, ""]]:
        """The point at strength exp(s) near a guess, and whether it is one."""
        tol = 1e4 * float(jnp.finfo(s.dtype).eps)

        def size(shift: Array, u: Array) -> Array:
            return jnp.max(jnp.abs(shift.at[-1].divide(u[-1])))

        u, last = iterate(lambda u: self(u, s), guess, tol, NEWTON_STEPS, size)
        return u, (last <= tol) & (u[-1] > 0)

    def tangent(self, u: Array, s: Array) -> Array:
        """The derivative du / ds."""
        _, change = jax.jvp(lambda s: self(u, s), (s,), (jnp.ones_like(s),))
        return -jnp.linalg.solve(jax.jacfwd(self)(u, s), change)

    def slope(self, u: Array, s: Array) -> Array:
        """The last entry of du / ds over lambda, which vanishes where g0 turns back."""
        return self.tangent(u, s)[-1] / u[-1]

    def orientation(self, u: Array, s: Array) -> Array:
        """A sign that changes along the branch only where another one crosses it."""
        return jnp.linalg.slogdet(jax.jacfwd(self)(u, s))[0]


def follow_branch(states: PatternStates) -> RetrievalBranch:
    """Newton's method from a prediction along the tangent, with steps so short that the branch is not lost."""
    model, lengths = states.model, states.lengths
    unit = jnp.abs(2 * model.omega_spin)
    start, end = jnp.log(STRONGEST * unit), jnp.log(WEAKEST * unit)
    chi = response(model)
    alone = jnp.zeros_like(chi).at[states.pattern].set(jnp.sign(chi[states.pattern]) * jnp.exp(start))
    pull = chi * overlaps_in_field(model, alone, lengths)
    inverse = jnp.abs(pull[states.pattern]) / jnp.exp(start)
    guess = jnp.append(pull / jnp.exp(start) / inverse, inverse)
    first, good = states.refine(start, jnp.where(jnp.isfinite(guess), guess, 1))
    xi = jnp.abs(overlaps_in_field(model, jnp.exp(start) * first[:-1], lengths))
    good &= jnp.argmax(xi) == states.pattern

    def advance(carry: Any) -> Any:
        branch, step = carry
        at = branch.number - 1
        s, u = branch.strength[at], branch.points[at]
        further = jnp.maximum(s - step, end)
        predicted = u + states.tangent(u, s) * (further - s)
        point, good = states.refine(further, predicted)
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


def response(model: DickeModel) -> ModeReals:
    """chi_mu, the field of a mode per overlap, c_mu = g0^2 chi_mu."""
    return field_per_overlap(model.replace(g0=jnp.ones((), model.dtype)))
