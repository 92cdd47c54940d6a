"""Where runs end: closed forms against the equations, `steadystate` and its classification."""

import dataclasses

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import max_rate_of_change, paper, rates_of
from scipy.optimize import brentq

import dicke_jax as dj

rates = st.floats(0.2, 3.0)


@given(rates, rates, st.booleans(), rates, rates, st.floats(0.3, 1.0), st.integers(0, 2), st.sampled_from([1, -1]))
def test_retrieval_state_is_stationary(omega, omega_mode, negative, kappa, g0, length, nu, sign):
    """On both sides of threshold, for both signs, for any spin length, also for Omega_nu < 0."""
    modes = np.array([1.1, 0.7, 1.9])
    modes[nu] = -omega_mode if negative else omega_mode
    model = dj.DickeModel(dj.LargeSpins.hypercube(3), omega, modes, kappa, g0)
    state = dj.retrieval_state(model, nu, sign, spin_length=length)
    assert max_rate_of_change(model, state) < 1e-12
    np.testing.assert_allclose(np.linalg.norm(state.m, axis=0), length, atol=1e-12)
    xi = float(dj.retrieval_overlap(model, nu, spin_length=length))
    expected = np.zeros(3)
    expected[nu] = sign * xi
    np.testing.assert_allclose(dj.overlaps(model, state.m), expected, atol=1e-12)
    assert (xi > 0) == (g0 > float(dj.critical_coupling(model, nu, spin_length=length)))


def test_critical_coupling_is_where_a_root_of_the_self_consistent_equation_appears():
    """Xi = h / sqrt(1 + h^2), h = (g0/g)^2 xi has a second root from g0 = g on: found by its slope, not its formula."""
    model = paper()
    omega, omega_mode, kappa, _ = (np.asarray(rate) for rate in rates_of(model))
    for nu in range(4):

        def slope_at_zero(g0, nu=nu):
            # field on a spin per overlap, from alpha = -i g0 xi / (i Omega + kappa/2), against the splitting
            response = 2 * (-1j * g0 / (1j * omega_mode[nu] + kappa[nu] / 2)).real
            return -g0 * response / omega - 1

        expected = brentq(slope_at_zero, 0.1, 3.0, xtol=1e-14)
        assert float(dj.critical_coupling(model, nu)) == pytest.approx(expected, rel=1e-12)


def test_printed_values_of_the_paper_s_figure():
    thresholds = [float(dj.critical_coupling(paper(), nu)) for nu in range(4)]
    np.testing.assert_allclose(thresholds, np.sqrt([5 / 12, 17 / 32, 13 / 20, 37 / 48]), rtol=1e-12)
    assert float(dj.retrieval_overlap(paper(0.9), 3)) == pytest.approx(np.sqrt(1 - (37 / 48) ** 2 / 0.9**4), rel=1e-12)
    assert float(dj.retrieval_overlap(paper(0.6), 0)) == 0.0


def test_steadystate_from_a_stored_pattern_is_eq_12():
    model = paper()
    g0 = jnp.array([0.5, 0.75, 1.0, 1.25])

    def relax(g, nu):
        at = dataclasses.replace(model, g0=g)
        return dj.steadystate(at, dj.stored_pattern(at, nu)), dj.retrieval_overlap(model=at, pattern=nu)

    patterns = jnp.array([0, 1, 2, 3])
    ends, theory = jax.jit(jax.vmap(relax))(g0, patterns)
    assert ends.converged.all() and (np.asarray(ends.residual) < 1e-9).all()
    np.testing.assert_allclose(np.abs(np.diag(np.asarray(ends.overlaps))), theory, atol=1e-7)
    for row in range(4):
        state = dj.MeanFieldState(ends.state.m[row], ends.state.alpha[row])
        at = dataclasses.replace(model, g0=g0[row])
        assert max_rate_of_change(at, state) < 1.0001e-9
        photons = g0[row] ** 2 * theory[row] ** 2 / (model.omega_mode[row] ** 2 + 0.25)
        assert float(ends.occupations[row, row]) == pytest.approx(float(photons), abs=1e-7)
    assert "4 of 4 successful" in repr(ends)


def test_dark_spin_waves_are_reported_as_oscillating_with_averages():
    """From a generic state K - M spin waves never decay: no residual vanishes, and an average is what there is."""
    model = paper(1.5)
    state = dj.tilted_pattern(jax.random.key(3), model, 0, angle=0.5)
    end = dj.steadystate(model, state, max_time=3000.0)
    assert end.status == dj.Status.oscillating and not end.converged
    assert float(end.residual) > 1e-3 and float(end.time) == 3000.0
    assert "oscillating" in repr(end)

    times = np.linspace(1500.0, 3000.0, 4001)
    sol = dj.mfsolve(model, state, np.append(0.0, times))
    np.testing.assert_allclose(end.overlaps, np.mean(sol.overlaps[1:], axis=0), atol=2e-3)
    assert abs(float(end.overlaps[0]) - float(dj.retrieval_overlap(model, 0))) > 1e-3  # it is not Eq. 12


def test_mixed_signs_of_the_mode_frequencies_keep_oscillating():
    model = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, jnp.array([1.5, -2.0]), 1.0, 0.5)
    end = dj.steadystate(model, dj.random_state(jax.random.key(0), model), max_time=4000.0)
    assert end.status == dj.Status.oscillating
    assert float(np.max(end.fluctuations)) > 0.3


def test_a_run_that_is_too_short_is_not_converged():
    model = paper(1.6)  # relaxes at 0.001 kappa
    end = dj.steadystate(model, dj.stored_pattern(model, 0), max_time=400.0)
    assert end.status == dj.Status.not_converged
    assert "longer max_time" in repr(end)


def test_residual_and_time_scale_with_the_unit_of_the_rates():
    """All rates in another unit: the same state, the same residual in kappa, times in the inverse unit."""
    one, fast = (
        paper(1.0, num_patterns=2),
        paper(1e3, num_patterns=2, omega_spin=500.0, kappa=1e3, omega_mode=1e3 * np.array([1.5, 2.0])),
    )
    a, b = (dj.steadystate(model, dj.stored_pattern(model, 1)) for model in (one, fast))
    assert a.converged and b.converged
    np.testing.assert_allclose(b.overlaps, a.overlaps, atol=1e-8)
    assert float(b.time) * 1e3 == pytest.approx(float(a.time), rel=0.1)


def test_nan_is_a_failure_and_never_a_result():
    model = paper(1.0, num_patterns=2)

    def relax(g0, kappa):
        at = dataclasses.replace(model, g0=g0, kappa=kappa)
        return dj.steadystate(at, dj.stored_pattern(at))

    nan = jnp.nan
    ends = jax.jit(jax.vmap(relax))(jnp.array([1.0, nan, 1.0, 1.0, 1.0]), jnp.array([1.0, 1.0, nan, 0.0, -1.0]))
    np.testing.assert_array_equal(ends.converged, [True, False, False, False, False])
    np.testing.assert_array_equal(ends.status == dj.Status.failed, [False, True, True, True, True])
    assert np.isfinite(ends.overlaps[0]).all() and np.isnan(ends.overlaps[1:]).all()


def test_float32_converges_to_its_accuracy():
    model = paper(1.0, omega_mode=np.array([1.5, 2.0, 2.5, 3.0], dtype=np.float32))
    end = dj.steadystate(model, dj.stored_pattern(model, 1))
    assert end.converged and end.overlaps.dtype == jnp.float32
    assert abs(float(end.overlaps[1])) == pytest.approx(float(dj.retrieval_overlap(paper(1.0), 1)), abs=1e-3)


def bad_cavity(k, dtype=float):
    """Modes a thousand times faster than the spins: |xi| = 0.89580642 for every k, reached at a rate of about 1 / k."""
    threshold = np.sqrt(0.5 * 1.25 * k / 2)
    rates = (jnp.asarray(rate, dtype) for rate in (0.5, k, k, 1.5 * threshold))
    model = dj.DickeModel(dj.LargeSpins.hypercube(1), *rates)
    return model, dj.tilted_pattern(jax.random.key(0), model, 0, angle=0.6)


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_slow_relaxation_is_neither_converged_nor_oscillating(dtype):
    """A spectrum decides, and the distance to the state at rest: a residual in units of kappa says nothing here."""
    end = dj.steadystate(*bad_cavity(1e4, dtype), max_time=50.0)
    # beside rates of 1e4 a float32 knows none of less than 1
    assert end.status == (dj.Status.not_converged if dtype is float else dj.Status.undecided)


def slow_rates(model):
    """Of the quartic of a pattern's own mode (PHYSICS.md), by NumPy: (l^2 + w^2)((l + kappa/2)^2 + Omega_mu^2) = ..."""
    omega, (mode,), (kappa,) = float(model.omega_spin), np.asarray(model.omega_mode), np.asarray(model.kappa)
    threshold = omega * (mode**2 + kappa**2 / 4) / (2 * mode)
    w = 2 * omega * float(model.g0) ** 2 / threshold
    left = np.polymul([1, 0, w**2], [1, kappa, kappa**2 / 4 + mode**2])
    return -np.roots(np.polysub(left, [8 * omega * mode * threshold])).real.max()


def test_a_run_that_is_too_short_says_how_long_it_must_be():
    model, state = bad_cavity(1e4)
    end, rate = dj.steadystate(model, state, max_time=50.0), slow_rates(model)
    residual = float(end.residual) * 1e4  # in units of min kappa; stationary is 1e-9 of 2 Omega = 1
    assert float(end.time_needed) == pytest.approx(50 + (1 + 1.1 * np.log(residual / 1e-9)) / rate, rel=1e-4)
    assert f"max_time = {float(end.time_needed):.3g}" in str(end)


def test_a_decay_that_round_off_of_the_fast_modes_would_hide_is_no_oscillation():
    """Modes of a rate k decay spins at 1 / k of NumPy's eigenvalues at k = 100; a wave that no mode sees lasts."""
    from dicke_jax.dynamics.distance_to_rest import kind_of_motion, time_to_rest

    def at_rest(k, M):
        modes = k * np.array([1.0, 1.4, 1.2])[:M]
        threshold = np.sqrt(0.5 * (modes**2 + k**2 / 4) / (2 * modes)).max()
        model = dj.DickeModel(dj.LargeSpins.hypercube(M), 0.5, modes, k, 1.5 * threshold)
        return model, dj.retrieval_state(model, 0)

    slow, fast = at_rest(1e2, 2), at_rest(1e7, 2)
    rates = np.linalg.eigvals(real_jacobian(*slow)).real
    decay, time = -rates[rates < -1e-9].max() * 1e-5, 5000.0
    assert kind_of_motion(fast[0], fast[1].to_real(fast[0]), time) == dj.Status.not_converged
    needed = time_to_rest(fast[0], fast[1].to_real(fast[0]), time, 1e6)
    assert needed == pytest.approx(time + (1 + 1.1 * np.log(1e6)) / decay, rel=1e-3)
    fast = at_rest(1e7, 3)
    assert kind_of_motion(fast[0], fast[1].to_real(fast[0]), time) == dj.Status.oscillating


def real_jacobian(model, state):
    """By central differences of the equations, which are quadratic."""
    y, K = np.concatenate([np.ravel(part) for part in state.to_real(model)]), model.num_subsets

    def rates(y):
        m, quadratures = jnp.asarray(y[: 3 * K]).reshape(3, K), jnp.asarray(y[3 * K :]).reshape(2, -1)
        return np.concatenate([np.ravel(part) for part in dj.mean_field_equations(0.0, (m, quadratures), model)])

    return np.array([(rates(y + e) - rates(y - e)) / 2 for e in np.eye(y.size)]).T


def test_rows_of_a_batch_are_not_told_how_long_they_must_be():
    """No spectrum is known there, and no row runs longer for another (found by the fuzzer)."""
    model, state = bad_cavity(10.0)
    ends = jax.vmap(lambda x: dj.steadystate(model, dj.MeanFieldState(x * state.m, state.alpha)))(jnp.array([1.0, 0.9]))
    assert ends.converged.all() and np.isnan(ends.time_needed).all()


@pytest.mark.slow
def test_a_run_goes_on_for_as_long_as_the_slowest_decay_asks():
    """5000 time units, the default, leave the spins at 2e-8 of what moves; relaxing at kappa / 1e3 of them."""
    model = dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, 1.0, 1e3, 1.5 * np.sqrt(0.25 * (1 + 2.5e5)))
    end = dj.steadystate(model, dj.tilted_pattern(jax.random.key(0), model, 0, angle=0.6))
    assert end.converged and 5000 < float(end.time) < 2 * np.log(1e9) / slow_rates(model)
    np.testing.assert_allclose(np.abs(end.overlaps), np.sqrt(1 - 1.5**-4), rtol=1e-8)


@pytest.mark.slow
def test_steps_to_rest_do_not_grow_with_the_speed_of_the_modes():
    """With spins that decay by themselves; the state at rest by SciPy from the equations written out."""
    from scipy.optimize import fsolve

    steps = []
    for k in (1e3, 1e4, 1e5):
        model, state = bad_cavity(k)
        model = model.replace(dissipation=dj.LocalDissipation([("decay_x", 0.1)]))
        end = dj.steadystate(model, state)
        assert end.converged
        steps.append(int(end.num_steps))
        c = 2 * float(model.g0) ** 2 * k / (1.25 * k**2)  # the field of a mode that follows: b = -c xi

        def rates(m, c=c):
            x, y, z = m
            return [2 * c * z * y - 0.1 * (1 + x), -2 * c * z * x - z - 0.05 * y, y - 0.05 * z]

        np.testing.assert_allclose(end.state.m[:, 0], fsolve(rates, end.state.m[:, 0]), atol=1e-7)
    assert steps[2] < 1.2 * steps[1], steps


def test_fast_modes_converge_to_the_closed_form():
    end = dj.steadystate(*bad_cavity(100.0))
    assert end.converged
    np.testing.assert_allclose(np.abs(end.overlaps), np.sqrt(1 - 1.5**-4), rtol=1e-9)


def test_stiff_runs_take_no_more_steps_for_faster_modes():
    from scipy.integrate import solve_ivp

    model, state = bad_cavity(1e4)
    steps, ends = [], []
    for k in (1e4, 1e6):
        sol = dj.mfsolve(*bad_cavity(k), [0.0, 5.0])
        steps.append(int(sol.stats["num_steps"]))
        ends.append(sol.m[-1, :, 0])
    assert steps[1] < 1.1 * steps[0]
    g0 = float(model.g0)

    def right_hand_side(t, y):
        x, y_, z, re, im = y
        return [-4 * g0 * re * y_, 4 * g0 * re * x - z, y_, 1e4 * im - 5e3 * re, -1e4 * re - 5e3 * im - g0 * z]

    start = [*np.asarray(state.m[:, 0]), float(state.alpha[0].real), float(state.alpha[0].imag)]
    radau = solve_ivp(right_hand_side, (0.0, 5.0), start, method="Radau", rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ends[0], radau.y[:3, -1], atol=1e-8)


def test_a_subset_without_spins_keeps_nobody_waiting():
    patterns = jnp.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])
    model = dj.DickeModel(
        dj.LargeSpins(dj.DenseCouplings(patterns), jnp.array([0.5, 0.5, 0.0])), 0.5, [1.5, 2.0], 1.0, 1.0
    )
    end = dj.steadystate(model, dj.tilted_pattern(jax.random.key(1), model, 0, angle=0.3))
    assert end.converged
    np.testing.assert_allclose(end.overlaps[0], dj.retrieval_overlap(paper(1.0, num_patterns=2), 0), atol=1e-9)


def test_a_slow_decay_beside_dephasing_is_on_its_way():
    jumps = dj.LocalDissipation([("dephasing_x", 0.1), ("decay_x", 1e-6)])
    model = dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, 1.0, 1.0, 1.0, dissipation=jumps)
    end = dj.steadystate(model, dj.tilted_pattern(jax.random.key(1), model, 0, angle=0.3))
    assert end.status == dj.Status.not_converged


def test_errors_of_steps_around_a_state_at_rest_are_no_oscillation():
    """Tsit5 at its limit of stability, 1e-4 from a state to which everything returns within 300 time units."""
    model = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, [1.5, 2.0], [0.2, 0.3], 0.9)
    start = dj.tilted_pattern(jax.random.key(0), model, 0, angle=0.6)
    end = dj.steadystate(model, start, solver=dfx.Tsit5(), tol=1e-13, rtol=1e-6, atol=1e-6, max_time=4000.0)
    assert end.status == dj.Status.undecided and float(end.residual) < 1e-2


def test_a_series_that_keeps_no_coefficients_is_refused_where_they_are_asked_for():
    model, state = bad_cavity(1.0)
    with pytest.raises(ValueError, match=r"solver must be dense where .*; got BilinearTaylor\(dense=False\)"):
        dj.steadystate(model, state, solver=dj.BilinearTaylor(8, dense=False))
