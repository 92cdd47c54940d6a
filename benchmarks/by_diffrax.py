"""First runs of any mean-field model, by this package and by diffrax as its users know it."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp

import dicke_jax as dj

END, TIMES = 20.0, 101
Problem = Callable[[], tuple[Any, Any]]  # a model and a state


def tsit5(model: Any, state: Any, times: jax.Array) -> Any:
    """The same equations by a solver of diffrax's."""
    return dfx.diffeqsolve(
        dfx.ODETerm(dj.mean_field_equations),
        dfx.Tsit5(),
        times[0],
        times[-1],
        None,
        (state.m, jnp.stack([state.alpha.real, state.alpha.imag])),
        model,
        saveat=dfx.SaveAt(ts=times),
        stepsize_controller=dfx.PIDController(rtol=1e-8, atol=1e-8),
    ).ys


def first_mfsolve(problem: Problem) -> Callable[[], Any]:
    model, state = problem()
    times = jnp.linspace(0.0, END, TIMES)
    return lambda: dj.mfsolve(model, state, times).overlaps


def first_tsit5(problem: Problem) -> Callable[[], Any]:
    model, state = problem()
    times = jnp.linspace(0.0, END, TIMES)
    return lambda: tsit5(model, state, times)
