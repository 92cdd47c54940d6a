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


def at_rest_with_photons(omega, omega0, rotating, counter, kappa):
    """Spins along their field, m = l (2 co a, 2 anti b, omega0): light is at rest for two l, of which the larger."""
    co, anti, half = rotating + counter, counter - rotating, kappa / 2
    scale = np.max(np.roots([(co * anti) ** 2, omega * (co**2 + anti**2), omega**2 + half**2]).real)
    a, b = omega + scale * anti**2, half
    x, y, z = scale * 2 * co * a, scale * 2 * anti * b, scale * omega0
    size = np.sqrt((1 - z**2) / (x**2 + y**2))
    return np.array([size * x, size * y, z, size * a, size * b])


def first_lyapunov_coefficient(f, jacobian, rest):
    """Of r' = mu r + c r^3 at a Hopf point the c, and q in y = y_0 + 2 r Re(q e^(i w t)); f is quadratic, |m| = 1.

    Kuznetsov's formula; the length gives the part of the mean shift that A leaves open.
    """
    A = jacobian(rest)
    values, right = np.linalg.eig(A)
    at = np.argmin(np.where(values.imag > 1e-3, np.abs(values.real), np.inf))
    q, w = right[:, at], values[at].imag
    values, left = np.linalg.eig(A.T)
    p = left[:, np.argmin(np.abs(values + 1j * w))]
    p = p / np.conj(np.vdot(p, q))

    def both(s, t):
        return f(0, s + t) - f(0, s) - f(0, t)

    on_sphere = np.append(rest[:3], [0, 0])
    shift = np.linalg.lstsq(
        np.vstack([A, on_sphere]), np.append(-both(q, q.conj()), -np.vdot(q[:3], q[:3]).real), rcond=None
    )[0]
    twice = np.linalg.solve(2j * w * np.eye(5) - A, both(q, q))
    return np.vdot(p, 2 * both(q, shift) + both(q.conj(), twice)).real / 2, q


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


def monodromy(f, jacobian, start, period, change=None):
    """Where a run ends, and the derivative of that in its start; with `change`, df/dp, in p, as a last column."""
    n, columns = start.size, start.size + (change is not None)

    def both(t, u):
        moved = jacobian(u[:n]) @ u[n:].reshape(n, columns)
        if change is not None:
            moved[:, -1] += change(u[:n])
        return np.concatenate([f(t, u[:n]), moved.ravel()])

    begin = np.concatenate([start, np.eye(n, columns).ravel()])
    u = solve_ivp(both, (0, period), begin, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return u[:n], u[n:].reshape(n, columns)


def multipliers_of_scipy(f, jacobian, guess, period):
    """Of the orbit near by, by Newton's method on SciPy's runs: a spin of length 1 and a mode."""
    normal, start = f(0, guess), guess.copy()
    for _ in range(5):
        end, matrix = monodromy(f, jacobian, start, period)
        rows = [
            np.column_stack([matrix - np.eye(5), f(0, end)]),
            np.append(normal, 0),
            np.append(start * [1, 1, 1, 0, 0], 0),
        ]
        values = np.concatenate([end - start, [normal @ (start - guess)], [(np.sum(start[:3] ** 2) - 1) / 2]])
        shift = np.linalg.lstsq(np.vstack(rows), values, rcond=None)[0]
        start, period = start - shift[:5], period - shift[5]
    return np.linalg.eigvals(monodromy(f, jacobian, start, period)[1])
