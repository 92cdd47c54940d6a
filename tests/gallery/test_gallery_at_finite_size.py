"""Exact finite N by QuTiP, with the operators that the docstrings name: the error of mean field falls as 1/N."""

import jax
import numpy as np
import pytest
import qutip as qt
from scipy.integrate import solve_ivp

import dicke_jax as dj

G = dj.gallery
THETA, PHI = 0.8, 0.3
START = np.array([np.sin(THETA) * np.cos(PHI), np.sin(THETA) * np.sin(PHI), np.cos(THETA)])


def mean_field(model, time):
    """Of x, y, z, Re alpha, Im alpha, by SciPy on the model's own right-hand side."""
    M = model.num_modes
    right_hand_side = jax.jit(lambda t, y: model.rate_of_change(t, y))

    def flat(t, y):
        m_dot, a_dot = right_hand_side(t, (y[:3, None], y[3:].reshape(2, M)))
        return np.concatenate([np.ravel(m_dot), np.ravel(a_dot)])

    start = np.concatenate([START, np.zeros(2 * M)])
    return solve_ivp(flat, (0, time), start, method="DOP853", rtol=1e-10, atol=1e-11).y[:, -1]


def exact(build, N, levels, time):
    """The same of N spins: expectation values of sigma per spin and of a / sqrt(N)."""
    S = [qt.tensor(qt.jmat(N / 2, axis), qt.qeye(levels)) for axis in "xyz"]
    a = qt.tensor(qt.qeye(N + 1), qt.destroy(levels) if levels > 1 else qt.qeye(1))
    energy, jumps = build(N, S, a)
    start = qt.tensor(qt.spin_coherent(N / 2, THETA, PHI), qt.basis(levels, 0))
    watched = [2 / N * s for s in S]
    if levels > 1:
        watched += [(a + a.dag()) / 2 / np.sqrt(N), (a - a.dag()) / 2j / np.sqrt(N)]
    run = qt.mesolve(energy, start, [0, time], jumps, e_ops=watched, options=dict(atol=1e-9, rtol=1e-8, nsteps=100_000))
    return np.array([values[-1] for values in run.expect])


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
}
WITH_LIGHT = ("unbalanced", "nonlinear", "driven")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in WITH_LIGHT else n for n in CASES])
def test_n_times_the_error_is_constant(name):
    model_of, build, time, few, many = CASES[name]
    expected = mean_field(model_of(), time)
    constants = [N * (exact(build, N, levels, time) - expected) for N, levels in (few, many)]
    assert np.linalg.norm(constants[0]) > 0.02  # there is something to fall
    assert np.linalg.norm(constants[1] - constants[0]) < 0.1 * np.linalg.norm(constants[1])
