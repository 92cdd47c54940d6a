"""Rates for thresholds and thresholds through overlaps, against NumPy, SciPy and the closed form."""

import dataclasses
import time

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, paper, uneven
from scipy.optimize import minimize

import dicke_jax as dj
from dicke_jax.inference.held_overlap import defect
from dicke_jax.inference.relaxed_overlap import end_of_run
from dicke_jax.inference.threshold_inversion import Wish

KEY = jax.random.key(0)


def existence(omega, omega_mode, kappa):
    """g_nu below Eq. 12 of the paper, in NumPy."""
    return np.sqrt(omega * (np.asarray(omega_mode) ** 2 + np.asarray(kappa) ** 2 / 4) / (2 * np.asarray(omega_mode)))


def sampled(num_patterns=2, num_spins=101, damping=None, **rates):
    """Subsets of unequal size, with or without decay of single spins: no closed form."""
    spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(5), num_patterns, num_spins)).spins
    values = dict(omega_spin=0.5, omega_mode=1.5 + 0.5 * np.arange(num_patterns), kappa=1.0, g0=1.2) | rates
    jumps = None if damping is None else dj.LocalDissipation([("decay_x", damping)])
    return dj.DickeModel(spins, **values, dissipation=jumps)


def test_free_rates_go_to_numbers_without_bounds_and_back():
    """A frequency keeps its sign, bounds are never met, and what is not free is left alone."""
    model = dataclasses.replace(uneven(3), dissipation=dj.LocalDissipation([("decay_x", 0.2), ("dephasing_x", 0.1)]))
    free = ("omega_mode", ("kappa", 1), ("jump", 1))
    rates = dj.free_rates(model, free, {("kappa", 1): (0.1, 2.0), ("jump", 1): (0.05, np.inf)})
    assert rates.names == ("omega_mode[0]", "omega_mode[1]", "omega_mode[2]", "kappa[1]", "jump[1]")
    vector = rates.to_vector(model)
    for name, rate in rates.to_model(vector).rates.items():
        np.testing.assert_allclose(rate, model.rates[name], rtol=1e-14)
    moved = rates.to_model(vector + jnp.array([1.0, -2.0, 30.0, 20.0, -25.0]))
    expected = np.array([1.0, 1.0, 1.0]) * model.omega_mode * np.exp([1.0, -2.0, 30.0])
    np.testing.assert_allclose(moved.omega_mode, expected, rtol=1e-12)
    assert moved.omega_mode[2] < 0 and 1.99 < moved.kappa[1] < 2 and 0.05 < moved.dissipation.rates[1] < 0.0501
    assert moved.kappa[0] == model.kappa[0] and moved.dissipation.rates[0] == 0.2
    np.testing.assert_allclose(rates.to_vector(rates.to_model(vector + 0.3)), vector + 0.3, rtol=1e-13)


def test_inversion_finds_the_nearest_rates_of_all():
    """Four thresholds at once, to 1e-8, with no smaller change of the rates in SciPy's constrained search."""
    targets = np.array([0.7, 0.8, 0.75, 0.9])
    found = dj.invert_critical_coupling(paper(), range(4), targets)
    assert found.converged and len(found.losses) > 10 and found.losses[-1] < found.losses[0]
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
    assert "Inversion: converged" in repr(found) and "omega_mode[3]" in repr(found)


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
    assert found.converged
    assert float(dj.critical_coupling(found.model, 1, kind=kind)) == pytest.approx(0.9 * before, rel=1e-8)


@pytest.mark.slow
def test_inversion_by_a_local_rate_and_within_bounds():
    """Decay of single spins raises a threshold; bounds are kept though the nearest rates would lie beyond."""
    model = sampled(damping=0.2)
    before = float(dj.critical_coupling(model, 1))
    found = dj.invert_critical_coupling(model, 1, 1.01 * before, free=("jump",))
    assert found.converged and found.names == ("jump[0]",) and found.rates[0] > 0.2
    assert float(dj.critical_coupling(found.model, 1)) == pytest.approx(1.01 * before, rel=1e-8)
    free, bounds = ("omega_spin", "kappa"), {"omega_spin": (0.45, 0.55)}
    loose, bound = (dj.invert_critical_coupling(paper(), 0, 0.8, free=free, bounds=b) for b in (None, bounds))
    assert loose.converged and bound.converged
    assert loose.model.omega_spin > 0.55 > bound.model.omega_spin > 0.5
    assert existence(bound.model.omega_spin, 1.5, bound.model.kappa[0]) == pytest.approx(0.8, rel=1e-8)


@pytest.mark.slow
def test_gradients_of_the_losses_of_inversion_and_location_against_differences():
    """In forward mode, as the descents take them; those through runs by each adjoint."""
    parameters = dj.free_rates(paper(1.0, 2), ("omega_spin", "omega_mode", "kappa"))
    first = parameters.to_vector(paper(1.0, 2))
    stay, home = jnp.linspace(1.0, 2.0, 5), parameters.log_rates(first) + 0.1
    patterns, targets = jnp.array([0, 1]), jnp.array([0.7, 0.8])
    for kind in ("existence", "stability"):
        wish = Wish(parameters, patterns, targets, stay, home, jnp.array(0.0), kind, "value", True)
        loss = jax.jit(lambda v, wish=wish: wish.loss(v))
        np.testing.assert_allclose(jax.jacfwd(loss)(first), differences(loss, first, 1e-4), rtol=1e-7)

    args = (sampled(), jnp.array(0), jnp.array(0.3))
    v = jnp.array([jnp.log(1.1), 0.02])
    for i in range(2):
        expected = differences(jax.jit(lambda v, i=i: defect(v, args)[i]), v, 1e-4)
        np.testing.assert_allclose(jax.jacfwd(defect)(v, args)[i], expected, rtol=1e-7)

    def end(log_g0, adjoint=None):
        return end_of_run(log_g0, paper(1.0, 1), jnp.array(0), adjoint)[0]

    at = jnp.log(jnp.array(1.2))
    (expected,) = differences(jax.jit(lambda x: end(x[0])), at[None], 1e-4)
    assert expected == pytest.approx(-4, rel=1e-6)  # Eq. 12
    implicit = jax.jacfwd(end)(at)
    forwards = jax.jacfwd(lambda x: end(x, dfx.ForwardMode()))(at)
    backwards = jax.grad(lambda x: end(x, dfx.RecursiveCheckpointAdjoint()))(at)
    np.testing.assert_allclose([implicit, forwards, backwards], expected, rtol=1e-5)


def test_a_target_out_of_reach_is_told():
    bounds = {"omega_spin": (0.4, 0.6)}
    found = dj.invert_critical_coupling(paper(), 0, 2.0, free=("omega_spin",), bounds=bounds)
    assert not found.converged and "not converged" in repr(found)
    assert 0.4 < found.model.omega_spin <= 0.6  # at the bound to round-off
    assert found.error > 0.5


def test_float32_meets_what_it_can_and_says_so():
    single = dj.DickeModel(dj.LargeSpins.hypercube(2), *(jnp.float32(x) for x in (0.5, 1.5, 1.0, 1.0)))
    found = dj.invert_critical_coupling(single, 0, 0.7)
    assert found.converged and found.rates.dtype == jnp.float32
    assert float(dj.critical_coupling(found.model, 0)) == pytest.approx(0.7, rel=1e-5)
    with pytest.raises(ValueError, match="tol must be from 1e-05, the least that float32 can reach"):
        dj.invert_critical_coupling(single, 0, 0.7, tol=1e-8)


@pytest.mark.parametrize("start", [0.2, 4.0])
def test_the_papers_thresholds_are_found_through_the_overlap_from_either_side(start):
    found = [dj.locate_critical_coupling(paper(), nu, start=start) for nu in range(4)]
    assert all(each.converged and each.overlap == 0 for each in found)
    expected = existence(0.5, 0.5 * (np.arange(4) + 3), 1.0)
    np.testing.assert_allclose([each.g0 for each in found], expected, rtol=1e-6)
    for each, g_nu in zip(found, expected, strict=True):  # the overlaps on the way are those of Eq. 12
        np.testing.assert_allclose(each.couplings, g_nu * (1 - each.overlaps**2) ** -0.25, rtol=1e-12)
        assert each.losses[-1].max() < 0.05 < each.losses[0].max()
    assert "LocatedCoupling: g0 = 0.8779711461" in repr(found[3])


@pytest.mark.parametrize("damping", [None, pytest.param(0.2, marks=pytest.mark.slow)])
def test_thresholds_without_a_closed_form_and_where_the_branch_turns_back(damping):
    """The first pattern sets in from 0; the second with a jump, at a coupling below where its overlap would vanish."""
    model = sampled(damping=damping)
    smooth, jump = (dj.locate_critical_coupling(model, nu) for nu in (0, 1))
    assert smooth.converged and smooth.overlap == 0
    assert jump.converged and 0.5 < jump.overlap < 0.7 and "jumps to" in repr(jump)
    for nu, each in enumerate((smooth, jump)):
        assert float(each.g0) == pytest.approx(float(dj.critical_coupling(model, nu)), rel=1e-8)


@pytest.mark.slow
def test_a_threshold_through_runs_that_are_integrated():
    """From below, where no run has an overlap, and from above, where they take longest."""
    for start in (0.3, 3.0):
        found = dj.locate_critical_coupling(paper(1.0, 2), 1, route="integration", start=start)
        assert found.converged and len(found.losses) < 12
        assert float(found.g0) == pytest.approx(float(existence(0.5, 2.0, 1.0)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [dfx.ForwardMode(), dfx.RecursiveCheckpointAdjoint()], ids=["forward", "reverse"])
def test_a_threshold_through_runs_with_a_chosen_adjoint(adjoint):
    found = dj.locate_critical_coupling(paper(1.0, 1), 0, route="integration", adjoint=adjoint)
    assert found.converged and len(found.losses) < 12
    assert float(found.g0) == pytest.approx(float(existence(0.5, 1.5, 1.0)), rel=1e-6)


@pytest.mark.slow
def test_the_papers_thresholds_are_located_within_two_seconds_once_compiled():
    def seconds():
        begin = time.perf_counter()
        found = [dj.locate_critical_coupling(paper(), nu, start=3.0) for nu in range(4)]
        assert all(bool(each.converged) for each in found)
        return time.perf_counter() - begin

    seconds()
    least = min(seconds() for _ in range(3))
    print(f"four thresholds: {least:.3f} s")
    assert least < 2


@pytest.mark.slow
def test_a_threshold_through_runs_with_dissipation_and_a_branch_that_is_not_stable():
    model = sampled(damping=0.2)
    found = dj.locate_critical_coupling(model, 0, route="integration")
    assert found.converged
    assert float(found.g0) == pytest.approx(float(dj.critical_coupling(model, 0)), rel=1e-6)
    left = dj.locate_critical_coupling(sampled(), 1, route="integration", num_steps=12)
    assert not left.converged and "failed" in repr(left)


@pytest.mark.slow
def test_float32_locates_to_what_it_can():
    single = dj.DickeModel(dj.LargeSpins.hypercube(2), *(jnp.float32(x) for x in (0.5, 1.5, 1.0, 1.0)))
    found = dj.locate_critical_coupling(single, 0)
    assert found.g0.dtype == jnp.float32 and found.converged
    assert float(found.g0) == pytest.approx(float(existence(0.5, 1.5, 1.0)), rel=1e-3)
    with pytest.raises(ValueError, match="tol must be from 0.001, the least that float32 can reach"):
        dj.locate_critical_coupling(single, 0, tol=1e-6)


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
    assert found.rates_history.shape == (len(found.history), 4) and "objective 0.97" in repr(found)


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
    assert found.converged and np.abs(np.asarray(found.rates) - 0.7).max() < 1e-4

    def press_control_c(step, best):
        if step == 10:
            raise KeyboardInterrupt

    found = dj.design(bump, paper(1.0, 2), free=("kappa",), progress=press_control_c)
    assert found.status == dj.InferenceStatus.interrupted and len(found.history) == 11
    assert found.objective == found.history.max() > found.history[0]
    failed = dj.design(lambda model: jnp.log(-model.g0), paper(1.0, 2), free=("g0",))
    assert failed.status == dj.InferenceStatus.failed and "failed" in repr(failed)
