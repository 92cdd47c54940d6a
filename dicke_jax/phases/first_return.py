"""When a run is back where it began: a first guess of an orbit's period."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._typing import RealState
from ..dynamics.integrate import integrate
from ..dynamics.trajectory import default_solver, default_tolerance
from ..mean_field import AbstractMeanFieldModel, mean_field_equations

NUM_SAMPLES = 2048
SAMPLE_ANGLE = 0.05  # by which an oscillation of the orbit's mean frequency turns between two of them
GROWS, MOST_ROUNDS = 2.0, 8  # steps that grow by more have not gone round; and how often they may
NEAR = 3.0, 1e-2  # times the closest crossing, and of the orbit's size: as near as that is back
NO_ORBIT = 1e-6  # size of what moves by round-off or rests


def first_return(model: AbstractMeanFieldModel, y0: RealState) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """When the run from y_0 first comes back through the section (y - y_0) . f(y_0) = 0, near to where it started.

    The first crossing that is about as near to the start as any of the following ones; and whether there is one.
    """

    def sample(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        step, _, _, count = carry
        flat, speed = _samples(model, y0, step)
        spread = jnp.sqrt(jnp.mean(jnp.sum((flat - jnp.mean(flat, axis=0, keepdims=True)) ** 2, axis=1)))
        size = jnp.sqrt(jnp.mean(jnp.sum(speed**2, axis=1)))
        better = SAMPLE_ANGLE * spread / jnp.where(size > 0, size, 1)
        better = jnp.where(better > 0, better, step)
        return better, (flat, speed, spread, step), better > GROWS * step, count + 1

    def unfinished(carry: tuple[Any, ...]) -> Bool[Array, ""]:
        _, _, grows, count = carry
        # a good step shows only on the orbit: the second round has it, or a later one where modes are very fast
        return (count < 2) | grows & (count < MOST_ROUNDS)

    coarse = SAMPLE_ANGLE / model.fastest_rate(jnp.zeros((), model.dtype), y0)
    shapes = jax.eval_shape(lambda step: sample((step, None, None, 0))[1], coarse)
    none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    first = coarse, none, jnp.array(True), jnp.zeros((), int)
    flat, speed, spread, step = jax.lax.while_loop(unfinished, sample, first)[1]
    away = flat - flat[0][None]
    velocity = jnp.sqrt(jnp.sum(speed[0] ** 2))
    normal = speed[0] / jnp.where(velocity > 0, velocity, 1)
    ahead = jnp.sum(away * normal[None], axis=1)
    crosses = (ahead[:-1] < 0) & (ahead[1:] >= 0)
    rise = jnp.where(crosses, jnp.diff(ahead), 1)
    share = jnp.where(crosses, -ahead[:-1] / rise, 0)

    def between(share: Float[Array, " gaps"]) -> Float[Array, "gaps n"]:
        """The cubic through two samples with their velocities."""
        a, b = share[:, None], 1 - share[:, None]
        bend = b * (away[:-1] - away[1:] + step * speed[:-1]) + a * (away[1:] - away[:-1] - step * speed[1:])
        return b * away[:-1] + a * away[1:] + a * b * bend

    for _ in range(3):
        share = share - jnp.where(crosses, jnp.sum(between(share) * normal[None], axis=1) / rise, 0)
    there = between(share)
    aside2 = jnp.sum(there**2, axis=1) - jnp.sum(there * normal[None], axis=1) ** 2
    distance = jnp.where(crosses, jnp.sqrt(jnp.maximum(aside2, 0)), jnp.inf)
    near = distance <= NEAR[0] * jnp.min(distance) + NEAR[1] * spread
    first = jnp.argmax(near)
    found = jnp.isfinite(distance[first]) & (spread > NO_ORBIT)
    return (first.astype(step.dtype) + share[first]) * step, found


def _samples(model: AbstractMeanFieldModel, y0: RealState, step: Array) -> tuple[Array, Array]:
    """States and velocities at equal distances in time."""
    tol = default_tolerance(model.dtype)
    times = step * np.arange(NUM_SAMPLES, dtype=model.dtype)
    controller = dfx.PIDController(tol, tol)
    saveat = dfx.SaveAt(t0=True, ts=times[1:-1], t1=True)
    how: dict[str, Any] = dict(solver=default_solver(model), stepsize_controller=controller)
    sol: Any = integrate(model, y0, times[0], times[-1], saveat, **how)
    speed = jax.vmap(lambda at: mean_field_equations(0.0, at, model))(sol.ys)
    return _flat(sol.ys), _flat(speed)


def _flat(states: Any) -> Float[Array, "S n"]:
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in states], axis=1)
