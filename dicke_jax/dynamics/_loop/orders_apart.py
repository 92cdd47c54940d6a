"""`OrdersApart`: a series whose orders are written out, for a state too large for a kernel.

XLA's CPU backend fuses each order into all orders that follow, and computes it anew in each of them: the work of the
last order grows as two to their number. What lies in a branch of a conditional it does not fuse with what is outside.
"""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..taylor_series import Stacked, Step, WrittenOut, as_coefficient, taylor_step
from ..taylor_solver import FEW, BilinearTaylor

LARGE = 2**14  # subsets from which on a single run lasts longer than orders that are written out take to compile


class OrdersApart(BilinearTaylor):
    """The same series, each order in a branch of its own; what is differentiated is the loop over the orders.

    To differentiate branches would take four times as long to compile.
    """

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: None, made_jump: Any) -> Any:
        arrays, rest = eqx.partition((t0, t1 - t0, y0, args), eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def series(unrolled: int, stage: Callable[..., Any], leaves: list[Array]) -> Step:
            t, h, y0, model = eqx.combine(jax.tree.unflatten(structure, leaves), rest)
            y1, error, orders = taylor_step(t, h, y0, model, self.series_order, unrolled, self.dense, stage)
            return y1, error, _one_by_one(orders) if isinstance(orders, Stacked) else orders

        @jax.custom_jvp
        def run(leaves: list[Array]) -> Step:
            return series(self.series_order, in_a_branch, leaves)

        @run.defjvp
        def tangents(leaves: Any, moved: Any) -> Any:
            return jax.jvp(lambda leaves: series(FEW, lambda part: part, leaves), leaves, moved)

        y1, error, orders = run(leaves)
        return y1, error, dict(series=orders), None, dfx.RESULTS.successful


def _one_by_one(series: Stacked) -> WrittenOut:
    return WrittenOut([as_coefficient(order) for order in zip(series.m, series.quadratures, strict=True)])


def orders_apart(model: Any, solver: dfx.AbstractSolver) -> dfx.AbstractSolver:
    """`solver`, so that XLA's CPU backend does none of its work twice, and written out where one run pays for it."""
    if type(solver) is not BilinearTaylor or jax.default_backend() != "cpu":
        return solver
    order, unrolled = solver.series_order, solver.unrolled
    pays = model.num_subsets >= LARGE if unrolled is None else unrolled >= order
    return OrdersApart(order, solver.dense, order) if pays else solver


def in_a_branch(part: Callable[..., Any]) -> Callable[..., Any]:
    """`part`, in a branch that is always taken, of which XLA does not know beforehand that it is."""

    def call(*args: Any) -> Any:
        arrays, rest = eqx.partition(args, eqx.is_array)

        def taken(arrays: Any) -> Any:
            return part(*eqx.combine(arrays, rest))

        shapes = jax.eval_shape(taken, arrays)

        def never(arrays: Any) -> Any:
            return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        always = jax.lax.optimization_barrier(jnp.array(True))  # the same for all rows under `jax.vmap`
        return jax.lax.cond(always, taken, never, arrays)

    return call
