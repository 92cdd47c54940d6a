"""Where random starts come to rest, against the same starts by SciPy."""

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dicke_jax as dj

JX, JY, JZ, DECAY = 1.2, 0.3, 0.8, 0.8


@pytest.mark.slow
def test_the_starts_of_a_ferromagnet_end_at_one_of_two_states():
    """dm/dt = 2 grad h x m and decay, with grad h = (J_x x, J_y y, J_z z)."""
    model, key = dj.gallery.dissipative_xyz([JX, JY, JZ], DECAY), jax.random.key(0)
    found = dj.basin_shares(key, model, num_samples=24)
    assert found.hits.size == 2 and found.hits.sum() == 24 and found.successful.all()
    np.testing.assert_allclose(found.m[0] * [[-1], [-1], [1]], found.m[1], atol=1e-4)  # z's rotation by pi

    def rates(t, m):
        turned = 2 * np.cross([JX * m[0], JY * m[1], JZ * m[2]], m)
        return turned - DECAY * np.array([m[0] / 2, m[1] / 2, m[2] + 1])

    for i in range(24):
        start = np.asarray(dj.random_state(jax.random.fold_in(key, i), model).m)[:, 0]
        last = solve_ivp(rates, (0, 300), start, method="DOP853", rtol=1e-9, atol=1e-10).y[:, -1]
        np.testing.assert_allclose(found.m[found.end[i], :, 0], last, atol=1e-3)
    low, high = found.interval(0)
    assert low < found.shares[0] < high and "BasinShares: 2 ends of 24 runs" in repr(found)


@pytest.mark.slow
def test_runs_that_do_not_come_to_rest_have_no_end():
    crystal = dj.gallery.boundary_time_crystal(1.5, 1.0)
    found = dj.basin_shares(jax.random.key(1), crystal, num_samples=4, max_time=60.0)
    assert found.hits.size == 0 and np.all(found.end == -1) and not np.any(found.successful)
