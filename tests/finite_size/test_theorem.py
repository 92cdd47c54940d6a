"""The theorem in numbers: E_N(t), its initial value, its bound, and what follows from it."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import paper, uneven

import dicke_jax as dj

TIMES = np.array([0.0, 1.0, 2.0])


@pytest.mark.parametrize("num_modes", [1, 4])
def test_a_pure_product_state_starts_at_2K_plus_M(num_modes):
    """Vacuum or coherent modes, spins in any direction."""
    model = uneven(num_modes)
    for amplitude in (0.0, 1.7):
        state = dj.random_state(jax.random.key(num_modes), model, amplitude=amplitude)
        expected = 2 * model.num_subsets + num_modes
        assert float(dj.initial_error(model, state)) == pytest.approx(expected, rel=1e-13)


def test_mixed_spins_and_unequal_subsets_by_hand():
    """Subsets of 1 and 3 spins of length s: sum_a <(S_a/N_k)^2> - m_a^2 = (3 - s^2) / N_k, times N = 2, plus M."""
    spins = dj.LargeSpins(dj.DenseCouplings([[1.0, 1.0], [1.0, -1.0]]), [0.25, 0.75], 4)
    model = uneven(2).replace(spins=spins)
    m = 0.6 * dj.random_state(jax.random.key(0), model).m
    by_hand = 2 * ((3 - 0.36) / 1 + (3 - 0.36) / 3) + 2
    assert float(dj.initial_error(model, dj.MeanFieldState(m, np.zeros(2)))) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("num_modes", [1, 2, 4])
def test_constants_as_the_supplement_prints_them(num_modes):
    model = paper(1.3, num_patterns=num_modes, kappa=0.8 + 0.1 * np.arange(num_modes))
    alpha = 0.3 - 0.2j * np.arange(num_modes)
    state = dj.MeanFieldState(dj.stored_pattern(model).m, alpha)
    M, K = num_modes, 2 ** (num_modes - 1)
    g, omega, kappa = 1.3 / math.sqrt(K), np.asarray(model.omega_mode), np.asarray(model.kappa)
    beta = 2 * np.max(math.sqrt(K) * np.abs(alpha) + math.sqrt(3) * 2**M * g / kappa)
    c0 = 12 * 0.5 + 24 * M * g + 12 * g * M * beta
    for d0, number in (("proved", 2 ** (M - 1)), ("printed", 2**M - 1)):
        lemma4 = 2 * (np.max(omega + kappa / 2) + number * g)
        constants = dj.theorem_constants(model, state, d0=d0)
        expected = (beta, c0, lemma4, 2 * M * lemma4 + 3 * K * c0)
        got = (constants.beta, constants.c0, constants.d0, constants.C)
        np.testing.assert_allclose(got, expected, rtol=1e-13)


@functools.cache
def exact(g0):
    """Four spins, for which E_N is largest: the run, and the mean field at its times."""
    model = paper(g0, num_patterns=1)
    state = dj.tilted_pattern(jax.random.key(2), model, angle=0.4)
    run = dj.mesolve(model, state, TIMES, 4, levels=40)
    assert run.successful
    return model, run.moments, dj.mfsolve(model, state, TIMES)


@pytest.mark.parametrize("g0", [0.05, 0.6, 1.2])
def test_the_bound_is_never_violated(g0):
    """Far below, near and above threshold; and the deviations of (S6) at every time."""
    model, moments, reference = exact(g0)
    for d0 in ("proved", "printed"):
        check = dj.check_theorem(model, moments, reference, d0=d0)
        assert check.holds
        assert float(check.scaled_error[0]) == pytest.approx(3.0, rel=1e-9)
        assert float(check.log_looseness[0]) == 0.0 and (np.diff(check.log_looseness) > 0).all()
        np.testing.assert_allclose(4 * check.error, check.scaled_error)
        assert (np.asarray(check.deviation[1:]) > 1e-5).all()  # few spins do leave the mean field


def test_each_lemma_bounds_the_rate_of_its_own_terms():
    """Lemmas 3 and 4 in the limit: |d/dt N <E_a^2>| <= c0 N E_N and |d/dt N <A^dag A>| <= d0 N E_N, at all times."""
    model, times = paper(1.2, num_patterns=1), np.linspace(0.0, 6.0, 601)
    state = dj.tilted_pattern(jax.random.key(2), model, angle=0.4)
    limit = dj.gaussian_moments(model, state, times)
    constants, error = dj.theorem_constants(model, state), dj.scaled_error(model, limit, state)
    parts = np.diagonal(limit.covariance, axis1=1, axis2=2)
    rates = np.abs(np.gradient(np.column_stack([parts[:, :3], parts[:, 3] + parts[:, 4]]), times, axis=0))
    share = (rates / np.asarray(error)[:, None]).max(axis=0)
    assert (share[:3] < constants.c0).all() and share[3] < constants.d0
    assert share[:3].max() > float(constants.c0) / 100 and share[3] > float(constants.d0) / 100


def test_a_violation_would_be_seen():
    """An error that grows faster than exp(C t), and a mean further off than sqrt(E_N), are told."""
    model, moments, reference = exact(0.05)
    rate = dj.check_theorem(model, moments, reference).constants.C
    grown = moments.covariance * jnp.exp(1.1 * rate * moments.t)[:, None, None]
    assert not dj.check_theorem(model, dataclasses.replace(moments, covariance=grown), reference).holds
    for name in ("m", "alpha"):
        shifted = getattr(moments, name).at[1:].add(2.0)
        lost = dataclasses.replace(moments, **{name: shifted}, covariance=-abs(moments.covariance))
        assert not dj.check_theorem(model, lost, reference).holds


def test_the_logarithm_holds_where_the_bound_overflows():
    check = dj.check_theorem(*exact(1.2))
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp(np.asarray(check.log_scaled_bound[-1])))
    assert check.holds and np.isfinite(check.log_looseness).all()
