"""Truncated Wigner ensembles: the sampled starts, the exact moments of few spins, the Gaussian limit of many."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import generic_state, paper, uneven

import dicke_jax as dj
from dicke_jax.finite_size.master_equation import _frobenius, _master_equation
from dicke_jax.finite_size.moments import ravel
from dicke_jax.finite_size.spin_space import LargeSpinSpace, product_state
from dicke_jax.finite_size.wigner import sample_start

KEY = jax.random.key(5)
WITHIN = 4.5  # standard errors, of some tens of numbers


draw = jax.jit(jax.vmap(lambda key, y, numbers: ravel(sample_start(key, y, numbers, 100)), in_axes=(0, None, None)))


@pytest.mark.parametrize("sizes", [(3, 5), (40_000, 120_000)])
def test_sampled_starts_have_the_moments_of_the_product_state(sizes):
    """Mixed and pure spins, few and many; N_sp cov = (delta_ab - m_a m_b) / w_k and 1/4."""
    total = sum(sizes)
    spins = dj.LargeSpins(dj.DenseCouplings([[1.0, -1.0], [1.0, 1.0]]), np.array(sizes) / total, total)
    model = uneven(2).replace(spins=spins)
    state = generic_state(model)
    numbers = jnp.array(sizes, float)
    pure = dj.MeanFieldState(state.m / jnp.linalg.norm(state.m, axis=0, keepdims=True), state.alpha)
    for start in (state, pure):
        y = start.to_real(model)
        v = np.asarray(draw(jax.random.split(KEY, 8000), y, numbers))
        deviation = np.sqrt(total) * (v - np.asarray(ravel(y)))
        products = deviation[:, :, None] * deviation[:, None, :]
        sem = products.std(axis=0) / np.sqrt(len(v)) + 1e-9
        assert (np.abs(products.mean(axis=0) - dj.product_covariance(model, start.m)) < WITHIN * sem).all()
        assert (np.abs(deviation.mean(axis=0)) < WITHIN * deviation.std(axis=0) / np.sqrt(len(v)) + 1e-9).all()
    along = np.einsum("sak,ak->sk", v[:, :6].reshape(-1, 3, 2), pure.m)
    np.testing.assert_allclose(along, 1.0, atol=1e-9)  # every spin of a pure subset points along m


def compare(size, num_samples):
    model = paper(0.4, num_patterns=1)
    state = dj.tilted_pattern(jax.random.key(0), model, angle=0.4)
    times = [0.0, 1.5, 3.0]
    exact = dj.mesolve(model, state, times, size, levels=14)
    sampled = dj.wigner_moments(KEY, model, state, times, size, num_samples=num_samples)
    assert exact.successful and sampled.successful
    error = dj.scaled_error(model, exact.moments, dj.mfsolve(model, state, times))
    assert (np.abs(sampled.scaled_error - error) < WITHIN * sampled.scaled_error_sem).all()
    assert (np.asarray(sampled.scaled_error_sem) < 2 * np.asarray(error) / np.sqrt(num_samples)).all()
    m = np.abs(np.asarray(sampled.moments.m - exact.moments.m)).reshape(3, -1)
    assert (m < WITHIN * sampled.mean_sem[:, :3]).all()
    C = exact.moments.covariance
    spread = np.sqrt((np.einsum("tii,tjj->tij", C, C) + C**2) / num_samples)  # of the covariance of normal numbers
    off = np.abs(sampled.moments.covariance - C)
    assert (off < WITHIN * spread + 1e-9).all()
    assert np.abs(C[-1, :3, 3:]).max() > 10 * spread[-1, :3, 3:].max()  # spins and modes are correlated, and it is seen
    return model, state, times, sampled


@pytest.mark.slow
def test_few_spins_within_the_sampling_error_of_exact():
    """And the samples depend on the key alone."""
    model, state, times, sampled = compare(16, 2000)
    directly = dj.scaled_error(model, sampled.moments, dj.mfsolve(model, state, times))
    np.testing.assert_allclose(directly, sampled.scaled_error, rtol=1e-3)

    def run(key, chunk=500):
        return dj.wigner_moments(key, model, state, times, 16, num_samples=2000, chunk=chunk)

    np.testing.assert_array_equal(run(KEY).final_overlaps, sampled.final_overlaps)
    assert np.abs(run(jax.random.key(6)).final_overlaps - sampled.final_overlaps).max() > 0.1
    assert "16" in repr(sampled) and "2000 samples" in repr(sampled)
    assert "of the vacuum's, the least of many, each +- 0.03" in repr(sampled)  # sqrt(2 / 2000)


@pytest.mark.slow
def test_samples_do_not_depend_on_how_they_are_grouped():
    model = paper(1.0, num_patterns=2)
    runs = [
        dj.wigner_moments(KEY, model, dj.stored_pattern(model), [0.0, 0.5], 6, num_samples=20, chunk=chunk)
        for chunk in (20, 7)
    ]
    np.testing.assert_allclose(runs[0].final_overlaps, runs[1].final_overlaps, atol=1e-12)
    np.testing.assert_allclose(runs[0].moments.covariance, runs[1].moments.covariance, atol=1e-10)


@pytest.mark.slow
def test_32_spins_within_the_sampling_error_of_exact():
    compare(32, 40_000)


@pytest.mark.slow
def test_what_is_truncated_vanishes_with_n():
    """At the retrieval state means are off by more than the sampling error for 8 spins, and by far less for 32."""
    model, off = paper(1.2, num_patterns=1), {}
    state, times = dj.retrieval_state(model), [0.0, 2.0]
    for size, levels in ((8, 40), (32, 24)):
        exact = dj.mesolve(model, state, times, size, levels=levels, cutoff_tol=1e-6)
        sampled = dj.wigner_moments(KEY, model, state, times, size, num_samples=40_000)
        assert exact.successful
        off[size] = np.abs(np.asarray(sampled.moments.m - exact.moments.m))[-1].max()
        assert size == 32 or off[size] > 5 * float(sampled.mean_sem[-1, :3].max())
    assert off[32] < off[8] / 4


@pytest.mark.slow
def test_a_million_spins_meet_the_gaussian_limit():
    """Two modes, two subsets; and without coupling losses keep the vacuum's noise."""
    model = uneven(2)
    state = dj.random_state(jax.random.key(1), model, amplitude=0.3)
    times = [0.0, 1.0, 2.5]
    reference = dj.mfsolve(model, state, times)
    limit = dj.gaussian_moments(model, state, times)
    many = dj.wigner_moments(KEY, model, state, times, 10**6, num_samples=2000, dt=0.04)
    expected = dj.scaled_error(model, limit, reference)
    assert float(expected[-1]) > 1.5 * float(expected[0])
    assert (np.abs(many.scaled_error - expected) < WITHIN * many.scaled_error_sem).all()
    spread = np.sqrt(np.einsum("tii,tjj->tij", limit.covariance, limit.covariance) * 2 / 2000) + 1e-6
    assert (np.abs(many.moments.covariance - limit.covariance) < WITHIN * spread).all()
    np.testing.assert_allclose(many.moments.m, reference.m, atol=WITHIN * 1e-3 * 2 / np.sqrt(2000))

    alone = dj.wigner_moments(KEY, model.replace(g0=0.0), state, times, 10**6, num_samples=2000, dt=0.04)
    variances = jnp.diagonal(alone.moments.covariance[:, 6:, 6:], axis1=1, axis2=2)
    np.testing.assert_allclose(variances, 0.25, atol=WITHIN * 0.25 * np.sqrt(2 / 2000))


def test_a_finite_memory_retrieves_with_a_probability():
    """100 spins per subset: seldom below threshold (0.645), sometimes shortly above, always well above."""
    cue = dj.retrieval_state(paper(0.68, num_patterns=1))
    shares = []
    for g0 in (0.4, 0.68, 0.85):
        model = paper(g0, num_patterns=1)
        run = dj.wigner_moments(KEY, model, cue, [0.0, 10.0, 20.0], 100, num_samples=2000, dt=0.1)
        share, sem = run.retrieval_probability(0, threshold=0.3)
        assert float(sem) == pytest.approx(np.sqrt(share * (1 - share) / 2000))
        shares.append(float(share))
    assert shares[0] < 0.05 and 0.4 < shares[1] < 0.85 and shares[2] > 0.95


@pytest.mark.slow
def test_the_retrieval_probability_is_that_of_the_exact_state():
    """16 spins near threshold: the share of samples beside the exact distribution of S_z, cut between its values."""
    threshold, cue = 0.3125, dj.retrieval_state(paper(0.8, num_patterns=1))
    space, shares = LargeSpinSpace((16,), (24,), (0,)), []
    for g0 in (0.6, 0.8):
        model = paper(g0, num_patterns=1)
        m, frame = cue.to_real(model)
        sol = dfx.diffeqsolve(
            dfx.ODETerm(_master_equation),
            dfx.Dopri8(),
            0.0,
            6.0,
            None,
            (product_state(space, m), frame),
            args=(model, space),
            stepsize_controller=dfx.PIDController(rtol=0.0, atol=1e-8, norm=_frobenius),
        )
        populations = np.diagonal(sol.ys[0][-1]).reshape(space.sites)
        assert populations[:, -1].sum() < 1e-4
        z = np.abs(space.s_z(0)) / 16
        exact = populations.sum(axis=1)[z > threshold].sum()
        run = dj.wigner_moments(KEY, model, cue, [0.0, 6.0], 16, num_samples=20_000)
        share, sem = run.retrieval_probability(0, threshold)
        assert abs(float(share) - exact) < 0.02 + WITHIN * float(sem)
        shares.append(exact)
    assert shares[1] - shares[0] > 0.1


@pytest.mark.slow
def test_float32_has_the_same_statistics():
    model = paper(0.4, num_patterns=1, omega_mode=np.array([1.5], np.float32))
    run = dj.wigner_moments(KEY, model, dj.stored_pattern(model), [0.0, 2.0], 10**6, num_samples=2000, dt=0.05)
    exact = paper(0.4, num_patterns=1)
    limit = dj.gaussian_moments(exact, dj.stored_pattern(exact), [0.0, 2.0])
    expected = dj.scaled_error(exact, limit, dj.mfsolve(exact, dj.stored_pattern(exact), [0.0, 2.0]))
    assert run.scaled_error.dtype == jnp.float32
    assert (
        np.abs(np.asarray(run.scaled_error) - np.asarray(expected)) < WITHIN * np.asarray(run.scaled_error_sem)
    ).all()
