"""Gaussian fluctuations: the limit of the exact ones, and what has to hold of any covariance."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qutip
from problems import cpu_only, differences, generic_state, paper, uneven
from scipy.linalg import solve_continuous_lyapunov

import dicke_jax as dj

SIGMA = [qutip.sigmax(), qutip.sigmay(), qutip.sigmaz()]


def extrapolated(model, state, times, levels_of_size):
    """N E_N(t) of the exact master equation, as a polynomial in 1 / N at 1 / N = 0; and the Gaussian limit."""
    reference = dj.mfsolve(model, state, times)
    errors = []
    for size, levels in levels_of_size.items():
        run = dj.mesolve(model, state, times, size, levels=levels, cutoff_tol=1e-6)
        assert run.successful
        errors.append(np.asarray(dj.scaled_error(model, run.moments, reference)))
    powers = np.vander(1 / np.array(list(levels_of_size)), increasing=True)
    limit = np.asarray(dj.scaled_error(model, dj.gaussian_moments(model, state, times), reference))
    return np.linalg.solve(powers, np.array(errors))[0], limit, np.array(errors)


def test_the_exact_error_tends_to_the_gaussian_limit():
    """Below threshold, from 4 and 16 spins alone: within 1 %, and much nearer than those are."""
    model = paper(0.4, num_patterns=1)
    state = dj.tilted_pattern(jax.random.key(0), model, angle=0.4)
    exact, limit, errors = extrapolated(model, state, [0.0, 1.5, 3.0], {4: 14, 16: 14})
    assert abs(errors[0, -1] / limit[-1] - 1) > 0.03 and limit[-1] > 1.1 * limit[0]
    np.testing.assert_allclose(exact, limit, rtol=1e-2 / 3)


@pytest.mark.slow
@pytest.mark.parametrize("g0, precision", [(0.4, 1e-4), (1.2, 5e-3)])
def test_the_exact_error_of_up_to_32_spins_tends_to_the_gaussian_limit(g0, precision):
    """Below threshold, and at the retrieval state, within 1 %."""
    model = paper(g0, num_patterns=1)
    state = dj.tilted_pattern(jax.random.key(0), model, angle=0.4) if g0 < 1 else dj.retrieval_state(model)
    exact, limit, errors = extrapolated(model, state, np.linspace(0.0, 4.0, 5), {8: 40, 16: 32, 32: 24})
    assert (np.abs(np.diff(np.abs(errors / limit - 1), axis=0))[:, 1:] > 0).all()
    np.testing.assert_allclose(exact, limit, rtol=precision)


@pytest.mark.slow
def test_two_modes_tend_to_the_gaussian_limit():
    """K = 2 subsets of 1, 2 and 3 spins: all entries of the covariance, extrapolated by a parabola in 1 / N."""
    model = uneven(2).replace(g0=0.35)
    state = dj.random_state(jax.random.key(0), model, amplitude=0.1)
    times, sizes = [0.0, 0.6], (1, 2, 3)
    runs = [dj.mesolve(model, state, times, size, levels=8, cutoff_tol=1e-6) for size in sizes]
    assert all(run.successful for run in runs)
    covariances = np.array([run.moments.covariance[-1] for run in runs])
    weights = np.linalg.inv(np.vander(1 / np.array(sizes), increasing=True))[0]
    exact = np.tensordot(weights, covariances, 1)
    limit = np.asarray(dj.gaussian_moments(model, state, times).covariance[-1])
    assert np.abs(covariances[-1] - limit).max() > 0.1
    np.testing.assert_allclose(exact, limit, atol=1e-3)


@pytest.mark.slow
def test_spins_that_dissipate_tend_to_the_gaussian_limit():
    """Coupled spins that decay and dephase, 2 to 4 of them as sites of their own: what jumps add to N E_N."""
    jumps = dj.LocalDissipation([("decay_x", 0.4), ("dephasing_z", 0.15)])
    model, times = uneven(1).replace(g0=0.4, dissipation=jumps), [0.0, 1.5, 3.0]
    state = dj.tilted_pattern(jax.random.key(0), model, angle=0.4)
    exact, limit, errors = extrapolated(model, state, times, dict.fromkeys((2, 3, 4), 10))
    still = dj.gaussian_moments(model.replace(dissipation=None), state, times)
    assert abs(float(dj.scaled_error(model, still, state)[1]) / limit[1] - 1) > 0.05
    assert abs(errors[0, -1] / limit[-1] - 1) > 0.02
    np.testing.assert_allclose(exact, limit, rtol=2e-3)


@pytest.mark.slow
def test_nan_is_given_up_and_a_batch_lives():
    model = paper(0.5, num_patterns=1)
    state = dj.tilted_pattern(jax.random.key(0), model, angle=0.4)

    def run(g0):
        at = model.replace(g0=g0)
        moments = dj.gaussian_moments(at, state, [0.0, 1.0])
        return moments, dj.stationary_covariance(at, normal_state(at)).status

    g0 = jnp.array([0.3, jnp.nan, 0.9])
    moments, status = jax.jit(jax.vmap(run))(g0)
    ends = moments.covariance[:, -1]
    assert moments.successful.tolist() == [True, False, True] and "2 of 3 successful" in repr(moments)
    assert np.isfinite(ends[0]).all() and not np.isfinite(ends[1]).any() and np.isfinite(ends[2]).all()
    for row, name in enumerate(("successful", "moving", "unstable")):
        assert bool((status == getattr(dj.Status, name))[row])


@pytest.mark.slow
def test_subsets_that_couple_alike_may_be_split():
    """One subset, or two unequal ones with the same couplings: the same modes, the same whole spin."""
    one = uneven(1)
    two = one.replace(spins=dj.LargeSpins(dj.DenseCouplings([[1.0, 1.0]]), [0.3, 0.7]))
    state = generic_state(one)
    times = [0.0, 1.0, 2.0]
    whole = dj.gaussian_moments(one, state, times)
    parts = dj.gaussian_moments(two, dj.MeanFieldState(jnp.tile(state.m, 2), state.alpha), times)
    share = jnp.array([0.3, 0.7])
    np.testing.assert_allclose(parts.mode_covariance, whole.mode_covariance, atol=1e-8)
    spin = jnp.einsum("takbl,k,l->tab", parts.spin_covariance, share, share)
    np.testing.assert_allclose(spin, whole.spin_covariance[:, :, 0, :, 0], atol=1e-8)
    both = jnp.einsum("takqm,k->taqm", parts.spin_mode_covariance, share)
    np.testing.assert_allclose(both, whole.spin_mode_covariance[:, :, 0], atol=1e-8)
    assert np.abs(both[-1]).max() > 0.1


def test_the_diffusion_of_a_jump_is_its_commutators():
    """R Re <[L^dag, sigma_a] [sigma_b, L]> / w_k in the state of one spin, by QuTiP."""
    rng = np.random.default_rng(0)
    L = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))
    model = dataclasses.replace(
        uneven(2, dj.LargeSpins.hypercube(2, gauge=False)), dissipation=dj.LocalDissipation([(L, 0.7)])
    )
    m = generic_state(model).m
    D = np.asarray(dj.finite_size.gaussian.diffusion(model, (m, jnp.zeros((2, 2)))))[:12, :12].reshape(3, 4, 3, 4)
    jump = qutip.Qobj(L)
    for k in range(4):
        rho = (qutip.qeye(2) + sum(float(m[a, k]) * SIGMA[a] for a in range(3))) / 2
        for a in range(3):
            for b in range(3):
                product = qutip.commutator(jump.dag(), SIGMA[a]) * qutip.commutator(SIGMA[b], jump)
                assert D[a, k, b, k] == pytest.approx(0.7 * qutip.expect(product, rho).real * 4, abs=1e-12)
    assert np.abs(D[:, 0, :, 1]).max() == 0


def dissipation(strength):
    return dj.LocalDissipation([("decay_x", 0.2 * strength), ("dephasing_z", 0.05 * strength)])


TIMES = np.linspace(0.0, 8.0, 33)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_uncertainty_relation_holds_at_all_times(strength):
    """Sigma + (i / 2) W >= 0, from pure spins, where it is saturated at first, and from mixed ones."""
    model = uneven(2).replace(dissipation=dissipation(strength))
    for state in (dj.random_state(jax.random.key(1), model, amplitude=0.2), generic_state(model)):
        moments = dj.gaussian_moments(model, state, TIMES)
        W = jax.vmap(lambda m: dj.commutators(model, m))(moments.m)
        least = np.linalg.eigvalsh(np.asarray(moments.covariance) + 0.5j * np.asarray(W))[:, 0]
        assert least.min() > -1e-7
        tight = np.linalg.eigvalsh(0.9 * np.asarray(moments.covariance[0]) + 0.5j * np.asarray(W[0]))[0]
        assert tight < -0.02  # it would be violated by less noise


def test_spins_that_decay_on_their_own_stay_independent():
    """Without coupling the covariance is 1 - m m^T, over the share of the subset, at all times."""
    model = uneven(2).replace(g0=0.0, dissipation=dissipation(1.0))
    moments = dj.gaussian_moments(model, generic_state(model), TIMES)
    for t in (0, 10, 32):
        expected = dj.product_covariance(model, moments.m[t])
        np.testing.assert_allclose(moments.covariance[t], expected, atol=1e-8)


def by_hand(model, x):
    """Drift and diffusion of (y, z, Re a, Im a) of one mode around the normal state x = -1, a / sqrt(N_sp)."""
    omega, g0 = float(model.omega_spin), float(model.g0)
    omega_mode, kappa = float(model.omega_mode[0]), float(model.kappa[0])
    A = [[0, -2 * omega, 4 * g0 * x, 0], [2 * omega, 0, 0, 0], [0, 0, -kappa / 2, omega_mode]]
    A.append([0, -g0, -omega_mode, -kappa / 2])
    return np.array(A), np.diag([0, 0, kappa / 4, kappa / 4])


def normal_state(model):
    return dj.MeanFieldState(jnp.array([[-1.0], [0.0], [0.0]]), jnp.zeros(1))


def test_stationary_fluctuations_of_the_normal_state():
    """SciPy's Lyapunov solver with the drift written by hand; growing without bound towards threshold."""
    photons = []
    for g0 in (0.3, 0.6, 0.64):  # threshold at 0.645
        model = paper(g0, num_patterns=1)
        end = dj.stationary_covariance(model, normal_state(model))
        A, D = by_hand(model, -1.0)
        expected = solve_continuous_lyapunov(A, -D)
        got = np.asarray(end.moments.covariance[0])
        assert end.status == dj.Status.successful and int(end.num_neutral) == 0
        np.testing.assert_allclose(got[1:, 1:], expected, rtol=1e-8, atol=1e-10)
        assert np.abs(got[0]).max() < 1e-12  # x is at the end of the sphere
        assert float(end.growth_rate) == pytest.approx(np.linalg.eigvals(A).real.max(), abs=1e-9)
        photons.append(np.trace(expected[2:, 2:]) - 0.5)
    assert photons[0] < photons[1] / 5 < photons[2] / 25


@pytest.mark.slow
def test_long_times_end_in_the_stationary_covariance():
    model = paper(0.9, num_patterns=2)
    state = dj.retrieval_state(model, 0)
    end = dj.stationary_covariance(model, state)
    moments = dj.gaussian_moments(model, state, [0.0, 400.0])
    assert end.status == dj.Status.successful
    np.testing.assert_allclose(end.moments.covariance[0], moments.covariance[-1], atol=1e-6)
    assert "successful" in repr(end)


def test_where_there_is_no_single_stationary_covariance_it_is_told():
    """Dark spin waves; a pattern that an easier one takes over; a state that moves. And decay makes it unique."""
    dark, taken = paper(1.2, num_patterns=3), paper(0.82, num_patterns=3)
    ends = {
        "non_unique": dj.stationary_covariance(dark, dj.retrieval_state(dark, 0)),
        "unstable": dj.stationary_covariance(taken, dj.retrieval_state(taken, 2)),
        "moving": dj.stationary_covariance(dark, dj.stored_pattern(dark)),
    }
    for name, end in ends.items():
        assert end.status == getattr(dj.Status, name)
        assert np.isnan(end.moments.covariance).all()
    assert int(ends["non_unique"].num_neutral) == 2 * (4 - 3)  # K - M pairs
    assert float(ends["unstable"].growth_rate) > 1e-3


@pytest.mark.slow
def test_decay_of_single_spins_makes_the_stationary_covariance_unique():
    dark = paper(1.2)
    weak = dark.replace(dissipation=dj.LocalDissipation([("decay_x", 0.1)]))
    relaxed = dj.steadystate(weak, dj.retrieval_state(dark, 0))
    end = dj.stationary_covariance(weak, relaxed.state)
    assert relaxed.converged and end.status == dj.Status.successful
    W = dj.commutators(weak, relaxed.state.m)
    assert np.linalg.eigvalsh(np.asarray(end.moments.covariance[0]) + 0.5j * np.asarray(W))[0] > -1e-9


@pytest.mark.slow
def test_the_light_that_leaves_is_what_the_mode_loses():
    """The integral over the spectrum is kappa <b^dag b>, by SciPy's Lyapunov solver; squeezed below the vacuum."""
    model = paper(0.55, num_patterns=1)
    omega = np.linspace(-60.0, 60.0, 6001)
    spectrum = dj.output_spectrum(model, normal_state(model), omega)
    sigma = solve_continuous_lyapunov(*(lambda A, D: (A, -D))(*by_hand(model, -1.0)))
    flux = np.trapezoid(spectrum.photons[:, 0], omega) / (2 * np.pi)
    assert flux == pytest.approx(sigma[2, 2] + sigma[3, 3] - 0.5, rel=1e-3)
    assert np.min(spectrum.photons) > -1e-12
    assert 0.0 < np.min(spectrum.squeezing) < 0.6
    matrix = np.asarray(spectrum.quadratures).reshape(-1, 2, 2)
    assert (np.linalg.det(4 * matrix).real > 1 - 1e-6).all()  # no quadrature is squeezed for nothing
    assert spectrum.status == dj.Status.successful
    grown = dj.output_spectrum(paper(0.9, num_patterns=1), normal_state(model), [0.3, 1.5])
    assert grown.status == dj.Status.unstable and np.isnan(grown.photons).all()
    dark = dj.output_spectrum(paper(0.0, num_patterns=1), normal_state(model), [0.3, 1.5])
    np.testing.assert_allclose(dark.photons, 0.0, atol=1e-14)
    np.testing.assert_allclose(dark.squeezing, 1.0, atol=1e-12)


@cpu_only
def test_a_spectrum_is_solved_for_by_one_call():
    """Two batches of LAPACK's at once wait for each other's threads, now and then for ever: 6,001 frequencies did."""
    model = paper(0.55, num_patterns=1)
    spectrum = jax.jit(lambda omega: dj.output_spectrum(model, normal_state(model), omega).photons)
    assert spectrum.lower(np.linspace(-1.0, 1.0, 3)).as_text().count("custom_call @lapack_zgetrf") == 1


@pytest.mark.slow
def test_each_of_two_modes_sends_out_what_it_loses():
    """At a retrieval state, whose two modes differ: the integral over each spectrum is kappa_mu <b^dag b>_mu."""
    model = paper(0.9, num_patterns=2, kappa=np.array([1.0, 0.7]))
    state = dj.retrieval_state(model, 0)
    end, omega = dj.stationary_covariance(model, state), np.linspace(-80.0, 80.0, 16001)
    photons = np.diagonal(np.einsum("qmqn->mn", end.moments.mode_covariance[0])) - 0.5
    flux = np.trapezoid(dj.output_spectrum(model, state, omega).photons, omega, axis=0) / (2 * np.pi)
    assert end.status == dj.Status.successful and photons.min() > 1e-3
    np.testing.assert_allclose(flux, np.asarray(model.kappa) * photons, rtol=2e-3)


def at(rates):
    return dj.DickeModel(dj.LargeSpins.hypercube(1), rates[0], rates[1:2], rates[2:3], rates[3])


def moving(rates):
    model = at(rates)
    state = dj.MeanFieldState(jnp.array([[0.0], [0.6], [0.8]]), jnp.array([0.1 + 0.2j]))
    moments = dj.gaussian_moments(model, state, [0.0, 2.0])
    return dj.scaled_error(model, moments, state)[-1] + moments.squeezing[-1, 0]


def stationary(rates):
    model = at(rates)
    return jnp.sum(dj.stationary_covariance(model, dj.retrieval_state(model)).moments.mode_covariance)


@pytest.mark.parametrize("function", [stationary, pytest.param(moving, marks=pytest.mark.slow)])
def test_gradients_against_finite_differences(function):
    rates = jnp.array([0.5, 1.5, 1.0, 1.1])
    np.testing.assert_allclose(jax.jit(jax.grad(function))(rates), differences(jax.jit(function), rates), rtol=1e-5)
