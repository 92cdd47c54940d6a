"""`mfsolve` against independent integrators, conserved quantities and symmetries."""

import math

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import generic_state, paper, rates_of, spin_by_spin, uneven

import dicke_jax as dj

TIMES = np.linspace(0.0, 6.0, 7)
TIGHT = dict(rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_modes", [1, 2, 3, 4, 5])
def test_trajectories_agree_with_scipy_spin_by_spin(num_modes):
    model = uneven(num_modes)
    state = generic_state(model, seed=num_modes)
    sol = dj.mfsolve(model, state, TIMES, **TIGHT)
    G = model.spins.couplings  # equal subsets: one spin for each
    bloch, alpha = spin_by_spin(G, rates_of(model), state.m, state.alpha, TIMES)
    np.testing.assert_allclose(sol.m, bloch, atol=1e-9)
    np.testing.assert_allclose(sol.alpha, alpha, atol=1e-9)
    np.testing.assert_allclose(sol.overlaps, bloch[:, 2] @ np.asarray(G).T / G.shape[1], atol=1e-9)
    np.testing.assert_allclose(sol.occupations, np.abs(alpha) ** 2, atol=1e-9)


@pytest.mark.parametrize("alike", [True, False])
def test_grouping_is_exact_for_raw_patterns_with_unequal_subsets(alike):
    """All N_sp spins evolved one by one, without gauge or grouping, also where the spins of a subset differ."""
    G = np.asarray(dj.random_patterns(jax.random.key(4), 3, 30))
    mapped = dj.map_to_large_spins(G)
    assert len(set(np.asarray(mapped.spins.weights))) > 1
    model = uneven(3, mapped.spins)
    if alike:
        bloch = np.asarray(mapped.to_spins(generic_state(model).m))
    else:
        bloch = np.random.default_rng(0).normal(size=(3, 30))
        bloch /= np.linalg.norm(bloch, axis=0)
    alpha = np.array([0.1 + 0.2j, -0.3j, 0.4])
    exact, exact_alpha = spin_by_spin(G, rates_of(model), bloch, alpha, TIMES)

    sol = dj.mfsolve(model, dj.MeanFieldState(mapped.to_large(bloch), alpha), TIMES, **TIGHT)
    grouped = np.stack([mapped.to_large(vectors) for vectors in exact])
    np.testing.assert_allclose(sol.m, grouped, atol=1e-9)
    np.testing.assert_allclose(sol.alpha, exact_alpha, atol=1e-9)
    np.testing.assert_allclose(sol.overlaps, exact[:, 2] @ G.T / 30, atol=1e-9)
    if alike:
        single = np.stack([mapped.to_spins(m) for m in sol.m])
        np.testing.assert_allclose(single, exact, atol=1e-9)


@pytest.mark.parametrize("solver", [dfx.Tsit5(), dfx.Kvaerno5()], ids=["explicit", "implicit"])
def test_any_diffrax_solver_gives_the_same_trajectory(solver):
    model = uneven(2)
    state = generic_state(model)
    series = dj.mfsolve(model, state, TIMES, **TIGHT)
    other = dj.mfsolve(model, state, TIMES, solver=solver, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(series.m, other.m, atol=1e-7)


def test_any_diffrax_controller():
    model, times = uneven(2), jnp.array([0.0, 1.0])
    state = generic_state(model)
    sol = dj.mfsolve(model, state, times, stepsize_controller=dfx.ConstantStepSize(), dt0=0.125)
    assert sol.stats["num_steps"] == 8
    np.testing.assert_allclose(sol.m, dj.mfsolve(model, state, times, **TIGHT).m, atol=1e-9)


def test_series_solver_has_the_order_it_says():
    model, times = uneven(2), jnp.array([0.0, 1.0])
    state = generic_state(model)
    exact = dj.mfsolve(model, state, times, rtol=1e-14, atol=1e-14).m[-1]

    def error(order, steps):
        sol = dj.mfsolve(
            model,
            state,
            times,
            solver=dj.BilinearTaylor(order),
            stepsize_controller=dfx.ConstantStepSize(),
            dt0=1 / steps,
        )
        return float(jnp.abs(sol.m[-1] - exact).max())

    for order in (3, 6):
        assert error(order, 10) / error(order, 20) == pytest.approx(2**order, rel=0.25)


@pytest.mark.parametrize(("order", "limit"), [(8, 3.4), (13, 5.0), (18, 6.6)])
def test_chosen_orders_keep_oscillations_from_growing_up_to_a_limit_that_the_error_estimate_sees(order, limit):
    """|sum_n (iy)^n / n!| < 1 + 5e-9 up to y = limit, where the last term is large; not so for order 14."""

    def amplification(p, y):
        return np.abs(sum((1j * y) ** n / math.factorial(n) for n in range(p + 1)))

    y = np.linspace(0.05, limit - 0.05, 200)
    assert amplification(order, y).max() < 1 + 5e-9
    assert amplification(order, limit + 0.05) > 1 + 5e-9
    assert limit**order / math.factorial(order) > 0.05
    assert amplification(14, 2.7) > 1 + 5e-7 and 2.7**14 / math.factorial(14) < 2e-5


def test_series_solver_is_dense_between_its_steps():
    """Many saved times within one step: the polynomial itself, against SciPy."""
    model = uneven(2)
    state = generic_state(model)
    times = np.linspace(0.0, 2.0, 101)
    sol = dj.mfsolve(model, state, times, **TIGHT)
    assert sol.stats["num_accepted_steps"] < 50
    bloch, _ = spin_by_spin(model.spins.couplings, rates_of(model), state.m, state.alpha, times)
    np.testing.assert_allclose(sol.m, bloch, atol=1e-9)


def test_series_solver_for_couplings_that_need_a_matrix_product():
    rng = np.random.default_rng(0)
    model = uneven(3, dj.LargeSpins.individual(rng.choice([-1.0, 0.5, 1.0], size=(3, 1500))))
    state = generic_state(model)
    series = dj.mfsolve(model, state, jnp.array([0.0, 3.0]), **TIGHT)
    pair = dj.mfsolve(model, state, jnp.array([0.0, 3.0]), solver=dfx.Dopri8(), **TIGHT)
    np.testing.assert_allclose(series.m, pair.m, atol=1e-9)


run = eqx.filter_jit(lambda model, state: dj.mfsolve(model, state, TIMES, **TIGHT))
seeds = st.integers(0, 2**31 - 1)


def spins_of(G):
    return dj.LargeSpins(dj.DenseCouplings(jnp.asarray(G, dtype=float)), jnp.full(8, 1 / 8), 8)


@given(seeds)
def test_spin_lengths_are_conserved(seed):
    model = uneven(4)
    sol = run(model, generic_state(model, seed))
    np.testing.assert_allclose(sol.spin_lengths, np.broadcast_to(sol.spin_lengths[0], (7, 8)), atol=1e-9)


@given(seeds)
def test_gauged_spins_follow_the_gauged_trajectory(seed):
    """Any signs, not only the mapping's: G -> G s, (x, y, z) -> (x, s y, s z) leaves modes and overlaps alone."""
    rng = np.random.default_rng(seed)
    G, s = rng.choice([-1.0, 1.0], size=(4, 8)), rng.choice([-1.0, 1.0], size=8)
    one = uneven(4, spins_of(G))
    other = uneven(4, spins_of(G * s))
    state = generic_state(one, seed)
    turned = dj.MeanFieldState(np.asarray(state.m) * np.array([np.ones(8), s, s]), state.alpha)
    a, b = run(one, state), run(other, turned)
    np.testing.assert_allclose(b.overlaps, a.overlaps, atol=1e-9)
    np.testing.assert_allclose(b.alpha, a.alpha, atol=1e-9)
    np.testing.assert_allclose(np.asarray(b.m) * np.array([np.ones(8), s, s]), a.m, atol=1e-9)


@given(seeds)
def test_spins_and_patterns_may_be_renumbered(seed):
    rng = np.random.default_rng(seed)
    G, spin, mode = rng.choice([-1.0, 1.0], size=(4, 8)), rng.permutation(8), rng.permutation(4)
    one = uneven(4, spins_of(G))
    other = dj.DickeModel(
        spins_of(G[mode][:, spin]),
        one.omega_spin,
        np.asarray(one.omega_mode)[mode],
        np.asarray(one.kappa)[mode],
        one.g0,
    )
    state = generic_state(one, seed)
    moved = dj.MeanFieldState(np.asarray(state.m)[:, spin], np.asarray(state.alpha)[mode])
    a, b = run(one, state), run(other, moved)
    np.testing.assert_allclose(b.overlaps, np.asarray(a.overlaps)[:, mode], atol=1e-9)
    np.testing.assert_allclose(b.m, np.asarray(a.m)[:, :, spin], atol=1e-9)


@given(seeds)
def test_both_signs_of_a_pattern_are_alike(seed):
    """The parity of the model: (y, z, alpha) -> -(y, z, alpha)."""
    model = uneven(4)
    state = generic_state(model, seed)
    image = dj.MeanFieldState(np.asarray(state.m) * np.array([[1], [-1], [-1]]), -np.asarray(state.alpha))
    a, b = run(model, state), run(model, image)
    np.testing.assert_array_equal(b.overlaps, -a.overlaps)
    np.testing.assert_array_equal(b.m[:, 0], a.m[:, 0])


@settings(max_examples=6)
@given(st.integers(0, 3))
def test_a_stored_pattern_stays_in_its_subspace_to_the_bit(nu):
    """Also between g_crit and the coupling where it becomes stable, where round-off would grow."""
    model = paper(0.9)
    sol = dj.mfsolve(model, dj.stored_pattern(model, nu), np.linspace(0.0, 2000.0, 21))
    others = np.delete(np.asarray(sol.overlaps), nu, axis=1)
    np.testing.assert_array_equal(others, 0.0)
    assert np.abs(sol.overlaps[-1, nu]) > 0.1


def test_an_admixture_takes_over_between_existence_and_stability():
    """Pattern 4 of the paper exists at g0 = 0.9 but is not stable there: an easier pattern grows."""
    model = paper(0.9)
    state = dj.tilted_pattern(jax.random.key(0), model, 3, angle=1e-3)
    sol = dj.mfsolve(model, state, np.linspace(0.0, 2000.0, 21))
    assert float(dj.retrieval_overlap(model, 3)) > 0.3
    assert np.abs(sol.overlaps[-1, 3]) < 0.1 < np.abs(sol.overlaps[-1, :3]).max()


def test_prints_as_a_short_summary():
    model = paper(1.0)
    text = repr(dj.mfsolve(model, dj.stored_pattern(model, 1), jnp.array([0.0, 1.0])))
    assert "4 patterns, 8 subsets" in text and "successful" in text and "1.0000" in text and len(text) < 600


def test_what_eval_shape_gives_is_printed_too():
    model = paper()
    shapes = jax.eval_shape(lambda state: dj.mfsolve(model, state, TIMES, throw=False), dj.stored_pattern(model))
    assert repr(shapes).startswith("MFSolution(") and "(7, 3, 8)" in repr(shapes)


def test_is_traced_once_for_many_calls(monkeypatch):
    import dicke_jax.dynamics.trajectory as solve

    traces = []
    monkeypatch.setattr(solve, "without_nan", lambda *args, real=solve.without_nan: traces.append(1) or real(*args))
    for g0 in (1.01, 1.02, 1.03):
        model = paper(g0, num_patterns=2)
        dj.mfsolve(model, generic_state(model, int(100 * g0)), jnp.array([0.0, 1.0, 1.7]))
    assert len(traces) == 1


def test_float32_runs_to_its_accuracy():
    model = paper(1.1, omega_mode=np.array([1.5, 2.0, 2.5, 3.0], dtype=np.float32))
    assert model.dtype == jnp.float32
    state = dj.random_state(jax.random.key(0), model)
    sol = dj.mfsolve(model, state, TIMES)
    assert sol.m.dtype == jnp.float32 and sol.alpha.dtype == jnp.complex64
    exact = dj.mfsolve(paper(1.1), dj.MeanFieldState(state.m.astype(float), np.asarray(state.alpha, complex)), TIMES)
    np.testing.assert_allclose(sol.m, exact.m, atol=2e-5)
    with pytest.raises(ValueError, match="rtol must be .*float32"):
        dj.mfsolve(model, state, TIMES, rtol=1e-9)
