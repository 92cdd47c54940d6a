"""Couplings at which a given overlap sustains itself: the retrieval branch, followed from strong fields down.

    xi = P(xi; g0),   |xi_nu| = s

Unknown are log g0, the other overlaps in units of s, and log s: M + 1 numbers for M equations, followed by their
arclength, since neither g0 nor s need be monotonic. Near s = 0, g0 is a smooth function of s^2.
"""

from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..mean_field.model import DickeModel
from ..mean_field.stationary_equations import overlaps_in_field, resulting_overlaps
from ..phases.retrieval_states import response, splitting
from ..phases.roots import iterate_along
from .free_parameters import Vector
from .optimise import POLYAK, start, steps

STRONG = 10.0  # the pattern's own field at the beginning, in units of the spins' splitting or their damping
LONGEST_STEP, CROSSING_STEP, SHORTEST_STEP = 0.2, 0.05, 1e-6
STRAIGHT = 0.98  # of the cosine between two tangents, below which the step may have come to another branch
MOST_POINTS, NEWTON_STEPS = 400, 8
DESCENT_STEPS = 40
HALVINGS = 50
FLAT = 1e-6  # the slope of log g0 that counts as none
Unknowns: TypeAlias = Float[Array, " unknowns"]


class OverlapBranch(eqx.Module):
    """The branch from strong fields down to the overlaps that were asked for.

    - `overlaps`, `couplings`: (S,), small overlaps and the coupling at each; NaN where the branch does not get there.
    - `turn`, `turn_overlap`: the coupling on the way where the branch turns back first, and the overlap there; or NaN.
    - `losses`: (steps, S), of the descents.
    """

    overlaps: Float[Array, " S"]
    couplings: Float[Array, " S"]
    turn: Float[Array, ""]
    turn_overlap: Float[Array, ""]
    losses: Float[Array, "steps S"]


class Equations(eqx.Module):
    """What vanishes at stationary states with |xi_nu| = s, in u = (v, log s)."""

    model: DickeModel
    nu: Int[Array, ""]

    def at(self, v: Vector, log_s: Float[Array, ""]) -> Vector:
        """(P - xi)_mu / s for the other overlaps, log(P_nu / s) for the pattern's own, in whose place v has log g0."""
        s, chosen = jnp.exp(log_s), self.chosen
        lengths = jnp.full(self.model.num_subsets, jnp.sign(self.model.omega_mode[self.nu]))
        at = self.model.replace(g0=jnp.exp(v[self.nu]))
        result = resulting_overlaps(at, s * jnp.where(chosen, 1, v), lengths) / s
        sustained = jnp.where(result > 0, result, jnp.nan)  # a field that turns the overlap round has no threshold
        return jnp.where(chosen, jnp.log(jnp.where(chosen, sustained, 1)), result - v)

    @property
    def chosen(self) -> Bool[Array, " M"]:
        return jnp.arange(self.model.num_modes) == self.nu

    def __call__(self, u: Unknowns) -> Vector:
        return self.at(u[:-1], u[-1])

    def solve(self, guess: Unknowns, along: Unknowns) -> tuple[Unknowns, Unknowns, Array, Bool[Array, ""]]:
        """The point near a guess in the plane across `along`, the direction and orientation there, and whether it is.

        The orientation is a sign that changes along the branch only where another one crosses it.
        """
        tol = 1e3 * float(jnp.finfo(guess.dtype).eps)
        last_one = jnp.zeros_like(guess).at[-1].set(1)

        def both(u: Unknowns) -> tuple[Vector, Vector]:
            value = self(u)
            return value, value

        def linearised(u: Unknowns) -> tuple[Array, Array, Array]:
            slopes, value = jax.jacfwd(both, has_aux=True)(u)
            return jnp.append(value, along @ (u - guess)), jnp.concatenate([slopes, along[None, :]]), last_one

        u, ahead, orientation, last = iterate_along(linearised, guess, tol, NEWTON_STEPS)
        good = (last < jnp.sqrt(tol)) & jnp.all(jnp.isfinite(ahead))
        return u, ahead / jnp.linalg.norm(ahead), orientation, good


@eqx.filter_jit
def overlap_branch(
    model: DickeModel, nu: Int[Array, ""], first: Float[Array, ""], shares: Float[Array, " S"]
) -> OverlapBranch:
    """At overlaps of these `shares` of the branch's largest one; g0 there is descended from |`first`|."""
    equations = Equations(model, nu)
    points, number = _follow(equations, jnp.log(jnp.min(shares)))
    index = jnp.arange(MOST_POINTS)
    log_g0, log_s = points[:, nu], jnp.where(index < number, points[:, -1], -jnp.inf)
    largest = jnp.argmax(log_s)
    small = jnp.exp(log_s[largest]) * shares
    rises = (jnp.diff(log_g0) > 1e2 * float(jnp.finfo(shares.dtype).eps)) & (index[1:] < number)
    first_rise = jnp.argmax(rises)
    at_turn = _turn(equations, points[jnp.maximum(first_rise - 1, 0)], points[first_rise + 1])
    turn, turn_overlap = (jnp.where(jnp.any(rises), x, jnp.nan) for x in at_turn)

    def at(s: Float[Array, ""]) -> tuple[Array, Array]:
        below = (index > largest) & (index < number) & (log_s <= jnp.log(s))
        near = points[jnp.argmax(below)].at[-1].set(jnp.log(s))

        def loss(log_g0: Float[Array, "1"]) -> Float[Array, ""]:
            return jnp.abs(equations(near.at[nu].set(log_g0[0]))[nu])

        began = start(POLYAK, jnp.log(jnp.abs(first))[None])
        found, losses = steps(POLYAK, loss, began, DESCENT_STEPS)  # log P_nu is concave: no step too far
        guess = near.at[nu].set(found.best[0])
        u, _, _, good = equations.solve(guess, jnp.zeros_like(near).at[-1].set(1))
        good &= jnp.any(below) & (jnp.max(jnp.abs(u - near)) < LONGEST_STEP)
        return jnp.where(good, jnp.exp(u[nu]), jnp.nan), losses

    couplings, losses = jax.vmap(at)(small)
    return OverlapBranch(small, couplings, turn, turn_overlap, losses.T)


def _follow(equations: Equations, lowest: Float[Array, ""]) -> tuple[Float[Array, "P unknowns"], Int[Array, ""]]:
    """Points from strong fields down to a share exp(`lowest`) of the largest overlap, and their number, 0 if none."""
    model, nu = equations.model, equations.nu
    chi, chosen = response(model), equations.chosen
    a = STRONG * splitting(model)
    lengths = jnp.full(model.num_subsets, jnp.sign(model.omega_mode[nu]))
    xi = overlaps_in_field(model, jnp.where(chosen, jnp.sign(chi) * a, 0), lengths)
    own = xi[nu]
    guess = jnp.append(jnp.where(chosen, jnp.log(a / (jnp.abs(chi) * own)) / 2, xi / own), jnp.log(own))
    weaker = jnp.append(-2 * chosen.astype(guess.dtype), -1.0)  # log a = 2 log g0 + log |chi| + log s
    u, tangent, side, good = equations.solve(guess, weaker)
    good &= jnp.max(jnp.where(chosen, 0, jnp.abs(u[:-1]))) < 1
    points = jnp.broadcast_to(u, (MOST_POINTS, u.size))

    def unfinished(walk: _Walk) -> Array:
        log_s = walk.points[-1, -1]
        on_the_way = (log_s > walk.most + lowest) & (walk.step > SHORTEST_STEP)
        return (walk.number > 0) & (walk.number < MOST_POINTS) & on_the_way

    def advance(walk: _Walk) -> _Walk:
        u, ahead, side, found = equations.solve(walk.points[-1] + walk.step * walk.tangent, walk.tangent)
        found &= ahead @ walk.tangent > STRAIGHT
        crossed = found & (side != walk.side)
        good = found & (~crossed | walk.crosses)
        points = jnp.where((good & (jnp.arange(MOST_POINTS) >= walk.number))[:, None], u[None, :], walk.points)
        step = jnp.where(good, jnp.minimum(1.5 * walk.step, LONGEST_STEP), walk.step / 2)
        # a branch that only comes near is told from one that crosses by short steps
        crosses = crossed & ~walk.crosses & (step < 2 * SHORTEST_STEP)
        return _Walk(
            points,
            walk.number + good.astype(int),
            jnp.where(good, ahead, walk.tangent),
            jnp.where(good, side, walk.side),
            jnp.where(crosses, CROSSING_STEP, step),
            crosses | (walk.crosses & ~good),
            jnp.maximum(walk.most, points[-1, -1]),
        )

    step = jnp.full_like(u[0], LONGEST_STEP)
    walk = _Walk(points, good.astype(int), tangent, side, step, jnp.zeros_like(good), u[-1])
    walk = jax.lax.while_loop(unfinished, advance, walk)
    return walk.points, walk.number


class _Walk(eqx.Module):
    """Along the branch: its points so far, where it goes, and the largest log s that it has met."""

    points: Float[Array, "P unknowns"]
    number: Int[Array, ""]
    tangent: Unknowns
    side: Float[Array, ""]
    step: Float[Array, ""]
    crosses: Bool[Array, ""]  # whether the next step may cross another branch
    most: Float[Array, ""]


def _turn(equations: Equations, before: Unknowns, after: Unknowns) -> tuple[Array, Array]:
    """Where g0 falls no more and rises, between two points of the branch: the coupling and the overlap."""
    nu, along = equations.nu, after - before
    length = jnp.linalg.norm(along)
    along = along / length

    def halve(_: Any, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, last, slope = carry
        middle = (low + high) / 2
        u, ahead, _, good = equations.solve(before + middle * along, along)
        falls = good & (ahead[nu] < 0)
        nearer = jnp.where(falls, middle, low), jnp.where(falls, high, middle)
        return *nearer, jnp.where(falls, u, last), jnp.where(falls, ahead[nu], slope)

    begin = jnp.zeros_like(length), length, before, jnp.full_like(length, -jnp.inf)
    _, _, u, slope = jax.lax.fori_loop(0, HALVINGS, halve, begin)
    return jnp.where(slope > -FLAT, jnp.exp(u[nu]), jnp.nan), jnp.exp(u[-1])
