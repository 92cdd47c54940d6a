"""Rates for thresholds, against NumPy, SciPy and `critical_coupling`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, paper
from scipy.optimize import minimize

import dicke_jax as dj
from dicke_jax.inference.threshold_inversion import ThresholdTarget

from .thresholds import existence, sampled


def test_inversion_finds_the_nearest_rates_of_all():
    """Four thresholds at once, to 1e-8, with no smaller change of the rates in SciPy's constrained search."""
    targets = np.array([0.7, 0.8, 0.75, 0.9])
    found = dj.invert_critical_coupling(paper(), range(4), targets)
    assert found.successful and len(found.losses) > 10 and found.losses[-1] < found.losses[0]
    by_hand = existence(found.model.omega_spin, found.model.omega_mode, found.model.kappa)
    np.testing.assert_allclose(by_hand, targets, rtol=1e-8)

    home = np.log(np.concatenate([[0.5], 0.5 * (np.arange(4) + 3), np.ones(4)]))
    nearest = minimize(
        lambda v: np.sum((v - home) ** 2),
        home,
        method="SLSQP",
        constraints={
            "type": "eq",
            "fun": lambda v: np.log(existence(np.exp(v[0]), np.exp(v[1:5]), np.exp(v[5:])) / targets),
        },
        options={"ftol": 1e-15, "maxiter": 500},
    )
    assert nearest.success
    np.testing.assert_allclose(found.log_changes, nearest.x - home, atol=1e-5)


def test_inversion_of_a_stability_threshold():
    found = dj.invert_critical_coupling(paper(), 3, 0.9, kind="stability", stay={"omega_spin": 100.0})
    each = existence(found.model.omega_spin, found.model.omega_mode, found.model.kappa)
    assert each[3] * np.sqrt(each[3] / each.min()) == pytest.approx(0.9, rel=1e-8)
    assert found.model.omega_spin == pytest.approx(0.5, rel=1e-3)  # reluctant
    assert "successful" in repr(found) and "omega_mode[3]" in repr(found)


@pytest.mark.slow
def test_equal_and_ordered_thresholds():
    equal = dj.invert_critical_coupling(paper(), range(4), "equal").model
    each = existence(equal.omega_spin, equal.omega_mode, equal.kappa)
    np.testing.assert_allclose(each, each[0], rtol=1e-8)
    ordered = dj.invert_critical_coupling(paper(), (2, 0, 1), "increasing", gap=0.05).model
    each = existence(ordered.omega_spin, ordered.omega_mode, ordered.kappa)[[2, 0, 1]]
    np.testing.assert_allclose(each[1:] / each[:-1], 1.05, rtol=1e-8)
    already = dj.invert_critical_coupling(paper(), (0, 1, 2), "increasing", gap=0.0)
    np.testing.assert_allclose(already.log_changes, 0.0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["existence", "stability", "normal"])
@pytest.mark.parametrize("damping", [None, 0.2])
def test_inversion_where_thresholds_are_roots(kind, damping):
    """Unequal weights and decaying spins, checked by `critical_coupling` of the model that is found."""
    model = sampled(damping=damping)
    before = float(dj.critical_coupling(model, 1, kind=kind))
    found = dj.invert_critical_coupling(model, 1, 0.9 * before, kind=kind)
    assert found.successful
    assert float(dj.critical_coupling(found.model, 1, kind=kind)) == pytest.approx(0.9 * before, rel=1e-8)


@pytest.mark.slow
def test_inversion_by_a_local_rate_and_within_bounds():
    """Decay of single spins raises a threshold; bounds are kept though the nearest rates would lie beyond."""
    model = sampled(damping=0.2)
    before = float(dj.critical_coupling(model, 1))
    found = dj.invert_critical_coupling(model, 1, 1.01 * before, free=("jump",))
    assert found.successful and found.names == ("jump[0]",) and found.rates[0] > 0.2
    assert float(dj.critical_coupling(found.model, 1)) == pytest.approx(1.01 * before, rel=1e-8)
    free, bounds = ("omega_spin", "kappa"), {"omega_spin": (0.45, 0.55)}
    loose, bound = (dj.invert_critical_coupling(paper(), 0, 0.8, free=free, bounds=b) for b in (None, bounds))
    assert loose.successful and bound.successful
    assert loose.model.omega_spin > 0.55 > bound.model.omega_spin > 0.5
    assert existence(bound.model.omega_spin, 1.5, bound.model.kappa[0]) == pytest.approx(0.8, rel=1e-8)


def test_a_target_out_of_reach_is_told():
    bounds = {"omega_spin": (0.4, 0.6)}
    found = dj.invert_critical_coupling(paper(), 0, 2.0, free=("omega_spin",), bounds=bounds)
    assert not found.successful and "not converged" in repr(found)
    assert 0.4 < found.model.omega_spin <= 0.6  # at the bound to round-off
    assert found.error > 0.5


def test_float32_meets_what_it_can_and_says_so():
    single = dj.DickeModel(dj.LargeSpins.hypercube(2), *(jnp.float32(x) for x in (0.5, 1.5, 1.0, 1.0)))
    found = dj.invert_critical_coupling(single, 0, 0.7)
    assert found.successful and found.rates.dtype == jnp.float32
    assert float(dj.critical_coupling(found.model, 0)) == pytest.approx(0.7, rel=1e-5)
    with pytest.raises(ValueError, match="tol must be from 1e-05, the least that float32 can reach"):
        dj.invert_critical_coupling(single, 0, 0.7, tol=1e-8)


@pytest.mark.slow
def test_gradients_of_the_loss_of_an_inversion_against_differences():
    """In forward mode, as the descents take them."""
    parameters = dj.free_rates(paper(1.0, 2), ("omega_spin", "omega_mode", "kappa"))
    first = parameters.to_vector(paper(1.0, 2))
    stay, home = jnp.linspace(1.0, 2.0, 5), parameters.log_rates(first) + 0.1
    patterns, targets = jnp.array([0, 1]), jnp.array([0.7, 0.8])
    for kind in ("existence", "stability"):
        target = ThresholdTarget(parameters, patterns, targets, stay, home, jnp.array(0.0), kind, "value")
        loss = jax.jit(lambda v, target=target: target.loss(v))
        np.testing.assert_allclose(jax.jacfwd(loss)(first), differences(loss, first, 1e-4), rtol=1e-7)
