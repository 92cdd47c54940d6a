"""Sweeps over numbers that a computation takes: durations of ramps, spins per subset, a user's own arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import paper
from scipy.integrate import solve_ivp

import dicke_jax as dj
from dicke_jax.studies import open_store

from .sweep_faults import refused

MODEL = paper(1.2, 2)
ENDS = {"g0_low": 0.4, "g0_high": 1.2}


def by_scipy(duration, pattern, turn):
    """|xi| at the end of either way, of one spin with one mode: the symmetry of a pattern's start allows no more."""
    omega, kappa, low, high = float(MODEL.omega_mode[pattern]), 1.0, ENDS["g0_low"], ENDS["g0_high"]

    def rates(t, y):
        g0, (x, spin_y, z, re, im) = high - (high - low) * abs(1 - t / duration), y
        field = 4 * g0 * re
        re_dot, im_dot = omega * im - kappa / 2 * re, -omega * re - kappa / 2 * im - g0 * z
        return [-field * spin_y, field * x - z, spin_y, re_dot, im_dot]  # 2 Omega = 1

    start = [-np.cos(turn), 0.0, -np.sin(turn), 0.0, 0.0]
    told = [duration, 2 * duration]
    return abs(solve_ivp(rates, [0, told[1]], start, rtol=1e-11, atol=1e-13, t_eval=told, max_step=1).y[2])


def test_ramps_over_their_duration_are_those_that_scipy_integrates():
    axes = {"duration": [10.0, 25.0], "pattern": [0, 1], "turn": [0.1]}
    found = dj.Sweep(MODEL, axes, "ramp", fixed=ENDS, options={"points": 5}).run()
    assert found.overlap_up.dims == ("duration", "pattern", "turn", "share_of_ramp") and not found.status.any()
    for duration in axes["duration"]:
        for nu in axes["pattern"]:
            row, exact = found.sel(duration=duration, pattern=nu, turn=0.1), by_scipy(duration, nu, 0.1)
            np.testing.assert_allclose([row.overlap_up[-1], row.overlap_down[0]], exact, atol=1e-7)
    area = ((found.overlap_down - found.overlap_up).integrate("share_of_ramp") * 0.8).transpose(*found.loop_area.dims)
    np.testing.assert_allclose(found.loop_area, area, atol=1e-12)
    assert found.duration.attrs["units"] == "inverse unit of the rates" and found.attrs["g0_high"] == 1.2


@pytest.mark.slow
def test_how_exact_mean_field_is_over_the_number_of_spins(tmp_path):
    """Without a coupling every N E_N keeps 2 K + M; with one the rows are those of the master equation, kept by one."""
    axes, options = {"subset_size": [1, 2], "g0": [0.0, 0.4]}, {"time": 1.0, "levels": 6}
    sweep, told = dj.Sweep(paper(1.0, 1), axes, "exactness", options=options), []
    assert sweep.plan().num_chunks == 4 and sweep.plan().chunk == 1

    def stop(done, total):
        told.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(store=tmp_path / "store", progress=stop)
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)] and open_store(tmp_path / "store").complete.sum() == 3
    found = sweep.run(store=tmp_path / "store", resume=True, progress=lambda *done: told.append(done))
    assert told[-2:] == [(3, 4), (4, 4)]  # one row was missing
    np.testing.assert_allclose(found.scaled_error.sel(g0=0.0), 3.0, rtol=1e-7)
    model, times = paper(0.4, 1), jnp.array([0.0, 1.0])
    start = dj.stored_pattern(model)
    exact = dj.mesolve(model, start, times, 2, levels=6)
    error = dj.scaled_error(model, exact.moments, dj.mfsolve(model, start, times))[-1]
    np.testing.assert_allclose(found.scaled_error.sel(g0=0.4, subset_size=2), error, rtol=1e-12)
    assert found.status.attrs["flag_meanings"] == "successful cut_off" and (found.top_population < 1e-3).all()


@pytest.mark.slow
def test_samples_over_the_number_of_spins_scatter_about_their_limit():
    axes, how = {"subset_size": [20, 1000], "seed": range(4)}, {"time": 2.0, "method": "wigner", "num_samples": 200}
    found = dj.Sweep(paper(0.4, 1), axes, "exactness", options=how).run()
    limit = dj.Sweep(paper(0.4, 1), {"g0": [0.4]}, "exactness", options={"time": 2.0}).run().scaled_error.item()
    assert (abs(found.scaled_error - limit) < 4.5 * found.scaled_error_sem).all() and not found.status.any()
    assert len(np.unique(found.scaled_error)) == 8 and (found.scaled_error_sem < 0.2 * limit).all()


def test_further_arguments_of_a_function_are_axes():
    def between(model, state, share, pattern, offset=0.5):
        return {"xi": share * dj.overlaps(model, state.m)[pattern] + offset * model.g0}

    axes = {"share": [0.25, 2.0], "g0": [1.0, 3.0], "pattern": [1, 0], "angle": [0.3], "seed": [1, 2]}
    found = dj.Sweep(MODEL, axes, between).run()
    for i, j, k, s in np.ndindex(2, 2, 2, 2):
        state = dj.tilted_pattern(jax.random.key(axes["seed"][s]), MODEL, axes["pattern"][k], 0.3)
        xi = axes["share"][i] * dj.overlaps(MODEL, state.m)[axes["pattern"][k]] + 0.5 * axes["g0"][j]
        np.testing.assert_allclose(found.xi[i, j, k, 0, s], xi, rtol=1e-12)
    fixed = dj.Sweep(MODEL, {"g0": [1.0, 3.0]}, between, fixed={"share": 0.25, "offset": 0.0}).run()
    np.testing.assert_allclose(fixed.xi, 0.25, rtol=1e-12)
    assert fixed.attrs["share"] == 0.25


def test_what_a_computation_needs_is_asked_for_in_one_line():
    def with_share(model, state, share):
        return share

    def sweep(axes, compute, **how):
        return refused(lambda: dj.Sweep(MODEL, axes, compute, **how))

    g0 = {"g0": [1.0]}
    assert "with share, which the function takes; got g0" in sweep(g0, with_share)
    assert "with g0_low, which ramp takes" in sweep({"duration": [1.0]}, "ramp")
    assert "duration must be positive; got 0.0" in sweep({"duration": [1.0, 0.0]}, "ramp", fixed=ENDS)
    low = {"g0_low": [0.1, 1.3], "duration": [1.0]}
    assert "g0_low and g0_high must be increasing; got 1.3 and 1.2" in sweep(low, "ramp", fixed={"g0_high": 1.2})
    exact = {"time": 1.0, "method": "master equation"}
    assert "with subset_size, the spins of each subset" in sweep(g0, "exactness", options=exact)
    assert "subset_size, must be whole" in sweep({"subset_size": [1.5]}, "exactness", options={"time": 1.0})
    assert "subset_size, must be from 1" in sweep({"subset_size": [0]}, "exactness", options={"time": 1.0})
    limit = exact | {"method": "gaussian"}
    assert "or an argument of what makes" in sweep({"subset_size": [2]}, "exactness", options=limit)
    assert "left out but for method 'wigner'" in sweep(g0, "exactness", options=exact | {"num_samples": 10})
    assert "points, must be a whole number" in sweep({"duration": [1.0]}, "ramp", fixed=ENDS, options={"points": 1})
