"""The answers once more, by SciPy and NumPy alone, from the equations written out here. Nothing of the package."""

import time
from itertools import pairwise

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import root

from .rates_in_time import Constant, longest_step

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
NAMED = {
    "decay_x": (PAULI[1] - 1j * PAULI[2]) / 2,
    "sigma_minus": (PAULI[0] - 1j * PAULI[1]) / 2,
    "sigma_plus": (PAULI[0] + 1j * PAULI[1]) / 2,
    "dephasing_x": PAULI[0],
    "dephasing_y": PAULI[1],
    "dephasing_z": PAULI[2],
}


class TooLong(Exception):
    """The slow route would take longer than anybody waits."""


def matrix_of(jump):
    return NAMED[jump] if isinstance(jump, str) else np.asarray(jump, complex)


def bloch_terms(L):
    """T and c of d<sigma>/dt = T <sigma> + c, from traces of L rho L^dag - {L^dag L, rho} / 2."""

    def change(rho):
        drho = L @ rho @ L.conj().T - (L.conj().T @ L @ rho + rho @ L.conj().T @ L) / 2
        return np.real([np.trace(sigma @ drho) for sigma in PAULI])

    c = change(np.eye(2) / 2)
    return np.array([change((np.eye(2) + sigma) / 2) - c for sigma in PAULI]).T, c


class Equations:
    """x' = -2 g0 h y, y' = -2 Omega z + 2 g0 h x, z' = 2 Omega y, alpha' = -(i Omega_mu + kappa_mu/2) alpha - i g0 xi.

    A state is one array: x, y, z of all subsets, Re alpha, Im alpha.
    """

    def __init__(self, draw, **scaled):
        self.G, self.w = draw.G, draw.w
        self.M, self.K = draw.G.shape
        self.rates = {name: rate.scaled(scaled.get(name, 1.0)) for name, rate in draw.rates.items()}
        self.jumps = [(*bloch_terms(matrix_of(jump)), rate) for jump, rate in draw.jumps]
        self.all_rates = [*self.rates.values(), *(rate for *_, rate in self.jumps)]
        self.constant = all(isinstance(rate, Constant) for rate in self.all_rates)
        self.now = self._at(0.0) if self.constant else None

    def _at(self, t):
        Omega, mode, kappa, g0 = (self.rates[name](t) for name in ("omega_spin", "omega_mode", "kappa", "g0"))
        T = c = None
        if self.jumps:
            T = sum(T[:, :, None] * np.atleast_1d(rate(t)) for T, _, rate in self.jumps)
            c = sum(c[:, None] * np.atleast_1d(rate(t)) for _, c, rate in self.jumps)
        return float(Omega), mode, kappa, float(g0), T, c

    def __call__(self, t, y):
        return self.with_rates(self.now if self.constant else self._at(t), y)

    def with_rates(self, rates, y):
        Omega, mode, kappa, g0, T, c = rates
        K, M, out = self.K, self.M, np.empty_like(y)
        m = y[: 3 * K].reshape(3, K)
        x, yy, z = m
        re, im = y[3 * K : 3 * K + M], y[3 * K + M :]
        h = (2 * g0 * re) @ self.G
        xi = self.G @ (self.w * z)
        out[:K], out[K : 2 * K], out[2 * K : 3 * K] = -2 * h * yy, -2 * Omega * z + 2 * h * x, 2 * Omega * yy
        if T is not None:
            out[: 3 * K] += (np.einsum("abk,bk->ak", np.broadcast_to(T, (3, 3, K)), m) + c).ravel()
        out[3 * K : 3 * K + M] = mode * im - kappa / 2 * re
        out[3 * K + M :] = -mode * re - kappa / 2 * im - g0 * xi
        return out

    def jacobian(self, t, y):
        """By central differences, which are exact for products of two components."""
        rates, columns = (self.now if self.constant else self._at(t)), []
        for e in np.eye(y.size):
            columns.append((self.with_rates(rates, y + e) - self.with_rates(rates, y - e)) / 2)
        return np.array(columns).T

    def fastest(self, times):
        sizes = [[np.max(np.abs(rate(t))) for t in times] for rate in self.all_rates]
        return float(np.max(sizes))


def start(draw):
    return np.concatenate([draw.m.ravel(), draw.alpha.real, draw.alpha.imag])


def integrate(eq, y0, times, tol=1e-11, seconds=40.0, right_hand_side=None, jacobian=None):
    """The states at `times`, from feature to feature of the rates. `TooLong` where that takes too long."""
    end, f = time.process_time() + seconds, (eq if right_hand_side is None else right_hand_side)
    breaks = np.concatenate([times, *(rate.breaks() for rate in eq.all_rates)])
    breaks = np.unique(breaks[(breaks >= times[0]) & (breaks <= times[-1])])
    longest = min(longest_step(rate) for rate in eq.all_rates)
    stiff = eq.fastest(times) * (times[-1] - times[0]) > 3e4
    y, states = np.asarray(y0), [np.asarray(y0)]
    for a, b in pairwise(breaks):
        inside_a, inside_b = np.nextafter(a, np.inf), np.nextafter(b, -np.inf)

        def inside(t, y, a=inside_a, b=inside_b):  # a piece is smooth: it ends before the next one begins
            if time.process_time() > end:
                raise TooLong
            return f(min(max(t, a), b), y)

        how = dict(method="DOP853", rtol=tol, atol=tol)
        if stiff:
            how = dict(method="Radau", rtol=max(tol, 1e-9), atol=max(tol, 1e-10))
            how["jac"] = jacobian if jacobian is not None or right_hand_side is not None else eq.jacobian
        if b - a > 4 * np.spacing(max(abs(a), abs(b))):
            sol = solve_ivp(inside, (a, b), y, max_step=longest, **how)
            if not sol.success:
                raise TooLong(sol.message)
            y = sol.y[:, -1]
        if b in times[1:]:
            states.append(y)
    return np.array(states)


def trajectory(draw, times=None, seconds=40.0, **scaled):
    """States at the times, and by how much a deviation of the start has grown until then."""
    eq, y0, times = Equations(draw, **scaled), start(draw), draw.times if times is None else times
    states = integrate(eq, y0, times, seconds=seconds)
    nudge = np.random.default_rng(0).normal(size=y0.size)
    nudge *= 1e-7 / np.linalg.norm(nudge)
    nudged = integrate(eq, y0 + nudge, times, seconds=seconds)
    growth = np.maximum.accumulate(np.linalg.norm(nudged - states, axis=1) / 1e-7)
    return states, growth


def spins_in_field(eq, b, lengths):
    """Rest positions (3, K) in fields b_k = g0 h_k; `lengths` with the sign that says how they stand to the field."""
    Omega, _, _, _, T, c = eq.now
    if T is None or not np.any(T):  # a rate may be zero
        axis = np.array([np.full(b.shape, Omega), np.zeros(b.shape), b])
        return -lengths * axis / np.linalg.norm(axis, axis=0)
    T, c = np.broadcast_to(T, (3, 3, b.size)), np.broadcast_to(c, (3, b.size))
    spins = []
    for k in range(b.size):
        turn = 2 * np.array([[0, -b[k], 0], [b[k], 0, -Omega], [0, Omega, 0]])
        spins.append(np.linalg.lstsq(T[:, :, k] + turn, -c[:, k], rcond=None)[0])
    return np.array(spins).T


def state_at(eq, xi, lengths):
    """The whole state whose overlaps would be `xi`."""
    _, mode, kappa, g0, *_ = eq.now
    alpha = -1j * g0 * xi / (1j * mode + kappa / 2)
    m = spins_in_field(eq, g0 * 2 * alpha.real @ eq.G, lengths)
    return np.concatenate([m.ravel(), alpha.real, alpha.imag])


def overlaps_of(eq, y):
    return eq.G @ (eq.w * y[2 * eq.K : 3 * eq.K])


def root_near(eq, xi, lengths):
    """Overlaps that reproduce themselves, near `xi`; None where Newton's method finds none."""

    def off(xi):
        return xi - overlaps_of(eq, state_at(eq, xi, lengths))

    with np.errstate(all="ignore"):
        found = root(off, xi, tol=1e-13, options={"maxfev": 400})
        x = found.x
        for _ in range(3):
            J = np.array([(off(x + e) - off(x - e)) / 2e-6 for e in 1e-6 * np.eye(x.size)]).T
            if not np.all(np.isfinite(J)) or abs(np.linalg.det(J)) < 1e-12:
                break
            x = x - np.linalg.solve(J, off(x))
    return x if np.all(np.isfinite(x)) and np.max(np.abs(off(x))) < 1e-10 else None


def spectrum(eq, y):
    """Eigenvalues of the whole Jacobian; those of conserved spin lengths are zeros among them."""
    return np.linalg.eigvals(eq.jacobian(0.0, y))


def growth_rate(eq, y):
    return float(np.max(spectrum(eq, y).real))


def covariances(draw, times):
    """N_sp times the covariance: Sigma' = A Sigma + Sigma A^T + D along the trajectory, from a product state."""
    eq, y0 = Equations(draw), start(draw)
    n, K, M = y0.size, eq.K, eq.M
    m = draw.m
    sigma = np.zeros((n, n))
    for k in range(K):
        at = np.array([k, K + k, 2 * K + k])
        sigma[np.ix_(at, at)] = (np.eye(3) - np.outer(m[:, k], m[:, k])) / eq.w[k]
    sigma[3 * K :, 3 * K :] = np.eye(2 * M) / 4

    def f(t, flat):
        y, S = flat[:n], flat[n:].reshape(n, n)
        _, _, kappa, _, T, c = eq.now if eq.constant else eq._at(t)
        A = eq.jacobian(t, y)
        D = np.zeros((n, n))
        D[range(3 * K, n), range(3 * K, n)] = np.tile(kappa / 4 * np.ones(M), 2)
        if T is not None:
            T, c = np.broadcast_to(T, (3, 3, K)), np.broadcast_to(c, (3, K))
            for k in range(K):
                at, one = np.array([k, K + k, 2 * K + k]), y[[k, K + k, 2 * K + k]]
                half = T[:, :, k] + np.outer(c[:, k], one)
                D[np.ix_(at, at)] = -(half + half.T) / eq.w[k]
        return np.concatenate([eq(t, y), (A @ S + S @ A.T + D).ravel()])

    flat = integrate(eq, np.concatenate([y0, sigma.ravel()]), times, 1e-10, right_hand_side=f)
    return flat[:, :n], flat[:, n:].reshape(-1, n, n)
