"""The master equation of N spins and one mode, as dense matrices: every spin a site, photons in a fixed basis."""

import numpy as np

from .slow_route import PAULI, Equations, TooLong, integrate, matrix_of


def moments(draw, N, levels):
    """Means (x, y, z, Re a, Im a) with a / sqrt(N), their covariance times N, and the highest levels' population."""
    eq = Equations(draw)
    dim = 2**N
    spins = [[np.kron(np.kron(np.eye(2**i), s), np.eye(2 ** (N - 1 - i))) for s in PAULI] for i in range(N)]
    a = np.diag(np.sqrt(np.arange(1, levels)), 1)

    def both(spin=None, mode=None):
        return np.kron(np.eye(dim) if spin is None else spin, np.eye(levels) if mode is None else mode)

    S = [both(sum(spin[i] for spin in spins)) for i in range(3)]
    b, G = both(mode=a), float(draw.G[0, 0])
    jumps = [
        (both(sum(L[i, j] * _unit(N, s, i, j) for i in (0, 1) for j in (0, 1))), n)
        for n, (jump, _) in enumerate(draw.jumps)
        for L in [matrix_of(jump)]
        for s in range(N)
    ]
    number, coupling = b.conj().T @ b, (b + b.conj().T) @ S[2] * G / np.sqrt(N)

    def f(t, flat):
        R = np.ascontiguousarray(flat).view(complex).reshape(dim * levels, -1)
        Omega, mode, kappa, g0, *_ = eq.now if eq.constant else eq._at(t)
        half = -1j * (Omega * S[0] + float(mode[0]) * number + g0 * coupling) - float(kappa[0]) / 2 * number
        change = float(kappa[0]) * b @ R @ b.conj().T
        for L, n in jumps:
            r = float(np.ravel(draw.jumps[n][1](t))[0])
            half = half - r / 2 * L.conj().T @ L
            change += r * L @ R @ L.conj().T
        change += half @ R + R @ half.conj().T
        return change.ravel().view(float)

    psi = _coherent(np.sqrt(N) * draw.alpha[0], levels)
    one = (np.eye(2) + sum(m * s for m, s in zip(draw.m[:, 0], PAULI, strict=True))) / 2
    rho = np.ones((1, 1))
    for _ in range(N):
        rho = np.kron(rho, one)
    rho = np.kron(rho, np.outer(psi, psi.conj())).astype(complex)
    v = [s / N for s in S] + [(b + b.conj().T) / 2 / np.sqrt(N), (b - b.conj().T) / 2j / np.sqrt(N)]
    means, covariance, top = [], [], 0.0
    # what a pulse fills between two times may be empty again at the second
    breaks = [rate.breaks() for rate in draw.rates.values()]
    looked = np.unique(np.concatenate([draw.times, *breaks, np.linspace(draw.times[0], draw.times[-1], 100)]))
    looked = looked[(looked >= draw.times[0]) & (looked <= draw.times[-1])]
    for t, flat in zip(looked, integrate(eq, rho.ravel().view(float), looked, 1e-10, 30.0, f), strict=True):
        R = np.ascontiguousarray(flat).view(complex).reshape(rho.shape)
        top = max(top, np.einsum("ilil->l", R.reshape(dim, levels, dim, levels)).real[-3:].max())
        if t not in draw.times:
            continue
        mean = np.real([np.sum(o.T * R) for o in v])
        second = np.array([[np.sum((p @ q + q @ p).T * R).real / 2 for p in v] for q in v])
        means.append(mean)
        covariance.append(N * (second - np.outer(mean, mean)))
    return np.array(means), np.array(covariance), top


def converged_moments(draw, N):
    """With as many levels as it takes."""
    for levels in (16, 28, 44):
        means, covariance, top = moments(draw, N, levels)
        if top < 1e-11:
            return means, covariance
    raise TooLong("more photons than the dense route can hold")


def _unit(N, site, i, j):
    one = np.zeros((2, 2))
    one[i, j] = 1
    return np.kron(np.kron(np.eye(2**site), one), np.eye(2 ** (N - 1 - site)))


def _coherent(alpha, levels):
    psi = np.ones(levels, complex)
    for n in range(1, levels):
        psi[n] = psi[n - 1] * alpha / np.sqrt(n)
    return psi * np.exp(-(abs(alpha) ** 2) / 2)
