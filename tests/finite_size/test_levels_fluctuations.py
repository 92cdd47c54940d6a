"""Gaussian fluctuations of sites with d levels: density matrices in NumPy, finite N by QuTiP, pairs of spins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qutip
from problems import differences

import dicke_jax as dj
from dicke_jax.finite_size.diffusion import WITH_COVARIANCE, diffusion

RNG = np.random.default_rng(11)
LAMBDA = dj.gell_mann(3)
TIGHT = dict(rtol=1e-10, atol=1e-12)


def random_matrix():
    return RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))


def random_rho():
    A = random_matrix()
    return A @ A.conj().T / np.trace(A @ A.conj().T)


L, C, H = random_matrix(), random_matrix(), random_matrix()
H = H + H.conj().T
RHO = np.stack([random_rho(), random_rho()])
WEIGHTS, RATES = (0.3, 0.7), np.array([0.2, 0.5])


def two_ensembles():
    """Of three levels, with a lossy mode, local jumps, and a jump of all sites and the mode."""
    jumps = [dj.photon_loss(0.6), dj.collective(lambda s: s.expect(C)[0] + 0.5 * s.alpha[0], 0.2)]
    energy = lambda s: s.expect(H)[0] + s.photons[0] + s.expect(H)[1] * s.alpha[0].real  # noqa: E731
    return dj.CollectiveModel(energy, jumps, dj.LocalDissipation([(L, RATES)]), WEIGHTS, 1, levels=3)


def mean(rho, X):
    return np.trace(rho @ X)


def of_sites(entry):
    """The matrix of spins, (8, K, 8, K), from entry(rho, k, lambda_a, lambda_b)."""
    found = np.zeros((8, 2, 8, 2))
    for k in range(2):
        found[:, k, :, k] = [[entry(RHO[k], k, a, b) / WEIGHTS[k] for b in LAMBDA] for a in LAMBDA]
    return found.reshape(16, 16)


def test_products_of_sites_have_the_covariance_and_the_commutators_of_their_density_matrices():
    model, m = two_ensembles(), dj.bloch_vectors(RHO)
    covariance, W = np.asarray(dj.product_covariance(model, m)), np.asarray(dj.commutators(model, m))
    both = lambda rho, _, a, b: (mean(rho, a @ b + b @ a) / 2 - mean(rho, a) * mean(rho, b)).real  # noqa: E731
    np.testing.assert_allclose(covariance[:16, :16], of_sites(both), atol=1e-13)
    np.testing.assert_allclose(W[:16, :16], of_sites(lambda rho, _, a, b: mean(rho, a @ b - b @ a).imag), atol=1e-13)
    np.testing.assert_allclose(covariance[16:, 16:], np.eye(2) / 4, atol=1e-15)
    assert np.min(np.linalg.eigvalsh(covariance + 0.5j * W)) > -1e-13  # the uncertainty relation


def test_jumps_add_what_their_commutators_say():
    """R Re <[L^+, a][b, L]> of single sites; of all together r Re(q_a^* q_b) with q_b = N [v_b, l]."""
    model = two_ensembles()
    state = dj.MeanFieldState(dj.bloch_vectors(RHO), [0.2 - 0.3j])
    L_ = L.conj().T
    local = of_sites(lambda rho, k, a, b: RATES[k] * mean(rho, (L_ @ a - a @ L_) @ (b @ L - L @ b)).real)
    q = np.zeros((8, 2), complex)
    q[:, 0] = [mean(RHO[0], a @ C - C @ a) / WEIGHTS[0] for a in LAMBDA]
    q = np.concatenate([q.ravel(), 0.5 * np.array([-0.5, -0.5j])])
    expected = 0.2 * np.real(np.outer(q.conj(), q))
    expected[:16, :16] += local
    expected[16:, 16:] += 0.6 / 4 * np.eye(2)
    np.testing.assert_allclose(diffusion(model, state.to_real(model)), expected, atol=1e-12)


def test_sites_that_do_not_see_each_other_stay_a_product():
    """Whatever moves them: the covariance's rate of change is that of the product's."""
    model = dj.CollectiveModel(lambda s: s.expect(H)[0], (), dj.LocalDissipation([(L, 0.3)]), levels=3)
    y = dj.MeanFieldState(dj.bloch_vectors(RHO[:1]), []).to_real(model)
    product = lambda m: dj.product_covariance(model, m)  # noqa: E731
    (m_dot, _), sigma_dot = WITH_COVARIANCE.vf(0.0, (y, product(y[0])), model)
    np.testing.assert_allclose(sigma_dot, jax.jvp(product, (y[0],), (m_dot,))[1], atol=1e-12)


@pytest.mark.slow
def test_spins_one_fluctuate_as_pairs_of_spins_one_half():
    """The light alike, and S_z of N spins 1 as that of 2 N spins 1/2, of which N_sp cov is twice as large."""
    omega0, g, root, theta = 0.8, 0.9, np.sqrt(0.5), 2.4
    one = dj.gallery.multilevel_dicke(1.1, [omega0, 0.0, -omega0], g * root * np.eye(3, k=1), 0.4)
    half = dj.gallery.unbalanced_dicke(1.1, omega0, g * root, g * root, 0.4)
    ket = np.array([np.cos(theta / 2) ** 2, np.sin(theta) * root, np.sin(theta / 2) ** 2])
    start = dj.MeanFieldState(dj.bloch_vectors(np.outer(ket, ket)), [0.2])
    pairs = dj.MeanFieldState([[np.sin(theta)], [0.0], [np.cos(theta)]], [0.2 * root])
    found = dj.gaussian_moments(one, start, [0.0, 3.0], **TIGHT)
    other = dj.gaussian_moments(half, pairs, [0.0, 3.0], **TIGHT)
    np.testing.assert_allclose(found.mode_covariance, other.mode_covariance, atol=1e-8)
    S_z = np.array([np.trace(np.diag([1.0, 0.0, -1.0]) @ a).real / 2 for a in LAMBDA])
    spins = np.einsum("a,takbl,b->t", S_z, found.spin_covariance, S_z)
    np.testing.assert_allclose(spins, other.spin_covariance[:, 2, 0, 2, 0] / 2, atol=1e-8)


DROPS = [np.outer(np.eye(3)[0], np.eye(3)[n]) for n in (1, 2)]
TURN = 0.25 * (DROPS[0] + DROPS[0].T) + 0.15 * (DROPS[1] + DROPS[1].T) + np.diag([0.0, 0.1, 0.3])


def falling():
    """Sites that fall to the lowest level all together, and are driven out of it."""
    jumps = [dj.collective(lambda s, n=n: s.expect(DROPS[n])[0], rate) for n, rate in ((0, 1.0), (1, 0.7))]
    return dj.CollectiveModel(lambda s: s.expect(TURN)[0] + 0.2 * s.expect(TURN)[0] ** 2, jumps, levels=3)


def covariance(rho, m, N):
    means = [qutip.expect(a, rho) for a in m]
    return N * np.array([[qutip.expect(a * b + b * a, rho) / 2 - x * y for b, y in zip(m, means, strict=True)]
                         for a, x in zip(m, means, strict=True)])  # fmt: skip


def extrapolated(exact, sizes):
    values = np.array([exact(N) for N in sizes])
    powers = np.vander(1 / np.array(sizes, float), increasing=True)
    limit = np.linalg.solve(powers, values.reshape(len(sizes), -1))[0].reshape(values.shape[1:])
    return limit, np.max(np.abs(values[-1] - limit))


@pytest.mark.slow
def test_they_are_those_of_finite_ones_extrapolated():
    model = falling()
    ket = np.array([0.8, 0.36 + 0.3j, 0.0])
    ket[2] = np.sqrt(1 - np.sum(np.abs(ket) ** 2))

    def exact(N):
        finite = dj.to_operators(model, N)
        numbers = [s for s in np.ndindex(*(N + 1,) * 3) if sum(s) == N][::-1]
        many = [np.sqrt(float(_orders(s))) * np.prod(ket ** np.array(s)) for s in numbers]
        start = qutip.Qobj(np.array(many)[:, None], dims=[finite.hamiltonian.dims[0], [1]])
        how = dict(atol=1e-10, rtol=1e-9)
        rho = qutip.mesolve(finite.hamiltonian, start, [0.0, 1.2], finite.jumps, options=how).states[-1]
        return covariance(rho, [row[0] for row in finite.m], N)

    limit, away = extrapolated(exact, (4, 8, 16))
    start = dj.MeanFieldState(dj.bloch_vectors(np.outer(ket, ket.conj())), [])
    found = dj.gaussian_moments(model, start, [0.0, 1.2], **TIGHT).covariance[-1]
    assert away > 2e-3 * np.max(np.abs(limit))
    np.testing.assert_allclose(found, limit, atol=0.01 * np.max(np.abs(limit)))


def test_at_rest_they_are_where_moments_end():
    """Exact states at rest come near their limit too slowly to extrapolate from the dozen sites that QuTiP can do."""
    model = falling()
    rest, good = dj.stationary_state(model, dj.MeanFieldState(dj.bloch_vectors(np.diag([1.0, 0.0, 0.0])), []))
    found, run = dj.stationary_covariance(model, rest), dj.gaussian_moments(model, rest, [0.0, 100.0], **TIGHT)
    assert good and found.successful and "0 modes" in repr(found)
    away = np.max(np.abs(run.covariance[0] - run.covariance[-1]))
    assert away > 0.1  # the product state is not yet it
    np.testing.assert_allclose(found.moments.covariance[0], run.covariance[-1], atol=1e-7 * away)


def _orders(numbers):
    found, left = 1, sum(numbers)
    for n in numbers:
        for i in range(n):
            found = found * (left - i) // (i + 1)
        left -= n
    return found


@pytest.mark.slow
def test_ended_fluctuations_solve_their_equation_among_pure_sites_with_their_derivative():
    """A by differences of the equations; nothing outside of what leaves a site pure, X rho + rho X - 2 rho X rho."""
    omega, kappa, energies = 1.1, 0.5, [0.0, 0.7, 1.1]
    G = np.zeros((3, 3))
    G[0, 1], G[0, 2] = 0.75, 0.6
    build = lambda omega: dj.gallery.multilevel_dicke(omega, energies, G, kappa)  # noqa: E731
    model = build(omega)
    ket = np.array([0.9, -0.35, -0.25]) / np.linalg.norm([0.9, -0.35, -0.25])
    near = dj.MeanFieldState(dj.bloch_vectors(np.outer(ket, ket)), [0.9 + 0.2j])
    state, good = dj.stationary_state(model, near)
    found = dj.stationary_covariance(model, state)
    assert good and found.successful and float(jnp.sum(jnp.abs(state.alpha) ** 2)) > 0.1
    sigma = np.asarray(found.moments.covariance[0])
    y = np.concatenate([np.ravel(part) for part in state.to_real(model)])
    rate = jax.jit(lambda y: jnp.concatenate([jnp.ravel(x) for x in model.rate_of_change(
        0.0, (y[:8, None], y[8:].reshape(2, 1)))]))  # fmt: skip
    A = np.stack([(np.asarray(rate(y + h)) - np.asarray(rate(y - h))) / 2e-5 for h in 1e-5 * np.eye(10)], axis=1)
    D = np.diag([0.0] * 8 + [kappa / 4] * 2)
    np.testing.assert_allclose(A @ sigma + sigma @ A.T + D, 0, atol=1e-7 * np.max(np.abs(sigma)))
    rho = np.asarray(dj.density_matrices(state.m))[0]
    across = [X @ rho + rho @ X - 2 * rho @ X @ rho for X in LAMBDA]
    projector = np.array([[np.trace(X @ a).real / 2 for X in across] for a in LAMBDA])
    np.testing.assert_allclose(projector @ sigma[:8], sigma[:8], atol=1e-9 * np.max(np.abs(sigma)))

    def photons(omega):
        at = build(omega[0])
        return dj.stationary_covariance(at, dj.stationary_state(at, near)[0]).moments.photons[0, 0]

    slope = jax.jit(jax.grad(photons))(jnp.array([omega]))
    np.testing.assert_allclose(slope, differences(jax.jit(photons), [omega], 1e-3), rtol=1e-5)


@pytest.mark.slow
def test_the_exponent_at_rest_is_the_slowest_rate_among_pure_sites():
    """Deviations that leave them pure, of which the other route to it is the spectrum that fluctuations have."""
    model = falling()
    rest, _ = dj.stationary_state(model, dj.MeanFieldState(dj.bloch_vectors(np.diag([1.0, 0.0, 0.0])), []))
    growth = float(dj.stationary_covariance(model, rest).growth_rate)
    assert growth < -0.1
    found = dj.lyapunov_exponent(model, rest, num_windows=100)
    assert found.successful and float(found.exponent) == pytest.approx(growth, abs=1e-2 * abs(growth))


def test_mixed_sites_without_jumps_of_their_own_are_refused():
    mixed = dj.MeanFieldState(dj.bloch_vectors(np.diag([0.8, 0.2, 0.0])), [])
    with pytest.raises(ValueError, match=r"^\|m_k\| must be 1.1547 for a stationary covariance without single-spin"):
        dj.stationary_covariance(falling(), mixed)
