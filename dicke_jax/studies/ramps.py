"""One ramp: the coupling goes up through a pattern's threshold, and back, each at a constant pace."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._status import Status, where
from ..dynamics import mfsolve
from ..mean_field import DickeModel, PiecewiseLinear
from ..mean_field.state import MeanFieldState, pattern_signs
from ..phases import retrieval_state


def turned(model: DickeModel, pattern: int | Array, angle: float | Array) -> MeanFieldState:
    """The stationary state of a pattern, every spin turned by `angle` (radians) about y, towards the pattern."""
    state, row = retrieval_state(model, pattern), pattern_signs(model, pattern)
    (x, y, z), c, s = state.m, jnp.cos(angle), jnp.sin(angle)
    return MeanFieldState(jnp.stack([c * x + s * row * z, y, c * z - s * row * x]), state.alpha)


def ramp_and_back(
    model: DickeModel,
    pattern: int | Array,
    duration: Array,
    ends: tuple[Array, Array],
    turn: Array,
    points: int,
    **how: Any,
) -> dict[str, Any]:
    """|xi_nu| on the way up and on the way down, both against rising g0, and the loop between them.

        loop_area = integral (|xi_nu|_down - |xi_nu|_up) dg0

    From the stationary state of the pattern at the lower of both `ends`, the normal one below threshold, `turned`.
    `how` is that of `mfsolve`.
    """
    low, high = ends
    times, start = jnp.linspace(0.0, duration, points, dtype=model.dtype), turned(model.replace(g0=low), pattern, turn)

    def way(state: MeanFieldState, values: Array) -> tuple[MeanFieldState, tuple[Array, Status]]:
        ramp = PiecewiseLinear(jnp.stack([jnp.zeros_like(duration), duration]), values)
        sol = mfsolve(model.replace(g0=ramp), state, times, throw=False, **how)
        return sol.final_state, (jnp.abs(jnp.take(sol.overlaps, pattern, axis=1)), sol.status)

    both = jnp.stack([jnp.stack([low, high]), jnp.stack([high, low])])
    _, (overlap, status) = jax.lax.scan(way, start, both)  # one program for both ways
    up, down = overlap[0], overlap[1][::-1]
    area = jnp.trapezoid(down - up, dx=(high - low) / (points - 1))
    first, second = (jax.tree.map(lambda x, i=i: x[i], status) for i in range(2))
    ended = where(first == Status.successful, second, first)
    return {"overlap_up": up, "overlap_down": down, "loop_area": area, "status": ended}
