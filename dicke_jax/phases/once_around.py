"""Once around an orbit: the state after a time T, and what becomes of deviations on the way."""

from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from .._typing import RealState
from ..dynamics import ReplayAdjoint
from ..dynamics.integrate import integrate
from ..dynamics.trajectory import default_solver
from ..mean_field import AbstractMeanFieldModel, mean_field_equations

MOST_STEPS = 4096  # of a run around, which is what `ReplayAdjoint` has room for


class _WithTangents(eqx.Module):
    """V' = (df/dy) V for every column of V; the last has the parameter's df/dp besides, where there is one."""

    change: Any  # the tangent of the model along the parameter, or None

    def __call__(self, t: Any, pair: Any, model: AbstractMeanFieldModel) -> Any:
        y, columns = pair
        rate, push = jax.linearize(lambda at: mean_field_equations(t, at, model), y)
        moved = jax.vmap(push)(columns)
        if self.change is not None:
            along = eqx.filter_jvp(lambda own: mean_field_equations(t, y, own), (model,), (self.change,))[1]
            # None where nothing hangs on the parameter
            moved = jax.tree.map(lambda all_, one: all_ if one is None else all_.at[-1].add(one), moved, along)
        return rate, moved


class Around(NamedTuple):
    """The state `end` after T, its velocity, and `matrix`: d end / d (start, and the parameter where there is one)."""

    end: Float[Array, " n"]
    velocity: Float[Array, " n"]
    matrix: Float[Array, "n columns"]
    ran: Bool[Array, ""]


def step_tolerance(dtype: Any) -> float:
    """Of steps: what a periodic orbit closes to is ten times it."""
    return 1e-12 if dtype == jnp.float64 else 1e-6


def around(
    model: AbstractMeanFieldModel, y0: RealState, period: Array, change: Any = None, differentiable: bool = False
) -> Around:
    """One run with all its tangents, whose errors the steps keep small as well."""
    flat, unravel = ravel_pytree(y0)
    columns = np.eye(flat.size + (change is not None), flat.size, dtype=flat.dtype)
    pair = y0, jax.vmap(unravel)(jnp.asarray(columns))
    how: dict[str, Any] = dict(solver=dfx.Dopri8(), term=dfx.ODETerm(_WithTangents(change)))
    if differentiable:
        how["adjoint"] = ReplayAdjoint()
    end, moved, ran = _run(model, pair, period, dfx.SaveAt(t1=True), **how)
    end = jax.tree.map(lambda saved: saved[0], end)
    matrix = jax.vmap(lambda column: ravel_pytree(column)[0])(jax.tree.map(lambda saved: saved[0], moved)).T
    velocity = ravel_pytree(mean_field_equations(0.0, end, model))[0]
    return Around(ravel_pytree(end)[0], velocity, matrix, ran & jnp.all(jnp.isfinite(matrix)))


def end_of(model: AbstractMeanFieldModel, y0: RealState, period: Array) -> Float[Array, " n"]:
    """The state after T, with derivatives of any order in any mode."""
    end, ran = _run(model, y0, period, dfx.SaveAt(t1=True), solver=dfx.Dopri8(), adjoint=ReplayAdjoint())
    return jnp.where(ran, ravel_pytree(jax.tree.map(lambda saved: saved[0], end))[0], jnp.nan)


def points_of(model: AbstractMeanFieldModel, y0: RealState, period: Array, number: int) -> Any:
    """`number` states at equal distances in time, the first of them y0; with derivatives as `end_of`."""
    times = period * np.arange(1, number, dtype=model.dtype) / number
    solver = default_solver(model, step_tolerance(model.dtype))
    saveat = dfx.SaveAt(t0=True, ts=times[:-1], t1=True)
    states, _ = _run(model, y0, times[-1], saveat, solver=solver, adjoint=ReplayAdjoint())
    return states


def _run(model: AbstractMeanFieldModel, y0: Any, period: Array, saveat: dfx.SaveAt, **how: Any) -> Any:
    tol = step_tolerance(model.dtype)
    how = dict(stepsize_controller=dfx.PIDController(tol, tol), max_steps=MOST_STEPS) | how
    sol: Any = integrate(model, y0, jnp.zeros_like(period), period, saveat, **how)
    ran = sol.result == dfx.RESULTS.successful
    return (*sol.ys, ran) if how.get("term") is not None else (sol.ys, ran)
