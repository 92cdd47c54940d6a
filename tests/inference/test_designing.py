"""Models designed: objectives, ascents and how they end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, paper

import dicke_jax as dj
from dicke_jax._status import Status

from .thresholds import existence

KEY = jax.random.key(0)


@pytest.mark.slow
def test_design_of_the_largest_stability_margin():
    """g_nu is least where Omega_nu = kappa_nu / 2, sqrt(Omega kappa_nu / 2), and none should be easier than another."""
    found = dj.design(
        dj.stability_margin, paper(1.0), free=("omega_mode",), bounds={"omega_mode": (0.2, 5.0)}, num_steps=300
    )
    before = existence(0.5, 0.5 * (np.arange(4) + 3), 1.0)
    assert float(found.history[0]) == pytest.approx(1 / (before.max() * np.sqrt(before.max() / before.min())))
    each = existence(0.5, found.model.omega_mode, 1.0)
    assert float(found.objective) == pytest.approx(1 / (each.max() * np.sqrt(each.max() / each.min())), rel=1e-10)
    assert 0.99 * 2 < found.objective <= 2
    assert float(found.objective) == pytest.approx(float(found.history.max()), rel=1e-12)
    assert found.rates_history.shape == (len(found.history), 4) and "0.976623 -> " in repr(found)


@pytest.mark.slow
def test_the_slope_of_the_basin_proxy_against_differences():
    """To a percent: differences feel the integration's own steps."""
    model = paper(1.3, 2)
    cues = jax.vmap(lambda key: dj.tilted_pattern(key, model, 1, 1.0))(jax.random.split(KEY, 24))
    parameters = dj.free_rates(model, ("omega_mode",))

    @jax.jit
    def objective(vector):
        return dj.basin_proxy(parameters.to_model(vector), cues, 1)

    vector = parameters.to_vector(model)
    assert 0 < objective(vector) < 1
    np.testing.assert_allclose(jax.jacfwd(objective)(vector), differences(objective, vector, 1e-3), rtol=1e-2)


@pytest.mark.slow
def test_the_widest_basin_by_the_proxy_is_wider_for_new_cues_followed_to_the_end():
    """The harder of two patterns keeps 42 % of its cues; after the design all of 128 that the design has not seen."""
    model, angle = paper(1.0, 2), 0.9
    cues = jax.vmap(lambda key: dj.tilted_pattern(key, model, 1, angle))(jax.random.split(jax.random.key(1), 48))
    bounds = {"omega_mode": (0.5, 4.0)}
    found = dj.design(
        lambda m: dj.basin_proxy(m, cues, 1, time=5.0), model, free=("omega_mode",), bounds=bounds, num_steps=40
    )
    assert found.objective > found.history[0] + 0.1
    before, after = (
        dj.retrieval_probability(jax.random.key(7), m, 1, strength=angle, num_samples=128).probability
        for m in (model, found.model)
    )
    assert before < 0.6 and after > 0.95


def test_design_converges_is_interrupted_and_told_what_is_not_finite():
    def bump(model):
        return -jnp.sum(jnp.log(model.kappa / 0.7) ** 2)

    found = dj.design(bump, paper(1.0, 2), free=("kappa",))
    assert found.successful and np.abs(np.asarray(found.rates) - 0.7).max() < 1e-4

    def press_control_c(done, total):
        assert total == 200
        if done == 11:
            raise KeyboardInterrupt

    found = dj.design(bump, paper(1.0, 2), free=("kappa",), progress=press_control_c)
    assert found.status == Status.interrupted and len(found.history) == 11
    assert found.objective == found.history.max() > found.history[0]
    failed = dj.design(lambda model: jnp.log(-model.g0), paper(1.0, 2), free=("g0",))
    assert failed.status == Status.failed and "failed" in repr(failed)
