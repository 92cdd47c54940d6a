"""Once around an orbit, piece by piece: the state after a time T, and what becomes of deviations on the way."""

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

MOST_STEPS = 4096  # of a run along a piece, which is what `ReplayAdjoint` has room for
NUM_PIECES = 4  # of an orbit: errors of each grow by the fourth root of what those of a run around would grow by


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


def starts_from(model: AbstractMeanFieldModel, y0: RealState, period: Array) -> Float[Array, "later n"]:
    """Where a run from y_0 is at the ends of all pieces but the last."""
    first, unravel = ravel_pytree(y0)

    def piece(y: Array, _: None) -> tuple[Array, Array]:
        end = _end(model, unravel(y), period / NUM_PIECES)
        return end, end

    return jax.lax.scan(piece, first, None, NUM_PIECES - 1)[1]


def end_of(model: AbstractMeanFieldModel, y0: RealState, period: Array, inner: Float[Array, "later n"]) -> Array:
    """The state after T, with derivatives of any order in any mode, which is known to come by the states `inner`."""
    _, unravel = ravel_pytree(y0)

    def piece(y: Array, known: Any) -> tuple[Array, None]:
        return _on_the_way(_end(model, unravel(y), period / NUM_PIECES), *known), None

    return jax.lax.scan(piece, ravel_pytree(y0)[0], _known(inner))[0]


def turn_of(model: AbstractMeanFieldModel, y0: RealState, period: Array, inner: Float[Array, "later n"]) -> Any:
    """The velocity after T and d y(T) / d y(0), with derivatives, as `end_of`."""
    first, unravel = ravel_pytree(y0)

    def piece(carry: Any, known: Any) -> tuple[Any, Array]:
        y, matrix = carry
        at = around(model, unravel(y), period / NUM_PIECES, differentiable=True)
        return (_on_the_way(at.end, *known), jnp.matmul(at.matrix, matrix, precision="highest")), at.velocity

    (_, matrix), velocity = jax.lax.scan(piece, (first, jnp.eye(first.size, dtype=first.dtype)), _known(inner))
    return velocity[-1], matrix


def _known(inner: Array) -> Any:
    """What pieces end at, and whether that is known: not of the last."""
    last = np.arange(NUM_PIECES) < NUM_PIECES - 1
    return jnp.concatenate([inner, jnp.zeros_like(inner[:1])]), jnp.asarray(last)


def _on_the_way(end: Array, known: Array, there: Array) -> Array:
    """The known state, with the derivatives of the one a run ends at: what it is off by would grow."""
    return jnp.where(there, known + (end - jax.lax.stop_gradient(end)), end)


def points_of(
    model: AbstractMeanFieldModel, y0: RealState, period: Array, number: int, inner: Float[Array, "later n"]
) -> Any:
    """`number` states at equal distances in time, the first of them y0; with derivatives as `end_of`.

    Where pieces do not begin at such times it is one run.
    """
    pieces = NUM_PIECES if number % NUM_PIECES == 0 and number > NUM_PIECES else 1
    first, unravel = ravel_pytree(y0)
    span, times = period / pieces, period * np.arange(1, number // pieces, dtype=model.dtype) / number
    solver = default_solver(model, step_tolerance(model.dtype))
    saveat = dfx.SaveAt(t0=True, ts=times, t1=True)

    def piece(y: Array, known: Any) -> tuple[Array, Any]:
        states, _ = _run(model, unravel(y), span, saveat, solver=solver, adjoint=ReplayAdjoint())
        end = ravel_pytree(jax.tree.map(lambda saved: saved[-1], states))[0]
        return _on_the_way(end, *known), jax.tree.map(lambda saved: saved[:-1], states)

    states = jax.lax.scan(piece, first, jax.tree.map(lambda x: x[-pieces:], _known(inner)))[1]
    return jax.tree.map(lambda x: x.reshape(number, *x.shape[2:]), states)


def _end(model: AbstractMeanFieldModel, y0: RealState, time: Array) -> Array:
    end, ran = _run(model, y0, time, dfx.SaveAt(t1=True), solver=dfx.Dopri8(), adjoint=ReplayAdjoint())
    return jnp.where(ran, ravel_pytree(jax.tree.map(lambda saved: saved[0], end))[0], jnp.nan)


def _run(model: AbstractMeanFieldModel, y0: Any, time: Array, saveat: dfx.SaveAt, **how: Any) -> Any:
    tol = step_tolerance(model.dtype)
    how = dict(stepsize_controller=dfx.PIDController(tol, tol), max_steps=MOST_STEPS) | how
    sol: Any = integrate(model, y0, jnp.zeros_like(time), time, saveat, **how)
    ran = sol.result == dfx.RESULTS.successful
    return (*sol.ys, ran) if how.get("term") is not None else (sol.ys, ran)
