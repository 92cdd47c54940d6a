"""Steps for derivatives, no longer than a deviation of the state allows.

A controller looks at the error of the state alone. A state at rest has none: steps would grow until the linearised
equations, u' = J u, are lost in them, and a derivative off by any factor would call itself successful. One step of
order p has for them the error of a power series that is cut off,

    |c_{p+1} - 1 / (p+1)!| (h rate)^(p+1) < WIDER rtol,   |J| < rate,

where R(h J) = 1 + h J + ... + c_{p+1} (h J)^(p+1) + ... is what the method makes of exp(h J). A state that moves is
bound to steps as short by its own error.
"""

import math
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..mean_field import AbstractMeanFieldModel
from ..mean_field.rates import value_at
from .by_components import Components

WIDER = 100.0  # than a step's tolerance: `rate` is a bound, above what moves by half and more
LEAST_DIGITS = 1e-2  # of a deviation, within the limits of stability


class TangentSteps(dfx.AbstractAdaptiveStepSizeController):
    """A controller none of whose steps turns a deviation of the state by more than `turn`.

    - `spins_alone`: whether only what spins do is resolved, as by an implicit solver, whose modes follow them.
    """

    controller: Any
    turn: Any
    spins_alone: bool
    rtol: Any = None
    atol: Any = None
    norm: Any = None

    def __init__(self, controller: Any, turn: Any, spins_alone: bool) -> None:
        self.controller, self.turn, self.spins_alone = controller, turn, spins_alone
        self.rtol, self.atol, self.norm = controller.rtol, controller.atol, controller.norm

    def wrap(self, direction: Any) -> "TangentSteps":
        return TangentSteps(self.controller.wrap(direction), self.turn, self.spins_alone)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        end, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return self.clipped(t0, end, y0, args), state

    def adapt_step_size(self, *arguments: Any, **named: Any) -> Any:
        y1, model = arguments[3:5]
        kept, begin, end, *rest = self.controller.adapt_step_size(*arguments, **named)
        return kept, begin, self.clipped(begin, end, y1, model), *rest

    def clipped(self, begin: Any, end: Any, y: Any, model: Any) -> Array:
        """The end of a step from the state y, or an earlier one; no derivatives: steps are held as they are."""
        rate = rate_of_deviations(model, begin, y, self.spins_alone)
        longest = (jnp.asarray(self.turn, rate.dtype) / rate).astype(begin.dtype)
        return jnp.minimum(end, begin + jax.lax.stop_gradient(jnp.where(longest > 0, longest, jnp.inf)))


def steps_for_derivatives(controller: Any, solver: dfx.AbstractSolver) -> Any:
    """`controller` for a run whose derivatives are asked for; steps of a given size stay as they are."""
    adaptive, power = isinstance(controller, dfx.AbstractAdaptiveStepSizeController), first_power_lost(solver)
    rtol: Any = controller.rtol if adaptive else None
    if rtol is None or power is None:
        return controller
    order, lost = power
    turn = (jnp.minimum(WIDER * rtol, LEAST_DIGITS) / lost) ** (1 / order)
    return TangentSteps(controller, turn, isinstance(solver, dfx.AbstractImplicitSolver))


def first_power_lost(solver: dfx.AbstractSolver) -> tuple[int, float] | None:
    """The power p + 1, and what is lost of it: c_{p+1} is b A^p 1 of a tableau, and 0 of a Taylor series."""
    order, tableau = solver.order(None), getattr(solver, "tableau", None)  # pyright: ignore[reportArgumentType]
    if order is None:
        return None
    kept, whole = 0.0, 1 / math.factorial(order + 1)
    if isinstance(tableau, dfx.ButcherTableau):
        A = np.zeros((len(tableau.b_sol), len(tableau.b_sol)))
        for stage, row in enumerate(tableau.a_lower, start=1):
            A[stage, :stage] = row
        if tableau.a_diagonal is not None:
            A += np.diag(tableau.a_diagonal)
        kept = float(tableau.b_sol @ np.linalg.matrix_power(A, order) @ np.ones(len(A)))
    return order + 1, max(abs(kept - whole), 1e-6 * whole)


def rate_of_deviations(model: AbstractMeanFieldModel, t: Any, y: Any, spins_alone: bool) -> Array:
    """About as fast as a deviation of the state turns, grows or decays."""
    if not isinstance(y[0], Array):  # a state and tangents
        y = y[0]
    elif not jnp.ndim(y[0]):  # a state as so many numbers
        y = Components.of(model).state(y)
    rate = model.spin_rate(t, y) if spins_alone else model.fastest_rate(t, y)
    if model.dissipation is None:
        return rate
    sizes = jnp.max(jnp.sum(jnp.abs(model.dissipation.linear.astype(rate.dtype)), axis=2), axis=1)
    for size, jump in zip(sizes, model.dissipation.rates, strict=True):
        rate = rate + size * jnp.max(jnp.asarray(value_at(jump, t))).astype(rate.dtype)
    return rate
