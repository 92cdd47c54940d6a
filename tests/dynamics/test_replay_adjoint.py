"""Reverse mode by replayed steps: the derivatives of the numbers that were computed."""

import dataclasses

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from problems import differences, generic_state, paper

import dicke_jax as dj

SERIES = dj.BilinearTaylor(8)  # a low order compiles quickly
OPTIONS = dict(solver=SERIES, rtol=1e-10, atol=1e-10)
RAMP = dj.PiecewiseLinear([0.0, 1.1, 2.5], [0.6, 1.3, 0.9])
MODEL = dataclasses.replace(
    paper(num_patterns=2), g0=RAMP, dissipation=dj.LocalDissipation([("decay_x", jnp.array([0.1, 0.2]))])
)
STATE = generic_state(MODEL)


def value(model, state, times, adjoint, **options):
    """Of every saved time, the first too, and of spins and modes."""
    sol = dj.mfsolve(model, state, times, adjoint=adjoint, **(OPTIONS | options))
    weights = 1 + jnp.arange(sol.m.size, dtype=float).reshape(sol.m.shape) / sol.m.size
    return jnp.sum(weights * sol.m) + jnp.sum(sol.occupations)


@pytest.mark.parametrize("number", [pytest.param(n, marks=pytest.mark.slow) for n in (7, 2)])
def test_every_derivative_is_that_of_forward_mode(number):
    """In all rates, those of the ramp and of the jumps too, the weights and the initial state; times by differences.

    Where rates have kinks forward mode is off by some 1e-5 in the first time, with steps that move along.
    """
    times = jnp.linspace(0.2, 3.0, number)
    given, rest = eqx.partition((MODEL, STATE.m, STATE.alpha.real, STATE.alpha.imag), eqx.is_inexact_array)
    flat, unflatten = ravel_pytree(given)

    def of(flat, times, adjoint):
        model, m, re, im = eqx.combine(unflatten(flat), rest)
        return value(model, dj.MeanFieldState(m, jax.lax.complex(re, im)), times, adjoint, throw=False)

    backward, slopes = jax.jit(jax.grad(lambda *p: of(*p, dj.ReplayAdjoint(256)), argnums=(0, 1)))(flat, times)
    forward = jax.jit(jax.jacfwd(lambda p: of(p, times, dfx.ForwardMode())))(flat)
    np.testing.assert_allclose(backward, forward, atol=3e-8 * float(jnp.abs(forward).max()))
    numbers = differences(jax.jit(lambda t: of(flat, t, dfx.ForwardMode())), times)
    np.testing.assert_allclose(slopes, numbers, atol=1e-6)


def test_derivatives_against_differences_for_a_batch():
    """Rows that take different numbers of steps go back side by side."""

    def of(g0):
        model = dataclasses.replace(paper(num_patterns=2), g0=g0)
        return value(model, STATE, jnp.array([0.0, 3.0]), dj.ReplayAdjoint(256), throw=False)

    couplings = jnp.array([0.1, 0.9, 2.5])
    slopes = jax.jit(jax.vmap(jax.grad(of)))(couplings)
    together = jax.jit(lambda g0: jnp.sum(jax.vmap(of)(g0)))
    np.testing.assert_allclose(slopes, differences(together, couplings), rtol=1e-7, atol=1e-7)


def test_runge_kutta_steps_are_replayed_too():
    def of(g0, adjoint):
        model = dataclasses.replace(paper(num_patterns=2), g0=g0)
        return value(
            model, STATE, jnp.linspace(0.0, 2.0, 4), adjoint, solver=dfx.Tsit5(), rtol=1e-7, atol=1e-7, throw=False
        )

    backward = jax.jit(jax.grad(lambda g0: of(g0, dj.ReplayAdjoint(512))))(0.9)
    np.testing.assert_allclose(backward, jax.jit(jax.jacfwd(lambda g0: of(g0, dfx.ForwardMode())))(0.9), rtol=1e-9)


def test_a_record_that_is_too_short_says_so():
    adjoint = dj.ReplayAdjoint(3)
    times = jnp.array([0.2, 3.0])
    assert dj.mfsolve(MODEL, STATE, times, adjoint=adjoint, **OPTIONS).successful  # values alone need no record

    def end(g0):
        sol = dj.mfsolve(MODEL.replace(g0=g0), STATE, times, adjoint=adjoint, throw=False, **OPTIONS)
        return sol.overlaps[-1, 0], sol.status

    _, status = jax.grad(end, has_aux=True)(0.9)
    assert status == dj.Status.record_full
    with pytest.raises(ValueError, match="max_steps must be a whole number of at least 1"):
        dj.ReplayAdjoint(0)
