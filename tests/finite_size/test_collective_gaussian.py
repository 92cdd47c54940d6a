"""Gaussian fluctuations of models that are given by their energy: those of the Dicke model, and of finite ones."""

import jax
import numpy as np
import pytest
import qutip
from problems import generic_state, paper, uneven

import dicke_jax as dj

CRYSTAL = dj.gallery.boundary_time_crystal
TIGHT = dict(rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "dissipation", [pytest.param(None, marks=pytest.mark.slow), [("decay_x", 0.2), ("dephasing_z", 0.1)]]
)
def test_moments_are_the_dicke_model_s(dissipation):
    jumps = None if dissipation is None else dj.LocalDissipation(dissipation)
    model = uneven(2).replace(dissipation=jumps)
    state = generic_state(model, seed=2)
    one, other = (dj.gaussian_moments(m, state, [0.0, 1.0], **TIGHT) for m in (model, model.as_collective()))
    np.testing.assert_allclose(other.covariance, one.covariance, atol=1e-10)
    np.testing.assert_allclose(other.alpha, one.alpha, atol=1e-10)


@pytest.mark.parametrize("decay", [None, 0.2])
def test_ended_fluctuations_are_the_dicke_model_s(decay):
    model = paper(1.3, 1)
    state = dj.retrieval_state(model)
    if decay is not None:
        model = model.replace(dissipation=dj.LocalDissipation([("decay_x", decay)]))
        state, good = dj.stationary_state(model, [0.8])
        assert good
    one, other = (dj.stationary_covariance(m, state) for m in (model, model.as_collective()))
    assert one.successful and other.successful
    np.testing.assert_allclose(other.moments.covariance, one.moments.covariance, atol=1e-10)


def crystal(N, omega0, kappa):
    """H = omega0 S_x, L = sqrt(kappa / S) S_-, and S_a / S."""
    S = N / 2
    spins = [qutip.jmat(S, axis) for axis in "xyz"]
    return omega0 * spins[0], np.sqrt(kappa / S) * qutip.jmat(S, "-"), [spin / S for spin in spins]


def covariance(rho, m, N):
    means = [qutip.expect(a, rho) for a in m]
    return N * np.array(
        [[qutip.expect(a * b + b * a, rho) / 2 - x * y for b, y in zip(m, means, strict=True)]
         for a, x in zip(m, means, strict=True)]
    )  # fmt: skip


def extrapolated(exact, sizes):
    """At 1 / N = 0, by a parabola in 1 / N; and how far the largest is from that."""
    values = np.array([exact(N) for N in sizes])
    powers = np.vander(1 / np.array(sizes, float), increasing=True)
    limit = np.linalg.solve(powers, values.reshape(len(sizes), -1))[0].reshape(values.shape[1:])
    return limit, np.max(np.abs(values[-1] - limit))


def test_of_a_crystal_in_time_they_are_those_of_finite_ones_extrapolated():
    omega0, kappa, theta, phi, time = 1.5, 1.0, 0.8, 0.3, 1.2

    def exact(N):
        H, L, m = crystal(N, omega0, kappa)
        start = qutip.spin_coherent(N / 2, theta, phi)
        end = qutip.mesolve(H, start, [0.0, time], [L], options=dict(atol=1e-10, rtol=1e-9)).states[-1]
        return covariance(end, m, N)

    limit, away = extrapolated(exact, (20, 40, 80))
    start = [[np.sin(theta) * np.cos(phi)], [np.sin(theta) * np.sin(phi)], [np.cos(theta)]]
    found = dj.gaussian_moments(CRYSTAL(omega0, kappa), dj.MeanFieldState(start, []), [0.0, time]).covariance[-1]
    assert away > 0.02 * np.max(np.abs(limit))
    np.testing.assert_allclose(found, limit, atol=0.01 * np.max(np.abs(limit)))


def test_at_rest_they_are_those_of_the_stationary_states_of_finite_ones():
    omega0, kappa = 0.6, 1.0

    def exact(N):
        H, L, m = crystal(N, omega0, kappa)
        return covariance(qutip.steadystate(H, [L]), m, N)

    limit, away = extrapolated(exact, (10, 20, 40))
    found = dj.stationary_covariance(CRYSTAL(omega0, kappa), dj.MeanFieldState([[0.0], [0.6], [-0.8]], []))
    assert found.successful and away > 1e-4
    np.testing.assert_allclose(found.moments.covariance[0], limit, atol=0.01 * np.max(np.abs(limit)))


@pytest.mark.slow
def test_derivatives_in_the_energy_s_own_parameters():
    state = dj.MeanFieldState([[0.0], [0.6], [0.8]], [])

    def variance(omega0):
        return dj.gaussian_moments(CRYSTAL(omega0, 1.0), state, [0.0, 0.5], **TIGHT).covariance[-1, 1, 2]

    slope = (variance(1.501) - variance(1.499)) / 0.002
    assert float(jax.grad(variance)(1.5)) == pytest.approx(float(slope), rel=1e-5)
