"""Rates from measurements that SciPy simulates, spin by spin; their intervals, and what data cannot tell."""

import time

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest
from problems import differences, paper, rates_of, spin_by_spin
from scipy.stats import binom, chi2

import dicke_jax as dj
from dicke_jax._status import Status
from dicke_jax.inference.fit_steps import LOSSES, residuals

matplotlib.use("Agg")
KEY = jax.random.key(0)
FREE = ("omega_spin", "omega_mode", "kappa", "g0")
TRUTH = paper(1.2, 2, omega_spin=0.55, omega_mode=[1.4, 2.1], kappa=[0.9, 1.1])
RATES = np.concatenate([np.atleast_1d(rate) for rate in rates_of(TRUTH)])
START = paper(1.05, 2)
NEAR = paper(1.15, 2, omega_spin=0.58, omega_mode=[1.35, 2.2], kappa=1.0)
STATE, GIVEN = (dj.tilted_pattern(jax.random.key(1), TRUTH, 0, angle) for angle in (0.6, 0.5))
TIMES = np.linspace(0.0, 12.0, 25)
NOISE = 0.01


def simulated():
    """The overlaps of both patterns, without noise, by SciPy."""
    G = np.asarray(TRUTH.spins.couplings, dtype=float)
    bloch, _ = spin_by_spin(G, rates_of(TRUTH), STATE.m, STATE.alpha, TIMES)
    return np.einsum("mk,tk->tm", G, bloch[:, 2]) / G.shape[1]


def noisy(values, seed, noise=NOISE):
    return values + noise * np.random.default_rng(seed).normal(size=np.shape(values))


def curve(g0, g_crit=0.7):
    """Eq. 12 of the paper, in NumPy."""
    return np.sqrt(np.maximum(0.0, 1 - (g_crit / g0) ** 4))


G0 = np.linspace(0.52, 1.5, 21)


@pytest.mark.slow
def test_truth_lies_in_the_intervals_as_often_as_stated():
    """Rates and the initial overlap, from a time trace and a stationary curve together.

    Each separately, at the bounds that a binomial number of hits leaves with probability 1e-3.
    """
    truth, repetitions = np.append(RATES, np.cos(0.6)), 100
    g_crit = np.sqrt(0.55 * (1.4**2 + 0.9**2 / 4) / (2 * 1.4))
    g0, clean = G0 * g_crit / 0.7, simulated()
    inside, distances = np.zeros(truth.size, int), 0.0
    for seed in range(repetitions):
        stationary = dj.StationaryCurve(g0, noisy(curve(g0, g_crit), seed + 1000), NOISE)
        trace = dj.TimeTrace(TIMES, noisy(clean, seed), NOISE, GIVEN)
        found = dj.fit(NEAR, [stationary, trace], free=(*FREE, "overlap"))
        assert found.successful and found.names[-1] == "overlap[1]"
        low, high = np.asarray(found.intervals(0.95))
        inside += (low < truth) & (high > truth)
        off = np.log(np.asarray(found.rates) / truth)
        distances += off @ np.linalg.solve(np.asarray(found.covariance), off)
    least, most = binom.ppf([1e-3 / truth.size, 1 - 1e-3 / truth.size], repetitions, 0.95)
    print(f"inside 95 % intervals, of {repetitions}: {inside}")
    assert (least <= inside).all() and (inside <= most).all()
    # all together: squared distances in units of the covariance, which 1.3 times too wide or narrow would show
    low, high = chi2.ppf([5e-4, 1 - 5e-4], repetitions * truth.size)
    print(f"sum of squared distances {distances:.0f}, expected {repetitions * truth.size}")
    assert low < distances < high
    np.testing.assert_allclose(found.data[1].state.m, STATE.m, atol=0.03)
    assert found.losses[0, 0] > 100 * found.loss and found.undetermined.size == 0
    assert 0.4 < found.reduced_chi_square < 1.8


def test_the_stationary_overlap_alone_fixes_the_threshold_and_nothing_else():
    found = dj.fit(START, dj.StationaryCurve(G0, noisy(curve(G0), 0), NOISE))
    assert found.successful
    g_crit = float(dj.critical_coupling(found.model, 0))
    assert len(found.undetermined) == 5 and np.isinf(found.standard_errors).all()
    assert np.isnan(found.rates).all() and np.isnan(found.intervals()).all()  # no number for what is not known
    assert np.isnan(np.asarray(found.covariance)[0, 1])
    assert abs(g_crit - 0.7) < 0.01
    # the one direction that is determined is that of the threshold's own slopes, in NumPy: g^2 = O (w^2 + k^2/4) / 2w
    omega_mode, kappa = float(found.model.omega_mode[0]), float(found.model.kappa[0])
    size = omega_mode**2 + kappa**2 / 4
    slopes = np.array([0.5, omega_mode**2 / size - 0.5, 0.0, kappa**2 / 4 / size, 0.0, 0.0])
    along = np.asarray(found.information.directions[0])
    np.testing.assert_allclose(np.abs(along @ slopes), np.linalg.norm(slopes), rtol=1e-8)
    error = float(found.information.spreads[0]) * np.linalg.norm(slopes) * g_crit
    assert abs(g_crit - 0.7) < 4 * error < 0.01
    text = repr(found)
    assert text.count("not determined at all") == 5 and "omega_spin     not determined" in text


def test_one_free_rate_is_then_determined_and_its_error_is_right():
    """Repeated, the estimates scatter as the stated error says."""
    clean, estimates = curve(G0[8:]), []
    for seed in range(60):
        data = dj.StationaryCurve(G0[8:], noisy(clean, seed), NOISE)
        found = dj.fit(START, data, free=("omega_spin",), num_restarts=1)
        estimates.append(float(found.rates[0]))
    stated = float(found.standard_errors[0] * found.rates[0])
    assert 0.7 < np.std(estimates) / stated < 1.3
    assert abs(np.mean(estimates) - 0.49 * 2 * 1.5 / 2.5) < 4 * stated / np.sqrt(60)
    understated = dj.fit(START, dj.StationaryCurve(G0[8:], noisy(clean, 59), NOISE / 10), free=("omega_spin",))
    np.testing.assert_allclose(understated.reduced_chi_square, 100 * found.reduced_chi_square, rtol=1e-3)
    assert "more than noise explains" in repr(understated) and "more than noise explains" not in repr(found)


def test_points_at_the_threshold_neither_stop_a_fit_nor_make_it_overconfident():
    """Where the likelihood has a cusp: |xi| is sqrt there above the threshold, and flat below."""
    near = np.append(G0, 0.7)
    clean, inside, repetitions = curve(near), 0, 40
    for seed in range(repetitions):
        data = dj.StationaryCurve(near, noisy(clean, seed), NOISE)
        found = dj.fit(START, data, free=("omega_spin",), num_restarts=1)
        low, high = found.intervals(0.95)[:, 0]
        assert found.successful and high / low < 1.02
        inside += int(low < 0.588 < high)
    assert inside >= binom.ppf(1e-3, repetitions, 0.95)


def test_photons_and_missing_points():
    """Photons fix more than overlaps do; a point that is missing does not count, whatever stands there."""
    photons = (G0 * curve(G0)) ** 2 / 2.5
    missing = np.zeros(G0.size, bool)
    missing[3], missing[15] = True, True
    holes = np.where(missing, np.nan, noisy(photons, 1, 0.001))
    data = dj.StationaryCurve(G0, holes, 0.001, quantity="photons", missing=missing)
    found = dj.fit(START, data, free=("omega_spin", ("omega_mode", 0)))
    assert found.successful and found.num_points == 19 and found.information.determined.all()
    assert found.residuals[3] == 0
    np.testing.assert_allclose(found.rates, [0.588, 1.5], rtol=0.05)
    fewer = dj.StationaryCurve(G0[~missing], holes[~missing], 0.001, quantity="photons")
    np.testing.assert_allclose(
        dj.fit(START, fewer, free=("omega_spin", ("omega_mode", 0))).rates, found.rates, rtol=1e-5
    )


@pytest.mark.slow
def test_gradients_of_every_loss_against_differences():
    parameters = dj.free_rates(START, FREE)
    clean = simulated()
    sampled = dj.StationaryCurve(G0[10:], noisy(curve(G0[10:]), 0), NOISE)
    sets = [sampled, dj.StationaryCurve(G0, noisy(curve(G0) ** 2, 1), NOISE, quantity="photons", pattern=1)]
    sets += [dj.TimeTrace(TIMES[1:6], noisy(clean[1:6], 2), NOISE, STATE, g0=1.1)]
    sets += [dj.TimeTrace(TIMES[:5], noisy(clean[:5] ** 2, 3), NOISE, STATE, quantity="photons")]
    data = tuple(each.check(START) for each in sets)

    @jax.jit
    def all_losses(vector):
        r = residuals(parameters.to_model(vector), data)
        return jnp.stack([loss(r) for loss in LOSSES.values()])

    vector = parameters.to_vector(START)
    slopes = jax.jacfwd(all_losses)(vector)
    for i in range(len(LOSSES)):
        expected = differences(lambda v, i=i: all_losses(v)[i], vector, 1e-4)
        np.testing.assert_allclose(slopes[i], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_descent_and_least_squares_find_the_same_and_outliers_pull_less():
    values = noisy(curve(G0), 0)
    data, free = dj.StationaryCurve(G0, values, NOISE), ("omega_spin",)
    squares = dj.fit(START, data, free=free)
    descended = dj.fit(START, data, free=free, optimizer=optax.adam(0.02))
    assert descended.successful and descended.losses.shape[0] > squares.losses.shape[0]
    assert float(descended.rates[0]) == pytest.approx(float(squares.rates[0]), rel=1e-4)
    values[12] += 0.3
    outlier = dj.StationaryCurve(G0, values, NOISE)
    pulled, robust = (dj.fit(START, outlier, free=free, loss=loss) for loss in ("chi-square", "huber"))
    assert abs(robust.rates[0] - squares.rates[0]) < 0.3 * abs(pulled.rates[0] - squares.rates[0])


def test_a_wrong_minimum_is_told_and_other_starts_find_the_right_one():
    """M = 3, one trace, a start 11 % off: the oscillation is then wrong by a turn."""
    truth, times = paper(1.35, 3), np.linspace(0.0, 20.0, 41)
    state = dj.tilted_pattern(jax.random.key(1), truth, 0, 0.6)
    bloch, _ = spin_by_spin(truth.spins.couplings, rates_of(truth), state.m, state.alpha, times)
    clean = np.einsum("mk,tk->tm", np.asarray(truth.spins.couplings), bloch[:, 2]) / truth.num_subsets
    trace = dj.TimeTrace(times, noisy(clean, 0), NOISE, state)
    for begin in (1.2, 1.5):
        found = dj.fit(paper(begin, 3), trace, free=("g0",))
        low, high = found.intervals()[:, 0]
        assert found.successful and low < 1.35 < high
    alone = dj.fit(paper(1.2, 3), trace, free=("g0",), num_restarts=1)
    assert alone.status == Status.misfit and "misfit" in repr(alone) and alone.reduced_chi_square > 50


def test_a_bound_that_was_hit_is_told():
    data = dj.StationaryCurve(G0[8:], noisy(curve(G0[8:]), 0, 0.1), 0.1)
    for bounds, at in (((0.64, 0.8), 0.64), ((0.1, 0.55), 0.55)):
        found = dj.fit(
            paper(1.0, 2, omega_spin=0.5 if at < 0.6 else 0.7),
            data,
            free=("omega_spin",),
            bounds={"omega_spin": bounds},
        )
        assert found.status == Status.at_bound and "(at its bound)" in repr(found)
        assert float(found.rates[0]) == pytest.approx(at, rel=1e-3) and found.at_bound.all()
    inside = dj.fit(START, data, free=("omega_spin",), bounds={"omega_spin": (0.1, 1.0)})
    assert inside.successful and not inside.at_bound.any()


def test_intervals_that_the_curvature_does_not_support_are_told():
    """Kappa from photons far above threshold, where they feel its square: the likelihood is flat below, steep above."""
    g0 = np.linspace(1.0, 1.5, 5)
    photons = (g0 * curve(g0)) ** 2 / 2.5
    data = dj.StationaryCurve(g0, photons, 0.1, quantity="photons")
    found = dj.fit(paper(1.0, 2, omega_spin=0.588), data, free=(("kappa", 0),))
    assert found.status == Status.uncertain and "(by curvature alone)" in repr(found)


def test_an_interrupted_fit_returns_the_best_so_far():
    calls = []

    def press_control_c(done, total):
        calls.append((done, total))
        if len(calls) == 2:
            raise KeyboardInterrupt

    data = dj.StationaryCurve(G0, noisy(curve(G0), 0), NOISE)
    found = dj.fit(START, data, free=("omega_spin",), optimizer=optax.adam(1e-3), progress=press_control_c)
    assert found.status == Status.interrupted and "interrupted" in repr(found)
    assert calls == [(50, 2000), (100, 2000)] and len(found.losses) == 100
    assert found.loss <= found.losses[50:, 0].min() < found.losses[:50, 0].min() < found.losses[0, 0]


def test_a_loss_that_is_not_finite_stops_and_is_told():
    data = dj.StationaryCurve(G0, noisy(curve(G0), 0), NOISE)
    options = dict(free=("omega_spin",), num_restarts=3, key=KEY, spread=0.05)
    found = dj.fit(START, data, loss=lambda r: jnp.sqrt(-jnp.sum(r**2)), **options)
    assert found.status == Status.failed and "3 ended at no finite loss" in repr(found)
    # one that breaks down on the way: the last good rates are kept
    optimizer = optax.sgd(1e-7)
    edge = float(dj.fit(START, data, optimizer=optimizer, num_steps=50, **options).loss)
    found = dj.fit(
        START, data, loss=lambda r: jnp.where(jnp.sum(r**2) / 2 > edge, jnp.sum(r**2) / 2, jnp.nan), **options
    )
    assert not found.successful and np.isfinite(found.loss) and np.isfinite(found.rates).all()


@pytest.mark.slow
def test_float32_fits_to_what_it_can_and_says_so():
    single = dj.DickeModel(START.spins, *(jnp.asarray(rate, jnp.float32) for rate in rates_of(START)))
    data = dj.StationaryCurve(G0, noisy(curve(G0), 0), NOISE)
    found, double = (dj.fit(model, data, free=("omega_spin",)) for model in (single, START))
    assert found.successful and found.rates.dtype == jnp.float32
    assert float(found.rates[0]) == pytest.approx(float(double.rates[0]), abs=0.1 * float(double.standard_errors[0]))
    with pytest.raises(ValueError, match="tol must be from 0.01, the least that float32 can reach"):
        dj.fit(single, data, tol=1e-6)


@pytest.mark.slow
def test_restarts_find_what_the_first_start_does_not():
    """From far below the threshold the model has no overlap, and the loss no slope: other starts have."""
    data = dj.StationaryCurve(G0[4:], noisy(curve(G0[4:]), 0), NOISE)
    deaf = paper(1.0, 2, omega_spin=5.0)
    alone = dj.fit(deaf, data, free=("omega_spin",))
    many = dj.fit(deaf, data, free=("omega_spin",), num_restarts=20, spread=1.5, key=KEY)
    assert many.successful and many.loss < 0.01 * alone.loss
    assert many.restart_rates.shape == (20, 1)
    assert float(many.restart_losses[0]) == pytest.approx(float(alone.loss))
    assert np.isnan(many.losses[-1]).sum() == 12  # the best eight go on


@pytest.mark.slow
def test_64_restarts_cost_less_than_a_third_of_64_fits():
    """They make fewer steps, all but the best of them. And they find the rates."""
    data = dj.TimeTrace(TIMES, noisy(simulated(), 0), NOISE, STATE)
    many = dj.fit(START, data, num_restarts=64, key=KEY)
    assert many.reduced_chi_square < 1.8 and "more than" not in repr(many)
    np.testing.assert_allclose(many.rates, RATES, rtol=0.2)

    def seconds(restarts):
        runs = []  # of this process: a busy machine hits the longer of two runs more
        for _ in range(4):
            start = time.process_time()
            found = dj.fit(START, data, num_restarts=restarts, key=KEY)
            runs.append(time.process_time() - start)
        assert found.successful == (restarts > 1)  # one start ends in a wrong minimum here, and says so
        return min(runs)

    one, many = seconds(1), seconds(64)
    print(f"one: {one:.3f} s, 64: {many:.3f} s")
    assert many < 64 / 3 * one


def test_the_picture_of_a_fit(tmp_path):
    from matplotlib import pyplot as plt

    values = noisy(curve(G0), 0)
    values[4] = np.nan
    data = dj.StationaryCurve(G0, values, NOISE, missing=np.isnan(values))
    axes = dj.plotting.plot_fit(dj.fit(START, data, free=("omega_spin",)))
    assert axes.shape == (2, 1) and axes[1][0].get_ylabel() == "residual / noise"
    axes[0][0].figure.savefig(tmp_path / "fit.png")
    plt.close(axes[0][0].figure)


def test_rates_that_hang_together_are_fitted_by_what_makes_them():
    """Frequencies a + b mu, from two thresholds in closed form; and a function's own bounds and refusals."""
    g0, modes = np.linspace(0.9, 1.6, 8), np.array([1.5, 2.0])
    g = np.sqrt(0.5 * (modes**2 + 0.25) / (2 * modes))
    curves = [dj.StationaryCurve(g0, np.sqrt(1 - (g[nu] / g0) ** 4), 0.01, pattern=nu) for nu in (0, 1)]
    base = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, 1.0, 1.0, 1.0)

    def row(a, b):
        return base.replace(omega_mode=a + b * jnp.arange(2.0))

    found = dj.fit(row, curves, free={"a": 1.2, "b": 0.4}, bounds={"a": (1.0, 3.0)})
    assert found.successful and found.names == ("a", "b")
    np.testing.assert_allclose(found.rates, [1.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(found.model.omega_mode, modes, rtol=1e-6)
    for bad, told in {
        "model must be a function of the numbers that free has, where": lambda: dj.fit(base, curves, free={"a": 1.0}),
        "model must be a DickeModel or a CollectiveModel, or a function": lambda: dj.fit(row, curves),
        r"free must be the arguments of the function that makes the model, \(a, b\); got": lambda: dj.fit(
            row, curves, free={"a": 1.0}
        ),
        "free, 'b', must be one number; got": lambda: dj.fit(row, curves, free={"a": 1.0, "b": [1.0, 2.0]}),
        "free must be names with the numbers to begin with, at least one": lambda: dj.fit(row, curves, free={}),
        "model must be a function that returns a DickeModel": lambda: dj.fit(lambda a: a, curves, free={"a": 1.0}),
    }.items():
        with pytest.raises(ValueError, match=f"^{bad}"):
            told()
