"""Couplings at which a given overlap sustains itself: the retrieval branch, followed from strong fields down.

    xi = P(xi; g0),   |xi_nu| = s

Unknown are log g0, the other overlaps in units of s, and log s: M + 1 numbers for M equations, followed by their
arclength, since neither g0 nor s need be monotonic. Near s = 0, g0 is a smooth function of s^2.
"""

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..mean_field.model import DickeModel
from ..mean_field.stationary_equations import overlaps_in_field, resulting_overlaps
from ..phases.retrieval_states import response, splitting
from ..phases.roots import iterate
from .free_parameters import Vector
from .optimise import POLYAK, start, steps

STRONG = 10.0  # the pattern's own field at the beginning, in units of the spins' splitting or their damping
LONGEST_STEP, CROSSING_STEP, SHORTEST_STEP = 0.2, 0.05, 1e-6
STRAIGHT = 0.98  # of the cosine between two tangents, below which the step may have come to another branch
MOST_POINTS, NEWTON_STEPS = 400, 8
DESCENT_STEPS = 40
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
        u, last = iterate(lambda u: jnp.append(self(u), along @ (u - guess)), guess, tol, NEWTON_STEPS)
        matrix = jnp.concatenate([jax.jacfwd(self)(u), along[None, :]])
        ahead = jnp.linalg.solve(matrix, jnp.zeros_like(u).at[-1].set(1))
        good = (last < jnp.sqrt(tol)) & jnp.all(jnp.isfinite(ahead))
        return u, ahead / jnp.linalg.norm(ahead), jnp.linalg.slogdet(matrix)[0], good


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
    at_turn = _turn(equations, points[jnp.argmax(rises)])
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


def _turn(equations: Equations, point: Unknowns) -> tuple[Array, Array]:
    """Where g0 turns back, near a point of the branch: the coupling and the overlap.

    There the slopes in all but log g0 are singular: A = d(equations)/d(others, log s) has a null vector n, |n| = 1.
    """
    nu, size = equations.nu, point.size

    def slopes(u: Unknowns) -> Float[Array, "M M"]:
        # in the place of log g0 stands log s
        matrix = jax.jacfwd(equations)(u)
        return jnp.where(equations.chosen[None, :], matrix[:, -1:], matrix[:, :-1])

    def turning(x: Array) -> Array:
        u, n = x[:size], x[size:]
        return jnp.concatenate([equations(u), slopes(u) @ n, jnp.sum(n**2)[None] - 1])

    null = jnp.linalg.svd(slopes(point))[2][-1]
    tol = 1e3 * float(jnp.finfo(point.dtype).eps)
    x, last = iterate(turning, jnp.append(point, null), tol, 2 * NEWTON_STEPS)
    good = (last < jnp.sqrt(tol)) & (jnp.max(jnp.abs(x[:size] - point)) < 2 * LONGEST_STEP)
    return jnp.where(good, jnp.exp(x[nu]), jnp.nan), jnp.exp(x[size - 1])
