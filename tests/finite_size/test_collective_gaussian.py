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


@pytest.mark.parametrize("decay", [None, 0.2])
def test_the_light_of_the_dicke_model_and_of_its_twin(decay):
    """All photons that leave are kappa <b^dag b> of the covariance, which has another equation."""
    model = paper(0.4 if decay is None else 1.3, 1)
    state = dj.retrieval_state(model)
    if decay is not None:
        model = model.replace(dissipation=dj.LocalDissipation([("decay_x", decay)]))
        state, _ = dj.stationary_state(model, [0.8])
    omega = np.tan(np.linspace(-np.pi / 2, np.pi / 2, 2002)[1:-1]) * 3  # the trapezoidal rule on a circle
    one, other = (dj.output_spectrum(m, state, omega) for m in (model, model.as_collective()))
    np.testing.assert_allclose(other.photons, one.photons, atol=1e-12)
    inside = np.trace(dj.stationary_covariance(model, state).moments.covariance[0, -2:, -2:]) - 0.5
    step = np.pi / 2001 * (9 + omega**2) / 3
    np.testing.assert_allclose(np.sum(one.photons[:, 0] * step) / (2 * np.pi), model.kappa[0] * inside, rtol=1e-6)


def test_a_parametric_oscillator_s_squeezing_leaves_by_one_of_two_ports():
    """Q' = -(k / 2 + chi) q, k = k_1 + k_2: noise |1 - k_1 / (g - i w)|^2 + k_1 k_2 / (g^2 + w^2) of the vacuum's."""
    chi, k1, k2, omega = 0.3, 0.5, 0.4, np.array([0.0, 0.7])

    def energy(s):
        return 0.5 * s.z[0] + chi * s.alpha[0].real * s.alpha[0].imag

    jumps = [dj.photon_loss(k1), dj.collective(lambda s: s.alpha[0], k2)]
    found = dj.output_spectrum(dj.CollectiveModel(energy, jumps, num_modes=1), dj.MeanFieldState(DOWN, [0.0]), omega)
    for part, rate in ((0, (k1 + k2 - chi) / 2), (1, (k1 + k2 + chi) / 2)):
        noise = abs(1 - k1 / (rate - 1j * omega)) ** 2 + k1 * k2 / (rate**2 + omega**2)
        np.testing.assert_allclose(4 * found.quadratures[:, part, 0, part, 0].real, noise, atol=1e-12)
    np.testing.assert_allclose(found.squeezing[:, 0], noise, atol=1e-12)


DOWN = [[0.0], [0.0], [-1.0]]
