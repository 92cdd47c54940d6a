"""d xi_0(T) / d g0 of every trajectory, in every way there is, against the value alone."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax import examples

from .peers import as_numpy, as_vectors, slopes
from .sizes import Size
from .timing import Mode, difference, in_turn, spread, start

TOGETHER = 32 if jax.default_backend() == "cpu" else None  # trajectories of a batch, as solve_ensemble has them


def measure(size: Size) -> list[dict[str, Any]]:
    model = examples.paper_model(num_patterns=size.patterns[0])
    states = examples.random_states(jax.random.key(0), model, size.gradient_batch)
    work = model, states, size.gradient_end
    forward, checkpoints = dfx.ForwardMode(), dfx.RecursiveCheckpointAdjoint()
    dopri8 = dict(solver=dfx.Dopri8())
    judge = tangent(*work, adjoint=forward, **dopri8)
    modes = [
        Mode("value", lambda: value(*work, adjoint=forward)),
        Mode("jvp, BilinearTaylor, ForwardMode", lambda: tangent(*work, adjoint=forward)),
        Mode("jvp, Dopri8, ForwardMode", lambda: judge),
        Mode("grad, BilinearTaylor, RecursiveCheckpointAdjoint", lambda: cotangent(*work, adjoint=checkpoints)),
        Mode("grad, BilinearTaylor, ReplayAdjoint", lambda: cotangent(*work, adjoint=dj.ReplayAdjoint())),
        Mode("grad, Dopri8, RecursiveCheckpointAdjoint", lambda: cotangent(*work, adjoint=checkpoints, **dopri8)),
        Mode("grad, Dopri8, BacksolveAdjoint", lambda: cotangent(*work, adjoint=dfx.BacksolveAdjoint(), **dopri8)),
        Mode("grad, gradsolve vern7_replay, steps recorded before", lambda: replay(*work)),
    ]
    runs, rows = start(modes, size)
    exact = np.asarray(judge(1e-13))
    for name, seconds in in_turn(runs, size.rounds).items():
        row, found = rows[name], np.asarray(rows[name].pop("outcome"))
        row["ms"] = spread(seconds, size.gradient_batch)
        row["compile_s"] = max(0.0, row.pop("first_s") - 1e-3 * row["ms"]["median"] * size.gradient_batch)
        if name != "value":
            row["error"] = difference(found, exact)
    return list(rows.values())


def overlaps_at(
    states: dj.MeanFieldState, model: dj.DickeModel, end: float, **options: Any
) -> Callable[..., jax.Array]:
    """xi_0(T) of every trajectory, from a coupling for each."""
    times = jnp.array([0.0, end])

    def one(row: Any) -> jax.Array:
        state, g0 = row
        return dj.mfsolve(model.replace(g0=g0), state, times, throw=False, **options).overlaps[-1, 0]

    return lambda g0: jax.lax.map(one, (states, g0), batch_size=TOGETHER or g0.size)


def value(model: dj.DickeModel, states: dj.MeanFieldState, end: float, **options: Any) -> Callable[[], Any]:
    g0 = jnp.full(len(states.m), model.g0)
    call = jax.jit(overlaps_at(states, model, end, **options))
    return lambda: call(g0)


def tangent(
    model: dj.DickeModel, states: dj.MeanFieldState, end: float, **options: Any
) -> Callable[[float], jax.Array]:
    """Of the tolerance, which is traced: the reference and what it judges share a program."""
    g0 = jnp.full(len(states.m), model.g0)

    @jax.jit
    def call(g0: jax.Array, tol: jax.Array) -> jax.Array:
        function = overlaps_at(states, model, end, rtol=tol, atol=tol, **options)
        return jax.jvp(function, (g0,), (jnp.ones_like(g0),))[1]

    return lambda tol=1e-10: call(g0, jnp.asarray(tol))


def cotangent(model: dj.DickeModel, states: dj.MeanFieldState, end: float, **options: Any) -> Callable[[], Any]:
    g0 = jnp.full(len(states.m), model.g0)
    function = overlaps_at(states, model, end, **options)
    call = jax.jit(jax.grad(lambda g0: function(g0).sum()))
    return lambda: call(g0)


def replay(model: dj.DickeModel, states: dj.MeanFieldState, end: float) -> Callable[[], Any]:
    """gradsolve: a forward solve records the accepted steps, here once and before; reverse mode goes through these."""
    import gradsolve

    c = as_numpy(model)
    modes, subsets = c.G.shape
    cuts = np.cumsum([subsets, subsets, subsets, modes])

    class Problem:
        name, dim, t0, t1, is_stiff = "dicke", 3 * subsets + 2 * modes, 0.0, end, False

        def f_jax(self, t: Any, state: jax.Array, g0: jax.Array) -> jax.Array:
            rates = SimpleNamespace(**vars(c) | dict(g=g0[0]))
            return jnp.concatenate(slopes(rates, *jnp.split(state, cuts)))

    starts, g0 = as_vectors(states), np.full((len(states.m), 1), c.g)
    ends = gradsolve.grad_closure(Problem(), starts, g0, engine="vern7_replay", fused=False, rtol=1e-10, atol=1e-10)
    call = jax.jit(jax.grad(lambda g0: (ends(g0)[:, 2 * subsets : 3 * subsets] @ c.weighted[:, 0]).sum()))
    return lambda: call(jnp.asarray(g0))[:, 0]
