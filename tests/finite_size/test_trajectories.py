"""Quantum trajectories against the exact master equation, within their own standard errors."""

import dataclasses
import sys
from importlib.util import find_spec

import jax
import numpy as np
import pytest
from problems import paper, uneven

import dicke_jax as dj

# found, not imported: that mcsolve leaves the flags as they are, which dynamiqs changes, is seen here
pytestmark = pytest.mark.skipif(find_spec("dynamiqs") is None, reason="needs dynamiqs")

KEY = jax.random.key(3)
TIMES = np.array([0.0, 1.5, 4.0])
WITHIN = 4.0  # standard errors


def start(model):
    return dj.tilted_pattern(jax.random.key(0), model, angle=0.4)


def sample(model, num_trajectories=400, **options):
    options = dict(subset_size=4, levels=20) | options
    return dj.mcsolve(KEY, model, start(model), TIMES, num_trajectories=num_trajectories, **options)


def means(moments):
    return np.concatenate([moments.m.reshape(len(TIMES), -1), moments.alpha.real, moments.alpha.imag], axis=1)


def check(run, exact):
    """Every mean and covariance within `WITHIN` standard errors, which themselves are of the expected size."""
    assert run.successful and exact.successful
    assert (np.abs(means(run.moments) - means(exact.moments)) < WITHIN * run.mean_sem + 1e-6).all()
    off = np.abs(run.moments.covariance - exact.moments.covariance)
    assert (off < WITHIN * run.covariance_sem + 1e-6).all()
    # one trajectory spreads less than the ensemble: its own fluctuations are a part
    variance = np.diagonal(exact.moments.covariance, axis1=1, axis2=2)
    number = exact.moments.num_spins * len(run.num_jumps)
    assert (run.mean_sem[1:] < 1.1 * np.sqrt(variance / number)[1:]).all()
    assert (run.mean_sem[1:] > 0).all() and float(run.num_jumps.sum(axis=1).mean()) > 0.5


@pytest.mark.slow
def test_four_spins_within_the_sampling_error_of_exact():
    model, flags = paper(0.9, num_patterns=1), dict(jax.config.values)
    check(run := sample(model), dj.mesolve(model, start(model), TIMES, 4, levels=24))
    assert "400 trajectories" in repr(run) and "successful" in repr(run)

    # the same program, without coupling: no jump, and a coherent state decays
    alone = sample(model.replace(g0=0.0))
    assert int(alone.num_jumps.sum()) == 0 and float(alone.mean_sem.max()) < 1e-12
    rate = 1j * np.asarray(model.omega_mode) + np.asarray(model.kappa) / 2
    expected = np.asarray(start(model).alpha) * np.exp(-rate * TIMES[:, None])
    np.testing.assert_allclose(alone.moments.alpha, expected, atol=1e-6)
    np.testing.assert_allclose(
        alone.moments.covariance[:, 3:, 3:], np.broadcast_to(np.eye(2) / 4, (3, 2, 2)), atol=1e-6
    )

    # hardly a trajectory has jumped yet: the spread of the sample is nothing, and errors are not
    times = np.array([0.0, 0.05, 0.2])
    early = dj.mcsolve(KEY, model, start(model), times, 4, num_trajectories=400, levels=20)
    exact = dj.mesolve(model, start(model), times, 4, levels=24)
    assert int(early.num_jumps.sum()) < 5
    assert (np.abs(means(early.moments) - means(exact.moments)) < WITHIN * early.mean_sem + 1e-7).all()
    off = np.abs(early.moments.covariance - exact.moments.covariance)
    assert (off < WITHIN * early.covariance_sem + 1e-7).all() and (early.covariance_sem < 0.05).all()

    low = sample(model, cutoff_tol=1e-15)
    assert low.status == dj.Status.cut_off and "use more levels" in repr(low)
    assert dict(jax.config.values) == flags


@pytest.mark.slow
def test_many_trajectories_of_two_modes():
    model = uneven(2).replace(g0=0.6)
    exact = dj.mesolve(model, start(model), TIMES, 2, levels=11, cutoff_tol=1e-6)  # that of mcsolve
    check(sample(model, 600, subset_size=2, levels=11), exact)


@pytest.mark.slow
def test_many_trajectories_and_a_ramp():
    """Five times the trajectories show what 400 do not; g0 and kappa change on the way, with a kink at the end."""
    model = dataclasses.replace(
        paper(1.0, num_patterns=1),
        g0=dj.PiecewiseLinear([0.0, 1.0, 1.2, 4.0], [0.9, 0.7, 1.1, 0.9]),
        kappa=dj.PiecewiseLinear([0.0, 2.0, 4.0], [[0.5], [1.5], [1.0]]),
    )
    check(sample(model, 2000, levels=28), dj.mesolve(model, start(model), TIMES, 4, levels=40))


@pytest.mark.slow
def test_beyond_the_density_matrix_they_agree_with_wigner():
    """Two modes and 16 spins, of which no density matrix fits: N E_N and all covariances beside another route."""
    model, size, times = uneven(2).replace(g0=0.3), 8, np.array([0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="18 density matrices fit into 8 GB; got dimension 8100"):
        dj.mesolve(model, start(model), times, size, levels=10)
    run = dj.mcsolve(KEY, model, start(model), times, size, num_trajectories=100, levels=10)
    wigner = dj.wigner_moments(KEY, model, start(model), times, size, num_samples=40_000)
    assert run.successful
    C = np.asarray(wigner.moments.covariance)
    spread = np.sqrt((np.einsum("tii,tjj->tij", C, C) + C**2) / 40_000)
    off = np.abs(run.moments.covariance - C)
    assert (off < WITHIN * np.hypot(run.covariance_sem, spread) + 0.02 * np.abs(C).max()).all()
    off = np.abs(means(run.moments) - means(wigner.moments))
    assert (off < WITHIN * np.hypot(run.mean_sem, wigner.mean_sem) + 1e-6).all()
    assert np.abs(C[-1] - C[0]).max() > 1 and np.abs(C[-1, :6, 6:]).max() > 0.1


@pytest.mark.slow
def test_trajectories_do_not_depend_on_how_they_are_grouped():
    model = paper(0.9, num_patterns=1)
    runs = [sample(model, 20, chunk=chunk) for chunk in (20, 7)]
    np.testing.assert_array_equal(runs[0].num_jumps, runs[1].num_jumps)
    np.testing.assert_allclose(runs[0].moments.covariance, runs[1].moments.covariance, atol=1e-9)


def test_without_dynamiqs_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dynamiqs", None)
    with pytest.raises(ImportError, match=r"mcsolve needs dynamiqs: pip install 'dicke-jax\[quantum\]'"):
        sample(paper(0.9, num_patterns=1))
