"""Posterior samples against densities that are known, and against the Fisher intervals."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import paper
from scipy.stats import truncnorm

import dicke_jax as dj

KEY = jax.random.key(0)
G0 = np.linspace(0.52, 1.5, 21)
NOISE = 0.05
START = paper(1.05, 2)


def curve(g0, g_crit=0.7):
    """Eq. 12 of the paper, in NumPy."""
    return np.sqrt(np.maximum(0.0, 1 - (g_crit / g0) ** 4))


VALUES = curve(G0) + NOISE * np.random.default_rng(0).normal(size=G0.size)


@pytest.fixture(scope="module")
def found():
    free, bounds = ("omega_spin", "g0"), {"g0": (0.9, 2.1)}
    return dj.fit(START, dj.StationaryCurve(G0, VALUES, NOISE), free=free, bounds=bounds)


def test_samples_have_the_density_that_quadrature_and_the_prior_have(found):
    """Of a rate that the data fix, by a sum over a grid in NumPy; of one that they do not feel, a cut-off normal."""
    assert np.isfinite(found.rates[0]) and np.isnan(found.rates[1])
    samples = dj.sample_posterior(KEY, found, prior=0.4)
    assert (samples.r_hat < 1.01).all() and samples.num_divergent < 20 and "chains agree" in repr(samples)
    logs = np.log(np.asarray(samples.rates)).reshape(-1, 2)
    assert logs.shape == (4000, 2) and (np.exp(logs[:, 1]) > 0.9).all() and (np.exp(logs[:, 1]) < 2.1).all()

    grid = np.log(0.588) + np.linspace(-0.15, 0.15, 6001)
    misfit = (curve(G0, np.sqrt(np.exp(grid) * 2.5 / 3)[:, None]) - VALUES) / NOISE
    weight = np.exp(-0.5 * np.sum(misfit**2, axis=1) - 0.5 * ((grid - np.log(0.5)) / 0.4) ** 2)
    mean = np.average(grid, weights=weight)
    spread = np.sqrt(np.average((grid - mean) ** 2, weights=weight))
    cut = truncnorm(*(np.log([0.9 / 1.05, 2.1 / 1.05]) / 0.4), loc=np.log(1.05), scale=0.4)
    independent, means, spreads = samples.effective_samples, [mean, cut.mean()], [spread, cut.std()]
    assert (independent > 400).all()
    assert (np.abs(logs.mean(axis=0) - means) < 4 * np.array(spreads) / np.sqrt(independent)).all()
    assert (np.abs(logs.std(axis=0) / spreads - 1) < 4 / np.sqrt(independent)).all()
    assert np.asarray(samples.intervals(0.9)).shape == (2, 2)


@pytest.mark.slow
def test_samples_agree_with_the_fisher_information_where_much_is_known():
    """The coupling and the initial overlap from a time trace, known to a percent: a density that is nearly Gaussian."""
    truth = paper(1.2, 2)
    state, given = (dj.tilted_pattern(KEY, truth, 0, angle) for angle in (0.6, 0.5))
    times = jnp.linspace(0.0, 5.0, 20)
    clean = np.asarray(dj.mfsolve(truth, state, times).overlaps)
    data = dj.TimeTrace(times, clean + 0.02 * np.random.default_rng(0).normal(size=clean.shape), 0.02, given)
    found = dj.fit(START, data, free=("g0", "overlap"))
    samples = dj.sample_posterior(KEY, found, num_samples=250, num_warmup=100)
    assert found.successful and (samples.r_hat < 1.03).all() and samples.num_divergent == 0
    logs = np.log(np.asarray(samples.rates)).reshape(-1, 2)
    assert (np.asarray(samples.effective_samples) > 250).all()
    off = (logs.mean(axis=0) - np.log(np.asarray(found.rates))) / np.asarray(found.standard_errors)
    assert np.abs(off).max() < 0.3
    np.testing.assert_allclose(logs.std(axis=0), found.standard_errors, rtol=0.15)
    correlation = found.covariance[0, 1] / np.prod(np.asarray(found.standard_errors))
    assert abs(np.corrcoef(logs.T)[0, 1] - correlation) < 0.15


def test_without_blackjax_it_says_what_to_install(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ImportError, match=r'pip install "dicke-jax\[posterior\]"'):
        dj.sample_posterior(KEY, found)
