"""The ways of this package, and diffrax's own solvers through it."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp

import dicke_jax as dj

from .timing import Mode, Outcome


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


def traced(tol: float) -> dict[str, jax.Array]:
    """The tolerance as arrays, so that one compiled program serves them all."""
    return dict(rtol=jnp.asarray(tol), atol=jnp.asarray(tol))


def ensembles(*work: Any) -> list[Mode]:
    """`solve_ensemble` on one device, at its default tolerance and at errors as small as those of peers."""
    one = dict(devices=jax.local_devices()[:1])
    tight = [ensemble(f"solve_ensemble, {tol:g}", *work, **one, **traced(tol)) for tol in (1e-11, 5e-12, 1e-12)]
    return [ensemble("solve_ensemble, 1e-10", *work, **one), *tight]


def jax_modes(*work: Any) -> list[Mode]:
    """What runs wherever JAX does: of a model, states and an end time. The default tolerance is 1e-10."""
    return [
        *ensembles(*work),
        vmapped("vmap(mfsolve), 1e-10", *work),
        ensemble("solve_ensemble, Dopri8 1e-10", *work, devices=jax.local_devices()[:1], solver=dfx.Dopri8()),
        vmapped("vmap(mfsolve), Dopri8 1e-10", *work, solver=dfx.Dopri8()),
        vmapped("vmap(mfsolve), Tsit5 1e-8", *work, solver=dfx.Tsit5(), rtol=1e-8, atol=1e-8),
    ]
