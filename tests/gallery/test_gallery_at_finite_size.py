"""Exact finite N by QuTiP, with the operators that the docstrings name: the error of mean field falls as 1/N."""

from itertools import pairwise

import jax
import numpy as np
import pytest
import qutip as qt
from scipy.integrate import solve_ivp

import dicke_jax as dj

G = dj.gallery
THETA, PHI = 0.8, 0.3
START = np.array([np.sin(THETA) * np.cos(PHI), np.sin(THETA) * np.sin(PHI), np.cos(THETA)])


ALPHA = {"two photons": 0.25 - 0.1j}  # of the light at the start, where it is not in the vacuum


def mean_field(model, time, alpha=0.0):
    """Of x, y, z, Re alpha, Im alpha, by SciPy on the model's own right-hand side."""
    M = model.num_modes
    right_hand_side = jax.jit(lambda t, y: model.rate_of_change(t, y))

    def flat(t, y):
        m_dot, a_dot = right_hand_side(t, (y[:3, None], y[3:].reshape(2, M)))
        return np.concatenate([np.ravel(m_dot), np.ravel(a_dot)])

    start = np.concatenate([START, [np.real(alpha), np.imag(alpha)] * M])
    return solve_ivp(flat, (0, time), start, method="DOP853", rtol=1e-10, atol=1e-11).y[:, -1]


def watched(N, levels):
    """Sigma per spin and the quadratures of a / sqrt(N), with what they are made of."""
    S = [qt.tensor(qt.jmat(N / 2, axis), qt.qeye(levels)) for axis in "xyz"]
    a = qt.tensor(qt.qeye(N + 1), qt.destroy(levels) if levels > 1 else qt.qeye(1))
    light = [(a + a.dag()) / 2 / np.sqrt(N), (a - a.dag()) / 2j / np.sqrt(N)] if levels > 1 else []
    return S, a, [2 / N * s for s in S] + light


def finite(build, N, levels, time, alpha=0.0):
    """The state of N spins at this time."""
    S, a, _ = watched(N, levels)
    energy, jumps = build(N, S, a)
    light = qt.coherent(levels, alpha * np.sqrt(N), method="analytic").unit() if alpha else qt.basis(levels, 0)
    start = qt.tensor(qt.spin_coherent(N / 2, THETA, PHI), light)
    run = qt.mesolve(energy, start, [0, time], jumps, options=dict(atol=1e-9, rtol=1e-8, nsteps=100_000))
    return run.states[-1]


def exact(build, N, levels, time, alpha=0.0):
    """Expectation values of N spins and their light."""
    rho = finite(build, N, levels, time, alpha)
    return np.array([qt.expect(v, rho) for v in watched(N, levels)[2]])


def covariance(build, N, levels, time, alpha=0.0):
    """N times the symmetrised covariance."""
    rho, v = finite(build, N, levels, time, alpha), watched(N, levels)[2]
    means = [qt.expect(x, rho) for x in v]
    both = [[qt.expect(x * y + y * x, rho) / 2 for y in v] for x in v]
    return N * (np.array(both) - np.outer(means, means))


def crystal(N, S, a):
    return 1.2 * S[0], [np.sqrt(2 * 0.6 / N) * (S[0] - 1j * S[1])]


def exchange(N, S, a):
    lower = S[0] - 1j * S[1]
    return 2 * 0.7 / N * lower.dag() * lower + 0.3 * S[2], [np.sqrt(2 * 0.5 / N) * lower]


def polynomial(N, S, a):
    return N * (0.225 * (2 / N * S[2]) ** 2 + 0.25 * 2 / N * S[0]), []


def light(N, S, a):
    return 1.1 * a.dag() * a + 0.7 * S[2], [np.sqrt(0.5) * a]


def unbalanced(N, S, a):
    energy, jumps = light(N, S, a)
    raising = a * (S[0] + 1j * S[1]) * 0.4 + a * (S[0] - 1j * S[1]) * 0.2
    return energy + (raising + raising.dag()) / np.sqrt(N), jumps


def nonlinear(N, S, a):
    energy, jumps = light(N, S, a)
    return energy + 2 * 0.3 / np.sqrt(N) * (a + a.dag()) * S[0] + 0.6 / N * a.dag() * a * S[2], jumps


def two_photons(N, S, a):
    energy, jumps = light(N, S, a)
    return energy + 0.5 / N * (a**2 + a.dag() ** 2) * S[0], jumps


def driven(N, S, a):
    """One site with a Kerr mode."""
    energy, jumps = light(N, S, a)
    coupling = 2 * 0.3 / np.sqrt(N) * (a + a.dag()) * S[0] + 0.1 * np.sqrt(N) * (a + a.dag()) + 0.2 * S[0]
    return energy + coupling + 0.8 / (2 * N) * a.dag() ** 2 * a**2, jumps


CASES = {  # the model, its operators, the time, N and the levels of the mode, and those four times as large
    "boundary time crystal": (lambda: G.boundary_time_crystal(1.2, 0.6), crystal, 0.6, (16, 1), (64, 1)),
    "spin exchange": (lambda: G.spin_exchange(0.7, 0.3, 0.5), exchange, 0.6, (16, 1), (64, 1)),
    "polynomial": (
        lambda: G.polynomial_spins([(0, 0, 2), (1, 0, 0)], [0.225, 0.25]),
        polynomial,
        1.0,
        (16, 1),
        (64, 1),
    ),
    "unbalanced": (lambda: G.unbalanced_dicke(1.1, 0.7, 0.4, 0.2, 0.5), unbalanced, 1.0, (6, 9), (24, 13)),
    "nonlinear": (lambda: G.nonlinear_dicke(1.1, 0.7, 0.3, 0.6, 0.5), nonlinear, 1.0, (6, 9), (24, 13)),
    "driven": (
        lambda: G.dicke_ring(1, 1.1, 0.7, 0.3, 0.5, kerr=0.8, drive=0.1, field=0.2),
        driven,
        1.0,
        (6, 10),
        (24, 15),
    ),
    "two photons": (lambda: G.two_photon_dicke(1.1, 0.7, 0.5, 0.5), two_photons, 1.0, (6, 11), (24, 18)),
}
WITH_LIGHT = ("unbalanced", "nonlinear", "driven", "two photons")
SLOW_TO_FALL = {"two photons": (12, 18)}  # in between: what is left falls like 1 / N itself, and is taken off


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in WITH_LIGHT else n for n in CASES])
def test_n_times_the_error_is_constant(name):
    model_of, build, time, few, many = CASES[name]
    alpha = ALPHA.get(name, 0.0)
    expected = mean_field(model_of(), time, alpha)
    sizes = (few, SLOW_TO_FALL[name], many) if name in SLOW_TO_FALL else (few, many)
    constants = [N * (exact(build, N, levels, time, alpha) - expected) for N, levels in sizes]
    if name in SLOW_TO_FALL:
        constants = [2 * twice - once for once, twice in pairwise(constants)]
    assert np.linalg.norm(constants[0]) > 0.02  # there is something to fall
    assert np.linalg.norm(constants[1] - constants[0]) < 0.1 * np.linalg.norm(constants[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_gaussian_moments_are_those_of_finite_ones_extrapolated(name):
    """By a parabola in 1 / N: within one per cent, where the largest N is farther off."""
    model_of, build, time, few, many = CASES[name]
    alpha, model = ALPHA.get(name, 0.0), model_of()
    sizes = few, (2 * few[0], (few[1] + many[1] + 1) // 2), many
    values = np.array([covariance(build, N, levels, time, alpha) for N, levels in sizes])
    powers = np.vander([1 / N for N, _ in sizes], increasing=True)
    limit = np.linalg.solve(powers, values.reshape(3, -1))[0].reshape(values.shape[1:])
    start = dj.MeanFieldState(START[:, None], [alpha] * model.num_modes)
    found = dj.gaussian_moments(model, start, [0.0, time]).covariance[-1]
    size = np.max(np.abs(limit))
    assert np.max(np.abs(values[-1] - limit)) > 2e-3 * size
    np.testing.assert_allclose(found, limit, atol=0.01 * size)
