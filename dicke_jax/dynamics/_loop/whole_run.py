"""`WholeRun`: a run from its first step to its last as one kernel, by the hook that diffrax has for its loop.

On a CPU a step of this equation is shorter than what it takes to start one, and rows in lock step wait for the slowest.
What `jax.vmap` makes of such a run is one run after the other. Orders of the series are written out where there are
rows enough to pay for what that takes to compile.
"""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from ..taylor_series import taylor_step
from ..taylor_solver import BilinearTaylor
from .marks import as_one_kernel, with_one_argument
from .saved_times import saves_of

MANY = 1000  # rows from which on orders are written out

Function = Callable[[list[Array]], Any]


class StagedTaylor(dfx.AbstractSolver):
    """`BilinearTaylor` whose orders that are written out are calls of their own.

    Otherwise XLA fuses the recurrence into every one of its consumers, and computes it again in each.
    """

    solver: BilinearTaylor

    term_structure = dfx.ODETerm
    interpolation_cls = BilinearTaylor.interpolation_cls

    def order(self, terms: Any) -> int:
        return self.solver.series_order

    def error_order(self, terms: Any) -> int:
        return self.solver.series_order

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        return None

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        return terms.vf(t0, y0, args)

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: None, made_jump: Any) -> Any:
        how = self.solver.series_order, self.solver.unrolled or 0, self.solver.dense
        y1, error, series = as_one_kernel(_step)(t0, t1 - t0, y0, args, *how)
        return y1, error, dict(series=series), None, dfx.RESULTS.successful


def _step(t: Array, h: Array, y0: Any, model: Any, order: int, unrolled: int, dense: bool) -> Any:
    return taylor_step(t, h, y0, model, order, unrolled, dense, stage=as_one_kernel)


class WholeRun(dfx.AbstractAdjoint):
    """The loop over the steps of a run as one kernel, with the derivatives of an adjoint."""

    derivatives: dfx.AbstractAdjoint

    def loop(self, **how: Any) -> Any:
        begin = how["init_state"]
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), _room(begin))
        how["init_state"] = eqx.tree_at(_room, begin, shapes)
        arrays, rest = eqx.partition(how, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)
        leaves = [jax.lax.convert_element_type(leaf, leaf.dtype) for leaf in leaves]  # without weak types
        forward = isinstance(self.derivatives, dfx.ForwardMode)

        def run(adjoint: dfx.AbstractAdjoint, leaves: list[Array], many: bool | None = None) -> Any:
            given = eqx.combine(jax.tree.unflatten(structure, leaves), rest)
            # made anew: carried into a kernel, the room for what is saved would be copied several times
            room = jax.tree.map(lambda x: jnp.full(x.shape, jnp.inf, x.dtype), shapes)
            given["init_state"] = eqx.tree_at(_room, given["init_state"], room)
            if many is not None:
                given["solver"] = _staged(given["solver"], many)
            return outcome_of(adjoint.loop(**given)[0])

        def value(*leaves: Array) -> Any:
            return one_kernel(lambda many: lambda leaves: run(dfx.ForwardMode(), leaves, many), list(leaves))

        rule = _forwards if forward else _backwards
        outcome = rule(value, lambda leaves, many=None: run(self.derivatives, leaves, many), leaves)
        return eqx.tree_at(outcome_of, begin, outcome, is_leaf=lambda x: x is None), {}


def one_kernel(
    make: Callable[[bool], Function], leaves: list[Array], points: int = 0, large: int = 0, many: bool = False
) -> Any:
    """make(many)(leaves) as one kernel, and under `jax.vmap` one call after the other; `many` where rows are.

    The first of two results may hang on the first `points` leaves alone: where only others vary, it is one for all. The
    last `large` leaves are used for certain, whatever the others are.
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
            return alone(*arguments) if many or size < MANY else one_kernel(make, arguments, points, large, many=True)

        out = jax.lax.map(row, [leaf for varies, leaf in zip(batched, leaves, strict=True) if varies])
        vary = jax.tree.map(lambda _: True, out)
        if points and not any(batched[:points]):
            out = jax.tree.map(lambda x: x[0], out[0]), out[1]
            vary = jax.tree.map(lambda _: False, out[0]), vary[1]
        return out, vary

    return alone(*leaves)


def _forwards(value: Callable[..., Any], of: Callable[..., Any], leaves: list[Array]) -> Any:
    """`value` of the leaves, with derivatives in forward mode: a kernel as well, of the run and its tangent."""
    differentiable = jax.custom_jvp(value)

    def derivative(primals: Any, tangents: Any) -> Any:
        moved = [not isinstance(t, SymbolicZero) for t in tangents]
        directions = [t for t, m in zip(tangents, moved, strict=True) if m]

        def make(many: bool) -> Function:
            def with_tangent(arguments: list[Array]) -> Any:
                points, along = arguments[: len(primals)], arguments[len(primals) :]
                at, held = _split(points, moved)
                return jax.jvp(lambda *at: of(_joined(list(at), held, moved), many), at, along)

            return with_tangent

        return one_kernel(make, [*primals, *directions], points=len(primals))

    differentiable.defjvp(derivative, symbolic_zeros=True)
    return differentiable(*leaves)


def _backwards(value: Callable[..., Any], of: Callable[..., Any], leaves: list[Array]) -> Any:
    """`value` of the leaves, with derivatives in reverse mode, rows in lock step."""

    @eqx.filter_custom_vjp
    def differentiable(leaves: list[Array]) -> Any:
        return value(*leaves)

    @differentiable.def_fwd
    def forth(moved: list[bool], leaves: list[Array]) -> tuple[Any, Any]:
        at, held = _split(leaves, moved)
        run = lambda *at: eqx.partition(of(_joined(list(at), held, moved)), eqx.is_inexact_array)  # noqa: E731
        out, pull, rest = jax.vjp(run, *at, has_aux=True)
        return eqx.combine(out, rest), (out, pull)

    @differentiable.def_bwd
    def back(residuals: Any, bar: Any, moved: list[bool], leaves: list[Array]) -> Any:
        out, pull = residuals
        bars = iter(pull(jax.tree.map(lambda x, b: jnp.zeros_like(x) if b is None else b, out, bar)))
        return [next(bars) if m else None for m in moved]

    return differentiable(leaves)


def _room(state: Any) -> list[Any]:
    """Where the loop saves to, full of inf when it begins."""
    return [room for save in saves_of(state) for room in (save.ts, save.ys)]


def _staged(solver: BilinearTaylor, many: bool) -> dfx.AbstractSolver:
    unrolled = solver.unrolled
    if unrolled is None:
        unrolled = solver.series_order if many else 0
    return StagedTaylor(BilinearTaylor(solver.series_order, solver.dense, unrolled))


def _split(leaves: list[Array], moved: list[bool]) -> tuple[list[Array], list[Array]]:
    pairs = list(zip(leaves, moved, strict=True))
    return [leaf for leaf, m in pairs if m], [leaf for leaf, m in pairs if not m]


def _joined(at: list[Array], held: list[Array], moved: list[bool]) -> list[Array]:
    those, others = iter(at), iter(held)
    return [next(those) if m else next(others) for m in moved]


def outcome_of(state: Any) -> tuple[Any, ...]:
    """What a run changes and `diffrax.diffeqsolve` reads; a kernel cannot hand back what it was given."""
    counts = state.num_steps, state.num_accepted_steps, state.num_rejected_steps
    return (state.save_state, state.result, *counts, state.event_mask)
