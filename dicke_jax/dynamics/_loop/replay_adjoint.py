"""`ReplayAdjoint`: reverse mode by going back over the steps that a run took.

    lambda_n = (d y_{n+1} / d y_n)^T lambda_{n+1} + (what is saved within the step),   from the last step to the first

The forward run records where its steps began. The way back takes each of them once more and pulls the cotangents
through it, the step sizes held as they were. The derivatives are those of the numbers that were computed.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..._checks import check_count, refuse
from ..tangent_steps import TangentSteps, steps_for_derivatives
from .saved_times import parts_of, saves_of
from .two_ways import Leaves, Ways, both_ways
from .whole_run import WholeRun, one_kernel


class ReplayAdjoint(dfx.AbstractAdjoint):
    """Reverse mode at a few times the cost of the run itself, for one part of `saveat` and solvers without memory.

    Forward mode and derivatives of any order work too: `two_ways.py` has how.

    - `max_steps`: room for the record, of 3 K + 2 M + 1 numbers a step. A run that takes more ends with a status, where
      derivatives are asked for; values alone need no record.
    - `run`: how the run itself is made.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> def overlap(g0):
        ...     how = dict(adjoint=dj.ReplayAdjoint(max_steps=1000))
        ...     return dj.mfsolve(model.replace(g0=g0), dj.stored_pattern(model), [0.0, 20.0], **how).overlaps[-1, 0]
        >>> print(f"{jax.grad(overlap)(1.5):.4f}")
        8.0010
    """

    max_steps: int = eqx.field(static=True, default=4096)
    run: dfx.AbstractAdjoint = dfx.ForwardMode()

    def __check_init__(self) -> None:
        check_count("max_steps", self.max_steps)

    def loop(self, **how: Any) -> Any:
        if len(parts_of(how["saveat"])) != 1 or how["saveat"].dense or how["event"] is not None:
            refuse("adjoint", "another one where events or dense output are asked for", "ReplayAdjoint")
        begin = how["init_state"]
        (part,) = parts_of(how["saveat"])
        # what is held as it was: steps, their controller, everything but the model, the start and the times
        held = jax.tree.map(
            lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x,
            {name: how[name] for name in ("terms", "solver", "stepsize_controller", "saveat", "init_state")},
        )
        given = how["args"], begin.y, how["t0"], how["t1"], part.ts
        rest = {name: value for name, value in how.items() if name not in (*held, "args", "t0", "t1")}
        free, others = eqx.partition(given, eqx.is_inexact_array)
        arrays, static = eqx.partition((others, held, rest), eqx.is_array)
        leaves, structure = jax.tree.flatten((free, arrays))

        def whole(leaves: Leaves) -> Any:
            free, arrays = jax.tree.unflatten(structure, leaves)
            others, held, rest = eqx.combine(arrays, static)
            return eqx.combine(free, others), held, rest

        def run(leaves: Leaves, derivatives: bool, record: bool) -> Any:
            given, held, rest = whole(leaves)
            state = _run(given, held, rest, self, derivatives, record)
            ys, *outcome = _outcome(state)
            kept = (saves_of(state)[1].ys, state.num_accepted_steps) if record else ()
            return ys, outcome, kept

        def back(leaves: Leaves, kept: list[Array], saved_bar: Any) -> list[Array]:
            *record, num_steps = kept
            given, held, rest = whole(leaves)
            record = record[0], jax.tree.unflatten(jax.tree.structure(given[1]), record[1:])
            return jax.tree.leaves(_backward(record, num_steps, saved_bar, given, held, rest, self))

        saved, outcome = both_ways(Ways(run, back, len(jax.tree.leaves(free))), leaves)
        return eqx.tree_at(_outcome, begin, (saved, *outcome), is_leaf=lambda x: x is None), {}


def _run(given: Any, held: Any, rest: Any, adjoint: ReplayAdjoint, derivatives: bool, record: bool) -> Any:
    """The final state of the loop, in steps fit for `derivatives`; with `record` also where each step began."""
    args, y0, t0, t1, ts = given
    how = held | rest | dict(args=args, t0=t0, t1=t1)
    (part,), begin = parts_of(how["saveat"]), how["init_state"]
    if ts is not None:
        part = eqx.tree_at(lambda p: p.ts, part, ts)
    parts, saves = [part], saves_of(begin)
    if record:
        most = adjoint.max_steps if how["max_steps"] is None else min(how["max_steps"], adjoint.max_steps)
        how["max_steps"] = most
        parts.append(dfx.SubSaveAt(t0=True, steps=True, fn=_start))
        room = jax.tree.map(lambda x: jnp.full((most + 1, *jnp.shape(x)), jnp.inf, jnp.result_type(x)), (t0, y0))
        saves.append(eqx.tree_at(lambda s: (s.ts, s.ys), saves[0], (room[0], room)))
    how["saveat"] = eqx.tree_at(lambda s: s.subs, how["saveat"], parts)
    end = begin.tnext
    if derivatives:
        how["stepsize_controller"] = steps_for_derivatives(how["stepsize_controller"], how["solver"])
    if isinstance(controller := how["stepsize_controller"], TangentSteps):
        end = controller.clipped(jax.lax.stop_gradient(t0), end, y0, args)
    times = t0, end + (t0 - jax.lax.stop_gradient(t0))  # the numbers that are there, and they move with t0
    how["init_state"] = eqx.tree_at(lambda s: (s.y, s.tprev, s.tnext, s.save_state), begin, (y0, *times, saves))
    return adjoint.run.loop(**how)[0]


def _start(t: Array, y: Any, args: Any) -> Any:
    return t, y


def _outcome(state: Any) -> tuple[Any, ...]:
    """What a run changes and `diffrax.diffeqsolve` reads."""
    (save,) = saves_of(state)[:1]
    counts = state.result, state.num_steps, state.num_accepted_steps, state.num_rejected_steps
    return (save.ys, save.ts, save.save_index, save.saveat_ts_index, *counts)


def _backward(record: Any, num_steps: Array, saved_bar: Any, given: Any, held: Any, rest: Any, adjoint: Any) -> Any:
    """Cotangents of all that is given, in the order of its leaves."""
    args, _, t0, t1, ts = given
    how = held["terms"], held["solver"], parts_of(held["saveat"])[0]
    arrays, rest = eqx.partition(((args, t0, t1, ts), num_steps, saved_bar, how), eqx.is_array)
    leaves, structure = jax.tree.flatten((arrays, record))

    def way_back(leaves: Leaves) -> Any:
        arrays, record = jax.tree.unflatten(structure, leaves)
        given, num_steps, saved_bar, how = eqx.combine(arrays, rest)
        return _way_back(given, num_steps, saved_bar, how, record)

    if isinstance(adjoint.run, WholeRun) and not args.is_time_dependent:
        numbers = len(jax.tree.leaves(record))
        large = (False,) * (len(leaves) - numbers) + (True,) * numbers
        return one_kernel(lambda many: way_back, leaves, large=large)
    return way_back(leaves)  # slopes of a ramp are scattered: not in kernels


def _way_back(given: Any, num_steps: Array, saved_bar: Any, how: Any, record: Any) -> Any:
    """Cotangents of the model, the start and all times, from those of what was saved."""
    (args, t0, t1, ts), (starts, states), (terms, solver, part) = given, record, how
    numbers, constants = eqx.partition(args, eqx.is_inexact_array)
    first, number = int(part.t0), 0 if ts is None else ts.shape[0]

    def at(tree: Any, i: Any) -> Any:
        return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), tree)

    def value(t: Array, y: Any, numbers: Any) -> Any:
        return part.fn(t, y, eqx.combine(numbers, constants))

    def pulled(save: Any, t: Array, y: Any) -> Any:
        """What a value saved at time t asks of t, the state and the model."""
        return jax.vjp(value, t, y, numbers)[1](at(saved_bar, save))

    saved_at: Array = ts if ts is not None else t0[None]

    def back(carry: Any) -> Any:
        step, save, adjoint, numbers_bar, ts_bar = carry
        (begin, y), end = at((starts, states), step), at(starts, step + 1)

        def forth(numbers: Any, y: Any) -> Any:
            args = eqx.combine(numbers, constants)
            y1, _, dense, _, _ = solver.step(terms, begin, end, y, args, solver.init(terms, begin, end, y, args), False)
            return (y1, dense) if number else y1

        out, pull = jax.vjp(forth, numbers, y)
        if not number:
            more, adjoint = pull(adjoint)
            return step - 1, save, adjoint, jax.tree.map(jnp.add, numbers_bar, more), ts_bar

        def add(carry: Any) -> Any:
            """What one saved time within the step asks of its interpolation, of the model, and of itself."""
            save, dense_bar, numbers_bar, ts_bar = carry

            def saved_value(t: Array, dense: Any, numbers: Any) -> Any:
                return value(t, solver.interpolation_cls(t0=begin, t1=end, **dense).evaluate(t), numbers)

            pull = jax.vjp(saved_value, at(saved_at, save), out[1], numbers)[1]
            t_bar, *more = pull(at(saved_bar, first + save))
            dense_bar, numbers_bar = jax.tree.map(jnp.add, (dense_bar, numbers_bar), tuple(more))
            return save - 1, dense_bar, numbers_bar, jax.lax.dynamic_update_index_in_dim(ts_bar, t_bar, save, 0)

        start = save, jax.tree.map(jnp.zeros_like, out[1]), numbers_bar, ts_bar
        within = lambda carry: (carry[0] >= 0) & ((at(saved_at, carry[0]) > begin) | (step == 0))  # noqa: E731
        save, dense_bar, numbers_bar, ts_bar = jax.lax.while_loop(within, add, start)
        more, adjoint = pull((adjoint, dense_bar))
        return step - 1, save, adjoint, jax.tree.map(jnp.add, numbers_bar, more), ts_bar

    def flow(t: Array, y: Any, bar: Any) -> Array:
        """Bar . dy/dt: a later end moves its state along the flow, a later start all that follows back along it."""
        with jax.numpy_dtype_promotion("standard"):  # as diffrax has it: the direction of time is a whole number
            rates = solver.func(terms, t, y, args)
        return sum((jnp.sum(b * rate) for b, rate in zip(*map(jax.tree.leaves, (bar, rates)), strict=True)), 0 * t)

    numbers_bar, ts_bar = jax.tree.map(jnp.zeros_like, (numbers, ts))
    y0, y1 = at(states, 0), at(states, num_steps)
    adjoint, t0_bar, t1_bar = jax.tree.map(jnp.zeros_like, (y1, t0, t1))
    if part.t1:
        t1_bar, adjoint, more = pulled(first + number, t1, y1)
        t1_bar = t1_bar + flow(t1, y1, adjoint)
        numbers_bar = jax.tree.map(jnp.add, numbers_bar, more)
    begin = num_steps - 1, jnp.asarray(number - 1), adjoint, numbers_bar, ts_bar
    _, _, adjoint, numbers_bar, ts_bar = jax.lax.while_loop(lambda carry: carry[0] >= 0, back, begin)
    t0_bar = t0_bar - flow(t0, y0, adjoint)
    if part.t0:
        moved, more_y, more = pulled(0, t0, y0)
        t0_bar = t0_bar + moved
        adjoint, numbers_bar = jax.tree.map(jnp.add, (adjoint, numbers_bar), (more_y, more))
    return numbers_bar, adjoint, t0_bar, t1_bar, ts_bar
