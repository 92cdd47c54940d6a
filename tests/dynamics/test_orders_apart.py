"""Orders written out for states too large for a kernel: the same run, and no work done twice."""

import functools
import timeit

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import generic_state, paper

import dicke_jax as dj
from dicke_jax.dynamics._loop import orders_apart
from dicke_jax.dynamics.taylor_series import taylor_step

MODEL = paper(num_patterns=9)  # 256 subsets
STATE = generic_state(MODEL)
ORDER = 4
STEP = 1e-4
TIMES = jnp.array([0.0, 0.1, 0.3])

only_on_cpus = pytest.mark.skipif(jax.default_backend() != "cpu", reason="the CPU backend fuses so")


def final(g0, unrolled=ORDER):
    solver = dj.BilinearTaylor(ORDER, unrolled=unrolled)
    return dj.mfsolve(MODEL.replace(g0=g0), STATE, TIMES, solver=solver, rtol=1e-7).overlaps[1:, 0]


@only_on_cpus
def test_no_order_is_computed_in_those_that_follow():
    """Without branches it takes some fifty times as long. Should this fail, XLA does so no more: drop them."""

    def seconds(stage):
        def step(_, y):
            return taylor_step(jnp.zeros(()), jnp.array(0.01), y, MODEL, 18, 18, False, stage)[0]

        run, y0 = jax.jit(lambda y: jax.lax.fori_loop(0, 3, step, y)), STATE.to_real(MODEL)
        result = jax.block_until_ready(run(y0))
        return min(timeit.repeat(lambda: jax.block_until_ready(run(y0)), number=1, repeat=5)), result

    (short, apart), (long, fused) = seconds(orders_apart.in_a_branch), seconds(lambda part: part)
    assert long > 10 * short
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), apart, fused)


def test_the_run_is_that_of_the_loop():
    np.testing.assert_allclose(final(1.3), final(1.3, unrolled=2), rtol=0, atol=1e-14)
    rows = jnp.array([0.4, 1.3])
    together = jax.jit(jax.vmap(final))
    np.testing.assert_allclose(together(rows), [final(g0) for g0 in rows], rtol=0, atol=1e-13)
    assert "case" in together.lower(rows).as_text()  # under `jax.vmap` branches stay branches


@functools.cache
def differences():
    """The derivative of the loop, and finite differences."""
    return jax.jacfwd(lambda g0: final(g0, unrolled=2))(1.3), (final(1.3 + STEP) - final(1.3 - STEP)) / (2 * STEP)


@pytest.mark.slow
@pytest.mark.parametrize("derivative", [jax.jacfwd, jax.jacrev])
def test_derivatives_are_those_of_the_loop(derivative):
    found, (of_the_loop, numbers) = derivative(final)(1.3), differences()
    np.testing.assert_allclose(found, of_the_loop, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found, numbers, rtol=1e-4, atol=1e-7)


@only_on_cpus
def test_who_has_them():
    large = paper(num_patterns=15)
    kinds = [type(orders_apart.orders_apart(model, dj.BilinearTaylor(ORDER))) for model in (MODEL, large)]
    assert kinds == [dj.BilinearTaylor, orders_apart.OrdersApart]
    assert type(orders_apart.orders_apart(MODEL, dj.BilinearTaylor(ORDER, unrolled=ORDER))) is orders_apart.OrdersApart
    assert type(orders_apart.orders_apart(large, dj.BilinearTaylor(ORDER, unrolled=2))) is dj.BilinearTaylor
