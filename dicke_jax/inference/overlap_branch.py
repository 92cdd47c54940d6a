"""Couplings at which a given overlap sustains itself: the retrieval branch, descended by its overlap.

    xi = P(xi; g0),   |xi_nu| = s

Unknown are log g0 and the other overlaps in units of s, M numbers; g0 is a smooth function of s^2.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Float, Int

from ..mean_field.model import DickeModel
from ..mean_field.stationary_equations import resulting_overlaps
from .free_parameters import Vector
from .optimise import POLYAK, start, steps

STRONG = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)  # overlaps to begin at: the largest that any g0 sustains
POINTS = 64  # from there down
WEAKEST_PULL = 0.1  # d log P_nu / d log g0 there; it is 2 for small overlaps
DESCENT_STEPS = 40
STRIDE, MOST_STRIDES = 0.4, 30  # in log g0, down to where it pulls


class OverlapBranch(eqx.Module):
    """The branch from a large overlap down to the overlaps that were asked for.

    - `couplings`: (S,), at these overlaps; NaN where the branch does not get there.
    - `turn`, `turn_overlap`: the least g0 on the way, where the branch turns back, and the overlap there; NaN if none.
    - `losses`: (steps, starts), of the descents.
    """

    couplings: Float[Array, " S"]
    turn: Float[Array, ""]
    turn_overlap: Float[Array, ""]
    losses: Float[Array, "steps starts"]


def residual(v: Vector, args: tuple[DickeModel, Int[Array, ""], Float[Array, ""]]) -> Vector:
    """(P - xi)_mu / s for the other overlaps, log(P_nu / s) for the pattern's own, in whose place v has log g0."""
    model, nu, s = args
    chosen = jnp.arange(model.num_modes) == nu
    lengths = jnp.full(model.num_subsets, jnp.sign(model.omega_mode[nu]))
    at = model.replace(g0=jnp.exp(v[nu]))
    result = resulting_overlaps(at, s * jnp.where(chosen, 1, v), lengths) / s
    sustained = jnp.where(result > 0, result, jnp.nan)  # a field that turns the overlap round has no threshold
    return jnp.where(chosen, jnp.log(jnp.where(chosen, sustained, 1)), result - v)


@eqx.filter_jit
def overlap_branch(
    model: DickeModel, nu: Int[Array, ""], first: Float[Array, ""], overlaps: Float[Array, " S"]
) -> OverlapBranch:
    """From g0 = |`first`|, by Polyak's descent to a large overlap, and along the branch by Newton's method."""
    chosen = jnp.arange(model.num_modes) == nu

    def solve(guess: Vector, s: Float[Array, ""]) -> Vector:
        args = (model, nu, s)
        v, fine = _root(residual, guess, args)
        near = jnp.max(jnp.abs(v - guess)) < 0.5  # else it is another branch
        return jnp.where(near & (jnp.max(jnp.abs(residual(v, args))) < 1e3 * fine / s), v, jnp.nan)

    def pull_at(v: Vector, s: Float[Array, ""]) -> Float[Array, ""]:
        return jax.jacfwd(residual)(v, (model, nu, s))[nu, nu]

    def descend(s: Float[Array, ""]) -> tuple[Vector, Array]:
        def alone(log_g0: Float[Array, "1"]) -> Vector:
            return jnp.where(chosen, log_g0, 0)  # no other overlap yet

        def loss(log_g0: Float[Array, "1"]) -> Float[Array, ""]:
            return jnp.abs(residual(alone(log_g0), (model, nu, s))[nu])

        def lower(_: Any, log_g0: Array) -> Array:
            return jnp.where(pull_at(alone(log_g0), s) < WEAKEST_PULL, log_g0 - STRIDE, log_g0)

        log_g0 = jax.lax.fori_loop(0, MOST_STRIDES, lower, jnp.log(jnp.abs(first))[None])
        at, losses = steps(POLYAK, loss, start(POLYAK, log_g0), DESCENT_STEPS)  # log P_nu is concave: no step too far
        v = solve(alone(at.best), s)
        # where jumps act, so strong a coupling that it weakens the overlap sustains one too
        on_branch = (pull_at(v, s) > WEAKEST_PULL) & (jnp.max(jnp.abs(jnp.where(chosen, 0, v))) < 1)
        return jnp.where(on_branch, v, jnp.nan), losses

    strong = jnp.asarray(STRONG, overlaps.dtype)
    starts, losses = jax.vmap(descend)(strong)
    top = jnp.argmax(jnp.all(jnp.isfinite(starts), axis=1))
    down = strong[top] + (jnp.max(overlaps) - strong[top]) * jnp.linspace(0, 1, POINTS, dtype=overlaps.dtype)
    down = jnp.concatenate([down, overlaps[::-1]])  # they increase

    _, points = jax.lax.scan(lambda v, s: (further := solve(v, s), further), starts[top], down)
    log_g0 = points[:, nu]
    rises = jnp.diff(log_g0) > 1e2 * float(jnp.finfo(overlaps.dtype).eps)
    lowest = jnp.argmax(rises)
    there, at_turn = jnp.any(rises), _turn(model, nu, points[lowest], down[lowest])
    turn, turn_overlap = (jnp.where(there, x, jnp.nan) for x in at_turn)
    couplings = jnp.exp(log_g0[POINTS:])[::-1]
    return OverlapBranch(couplings, turn, turn_overlap, losses.T)


def _root(function: Callable[[Vector, Any], Vector], guess: Vector, args: Any) -> tuple[Vector, float]:
    """By Newton's method, and to what precision."""
    fine = 10 * float(jnp.finfo(guess.dtype).eps)
    solver = optx.Newton(rtol=fine, atol=fine)
    return optx.root_find(function, solver, guess, args, throw=False, max_steps=30).value, fine


def _turn(model: DickeModel, nu: Int[Array, ""], point: Vector, s: Float[Array, ""]) -> tuple[Array, Array]:
    """The least g0: d log g0 / d log s = 0 along the branch, near a point of it."""

    def slope_and_residual(u: Array, _: None) -> Array:
        def at(v: Vector, log_s: Array) -> Vector:
            return residual(v, (model, nu, jnp.exp(log_s)))

        v, log_s = u[:-1], u[-1]
        _, change = jax.jvp(lambda log_s: at(v, log_s), (log_s,), (jnp.ones_like(log_s),))
        return jnp.append(at(v, log_s), -jnp.linalg.solve(jax.jacfwd(at)(v, log_s), change)[nu])

    guess = jnp.append(point, jnp.log(s))
    u, fine = _root(slope_and_residual, guess, None)
    good = jnp.max(jnp.abs(slope_and_residual(u, None))) < 1e6 * fine  # g0 is least there, and feels it to second order
    good &= jnp.max(jnp.abs(u - guess)) < 0.2
    return jnp.where(good, jnp.exp(u[nu]), jnp.nan), jnp.exp(u[-1])
