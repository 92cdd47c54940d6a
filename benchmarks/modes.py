"""The ways of this package, and diffrax's own solvers through it."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp

import dicke_jax as dj

from .work import Mode, Outcome


def ensemble(name: str, model: dj.DickeModel, states: dj.MeanFieldState, end: float, **options: Any) -> Mode:
    """`solve_ensemble`, as a user calls it."""

    def run() -> Outcome:
        sol = dj.solve_ensemble(model, states, [0.0, end], save="final", **options)
        return Outcome(sol.m, sol.num_steps.mean(), (~sol.successful).sum())

    return Mode(name, lambda: run)


def vmapped(name: str, model: dj.DickeModel, states: dj.MeanFieldState, end: float, **options: Any) -> Mode:
    """`jax.vmap(mfsolve)` of the whole batch, without what only reverse mode needs."""
    times = jnp.array([0.0, end])

    def one(model: dj.DickeModel, state: dj.MeanFieldState) -> Outcome:
        sol = dj.mfsolve(model, state, times, max_steps=None, adjoint=dfx.ForwardMode(), throw=False, **options)
        return Outcome(sol.m[-1], sol.stats["num_steps"], ~sol.successful)

    every = jax.jit(jax.vmap(one, (None, 0)))

    def run() -> Outcome:
        m, steps, failed = every(model, states)
        return Outcome(m, steps.mean(), failed.sum())

    return Mode(name, lambda: run)


def tolerance(tol: float) -> dict[str, float]:
    return dict(rtol=tol, atol=tol)


def jax_modes(model: dj.DickeModel, states: dj.MeanFieldState, end: float, **options: Any) -> list[Mode]:
    """What runs wherever JAX does. `options` go to `solve_ensemble`."""
    work = model, states, end
    return [
        ensemble("solve_ensemble, 1e-10", *work, **tolerance(1e-10), **options),
        ensemble("solve_ensemble, 1e-11", *work, **tolerance(1e-11), **options),
        ensemble("solve_ensemble, 1e-12", *work, **tolerance(1e-12), **options),
        vmapped("vmap(mfsolve), 1e-10", *work, **tolerance(1e-10)),
        ensemble("solve_ensemble, Dopri8 1e-10", *work, solver=dfx.Dopri8(), **tolerance(1e-10), **options),
        vmapped("vmap(mfsolve), Dopri8 1e-10", *work, solver=dfx.Dopri8(), **tolerance(1e-10)),
        vmapped("vmap(mfsolve), Tsit5 1e-8", *work, solver=dfx.Tsit5(), **tolerance(1e-8)),
    ]
