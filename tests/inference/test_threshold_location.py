"""Thresholds through the overlap, against NumPy, `critical_coupling` and the closed form."""

import time

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, paper

import dicke_jax as dj
from dicke_jax.inference.overlap_branch import Equations
from dicke_jax.inference.threshold_location import relaxed_overlap

from .thresholds import existence, sampled


@pytest.mark.parametrize("start", [0.2, 4.0])
def test_the_papers_thresholds_are_found_through_the_overlap_from_either_side(start):
    found = [dj.locate_critical_coupling(paper(), nu, start=start) for nu in range(4)]
    assert all(located.successful and located.overlap == 0 for located in found)
    expected = existence(0.5, 0.5 * (np.arange(4) + 3), 1.0)
    np.testing.assert_allclose([located.g0 for located in found], expected, rtol=1e-6)
    for located, g_nu in zip(found, expected, strict=True):  # the overlaps on the way are those of Eq. 12
        np.testing.assert_allclose(located.couplings, g_nu * (1 - located.overlaps**2) ** -0.25, rtol=1e-12)
        assert located.losses[-1].max() < 0.05 < located.losses[0].max()
    assert "LocatedCoupling: g0 = 0.8779711461" in repr(found[3])


@pytest.mark.parametrize("damping", [None, pytest.param(0.2, marks=pytest.mark.slow)])
def test_thresholds_without_a_closed_form_and_where_the_branch_turns_back(damping):
    """The first pattern sets in from 0; the second with a jump, at a coupling below where its overlap would vanish."""
    model = sampled(damping=damping)
    smooth, jump = (dj.locate_critical_coupling(model, nu) for nu in (0, 1))
    assert smooth.successful and smooth.overlap == 0
    assert jump.successful and 0.5 < jump.overlap < 0.7 and "jumps to" in repr(jump)
    for nu, located in enumerate((smooth, jump)):
        assert float(located.g0) == pytest.approx(float(dj.critical_coupling(model, nu)), rel=1e-8)


def decay(rate, spins, **rates):
    return dj.DickeModel(spins, g0=1.0, **rates, dissipation=dj.LocalDissipation([("decay_x", rate)]))


@pytest.mark.slow
def test_a_threshold_of_spins_that_decay_faster_than_they_turn():
    """Their overlap never exceeds 1.4 Omega. g0^-2 = chi_1 dz/db at b = 0, from the equations of y and z by NumPy."""
    for omega in (0.1, 0.01, 1e-6):
        model = decay(1.0, dj.LargeSpins.hypercube(1), omega_spin=omega, omega_mode=1.0, kappa=1.0)
        linear = np.array([[-0.5, -2 * omega], [2 * omega, -0.5]])  # y and z, driven by 2 b x with x = -1
        _, z = np.linalg.solve(linear, [2.0, 0.0])
        found, expected = dj.locate_critical_coupling(model), np.sqrt(1 / (z * -2 / 1.25))
        assert found.successful and found.overlap == 0
        np.testing.assert_allclose(found.g0, expected, rtol=1e-8)
        np.testing.assert_allclose(dj.critical_coupling(model, kind="normal"), expected, rtol=1e-8)


@pytest.mark.slow
def test_a_threshold_is_that_of_the_patterns_own_branch():
    """Unequal weights and decay: the branch turns back where its own overlap does nearly, far from what crosses it."""
    signs = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1]])
    spins = dj.LargeSpins(dj.DenseCouplings(signs), [0.4, 0.3, 0.2, 0.1])
    rates = dict(omega_spin=0.5, omega_mode=[1.5, 1.8, 2.3], kappa=[1.0, 0.7, 1.3])
    for nu, expected in ((1, 1.0346985048), (2, 1.13646492)):
        found = dj.locate_critical_coupling(decay(0.25, spins, **rates), nu)
        assert found.successful and found.overlap > 0.5
        np.testing.assert_allclose(found.g0, expected, rtol=1e-8)


@pytest.mark.slow
def test_thresholds_of_ordinary_samples():
    """Branches that nearly cross, the nearer the more spins there are."""
    for seed, num_spins, damping in ((0, 1000, None), (2, 100_000, 0.25), (5, 10_000, 1.0)):
        spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(seed), 4, num_spins)).spins
        jumps = None if damping is None else dj.LocalDissipation([("decay_x", damping)])
        model = dj.DickeModel(spins, 0.5, 0.5 * (jnp.arange(4.0) + 3), 1.0, 1.2, dissipation=jumps)
        for nu in range(4):
            found = dj.locate_critical_coupling(model, nu)
            assert found.successful
            np.testing.assert_allclose(found.g0, dj.critical_coupling(model, nu), rtol=1e-7)


@pytest.mark.slow
def test_a_threshold_through_runs_that_are_integrated():
    """From below, where no run has an overlap, and from above, where they take longest."""
    for start in (0.3, 3.0):
        found = dj.locate_critical_coupling(paper(1.0, 2), 1, route="integration", start=start)
        assert found.successful and len(found.losses) < 12
        assert float(found.g0) == pytest.approx(float(existence(0.5, 2.0, 1.0)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [dfx.ForwardMode(), dfx.RecursiveCheckpointAdjoint()], ids=["forward", "reverse"])
def test_a_threshold_through_runs_with_a_chosen_adjoint(adjoint):
    found = dj.locate_critical_coupling(paper(1.0, 1), 0, route="integration", adjoint=adjoint)
    assert found.successful and len(found.losses) < 12
    assert float(found.g0) == pytest.approx(float(existence(0.5, 1.5, 1.0)), rel=1e-6)


@pytest.mark.slow
def test_the_papers_thresholds_are_located_within_two_seconds_once_compiled():
    def seconds():
        begin = time.perf_counter()
        found = [dj.locate_critical_coupling(paper(), nu, start=3.0) for nu in range(4)]
        assert all(bool(located.successful) for located in found)
        return time.perf_counter() - begin

    seconds()
    least = min(seconds() for _ in range(3))
    print(f"four thresholds: {least:.3f} s")
    assert least < 2


@pytest.mark.slow
def test_a_threshold_through_runs_with_dissipation_and_a_branch_that_is_not_stable():
    model = sampled(damping=0.2)
    found = dj.locate_critical_coupling(model, 0, route="integration")
    assert found.successful
    assert float(found.g0) == pytest.approx(float(dj.critical_coupling(model, 0)), rel=1e-6)
    left = dj.locate_critical_coupling(sampled(), 1, route="integration", num_steps=12)
    assert not left.successful and "failed" in repr(left)


@pytest.mark.slow
def test_float32_locates_to_what_it_can():
    single = dj.DickeModel(dj.LargeSpins.hypercube(2), *(jnp.float32(x) for x in (0.5, 1.5, 1.0, 1.0)))
    found = dj.locate_critical_coupling(single, 0)
    assert found.g0.dtype == jnp.float32 and found.successful
    assert float(found.g0) == pytest.approx(float(existence(0.5, 1.5, 1.0)), rel=1e-3)
    with pytest.raises(ValueError, match="tol must be from 0.001, the least that float32 can reach"):
        dj.locate_critical_coupling(single, 0, tol=1e-6)


@pytest.mark.slow
def test_gradients_of_the_losses_of_a_location_against_differences():
    """In forward mode, as the descents take them; those through runs by each adjoint."""
    equations = Equations(sampled(), jnp.array(0))
    u = jnp.array([jnp.log(1.1), 0.02, jnp.log(0.3)])
    for i in range(2):
        expected = differences(jax.jit(lambda u, i=i: equations(u)[i]), u, 1e-4)
        np.testing.assert_allclose(jax.jacfwd(equations)(u)[i], expected, rtol=1e-7)

    def end(log_g0, adjoint=None):
        return relaxed_overlap(log_g0, paper(1.0, 1), jnp.array(0), adjoint)[0]

    at = jnp.log(jnp.array(1.2))
    (expected,) = differences(jax.jit(lambda x: end(x[0])), at[None], 1e-4)
    assert expected == pytest.approx(-4, rel=1e-6)  # Eq. 12
    implicit = jax.jacfwd(end)(at)
    forwards = jax.jacfwd(lambda x: end(x, dfx.ForwardMode()))(at)
    backwards = jax.grad(lambda x: end(x, dfx.RecursiveCheckpointAdjoint()))(at)
    np.testing.assert_allclose([implicit, forwards, backwards], expected, rtol=1e-5)
