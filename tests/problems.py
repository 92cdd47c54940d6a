"""Models with known answers, and the equations written out once more, spin by spin, in NumPy and SciPy alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dicke_jax as dj

# counts of programs, sizes of chunks and names of libraries are those of a CPU; several processes share no GPU
cpu_only = pytest.mark.skipif(jax.default_backend() != "cpu", reason="what it counts is a CPU's")


def paper(g0: float = 1.0, num_patterns: int = 4, **rates) -> dj.DickeModel:
    """The rates of the paper's Fig. 3, for any number of patterns."""
    values = dict(omega_spin=0.5, omega_mode=0.5 * (np.arange(num_patterns) + 3.0), kappa=1.0, g0=g0) | rates
    return dj.DickeModel(dj.LargeSpins.hypercube(num_patterns), **values)


def uneven(num_modes: int, spins: dj.LargeSpins | None = None) -> dj.DickeModel:
    """Rates that are all different and of no special value, a negative mode frequency among them."""
    mu = np.arange(num_modes)
    spins = dj.LargeSpins.hypercube(num_modes) if spins is None else spins
    return dj.DickeModel(
        spins, omega_spin=0.43, omega_mode=1.3 + 0.37 * mu - 3.1 * (mu == 2), kappa=0.6 + 0.21 * mu, g0=0.83
    )


def sampled(num_patterns=3, num_spins=1000, g0=1.2, **rates):
    """Subsets of unequal sizes: patterns that are not quite orthogonal."""
    spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(5), num_patterns, num_spins)).spins
    mu = np.arange(num_patterns)
    return dj.DickeModel(spins, **dict(omega_spin=0.5, omega_mode=1.5 + 0.5 * mu, kappa=0.7 + 0.3 * mu, g0=g0) | rates)


def generic_state(model: dj.DickeModel, seed: int = 0) -> dj.MeanFieldState:
    """Random directions, spin lengths below 1, photons in every mode."""
    key, other = jax.random.split(jax.random.key(seed))
    state = dj.random_state(key, model, amplitude=0.3)
    lengths = jax.random.uniform(other, (1, model.num_subsets), minval=0.4, maxval=1.0)
    return dj.MeanFieldState(state.m * lengths, state.alpha)


def spin_by_spin(G, rates, bloch, alpha, times, tol=1e-12):
    """<sigma_a^(i)>(t) of shape (T, 3, N) and <a_mu>/sqrt(N_sp) of shape (T, M), every spin with its own equation.

    From dX/dt = i[H, X] + loss with H = Omega sum sigma_x + sum Omega_mu n_mu + (g0/sqrt(N)) sum G (a + a^dag) sigma_z,
    products of expectation values factorised.
    """
    G = np.asarray(G, dtype=float)
    num_modes, num_spins = G.shape
    omega, omega_mode, kappa, g0 = (np.asarray(rate, dtype=float) for rate in rates)

    def right_hand_side(t, flat):
        sigma = flat[: 3 * num_spins].reshape(3, num_spins)
        a = flat[3 * num_spins : 3 * num_spins + num_modes] + 1j * flat[3 * num_spins + num_modes :]
        # a Pauli spin in H = b . sigma turns as d<sigma>/dt = 2 b x <sigma>
        b = np.stack([np.full(num_spins, omega), np.zeros(num_spins), g0 * (2 * a.real) @ G])
        rates_of_spins = 2 * np.cross(b, sigma, axis=0)
        da = -(1j * omega_mode + kappa / 2) * a - 1j * g0 * (G @ sigma[2]) / num_spins
        return np.concatenate([rates_of_spins.ravel(), da.real, da.imag])

    start = np.concatenate([np.asarray(bloch).ravel(), np.real(alpha), np.imag(alpha)])
    sol = solve_ivp(right_hand_side, (times[0], times[-1]), start, method="DOP853", t_eval=times, rtol=tol, atol=tol)
    assert sol.success
    y = sol.y.T
    bloch_t = y[:, : 3 * num_spins].reshape(-1, 3, num_spins)
    return bloch_t, y[:, 3 * num_spins : 3 * num_spins + num_modes] + 1j * y[:, 3 * num_spins + num_modes :]


def rates_of(model: dj.DickeModel):
    return model.omega_spin, model.omega_mode, model.kappa, model.g0


def max_rate_of_change(model: dj.DickeModel, state: dj.MeanFieldState) -> float:
    """Max |dy/dt| in NumPy, from the dense couplings alone."""
    G, w = np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    (x, y, z), alpha = np.asarray(state.m), np.asarray(state.alpha)
    omega, omega_mode, kappa, g0 = (np.asarray(rate) for rate in rates_of(model))
    h = 2 * alpha.real @ G
    changes = [-2 * g0 * h * y, -2 * omega * z + 2 * g0 * h * x, 2 * omega * y]
    changes.append(-(1j * omega_mode + kappa / 2) * alpha - 1j * g0 * (G @ (w * z)))
    return max(float(np.max(np.abs(change))) for change in changes)


def differences(function, x, step=1e-5):
    """Central finite differences of a scalar function of a flat array, fourth order."""
    x = np.asarray(x, dtype=float)
    gradient = np.empty_like(x)
    for i in range(x.size):
        e = np.zeros_like(x)
        e[i] = step
        f = [float(function(jnp.asarray(x + s * e))) for s in (-2, -1, 1, 2)]
        gradient[i] = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)
    return gradient


def written_out_jacobian(model, m, alpha, damping=None):
    """Of the right-hand side in the order x, y, z, Re alpha, Im alpha, entry by entry; damping: the matrix T."""
    G, w = np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    M, K = G.shape
    omega, omega_mode, kappa, g0 = (np.asarray(rate) for rate in rates_of(model))
    omega_mode, kappa = np.broadcast_to(omega_mode, M), np.broadcast_to(kappa, M)
    x, y, _ = np.asarray(m)
    h = 2 * np.real(alpha) @ G
    A = np.zeros((3 * K + 2 * M, 3 * K + 2 * M))
    for k in range(K):
        ix, iy, iz = k, K + k, 2 * K + k
        A[ix, iy], A[iy, ix] = -2 * g0 * h[k], 2 * g0 * h[k]
        A[iy, iz], A[iz, iy] = -2 * omega, 2 * omega
        if damping is not None:
            A[np.ix_([ix, iy, iz], [ix, iy, iz])] += damping
        for mu in range(M):
            A[ix, 3 * K + mu] = -4 * g0 * G[mu, k] * y[k]
            A[iy, 3 * K + mu] = 4 * g0 * G[mu, k] * x[k]
            A[3 * K + M + mu, iz] = -g0 * w[k] * G[mu, k]
    for mu in range(M):
        re, im = 3 * K + mu, 3 * K + M + mu
        A[re, re] = A[im, im] = -kappa[mu] / 2
        A[re, im], A[im, re] = omega_mode[mu], -omega_mode[mu]
    return A


def growth_of_written_out(model, m, alpha, damping=None):
    return np.max(np.linalg.eigvals(written_out_jacobian(model, m, alpha, damping)).real)
