"""`ReplayAdjoint`: reverse mode by going back over the steps that a run took.

    lambda_n = (d y_{n+1} / d y_n)^T lambda_{n+1} + (what is saved within the step),   from the last step to the first

The forward run records where its steps began. The way back takes each of them once more and pulls the cotangents
through it, the step sizes held as they were: one step in memory at a time, no checkpoints, no step taken more than
twice. The derivatives are those of the numbers that were computed.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_count
from .._typing import RealState, RealStates
from ..equations import mean_field_equations
from ..model import DickeModel
from .taylor import in_one_kernel

TERM = dfx.ODETerm(mean_field_equations)
Differentiable = tuple[DickeModel, RealState, Float[Array, " T"]]


class ReplayAdjoint(eqx.Module):
    """For `mfsolve(..., adjoint=...)`: `jax.grad` at a few times the cost of the run itself, for explicit solvers.

    - `max_steps`: room for the record, of 3 K + 2 M + 1 numbers a step. A run that takes more ends with a status.
    """

    max_steps: int = eqx.field(static=True, default=1024)

    def __check_init__(self) -> None:
        check_count("max_steps", self.max_steps)


def integrate(
    arguments: Differentiable,
    dt0: Any,
    solver: dfx.AbstractSolver,
    stepsize_controller: dfx.AbstractStepSizeController,
    max_steps: int | None,
    adjoint: dfx.AbstractAdjoint,
    record: bool = False,
) -> tuple[Any, dfx.RESULTS, dict[str, Any]]:
    """The states at the saved times (with `record` also where each step began), the result and the statistics."""
    model, y0, times = arguments
    # both ends as they are: only what lies between needs the interpolation
    asked = dfx.SubSaveAt(t0=True, ts=times[1:-1] if times.size > 2 else None, t1=True)
    steps = dfx.SubSaveAt(t0=True, steps=True, fn=lambda t, y, args: (t, y))
    saveat = dfx.SaveAt(subs=[asked, steps] if record else asked)
    sol = dfx.diffeqsolve(
        TERM,
        solver,
        times[0],
        times[-1],
        dt0,
        y0,
        args=model,
        saveat=saveat,
        stepsize_controller=stepsize_controller,
        max_steps=max_steps,
        adjoint=in_one_kernel(adjoint, model, solver, stepsize_controller, saveat),
        throw=False,
    )
    return sol.ys, sol.result, sol.stats


@eqx.filter_custom_vjp
def replayed(arguments: Differentiable, dt0: Any, solver: Any, stepsize_controller: Any, max_steps: int) -> Any:
    """`integrate`, with derivatives in reverse mode alone."""
    return integrate(arguments, dt0, solver, stepsize_controller, max_steps, dfx.ForwardMode())


@replayed.def_fwd
def _forward(
    perturbed: Any, arguments: Differentiable, dt0: Any, solver: Any, stepsize_controller: Any, max_steps: int
) -> Any:
    run = integrate(arguments, dt0, solver, stepsize_controller, max_steps, dfx.ForwardMode(), record=True)
    (saved, steps), result, stats = run
    return (saved, result, stats), (saved, steps, stats["num_accepted_steps"])


@replayed.def_bwd
def _backward(
    residuals: Any,
    cotangents: Any,
    perturbed: Any,
    arguments: Differentiable,
    dt0: Any,
    solver: Any,
    stepsize_controller: Any,
    max_steps: int,
) -> Any:
    (model, _, times), (saved, (starts, states), num_steps) = arguments, residuals
    saved_bar = jax.tree.map(
        lambda bar, y: jnp.zeros_like(y) if bar is None else bar, cotangents[0], saved, is_leaf=lambda x: x is None
    )
    numbers, rest = eqx.partition(model, eqx.is_inexact_array)
    between = times.size > 2  # without saved times within a step its interpolation has no part in this

    def at(tree: Any, i: Array | int) -> Any:
        return jax.tree.map(lambda x: x[i], tree)

    def back(carry: Any) -> Any:
        step, save, adjoint, numbers_bar = carry
        t0, t1 = starts[step], starts[step + 1]

        def forth(numbers: Any, y: RealState) -> Any:
            model = eqx.combine(numbers, rest)
            y1, _, dense, _, _ = solver.step(TERM, t0, t1, y, model, solver.init(TERM, t0, t1, y, model), False)
            return (y1, dense) if between else y1

        end, pull = jax.vjp(forth, numbers, at(states, step))
        if between:
            save, dense_bar = interpolated(t0, t1, save, end[1])
            more, adjoint = pull((adjoint, dense_bar))
        else:
            more, adjoint = pull(adjoint)
        return step - 1, save, adjoint, jax.tree.map(jnp.add, numbers_bar, more)

    def interpolated(t0: Array, t1: Array, save: Array, dense: Any) -> tuple[Array, Any]:
        """What the saved times within one step ask of its interpolation."""

        def add(carry: Any) -> Any:
            save, dense_bar = carry
            value = lambda dense: solver.interpolation_cls(t0=t0, t1=t1, **dense).evaluate(times[save])  # noqa: E731
            (bar,) = jax.vjp(value, dense)[1](at(saved_bar, save))
            return save - 1, jax.tree.map(jnp.add, dense_bar, bar)

        within = lambda carry: (carry[0] > 0) & (times[carry[0]] > t0)  # noqa: E731
        return jax.lax.while_loop(within, add, (save, jax.tree.map(jnp.zeros_like, dense)))

    begin = (num_steps - 1, jnp.asarray(times.size - 2), at(saved_bar, -1), jax.tree.map(jnp.zeros_like, numbers))
    _, _, adjoint, numbers_bar = jax.lax.while_loop(lambda carry: carry[0] >= 0, back, begin)
    y0_bar = jax.tree.map(jnp.add, adjoint, at(saved_bar, 0))
    return numbers_bar, y0_bar, _of_times(model, times, saved, saved_bar, adjoint)


def _of_times(model: DickeModel, times: Array, saved: RealStates, saved_bar: RealStates, adjoint: RealState) -> Array:
    """A later saved time moves its own state along the flow; a later start moves all that follows back along it."""

    def product(bar: RealState, t: Array, y: RealState) -> Array:
        parts = jax.tree.map(lambda b, rate: jnp.sum(b * rate), bar, mean_field_equations(t, y, model))
        return sum(jax.tree.leaves(parts), jnp.zeros_like(t))

    each = jax.vmap(product)(saved_bar, times, saved)
    first = jax.tree.map(lambda x: x[0], saved)
    return each.at[0].set(-product(adjoint, times[0], first))
