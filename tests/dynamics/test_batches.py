"""`mfsolve` under `jax.vmap`: each row is the run alone, also in derivatives, and a bad one spoils no other."""

import dataclasses

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import generic_state, paper, uneven

import dicke_jax as dj

TIMES = np.linspace(0.0, 6.0, 7)
TIGHT = dict(rtol=1e-12, atol=1e-12)

run = eqx.filter_jit(lambda model, state: dj.mfsolve(model, state, TIMES, **TIGHT))


@pytest.mark.slow
def test_derivatives_of_a_batch_and_batches_of_derivatives():
    """Jvp and grad outside and inside of vmap, of 20 rows that run one after the other, and in nested batches."""
    model = uneven(2)
    states = jax.vmap(lambda key: dj.random_state(key, model))(jax.random.split(jax.random.key(0), 20))

    def one(g0, state, adjoint):
        at = dataclasses.replace(model, g0=g0)
        options = dict(solver=dj.BilinearTaylor(8, dense=False), adjoint=adjoint, throw=False)
        return dj.mfsolve(at, state, jnp.array([0.0, 2.0]), **options).overlaps[-1, 0]

    def every(g0, adjoint):
        return jax.vmap(one, in_axes=(0, 0, None))(g0, states, adjoint)

    couplings = jnp.linspace(0.5, 1.0, 20)
    steps = dfx.ForwardMode()
    outside = jax.jit(lambda g0: jax.jvp(lambda g: every(g, steps), (g0,), (jnp.ones(20),)))(couplings)
    each = jax.jit(jax.vmap(lambda g, s: jax.jvp(lambda g: one(g, s, steps), (g,), (1.0,))))(couplings, states)
    np.testing.assert_allclose(outside[1], each[1], atol=1e-10)
    backward = jax.jit(jax.grad(lambda g0: jnp.sum(every(g0, dfx.RecursiveCheckpointAdjoint()))))(couplings)
    np.testing.assert_allclose(backward, outside[1], atol=1e-8)
    step = 1e-5
    change = (every(couplings + step, steps) - every(couplings - step, steps)) / (2 * step)
    np.testing.assert_allclose(outside[1], change, atol=1e-7)
    nested = jax.vmap(jax.vmap(lambda g, s: one(g, s, steps)))(
        couplings.reshape(4, 5), jax.tree.map(lambda x: x.reshape(4, 5, *x.shape[1:]), states)
    )
    np.testing.assert_allclose(nested.ravel(), outside[0], atol=1e-12)


def test_a_run_in_a_batch_is_the_run_alone():
    """Whatever of it is batched: the state, the model or the times; also where all of it is known to the compiler."""
    model = uneven(2)
    states = jax.vmap(lambda key: dj.random_state(key, model))(jax.random.split(jax.random.key(0), 3))
    couplings, ends = jnp.array([0.4, 0.8, 1.2]), jnp.array([1.0, 2.0, 1.5])

    def run(g0, state, end):
        options = dict(solver=dj.BilinearTaylor(8), throw=False)
        at = dataclasses.replace(model, g0=g0)
        return dj.mfsolve(at, state, end * jnp.linspace(0.0, 1.0, 3), **options).m

    def row(i):
        return couplings[i], jax.tree.map(lambda x: x[i], states), ends[i]

    alone = jax.jit(run)
    for axes in ((0, 0, 0), (None, 0, None), (0, None, None), (None, None, 0)):
        every, first = (couplings, states, ends), row(0)
        given = [every[k] if axis == 0 else first[k] for k, axis in enumerate(axes)]
        batch = jax.jit(jax.vmap(run, axes))(*given)
        for i in range(3):
            own = [row(i)[k] if axis == 0 else first[k] for k, axis in enumerate(axes)]
            np.testing.assert_allclose(batch[i], alone(*own), atol=1e-12)
    np.testing.assert_allclose(jax.jit(lambda: run(*row(1)))(), alone(*row(1)), atol=1e-12)


@pytest.mark.slow
def test_a_large_batch_with_dense_couplings_compiles_and_agrees():
    """Reductions over thousands of rows are what XLA's CPU backend cannot emit inside one kernel."""
    rng = np.random.default_rng(0)
    model = uneven(4, dj.LargeSpins.individual(rng.choice([-1, 1], size=(4, 9))))
    states = jax.vmap(lambda key: dj.random_state(key, model))(jax.random.split(jax.random.key(0), 4096))
    many = jax.jit(jax.vmap(lambda state: dj.mfsolve(model, state, jnp.array([0.0, 1.0]), throw=False)))(states)
    assert many.successful.all()
    last = dj.MeanFieldState(states.m[-1], states.alpha[-1])
    np.testing.assert_allclose(many.m[-1], dj.mfsolve(model, last, jnp.array([0.0, 1.0])).m, atol=1e-9)


def test_vmap_over_states_couplings_and_patterns():
    model = uneven(3)
    states = [generic_state(model, seed) for seed in range(3)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    many = jax.vmap(lambda state: dj.mfsolve(model, state, TIMES, **TIGHT))(batch)
    assert many.m.shape == (3, 7, 3, 4) and many.overlaps.shape == (3, 7, 3) and many.successful.all()
    for row, state in enumerate(states):
        np.testing.assert_allclose(many.m[row], run(model, state).m, atol=1e-9)

    def at(g0, nu):
        model_at = dataclasses.replace(model, g0=g0)
        return dj.mfsolve(model_at, dj.stored_pattern(model, nu), TIMES, **TIGHT)

    g0 = jnp.array([0.2, 0.9, 1.4])
    stored = jax.vmap(at)(g0, jnp.arange(3))
    np.testing.assert_array_equal(stored.overlaps[:, 0], np.eye(3))
    assert stored.final_state.m.shape == (3, 3, 4) and stored.spin_lengths.shape == (3, 7, 4)
    alone = run(dataclasses.replace(model, g0=0.9), dj.stored_pattern(model, 1))
    np.testing.assert_allclose(stored.m[1], alone.m, atol=1e-9)


def test_a_failed_row_leaves_its_batch_alive_and_says_so():
    model = paper(1.0)
    state = dj.stored_pattern(model)

    def run_with(g0):
        return dj.mfsolve(dataclasses.replace(model, g0=g0), state, jnp.array([0.0, 1.0]), throw=False)

    many = jax.vmap(run_with)(jnp.array([1.0, jnp.nan]))
    np.testing.assert_array_equal(many.successful, [True, False])
    assert np.isfinite(many.m[0]).all() and np.isnan(many.m[1]).all()
    assert "1 of 2" in repr(many)

    unsorted = jax.jit(lambda t: dj.mfsolve(model, state, t, throw=False))(jnp.array([0.0, jnp.nan]))
    assert not unsorted.successful and np.isnan(unsorted.overlaps).all()

    short = dj.mfsolve(model, state, jnp.array([0.0, 50.0]), max_steps=3, throw=False)
    assert not short.successful and "maximum number" in repr(short)
    assert np.isinf(short.m[-1]).all() and np.isinf(short.occupations[-1]).all()  # where it stopped is another time
    with pytest.raises(eqx.EquinoxRuntimeError, match="maximum number"):
        dj.mfsolve(model, state, jnp.array([0.0, 50.0]), max_steps=3)


@pytest.mark.parametrize("derivative", [pytest.param(jax.grad, marks=pytest.mark.slow), jax.jacfwd])
def test_a_failed_row_has_no_derivative_either(derivative):
    """NaN, not 0, beside a value that is none; and a row that a loss leaves out spoils no other."""
    model = paper(1.0)
    state = dj.stored_pattern(model)

    def overlap(g0, **options):
        times = jnp.array([0.0, 1.0])
        return dj.mfsolve(model.replace(g0=g0), state, times, throw=False, **options).overlaps[-1, 0]

    couplings = jnp.array([1.0, jnp.nan])
    slopes = jax.vmap(derivative(overlap))(couplings)
    step = 1e-4
    expected = (overlap(1.0 + step) - overlap(1.0 - step)) / (2 * step)
    np.testing.assert_allclose(slopes, [expected, np.nan], rtol=1e-6)
    assert np.isnan(derivative(lambda g0: overlap(g0, max_steps=1))(1.0))
    if derivative is jax.grad:
        masked = jax.grad(lambda g0: jnp.nansum(jax.vmap(overlap)(g0)))(couplings)
        np.testing.assert_allclose(masked, [expected, 0], rtol=1e-6)
