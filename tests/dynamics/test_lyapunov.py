"""Lyapunov exponents and kinds of attractors, against tangent runs and orbits in SciPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import rates_of
from scipy.integrate import solve_ivp

import dicke_jax as dj
from dicke_jax.dynamics.attractor_kind import name_kind
from dicke_jax.dynamics.lyapunov import _first_tangent, drifts, mean_and_error


def two_modes(g0=0.8, omega_mode=(1.0, -1.0)):
    return dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, jnp.array(omega_mode), 1.0, g0)


def flat(state):
    return np.concatenate([np.ravel(state.m), state.alpha.real, state.alpha.imag])


def equations(model, decay=0.0):
    """f(y) and the matrix df/dy of the mean-field equations, with decay towards -x, in NumPy."""
    G, w = np.asarray(model.spins.couplings, float), np.asarray(model.spins.weights)
    (M, K), (omega, modes, kappa, g0) = G.shape, map(np.asarray, rates_of(model))
    x, y, z, q, p = np.split(np.arange(3 * K + 2 * M), [K, 2 * K, 3 * K, 3 * K + M])

    def f(t, u):
        h = 4 * g0 * (u[q] @ G)
        dx = -h * u[y] - decay * (u[x] + 1)
        dy = h * u[x] - 2 * omega * u[z] - decay * u[y] / 2
        dz = 2 * omega * u[y] - decay * u[z] / 2
        dp = -modes * u[q] - kappa / 2 * u[p] - g0 * (G @ (w * u[z]))
        return np.concatenate([dx, dy, dz, modes * u[p] - kappa / 2 * u[q], dp])

    def jacobian(u):
        h, J = 4 * g0 * (u[q] @ G), np.zeros((u.size, u.size))
        J[x, x], J[x, y], J[y, x], J[y, y] = -decay, -h, h, -decay / 2
        J[y, z], J[z, y], J[z, z] = -2 * omega, 2 * omega, -decay / 2
        J[np.ix_(x, q)], J[np.ix_(y, q)] = -4 * g0 * (u[y] * G).T, 4 * g0 * (u[x] * G).T
        J[q, q], J[q, p], J[p, q], J[p, p] = -kappa / 2, modes, -modes, -kappa / 2
        J[np.ix_(p, z)] = -g0 * G * w
        return J

    return f, jacobian


def tangent_run(model, u, v, windows, length, tol):
    """The logarithm of the growth of v in each window."""
    f, jacobian = equations(model)
    growth, n = [], u.size
    for _ in range(windows):
        both = solve_ivp(
            lambda t, s: np.concatenate([f(t, s[:n]), jacobian(s[:n]) @ s[n:]]),
            (0.0, length),
            np.concatenate([u, v]),
            method="DOP853",
            rtol=tol,
            atol=tol,
        ).y[:, -1]
        u, size = both[:n], np.linalg.norm(both[n:])
        v = both[n:] / size
        growth.append(np.log(size))
    return np.array(growth)


def test_each_window_s_growth_is_that_of_a_tangent_run_in_scipy():
    model = two_modes()
    state, key = dj.random_state(jax.random.key(1), model, amplitude=0.2), jax.random.key(5)
    run = dj.lyapunov_exponent(model, state, key=key, window=1.5, num_windows=10, num_transient=0)
    m, quadratures = _first_tangent(key, model, state.to_real(model))
    np.testing.assert_allclose(np.sum(np.asarray(m * state.m), axis=0), 0.0, atol=1e-15)  # |m_k| are conserved
    v = np.concatenate([np.ravel(m), np.ravel(quadratures)])
    assert np.linalg.norm(v) == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(run.growth, tangent_run(model, flat(state), v, 10, 1.5, 1e-11), atol=1e-6)
    assert float(run.time) == 15.0 and run.num_windows == 10 and "successful" in repr(run)


COUPLINGS = jnp.array([0.8, 0.0, 0.5, 0.3, jnp.nan, 0.5, 2.0])
MODES = jnp.array([[1.0, -1.0], [1.0, 1.5], [1.5, -2.0], [1.5, 2.0], [1.0, 1.0], [1.0, -1.0], [1.5, -2.0]])
KINDS = ("chaotic", "limit_cycle", "quasiperiodic", "fixed_point", "failed", "undecided", "limit_cycle")
STARTS = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(0), jnp.array([0, 1, 2, 3, 4, 5, 7]))


@pytest.fixture(scope="module")
def ends():
    def one(g0, omega_mode, key):
        model = dataclasses.replace(two_modes(), g0=g0, omega_mode=omega_mode)
        return dj.attractor(model, dj.random_state(key, model))

    return jax.jit(jax.vmap(one))(COUPLINGS, MODES, STARTS)


def final(ends, row):
    return flat(dj.MeanFieldState(ends.state.m[row], ends.state.alpha[row]))


def test_one_run_of_each_kind(ends):
    for name in KINDS:
        here = np.array(KINDS) == name
        np.testing.assert_array_equal(ends.kind == getattr(dj.AttractorKind, name), here, err_msg=name)
        assert f"{name:13}  {here.sum()} of 7" in repr(ends)
    failed = np.array(KINDS) == "failed"
    np.testing.assert_array_equal(np.isnan(ends.exponent), failed)
    np.testing.assert_array_equal(np.isnan(ends.overlaps).any(axis=1), failed)
    np.testing.assert_array_equal(np.isfinite(ends.period), np.array(KINDS) == "limit_cycle")


def test_chaos_has_the_exponent_of_a_tangent_run_in_scipy(ends):
    model = two_modes()
    start = flat(dj.random_state(jax.random.key(77), model))  # another run: chaos has forgotten where it began
    v = np.random.default_rng(0).normal(size=start.size)
    v[:6] -= (start[:6].reshape(3, 2) * np.sum((start[:6] * v[:6]).reshape(3, 2), axis=0)).ravel()
    growth = tangent_run(model, start, v, 120, 5.0, 1e-6)[30:].reshape(9, 10).mean(axis=1) / 5.0
    error = np.hypot(float(ends.error[0]), growth.std(ddof=1) / 3)
    assert error < 0.05
    assert float(ends.exponent[0]) == pytest.approx(growth.mean(), abs=4 * error)
    assert float(ends.exponent[0]) > 0.15


def test_spins_without_coupling_precess_at_twice_omega(ends):
    assert float(ends.period[1]) == pytest.approx(np.pi / 0.5, rel=1e-8)
    assert abs(float(ends.exponent[1])) < 1e-9


def away_from_start(model, start, times):
    """The distance of an orbit in SciPy from its start, as a share of its spread."""
    f, _ = equations(model)
    orbit = solve_ivp(f, (0.0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-9, atol=1e-9).y
    return np.linalg.norm(orbit - orbit[:, :1], axis=0) / np.sqrt(2 * np.sum(np.var(orbit, axis=1)))


def test_a_cycle_of_coupled_spins_and_light_returns_after_its_period_and_not_before(ends):
    period = float(ends.period[6])
    assert 0 < period < 2
    away = away_from_start(two_modes(2.0, (1.5, -2.0)), final(ends, 6), np.arange(16 * 200 + 1) * period / 200)
    assert away[200] < 1e-2 and away[3200] < 1e-2
    assert away[10:190].min() > 0.05
    assert abs(float(ends.exponent[6])) < 5e-3


def test_a_torus_does_not_return(ends):
    """Not within t = 150, some hundred turns of it, while deviations do not grow."""
    away = away_from_start(two_modes(0.5, (1.5, -2.0)), final(ends, 2), np.linspace(0.0, 150.0, 3001))
    assert away[np.argmax(away > 0.5) :].min() > 0.02
    assert abs(float(ends.exponent[2])) < 2e-3


def test_at_a_stable_fixed_point_the_exponent_is_the_slowest_rate_of_its_jacobian():
    for g0 in (0.6, 1.2):
        model = dataclasses.replace(
            two_modes(g0, (1.5, 2.0)), dissipation=dj.LocalDissipation([("decay_x", jnp.array(0.1))])
        )
        state = dj.random_state(jax.random.key(2), model)
        run = dj.lyapunov_exponent(model, state)
        f, jacobian = equations(model, 0.1)
        u = flat(run.final_state)
        assert np.abs(f(0.0, u)).max() < 1e-8
        slowest = np.linalg.eigvals(jacobian(u)).real.max()
        assert float(run.exponent) == pytest.approx(slowest, abs=2e-3) and slowest < -0.01


def test_a_batch_is_its_rows_and_a_bad_row_says_so():
    model, keys = two_modes(), jax.random.split(jax.random.key(3), 3)
    short = dict(window=1.0, num_windows=10, num_transient=5)

    def run(key, g0):
        return dj.lyapunov_exponent(dataclasses.replace(model, g0=g0), dj.random_state(key, model), **short)

    batch = jax.jit(jax.vmap(run))(keys, jnp.array([0.8, jnp.nan, 1.2]))
    np.testing.assert_array_equal(batch.successful, [True, False, True])
    np.testing.assert_array_equal(np.isnan(batch.exponent), [False, True, False])
    assert "2 of 3 successful" in repr(batch)
    for row, g0 in ((0, 0.8), (2, 1.2)):
        single = run(keys[row], jnp.array(g0))
        np.testing.assert_allclose(batch.growth[row], single.growth, atol=1e-8)
        blocks = [np.mean(np.reshape(single.growth, (n, -1)), axis=1) for n in (10, 5, 2)]
        error = max(0.1, *(np.std(means, ddof=1) / np.sqrt(means.size) for means in blocks))
        np.testing.assert_allclose((single.exponent, single.error), (np.mean(single.growth), error), rtol=1e-12)


def test_the_error_is_that_of_a_series_with_memory():
    """Of 200 series of each kind, those within two errors of the truth; the second is 5 times as long as its memory."""
    draw = np.random.default_rng(0)
    noise = draw.normal(size=(200, 400))
    remembering = np.zeros_like(noise)  # for 40 windows, the length of a block
    for i in range(1, 400):
        remembering[:, i] = 0.975 * remembering[:, i - 1] + noise[:, i]
    for series, least in ((noise, 0.9), (remembering[:, 200:], 0.7), (0.01 + 0 * noise, 1.0)):
        mean, error = jax.vmap(mean_and_error)(jnp.asarray(series))
        truth = 0.01 if series[0, 0] == 0.01 else 0.0
        assert np.mean(np.asarray(np.abs(mean - truth) < 2 * error, float)) >= least
        assert error.min() >= 1 / series.shape[1]  # a factor e of the length of a deviation
    falling = jnp.repeat(jnp.array([0.3, 0.0]), 200)  # chaos that ends half way: nothing is known but that
    assert float(mean_and_error(falling)[1]) >= 0.15 * (1 - 1e-12) and drifts(falling, 0.01)
    assert np.mean(jax.vmap(lambda x: drifts(x, 0.01))(jnp.asarray(noise))) <= 0.05


def test_chaos_that_jumps_will_end_is_told_from_chaos_that_lasts():
    """By Runge-Kutta steps in C to t = 20,000: .2446 without decay; with it .2 up to t = 350, .0000 at last."""

    def run(key, decay):
        model = two_modes().replace(dissipation=dj.LocalDissipation([("decay_x", decay)]))
        return dj.lyapunov_exponent(model, dj.random_state(key, model), num_windows=100, num_transient=40)

    keys, decay = jax.random.split(jax.random.key(3), 4), jnp.array([0.0, 0.0, 0.001, 0.001])
    runs = jax.jit(jax.vmap(run))(keys, decay)
    np.testing.assert_array_equal(runs.status == dj.Status.not_converged, decay > 0)
    assert np.all(np.abs(runs.exponent[:2] - 0.2446) < 3 * runs.error[:2]) and np.all(runs.exponent > 0.1)
    assert "2 not_converged" in repr(runs)


STATUS, KIND = dj.Status, dj.AttractorKind
TABLE = {  # e-foldings in both halves of t = 1000, error, status, whether the orbit returns
    "chaos": ((100.0, 90.0), 0.01, STATUS.oscillating, False, KIND.chaotic),
    "chaos with a trend": ((100.0, 90.0), 0.01, STATUS.not_converged, False, KIND.chaotic),
    "a near return in chaos": ((100.0, 90.0), 0.01, STATUS.oscillating, True, KIND.chaotic),
    "within its error": ((20.0, 8.0), 0.02, STATUS.oscillating, False, KIND.undecided),
    "slow growth": ((4.0, 4.0), 1e-4, STATUS.oscillating, False, KIND.undecided),
    "neutral shear": ((np.log(3), np.log(5 / 3)), 1e-4, STATUS.oscillating, False, KIND.quasiperiodic),
    "zero by chance": ((-0.1, 0.1), 0.02, STATUS.oscillating, False, KIND.undecided),
    "a trend": ((0.1, 0.1), 1e-4, STATUS.not_converged, False, KIND.undecided),
    "a period": ((0.1, 0.1), 1e-4, STATUS.not_converged, True, KIND.limit_cycle),
    "decay": ((-20.0, -20.0), 1e-3, STATUS.not_converged, False, KIND.fixed_point),
    "slow decay": ((-3.0, -3.0), 1e-4, STATUS.oscillating, False, KIND.undecided),
    "at rest": ((0.0, 0.0), 0.0, STATUS.successful, False, KIND.fixed_point),
}


@pytest.mark.parametrize("case", TABLE)
def test_kinds_are_told_by_growth_error_trend_and_return(case):
    (first, second), error, status, returns, expected = TABLE[case]
    growth = jnp.repeat(jnp.array([first, second]) / 50, 50)
    exponent = jnp.sum(growth) / 1000.0
    arguments = exponent, jnp.array(error), growth, jnp.array(1000.0), jnp.array(returns)
    assert name_kind(status, jnp.array(False), *arguments) == expected
    assert name_kind(status, jnp.array(True), *arguments) == KIND.failed
    transient = name_kind(status, jnp.array(False), *arguments, jnp.array(False))
    assert transient == (KIND.undecided if expected == KIND.chaotic else expected)


@pytest.mark.slow
def test_dark_spin_waves_around_a_pattern_are_a_torus():
    from problems import paper

    model = paper(1.5)
    end = dj.attractor(model, dj.tilted_pattern(jax.random.key(3), model, 0, angle=0.5), transient=2000.0)
    assert end.kind == KIND.quasiperiodic and "quasiperiodic" in repr(end)
    assert abs(float(end.overlaps[0])) > 0.9
