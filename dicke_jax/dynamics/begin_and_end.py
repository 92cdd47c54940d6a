"""How a run's steps begin and when they end, as diffrax asks for it: `FirstStep` and `IsStationary`."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import RealState
from ..mean_field import DickeModel, mean_field_equations


class FirstStep(dfx.AbstractAdaptiveStepSizeController):
    """A controller whose first step is given, so that no search for one is compiled."""

    controller: dfx.AbstractAdaptiveStepSizeController
    step: Array
    rtol: Any = None
    atol: Any = None
    norm: Any = None

    def __init__(self, controller: dfx.AbstractAdaptiveStepSizeController, step: Array) -> None:
        self.controller, self.step = controller, step
        self.rtol, self.atol, self.norm = controller.rtol, controller.atol, controller.norm

    def wrap(self, direction: Any) -> "FirstStep":
        return FirstStep(self.controller.wrap(direction), self.step)  # pyright: ignore[reportArgumentType]

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        return self.controller.init(terms, t0, t1, y0, self.step, args, func, error_order)

    def adapt_step_size(self, *arguments: Any, **named: Any) -> Any:
        return self.controller.adapt_step_size(*arguments, **named)


def innermost(controller: Any) -> Any:
    """The controller that chooses steps, within those that clip them or give the first."""
    while hasattr(controller, "controller"):
        controller = controller.controller
    return controller


class IsStationary(eqx.Module):
    """max |dy/dt| < threshold. A module, not a closure: `threshold` may be traced, and the run is found again."""

    threshold: Float[Array, ""]

    def __call__(self, t: Array, y: RealState, args: DickeModel, **_: Any) -> Array:
        return largest_change(y, args) < self.threshold


def largest_change(y: RealState, model: DickeModel) -> Array:
    """Max |dy/dt| over all components."""
    return jnp.max(jnp.array([jnp.max(jnp.abs(rate)) for rate in mean_field_equations(0.0, y, model)]))
