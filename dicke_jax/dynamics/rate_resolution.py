"""Steps that see what rates do in time: onto their kinks, and no longer than a function of time allows.

A solver knows a rate only at the few times of a step at which it looks. What a function of time does between them is
found out here: each step looks in SAMPLES places, and what the polynomial through NODES of them misses,

    missed = h max_t |r(t) - p(t)|,

is an angle that the step would not see. It counts as an error of the step, which is then taken again and shorter.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._status import Status, where
from ..mean_field import AbstractMeanFieldModel
from ..mean_field.rates import RateFunction, kinks, same_time, value_at

NODES = 12  # a polynomial smoother than any solver's steps can make use of
SAMPLES = 64
FEWEST_STEPS = 256  # of a run with a rate that has not declared its shortest feature
WEIGHT = 0.04  # of what is missed, as an error: a spin turns by 4 g0 |field|, and the solver itself sees much of it
MOST_MISSED = 1e-3  # radians, by steps of a given size


AT_NODES = (1 - np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)) / 2  # places within a step of unit length
AT_PLACES = (np.arange(SAMPLES) + 0.5) / SAMPLES
TO_CHEBYSHEV = np.linalg.inv(np.polynomial.chebyshev.chebvander(2 * AT_NODES - 1, NODES - 1))


class ExaminedSteps(dfx.AbstractAdaptiveStepSizeController):
    """A controller whose steps are taken again where they miss what a rate does.

    - `rates`: those that are functions of time.
    - `longest`: no step is longer.
    """

    controller: Any
    rates: tuple[Any, ...]
    longest: Array
    direction: Any
    rtol: Any = None
    atol: Any = None
    norm: Any = None

    def __init__(self, controller: Any, rates: tuple[Any, ...], longest: Array, direction: Any = 1) -> None:
        self.controller, self.rates, self.longest, self.direction = controller, rates, longest, direction
        self.rtol, self.atol, self.norm = controller.rtol, controller.atol, controller.norm

    def wrap(self, direction: Any) -> "ExaminedSteps":
        return ExaminedSteps(self.controller.wrap(direction), self.rates, self.longest, direction)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        end, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return jnp.minimum(end, t0 + self.longest), state

    def adapt_step_size(self, *arguments: Any, **named: Any) -> Any:
        t0, t1, y0, y1, args, y_error, *rest = arguments
        unseen = jax.lax.stop_gradient(WEIGHT * missed(self.rates, self.direction * t0, self.direction * t1))
        seen = jnp.isfinite(unseen)  # no step gets past a rate that is not finite
        y_error = jax.tree.map(lambda error: jnp.abs(error) + unseen.astype(error.dtype), y_error)
        adapted = self.controller.adapt_step_size(t0, t1, y0, y1, args, y_error, *rest, **named)
        keep, t0, t1, jump, state, result = adapted
        result = dfx.RESULTS.where(seen, result, dfx.RESULTS.nonfinite)  # pyright: ignore[reportArgumentType]
        return keep, t0, jnp.minimum(t1, t0 + self.longest), jump, state, result


def missed(rates: tuple[Any, ...], begin: Array, end: Array, places: Any = AT_PLACES) -> Float[Array, ""]:
    """What is missed of the rate of which most is: h max_t |r(t) - p(t)| over places within a step."""

    def of(rate: Any) -> Array:
        def values(places: Any) -> Array:
            times = begin + (end - begin) * jnp.asarray(places, begin.dtype)
            return jax.vmap(lambda t: jnp.asarray(value_at(rate, t)).astype(begin.dtype))(times)

        angles = jnp.arccos(2 * jnp.asarray(places, begin.dtype) - 1)
        chebyshev = jnp.cos(angles[:, None] * jnp.arange(NODES, dtype=begin.dtype)[None])
        coefficients = jnp.tensordot(jnp.asarray(TO_CHEBYSHEV, begin.dtype), values(AT_NODES), axes=1)
        return jnp.max(jnp.abs(values(places) - jnp.tensordot(chebyshev, coefficients, axes=1)))

    return jnp.abs(end - begin) * jnp.max(jnp.stack([of(rate) for rate in rates]))


def functions_of_time(model: AbstractMeanFieldModel) -> list[tuple[str, Any]]:
    """Names and rates of those known by their values alone, neither constant nor going from kink to kink."""
    return [(name, rate) for name, rate in model.schedules if not kinks(rate)]


def steps_that_see(
    controller: Any, model: AbstractMeanFieldModel, begin: Array, end: Array, stops: Array | None = None
) -> dfx.AbstractStepSizeController:
    """An adaptive `controller`, made to step onto the kinks of the rates and onto `stops`, and to see functions."""
    if rates := tuple(rate for _, rate in functions_of_time(model)):
        declared = [rate.shortest for rate in rates if isinstance(rate, RateFunction)]
        longest = jnp.asarray(min(declared, default=jnp.inf), begin.dtype)
        if len(declared) < len(rates):
            longest = jnp.minimum(longest, (end - begin) / FEWEST_STEPS)
        rates, longest = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, (rates, longest))
        controller = ExaminedSteps(controller, rates, longest)
    if not model.kinks and stops is None:
        return controller
    # no derivatives: a kink that moves acts through the rate, and steps that move with it would add their error
    at = [jax.lax.stop_gradient(kinks).astype(begin.dtype) for kinks in model.kinks]
    return dfx.ClipStepSizeController(
        controller, step_ts=_apart(jnp.concatenate(at if stops is None else [*at, stops]))
    )


def _apart(times: Array) -> Array:
    """Sorted, those that round-off alone holds apart being one: there is no step between them."""
    times = jnp.sort(times)
    begins = jnp.diff(times, prepend=-jnp.inf) > same_time(times, times)
    return jax.lax.cummax(jnp.where(begins, times, -jnp.inf))


def unseen(model: AbstractMeanFieldModel, controller: Any, begin: Array, end: Array, dt0: Any) -> tuple[Status, Array]:
    """Which function of time goes by unseen, and when, in steps that do not adapt to it."""
    status, when = Status.successful, jnp.full_like(begin, jnp.nan)
    times = begin + (end - begin) * (jnp.arange(FEWEST_STEPS * SAMPLES, dtype=begin.dtype) + 0.5) / (
        FEWEST_STEPS * SAMPLES
    )
    if isinstance(controller, dfx.StepTo):
        step = jnp.clip(jnp.searchsorted(controller.ts, times, side="right") - 1, 0, controller.ts.size - 2)
        first, last = controller.ts[step], controller.ts[step + 1]
    elif dt0 is not None:
        first = begin + jnp.floor((times - begin) / dt0) * dt0
        last = jnp.minimum(first + dt0, end)
    else:
        return status, when
    for name, rate in functions_of_time(model):
        misses = jax.vmap(lambda a, b, t, rate=rate: missed((rate,), a, b, ((t - a) / (b - a))[None]))(
            first, last, times
        )
        too_much = jnp.max(misses) > MOST_MISSED
        status = where(too_much, getattr(Status, f"unresolved_{name}", Status.unresolved_rate), status)
        when = jnp.where(too_much, times[jnp.argmax(misses)], when)
    return status, when
