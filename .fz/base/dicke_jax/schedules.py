"""Time-dependent rates: constants, functions of time, or interpolations."""

from collections.abc import Callable
from typing import Any, TypeAlias

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._checks import as_float, check_finite, known, refuse
from ._typing import ArrayLike

Schedule: TypeAlias = Callable[[Any], Any] | dfx.AbstractPath


class PiecewiseLinear(eqx.Module):
    """A rate that goes in straight lines through given values, and stays at the first and last outside.

    - `times`: (n,), increasing; the solver steps onto each, since the rate has a kink there.
    - `values`: (n,), or (n, M) for a rate of every mode.

    Differentiable in both. `PiecewiseLinear([0.0, 50.0], [0.3, 2.0])` is a ramp.
    """

    times: Float[Array, " n"] = eqx.field(converter=as_float)
    values: Float[Array, " n *M"] = eqx.field(converter=as_float)

    def __check_init__(self) -> None:
        if self.times.ndim != 1 or self.times.size < 2:
            refuse("times", "a one-dimensional array of at least two times", f"shape {self.times.shape}")
        if self.values.ndim not in (1, 2) or self.values.shape[0] != self.times.size:
            refuse("values", f"one value or row for each of the {self.times.size} times", f"shape {self.values.shape}")
        check_finite("times", self.times)
        check_finite("values", self.values)
        if known(self.times) and not np.all(np.diff(np.asarray(self.times)) > 0):
            refuse("times", "strictly increasing", "times that are not")

    def __call__(self, t: ArrayLike) -> Array:
        return self.from_(t)[0]

    def from_(self, t: ArrayLike) -> tuple[Array, Array]:
        """Value and slope at t; at a kink those of the piece that begins there, with that piece's derivatives."""
        now = jnp.asarray(t, self.times.dtype)
        piece = jnp.clip(jnp.searchsorted(self.times, now, side="right") - 1, 0, self.times.size - 2)
        t0, t1, v0, v1 = self.times[piece], self.times[piece + 1], self.values[piece], self.values[piece + 1]
        slope = (v1 - v0) / (t1 - t0)
        inside = (now >= self.times[0]) & (now < self.times[-1])
        outside = jnp.where(now < self.times[0], self.values[0], self.values[-1])
        return jnp.where(inside, v0 + (now - t0) * slope, outside), jnp.where(inside, slope, jnp.zeros_like(slope))


def is_schedule(rate: Any) -> bool:
    """Whether a rate depends on time: a function of time, a `PiecewiseLinear` or a diffrax path."""
    return callable(rate) or isinstance(rate, dfx.AbstractPath)


def value_at(rate: Any, t: ArrayLike) -> Any:
    """The value of a constant or of a schedule at time t."""
    if isinstance(rate, dfx.AbstractPath):
        return rate.evaluate(jnp.asarray(t))
    return rate(t) if callable(rate) else rate


def kinks(rate: Any) -> list[Array]:
    """The times at which a rate is known to have a kink."""
    if isinstance(rate, PiecewiseLinear):
        return [rate.times]
    return [rate.ts] if isinstance(rate, dfx.LinearInterpolation) else []
