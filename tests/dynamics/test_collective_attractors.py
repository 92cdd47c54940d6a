"""Lyapunov exponents and ends of models that are given by their energy."""

import jax
import numpy as np
import pytest
from problems import paper

import dicke_jax as dj

CRYSTAL = dj.gallery.boundary_time_crystal
UP = dj.MeanFieldState([[0.0], [0.0], [1.0]], [])


def test_growth_in_each_window_is_the_dicke_model_s():
    model = paper(1.2, 2)
    state, key = dj.random_state(jax.random.key(1), model, amplitude=0.2), jax.random.key(5)
    how = dict(key=key, window=1.5, num_windows=10, num_transient=0)
    one, other = (dj.lyapunov_exponent(m, state, **how) for m in (model, model.as_collective()))
    np.testing.assert_allclose(other.growth, one.growth, atol=1e-7)
    np.testing.assert_allclose(other.final_state.m, one.final_state.m, atol=1e-7)


@pytest.mark.slow
def test_a_crystal_below_its_threshold_ends_at_rest_and_above_it_in_a_cycle():
    """Eigenvalues -sqrt(kappa^2 - omega0^2) at rest; the period 2 pi / sqrt(omega0^2 - kappa^2 |m|^2) of every orbit.

    |m| itself has drifted by 1e-7 after the transient, some 1000 periods.
    """
    ends = [dj.attractor(CRYSTAL(omega0, 1.0), UP, num_windows=40) for omega0 in (0.6, 1.5)]
    assert ends[0].kind == dj.AttractorKind.fixed_point and ends[1].kind == dj.AttractorKind.limit_cycle
    assert float(ends[0].exponent) == pytest.approx(-0.8, abs=2 * float(ends[0].error) + 1e-6)
    length2 = float(np.sum(np.asarray(ends[1].state.m) ** 2))
    assert length2 == pytest.approx(1.0, abs=1e-5)
    assert float(ends[1].period) == pytest.approx(2 * np.pi / np.sqrt(1.5**2 - length2), rel=1e-8)
    assert abs(float(ends[1].exponent)) <= float(ends[1].error) and "limit cycle" in repr(ends[1])


def test_motion_without_losses_has_an_exponent_but_no_end():
    """Spins that precess about their own z at a rate that hangs on z: deviations grow like t."""
    model = dj.CollectiveModel(lambda s: s.z[0] ** 2)
    state = dj.MeanFieldState([[0.6], [0.0], [0.8]], [])
    run = dj.lyapunov_exponent(model, state, window=2.0, num_windows=50, num_transient=0)
    assert abs(float(run.exponent)) < np.log(4 * 100.0) / 100 and run.final_state.m[2, 0] == pytest.approx(0.8)
    with pytest.raises(ValueError, match="model must be one with jumps for a stationary state to be reached"):
        dj.attractor(model, state)
    with pytest.raises(ValueError, match="model must be one with constant rates for a Lyapunov exponent"):
        dj.lyapunov_exponent(dj.CollectiveModel(lambda s: s.t * s.z[0]), state)
