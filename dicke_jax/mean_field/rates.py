"""Time-dependent rates: constants, functions of time, or interpolations."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, Float

from .._checks import as_float, as_times, check_all, check_finite, closes_over_traced, refuse
from .._typing import ArrayLike

Schedule: TypeAlias = Callable[[Any], Any] | dfx.AbstractPath


class PiecewiseLinear(eqx.Module):
    """A rate that goes in straight lines through given values, and stays at the first and last outside.

    - `times`: (n,), increasing; the solver steps onto each, since the rate has a kink there.
    - `values`: (n,), or (n, M) for a rate of every mode.

    Differentiable in both. `PiecewiseLinear([0.0, 50.0], [0.3, 2.0])` is a ramp.

    **Example**

        >>> ramp = dj.PiecewiseLinear([0.0, 50.0], [0.3, 2.0])
        >>> print(f"{ramp(25.0):.2f} {ramp(100.0):.2f}")
        1.15 2.00
    """

    times: Float[Array, " n"] = eqx.field(converter=partial(as_times, name="times"))
    values: Float[Array, " n *M"] = eqx.field(converter=partial(as_float, name="values"))

    def __check_init__(self) -> None:
        if self.values.ndim not in (1, 2) or self.values.shape[0] != self.times.size:
            refuse("values", f"one value or row for each of the {self.times.size} times", f"shape {self.values.shape}")
        check_finite("values", self.values)

    def __call__(self, t: ArrayLike) -> Array:
        return self.value_and_slope(t)[0]

    def value_and_slope(self, t: ArrayLike) -> tuple[Array, Array]:
        """Value and slope at t; at a kink those of the piece that begins there, with that piece's derivatives.

        So they are within a few units in the last place before a kink, too: a run steps onto the kinks of all rates as
        its own precision has them, and what begins there is the next piece. Times are told apart in the finer of the
        two precisions: late in a run in float64 a float32 would make steps of a ramp.
        """
        given = jnp.result_type(t)
        finer = given if given == jnp.float64 else self.times.dtype
        now, times = jnp.asarray(t, finer), self.times.astype(finer)
        soon = now + same_time(t, now)
        piece = jnp.clip(jnp.searchsorted(times, soon, side="right") - 1, 0, times.size - 2)
        t0, t1, v0, v1 = times[piece], times[piece + 1], self.values[piece], self.values[piece + 1]
        slope = (v1 - v0) / (t1 - t0).astype(v0.dtype)
        inside = (soon >= times[0]) & (soon < times[-1])
        outside = jnp.where(soon < times[0], self.values[0], self.values[-1])
        value = v0 + (now - t0).astype(v0.dtype) * slope
        return jnp.where(inside, value, outside), jnp.where(inside, slope, jnp.zeros_like(slope))


class RateFunction(eqx.Module):
    """A rate that is a function of time, with the duration of the shortest thing that it does.

    - `function`: value at a time, traceable by JAX; of shape (M,) for a rate of every mode. An Equinox module for one
      whose parameters are to be differentiated.
    - `shortest`: the width of its narrowest pulse, the time of its steepest rise. No step of a run is longer.

    A plain function is looked at in 64 places of every step, of which a run has at least 256: what is shorter than a
    16,000th of a run can escape that, and has to be declared.

    **Example**

        >>> pulse = dj.RateFunction(lambda t: jnp.exp(-((t - 5.0) ** 2)), shortest=1.0)
        >>> model = dj.examples.paper_model().replace(g0=pulse)
        >>> print(pulse(5.0))
        1.0
    """

    function: Callable[[Any], Any]
    shortest: float

    def __check_init__(self) -> None:
        if not callable(self.function):
            refuse("function", "a function of time", repr(self.function))
        check_takes_a_time("function", self.function)
        check_all("shortest", self.shortest, lambda d: (d > 0) & np.isfinite(d), "a positive duration")

    def __call__(self, t: ArrayLike) -> Any:
        return self.function(t)


def same_time(t: ArrayLike, now: Array) -> Array:
    """How far apart times may be that round-off makes of one, in the precision of t; `now` is t in a finer one."""
    given = getattr(t, "dtype", now.dtype)
    own = given if jnp.issubdtype(given, jnp.floating) else now.dtype
    return 4 * float(jnp.finfo(own).eps) * jnp.abs(now)


def is_schedule(rate: Any) -> bool:
    """Whether a rate depends on time: a function of time, a `PiecewiseLinear` or a diffrax path."""
    return callable(rate) or isinstance(rate, dfx.AbstractPath)


def check_takes_a_time(name: str, rate: Any) -> None:
    """Refuse a function that cannot be called with one number, as far as Python knows what it takes."""
    if isinstance(rate, dfx.AbstractPath):
        return
    try:
        takes = inspect.signature(rate)
    except (TypeError, ValueError):
        return
    try:
        takes.bind(0.0)
    except TypeError:
        refuse(name, "a function of one argument, the time", f"one of {takes}")


def is_rate_in_time(value: Any) -> bool:
    """Whether a parameter of an energy is a schedule: Equinox modules, such as networks, are only where they say so."""
    named = isinstance(value, PiecewiseLinear | RateFunction | dfx.AbstractPath)
    return named or (callable(value) and not isinstance(value, eqx.Module))


def value_at(rate: Any, t: ArrayLike) -> Any:
    """The value of a constant or of a schedule at time t."""
    if isinstance(rate, dfx.AbstractPath):
        return rate.evaluate(jnp.asarray(t))
    return rate(t) if callable(rate) else rate


def as_schedule(name: str, rate: Any, shape: tuple[int, ...] | None = None) -> Any:
    """A schedule of real values, with all that is being differentiated in it among its leaves.

    A function may close over a traced number. What is left of a derivative in that, once the function has gone through
    rules and loops as the static thing that it looks like, is zero: the number is made an argument. A function with
    errors of its own is left to its run.
    """
    check_takes_a_time(name, rate)
    time = jax.ShapeDtypeStruct((), jnp.result_type(0.0))
    try:
        with jax.numpy_dtype_promotion("standard"):
            program, value = jax.make_jaxpr(lambda t: jnp.asarray(value_at(rate, t)), return_shape=True)(time)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        refuse(name, "a function of time in jax.numpy's operations, or PiecewiseLinear", "one that asks for its number")
    except Exception:
        return rate
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        refuse(name, "real at all times", "a function of time with complex values")
    if shape is not None and value.shape not in ((), shape):
        must_be = "one number" + (f" or of shape {shape}" if shape else "")
        refuse(f"{name}(t)", must_be, f"shape {value.shape}")
    if not closes_over_traced(program.consts, rate):
        return rate
    function = jax.tree_util.Partial(partial(_evaluate, program.jaxpr), *program.consts)
    return RateFunction(function, rate.shortest) if isinstance(rate, RateFunction) else function


def _evaluate(program: Any, *values: Any) -> Any:
    *constants, t = values
    return jaxpr_as_fun(ClosedJaxpr(program, constants))(jnp.asarray(t, program.invars[0].aval.dtype))[0]


def kinks(rate: Any) -> list[Array]:
    """The times at which a rate, or one of its lower derivatives, is known to have a kink."""
    if isinstance(rate, PiecewiseLinear):
        return [rate.times]
    return [rate.ts] if isinstance(rate, dfx.LinearInterpolation | dfx.CubicInterpolation) else []
