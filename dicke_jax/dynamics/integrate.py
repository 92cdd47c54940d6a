"""The one door to an integration: nothing else hands the mean-field equations to diffrax.

A first step is given, since a search for one takes as long to compile as the rest of the loop. Saved times are checked
by the caller and not again within the program, which can then be kept. On a CPU a small run becomes one kernel.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..mean_field import AbstractMeanFieldModel, DickeModel, mean_field_equations
from ._loop import as_fast_as_known, without_times
from .begin_and_end import FirstStep, innermost
from .by_components import FEW, by_components


class AtPace(eqx.Module):
    """dy/ds = T dy/dt, of a time s = t / T from 0 to 1: with ends that are known a run compiles sooner."""

    function: Any
    span: Array

    def __call__(self, t: Any, y: Any, args: Any) -> Any:
        return jax.tree.map(lambda x: self.span * x, self.function(t, y, args))


TERM = dfx.ODETerm(mean_field_equations)
FIRST_STEP = 0.1  # of the time in which the fastest of the rates turns by one radian; the controller takes over


def integrate(
    model: AbstractMeanFieldModel,
    y0: Any,
    t0: Array,
    t1: Array,
    saveat: dfx.SaveAt,
    *,
    solver: dfx.AbstractSolver,
    stepsize_controller: dfx.AbstractStepSizeController,
    first_step: Any = None,
    adjoint: dfx.AbstractAdjoint | None = None,
    event: dfx.Event | None = None,
    max_steps: int | None = None,
    term: dfx.ODETerm = TERM,
    rows: bool = True,
    span: Array | None = None,
) -> dfx.Solution:
    """`diffrax.diffeqsolve` of the mean-field equations from y0 at t0 < t1. Failures are in `result`, never raised.

    - `saveat`: each part saves its first or its last time besides times between, which must increase. They are not
      looked at.
    - `first_step`: found from the rates by default, where the controller is one that starts anywhere.
    - `adjoint`: `diffrax.ForwardMode()` by default.
    - `term`: the mean-field equations by default; or others that take a model as `args`.
    - `span`: the unit of the times here, of a `CollectiveModel` with constant rates; 1 by default.
    - `rows`: whether there may be many, which run faster as so many components, and take longer to compile.
    """
    adjoint = dfx.ForwardMode() if adjoint is None else adjoint
    if isinstance(stepsize_controller, dfx.AbstractAdaptiveStepSizeController):
        plain = type(innermost(stepsize_controller)) is dfx.PIDController
        if first_step is None and plain:
            first_step = FIRST_STEP / fastest_rate(model, y0, t0)
        if first_step is not None:  # no derivatives: steps are held as they are
            first_step = jax.lax.stop_gradient(jnp.asarray(first_step, t0.dtype))
            stepsize_controller, first_step = FirstStep(stepsize_controller, first_step), None
    if term is TERM and isinstance(model, DickeModel):
        adjoint, solver = as_fast_as_known(adjoint, model, solver, stepsize_controller, event)
    elif term is TERM and rows and isinstance(solver, dfx.AbstractERK) and model.num_components <= FEW:
        term, y0, saveat, event = by_components(model, y0, saveat, event)
    term = term if span is None else dfx.ODETerm(AtPace(term.vector_field, span))
    saveat, adjoint = without_times(saveat, adjoint)
    how: dict[str, Any] = dict(saveat=saveat, adjoint=adjoint, event=event, max_steps=max_steps, throw=False)
    return dfx.diffeqsolve(term, solver, t0, t1, first_step, y0, model, stepsize_controller=stepsize_controller, **how)


def fastest_rate(model: AbstractMeanFieldModel, y0: Any, t0: Array) -> Array:
    """About how fast the fastest of all motions is."""
    return model.fastest_rate(t0, y0 if isinstance(y0[0], Array) else y0[0])  # of a state, or a state and a tangent
