"""`WholeRun`: a run from its first step to its last as one kernel, by the hook that diffrax has for its loop.

On a CPU a step of this equation is shorter than what it takes to start one, and rows in lock step wait for the slowest.
What `jax.vmap` makes of such a run is one run after the other.
"""

from collections.abc import Callable, Collection
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from ..taylor_series import taylor_step
from ..taylor_solver import BilinearTaylor, written_out
from .marks import as_one_kernel, with_one_argument
from .saved_times import saves_of

MANY = 1000  # rows from which on orders are written out, which takes longer to compile

Function = Callable[[list[Array]], Any]


class StagedTaylor(BilinearTaylor):
    """The same series, whose orders that are written out are calls of their own.

    Otherwise XLA fuses the recurrence into every one of its consumers, and computes it again in each.
    """

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: None, made_jump: Any) -> Any:
        how = self.series_order, self.unrolled or 0, self.dense
        y1, error, series = as_one_kernel(_step)(t0, t1 - t0, y0, args, *how)
        return y1, error, dict(series=series), None, dfx.RESULTS.successful


def _step(t: Array, h: Array, y0: Any, model: Any, order: int, unrolled: int, dense: bool) -> Any:
    return taylor_step(t, h, y0, model, order, unrolled, dense, stage=as_one_kernel)


class WholeRun(dfx.AbstractAdjoint):
    """The loop over the steps of a run as one kernel, with derivatives in forward mode: a kernel of run and tangent."""

    def loop(self, **how: Any) -> Any:
        begin = how["init_state"]
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), _room(begin))
        how["init_state"] = eqx.tree_at(_room, begin, shapes)
        arrays, rest = eqx.partition(how, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)
        leaves = [jax.lax.convert_element_type(leaf, leaf.dtype) for leaf in leaves]  # without weak types

        def run(leaves: list[Array], many: bool) -> Any:
            given = eqx.combine(jax.tree.unflatten(structure, leaves), rest)
            # made anew: carried into a kernel, the room for what is saved would be copied several times
            room = jax.tree.map(lambda x: jnp.full(x.shape, jnp.inf, x.dtype), shapes)
            given["init_state"] = eqx.tree_at(_room, given["init_state"], room)
            solver: Any = written_out(given["solver"]) if many else given["solver"]
            given["solver"] = StagedTaylor(solver.series_order, solver.dense, solver.unrolled)
            return outcome_of(dfx.ForwardMode().loop(**given)[0])

        out = one_kernel(lambda many: lambda leaves: run(leaves, many), leaves)
        return eqx.tree_at(outcome_of, begin, out, is_leaf=lambda x: x is None), {}


def one_kernel(make: Callable[[bool], Function], leaves: list[Array], large: tuple[bool, ...] | None = None) -> Any:
    """make(many)(leaves) as one kernel, and under `jax.vmap` one call after the other; `many` where rows are.

    Leaves that are `large` are used for certain, whatever the others are. Value and tangents, of any order, are one
    kernel, too.
    """
    large = (False,) * len(leaves) if large is None else large
    (out,) = _parts(lambda many: lambda leaves: (make(many)(leaves),), leaves, (range(len(leaves)),), large)
    return out


def _parts(
    make: Callable[[bool], Function],
    leaves: list[Array],
    needs: tuple[Collection[int], ...],
    large: tuple[bool, ...],
    many: bool = False,
) -> tuple[Any, ...]:
    """The same for a result of several parts, each of which hangs on the leaves that it `needs` alone.

    Where only others vary, it is one for all: the value, among tangents in many directions.
    """
    function = jax.jit(make(many), inline=True)  # traced once, for one row and for a batch

    @jax.custom_batching.custom_vmap
    def alone(*leaves: Array) -> Any:
        return with_one_argument(function, list(leaves), large)

    @alone.def_vmap
    def one_after_the_other(size: int, batched: list[bool], *leaves: Any) -> tuple[Any, Any]:
        def row(varying: list[Array]) -> Any:
            rows = iter(varying)
            arguments = [next(rows) if varies else leaf for varies, leaf in zip(batched, leaves, strict=True)]
            return alone(*arguments) if many or size < MANY else _parts(make, arguments, needs, large, many=True)

        out = jax.lax.map(row, [leaf for varies, leaf in zip(batched, leaves, strict=True) if varies])
        vary = [any(batched[i] for i in need) for need in needs]
        out = [p if varies else jax.tree.map(lambda x: x[0], p) for varies, p in zip(vary, out, strict=True)]
        vary = [jax.tree.map(lambda _, varies=varies: varies, p) for varies, p in zip(vary, out, strict=True)]
        return tuple(out), tuple(vary)

    @jax.custom_jvp
    def value(*leaves: Array) -> Any:
        return alone(*leaves)

    def derivative(primals: Any, tangents: Any) -> Any:
        moved = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]
        here = len(primals)

        def with_tangent(arguments: list[Array], many: bool) -> Any:
            points = arguments[:here]

            def of_moved(*at: Array) -> Any:
                those = dict(zip(moved, at, strict=True))
                return make(many)([those.get(i, x) for i, x in enumerate(points)])

            out, change = jax.jvp(of_moved, [points[i] for i in moved], arguments[here:])
            # a whole number's tangent is of a kind that a kernel cannot hand back
            return *out, *jax.tree.map(lambda x, dx: dx if eqx.is_inexact_array(x) else None, out, change)

        arguments = [*primals, *(tangents[i] for i in moved)]
        larger = (*large, *(large[i] for i in moved))
        more = ({*need, *(here + n for n, i in enumerate(moved) if i in need)} for need in needs)
        make_both = lambda many: lambda arguments: with_tangent(arguments, many)  # noqa: E731
        both = _parts(make_both, arguments, (*needs, *more), larger, many)
        out, change = both[: len(needs)], both[len(needs) :]
        none = lambda x, dx: np.zeros(x.shape, jax.dtypes.float0) if dx is None else dx  # noqa: E731
        return out, jax.tree.map(none, out, change)

    value.defjvp(derivative, symbolic_zeros=True)
    return value(*leaves)


def _room(state: Any) -> list[Any]:
    """Where the loop saves to, full of inf when it begins."""
    return [room for save in saves_of(state) for room in (save.ts, save.ys)]


def outcome_of(state: Any) -> tuple[Any, ...]:
    """What a run changes and `diffrax.diffeqsolve` reads; a kernel cannot hand back what it was given."""
    counts = state.num_steps, state.num_accepted_steps, state.num_rejected_steps
    return (state.save_state, state.result, *counts, state.event_mask)
