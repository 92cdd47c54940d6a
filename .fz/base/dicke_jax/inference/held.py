"""Couplings at which a held overlap sustains itself: the retrieval branch, descended by its overlap.

    xi = P(xi; g0),   |xi_nu| = s

Unknown are log g0 and the other overlaps in units of s, M numbers; g0 is a smooth function of s^2.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optimistix as optx
from jaxtyping import Array, Float, Int

from ..model import DickeModel
from ..self_consistency import resulting_overlaps
from .descent import start, steps
from .parameters import Vector

STRONG = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)  # overlaps to begin at: the largest that any g0 sustains
POINTS = 64  # from there down
WEAKEST_PULL = 0.1  # d log P_nu / d log g0 there; it is 2 for small overlaps
DESCENT_STEPS = 40
STRIDE, MOST_STRIDES = 0.4, 30  # in log g0, down to where it pulls


class HeldBranch(eqx.Module):
    """The branch from a large overlap down to the overlaps that were asked for.

    - `couplings`: (S,), at these overlaps; NaN where the branch does not get there.
    - `turn`, `turn_overlap`: the least g0 on the way, where the branch turns back, and the overlap there; NaN if none.
    - `losses`: (steps, starts), of the descents.
    """

    couplings: Float[Array, " S"]
    turn: Float[Array, ""]
    turn_overlap: Float[Array, ""]
    losses: Float[Array, "steps starts"]


def defect(v: Vector, args: tuple[DickeModel, Int[Array, ""], Float[Array, ""]]) -> Vector:
    """(P - xi)_mu / s for the other overlaps, log(P_nu / s) for the pattern's own, in whose place v has log g0."""
    model, nu, s = args
    own = jnp.arange(model.num_modes) == nu
    lengths = jnp.full(model.num_subsets, jnp.sign(model.omega_mode[nu]))
    at = dataclasses.replace(model, g0=jnp.exp(v[nu]))
    result = resulting_overlaps(at, s * jnp.where(own, 1, v), lengths) / s
    sustained = jnp.where(result > 0, result, jnp.nan)  # a field that turns the overlap round has no threshold
    return jnp.where(own, jnp.log(jnp.where(own, sustained, 1)), result - v)


@eqx.filter_jit
def held_branch(model: DickeModel, nu: Int[Array, ""], first: Float[Array, ""], held: Float[Array, " S"]) -> HeldBranch:
    """From g0 = `first`, by Polyak's descent to a large overlap, and along the branch by Newton's method."""
    own = jnp.arange(model.num_modes) == nu
    optimizer = optax.polyak_sgd(
        max_learning_rate=jnp.inf
    )  # loss / |slope|^2: log P_nu is concave, and no step too far

    def solve(guess: Vector, s: Float[Array, ""]) -> Vector:
        fine = 10 * float(jnp.finfo(s.dtype).eps)
        args = (model, nu, s)
        v = optx.root_find(defect, optx.Newton(rtol=fine, atol=fine), guess, args, throw=False, max_steps=30).value
        near = jnp.max(jnp.abs(v - guess)) < 0.5  # else it is another branch
        return jnp.where(near & (jnp.max(jnp.abs(defect(v, args))) < 1e3 * fine / s), v, jnp.nan)

    def pull_at(v: Vector, s: Float[Array, ""]) -> Float[Array, ""]:
        return jax.jacfwd(defect)(v, (model, nu, s))[nu, nu]

    def descend(s: Float[Array, ""]) -> tuple[Vector, Array]:
        def alone(log_g0: Float[Array, "1"]) -> Vector:
            return jnp.where(own, log_g0, 0)  # no other overlap yet

        def loss(log_g0: Float[Array, "1"]) -> Float[Array, ""]:
            return jnp.abs(defect(alone(log_g0), (model, nu, s))[nu])

        def lower(_: Any, log_g0: Array) -> Array:
            saturated = pull_at(alone(log_g0), s) < WEAKEST_PULL
            return jnp.where(saturated, log_g0 - STRIDE, log_g0)

        log_g0 = jax.lax.fori_loop(0, MOST_STRIDES, lower, jnp.log(first)[None])
        at, losses = steps(optimizer, loss, start(optimizer, log_g0), DESCENT_STEPS)
        v = solve(alone(at.best), s)
        # where jumps act, so strong a coupling that it weakens the overlap sustains one too
        own_branch = (pull_at(v, s) > WEAKEST_PULL) & (jnp.max(jnp.abs(jnp.where(own, 0, v))) < 1)
        return jnp.where(own_branch, v, jnp.nan), losses

    strong = jnp.asarray(STRONG, held.dtype)
    starts, losses = jax.vmap(descend)(strong)
    top = jnp.argmax(jnp.all(jnp.isfinite(starts), axis=1))
    down = strong[top] + (jnp.max(held) - strong[top]) * jnp.linspace(0, 1, POINTS, dtype=held.dtype)
    down = jnp.concatenate([down, jnp.sort(held)[::-1]])

    def go_down(v: Vector, s: Float[Array, ""]) -> tuple[Vector, Vector]:
        further = solve(v, s)
        return further, further

    _, points = jax.lax.scan(go_down, starts[top], down)
    log_g0 = points[:, nu]

    rises = jnp.diff(log_g0) > 1e2 * float(jnp.finfo(held.dtype).eps)
    lowest = jnp.argmax(rises)
    turn, turn_overlap = _turn(model, nu, points[lowest], down[lowest])
    there = jnp.any(rises)
    couplings = jnp.exp(log_g0[POINTS:])[::-1][jnp.argsort(jnp.argsort(held))]
    return HeldBranch(couplings, jnp.where(there, turn, jnp.nan), jnp.where(there, turn_overlap, jnp.nan), losses.T)


def _turn(
    model: DickeModel, nu: Int[Array, ""], point: Vector, s: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The least g0: d log g0 / d log s = 0 along the branch, near a point of it."""

    def slope_and_defect(u: Array, _: None) -> Array:
        def at(v: Vector, log_s: Array) -> Vector:
            return defect(v, (model, nu, jnp.exp(log_s)))

        v, log_s = u[:-1], u[-1]
        _, change = jax.jvp(lambda log_s: at(v, log_s), (log_s,), (jnp.ones_like(log_s),))
        return jnp.append(at(v, log_s), -jnp.linalg.solve(jax.jacfwd(at)(v, log_s), change)[nu])

    fine = 10 * float(jnp.finfo(s.dtype).eps)
    guess = jnp.append(point, jnp.log(s))
    solver = optx.Newton(rtol=fine, atol=fine)
    u = optx.root_find(slope_and_defect, solver, guess, throw=False, max_steps=30).value
    good = jnp.max(jnp.abs(slope_and_defect(u, None))) < 1e6 * fine  # g0 is least there, and feels it to second order
    good &= jnp.max(jnp.abs(u - guess)) < 0.2
    return jnp.where(good, jnp.exp(u[nu]), jnp.nan), jnp.exp(u[-1])
