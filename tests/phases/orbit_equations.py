"""Equations of models with limit cycles, written out, and where SciPy takes them."""

import numpy as np
from problems import written_out_jacobian
from scipy.integrate import solve_ivp


def unbalanced_equations(omega, omega0, rotating, counter, kappa):
    """Right-hand side and Jacobian in x, y, z, Re alpha, Im alpha.

    h = omega (a^2 + b^2) + omega0 z / 2 + co a x + anti b y with alpha = a + i b; a spin turns about (2 co a, 2 anti b,
    omega0).
    """
    co, anti, half = rotating + counter, counter - rotating, kappa / 2

    def f(t, u):
        x, y, z, a, b = u
        bx, by = 2 * co * a, 2 * anti * b
        spin = [by * z - omega0 * y, omega0 * x - bx * z, bx * y - by * x]
        return np.array([*spin, omega * b + anti * y / 2 - half * a, -omega * a - co * x / 2 - half * b])

    def jacobian(u):
        x, y, z, a, b = u
        bx, by = 2 * co * a, 2 * anti * b
        return np.array(
            [
                [0, -omega0, by, 0, 2 * anti * z],
                [omega0, 0, -bx, -2 * co * z, 0],
                [-by, bx, 0, 2 * co * y, -2 * anti * x],
                [0, anti / 2, 0, -half, omega],
                [-co / 2, 0, 0, -omega, -half],
            ]
        )

    return f, jacobian


def dicke_equations(model):
    G, w = np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    M, K = G.shape
    omega, omega_mode, kappa, g0 = (np.asarray(model.rates[n]) for n in ("omega_spin", "omega_mode", "kappa", "g0"))

    def f(t, u):
        (x, y, z), (re, im) = u[: 3 * K].reshape(3, K), u[3 * K :].reshape(2, M)
        turn = 4 * g0 * re @ G
        light = [omega_mode * im - kappa / 2 * re, -omega_mode * re - kappa / 2 * im - g0 * G @ (w * z)]
        return np.concatenate([-turn * y, turn * x - 2 * omega * z, 2 * omega * y, *light])

    return f, lambda u: written_out_jacobian(model, u[: 3 * K].reshape(3, K), u[3 * K : 3 * K + M])


def flat(state):
    return np.concatenate([np.ravel(state.m), np.real(state.alpha), np.imag(state.alpha)])


def monodromy(f, jacobian, start, period):
    """Where a run ends, and the derivative of that in its start."""
    n = start.size

    def both(t, u):
        return np.concatenate([f(t, u[:n]), (jacobian(u[:n]) @ u[n:].reshape(n, n)).ravel()])

    begin = np.concatenate([start, np.eye(n).ravel()])
    u = solve_ivp(both, (0, period), begin, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return u[:n], u[n:].reshape(n, n)
