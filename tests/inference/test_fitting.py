"""Rates from measurements that SciPy simulates, spin by spin; their intervals, and what data cannot tell."""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest
from problems import differences, rates_of
from scipy.stats import binom, chi2

import dicke_jax as dj
from dicke_jax.inference.fit_steps import LOSSES, residuals

from .measured import FREE, G0, GIVEN, NEAR, NOISE, RATES, START, STATE, TIMES, curve, noisy, simulated

matplotlib.use("Agg")


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


@pytest.mark.slow
def test_float32_fits_to_what_it_can_and_says_so():
    single = dj.DickeModel(START.spins, *(jnp.asarray(rate, jnp.float32) for rate in rates_of(START)))
    data = dj.StationaryCurve(G0, noisy(curve(G0), 0), NOISE)
    found, double = (dj.fit(model, data, free=("omega_spin",)) for model in (single, START))
    assert found.successful and found.rates.dtype == jnp.float32
    assert float(found.rates[0]) == pytest.approx(float(double.rates[0]), abs=0.1 * float(double.standard_errors[0]))
    with pytest.raises(ValueError, match="tol must be from 0.01, the least that float32 can reach"):
        dj.fit(single, data, tol=1e-6)


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
