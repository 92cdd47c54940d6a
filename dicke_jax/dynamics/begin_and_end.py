"""How a run's steps begin and when they end, as diffrax asks for it: `FirstStep` and `IsStationary`."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import RealState
from ..mean_field import DickeModel, mean_field_equations

FAST = 10.0  # times a rate, from which on another is a fast one
LONGEST = 5000.0  # times the slowest rate's inverse: the longest run by default


class FirstStep(dfx.AbstractAdaptiveStepSizeController):
    """A controller whose first step is given, so that no search for one is compiled, and that ends where it is stuck.

    Where the precision knows no time between a step's ends, to which NaN leads too, the same step would be taken again
    for ever. diffrax's own `dtmin` would do, but costs every step of a fast run several per cent.
    """

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
        kept, begin, end, jump, state, result = self.controller.adapt_step_size(*arguments, **named)
        stuck = ~(end > begin) | (~kept & ~(end < arguments[1]))
        result = dfx.RESULTS.where(stuck, dfx.RESULTS.dt_min_reached, result)  # pyright: ignore[reportArgumentType]
        return kept, begin, end, jump, state, result


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
    """Max |dy/dt| over all components that something depends on.

    Of a mode that is FAST times faster than the slowest of the rates and more, dy/dt is taken in that share of its own
    rate: it follows the spins at once, and what round-off leaves of its dy/dt says nothing of them. Subsets without
    spins turn for ever, and nobody sees them.
    """
    m_dot, quadratures_dot = mean_field_equations(0.0, y, model)
    m_dot = jnp.where(model.spins.weights[None] > 0, m_dot, 0)
    return jnp.maximum(jnp.max(jnp.abs(m_dot)), jnp.max(jnp.abs(quadratures_dot / pace_of_modes(model)[None])))


def pace_of_modes(model: DickeModel) -> Array:
    """How many times FAST times the slowest rate a mode moves; 1 for those that are no faster."""
    return jnp.maximum(1, jnp.hypot(model.kappa / 2, model.omega_mode) / (FAST * slowest_rate(model)))


def slowest_rate(model: DickeModel) -> Array:
    """The smaller of min kappa and 2 |Omega|, of those that are not 0."""
    kappa, flip = jnp.min(model.kappa), 2 * jnp.abs(model.omega_spin)
    return jnp.where(flip > 0, jnp.minimum(kappa, flip), kappa)
