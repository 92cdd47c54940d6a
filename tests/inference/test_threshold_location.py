"""Thresholds through the overlap, against NumPy, `critical_coupling` and the closed form."""

import time

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, paper

import dicke_jax as dj
from dicke_jax.inference.overlap_branch import residual
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
    args = (sampled(), jnp.array(0), jnp.array(0.3))
    v = jnp.array([jnp.log(1.1), 0.02])
    for i in range(2):
        expected = differences(jax.jit(lambda v, i=i: residual(v, args)[i]), v, 1e-4)
        np.testing.assert_allclose(jax.jacfwd(residual)(v, args)[i], expected, rtol=1e-7)

    def end(log_g0, adjoint=None):
        return relaxed_overlap(log_g0, paper(1.0, 1), jnp.array(0), adjoint)[0]

    at = jnp.log(jnp.array(1.2))
    (expected,) = differences(jax.jit(lambda x: end(x[0])), at[None], 1e-4)
    assert expected == pytest.approx(-4, rel=1e-6)  # Eq. 12
    implicit = jax.jacfwd(end)(at)
    forwards = jax.jacfwd(lambda x: end(x, dfx.ForwardMode()))(at)
    backwards = jax.grad(lambda x: end(x, dfx.RecursiveCheckpointAdjoint()))(at)
    np.testing.assert_allclose([implicit, forwards, backwards], expected, rtol=1e-5)
