"""The smaller model follows the full one exactly, wherever there is one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import generic_state, paper, uneven

import dicke_jax as dj

TIMES = jnp.linspace(0.0, 6.0, 4)
TIGHT = dict(rtol=1e-12, atol=1e-12)


def check(model, state, num_modes, num_subsets):
    small = dj.reduce_symmetry(model, state)
    assert (small.model.num_modes, small.model.num_subsets) == (num_modes, num_subsets)
    assert f"become {num_modes} and {num_subsets}" in repr(small) and "out of sight" in repr(small)
    np.testing.assert_array_equal(small.restore(small.state).m, state.m)
    np.testing.assert_array_equal(small.restore(small.state).alpha, state.alpha)
    full, part = (dj.mfsolve(m, s, TIMES, **TIGHT) for m, s in ((model, state), (small.model, small.state)))
    restored = small.restore(dj.MeanFieldState(part.m, part.alpha))
    np.testing.assert_allclose(restored.m, full.m, atol=1e-10)
    np.testing.assert_allclose(restored.alpha, full.alpha, atol=1e-10)
    np.testing.assert_allclose(dj.overlaps(model, restored.m), full.overlaps, atol=1e-10)
    assert np.abs(np.asarray(full.m[-1] - full.m[0])).max() > 0.1
    return small


@pytest.mark.parametrize("pattern", [0, 2])
@pytest.mark.parametrize("gauge", [True, False])
def test_one_stored_pattern_is_one_spin_and_one_mode(pattern, gauge):
    model = uneven(3, dj.LargeSpins.hypercube(3, gauge=gauge))
    small = check(model, dj.stored_pattern(model, pattern), 1, 1)
    assert small.active.tolist() == [pattern]


@pytest.mark.slow
def test_photons_in_a_second_mode_keep_it():
    model = paper(1.1, 4)
    state = dj.MeanFieldState(dj.stored_pattern(model, 1).m, [0, 0, 0, 0.3 - 0.2j])
    small = check(model, state, 2, 2)
    assert isinstance(small.model.spins.operator, dj.HypercubeCouplings)


def test_a_generic_state_allows_nothing_and_the_model_comes_back():
    model = uneven(3)
    state = generic_state(model)
    small = dj.reduce_symmetry(model, state)
    assert small.model is model and small.state is state


def test_unequal_weights_keep_the_modes_that_they_drive():
    G = [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1]]
    spins = dj.LargeSpins(dj.DenseCouplings(G), [0.3, 0.2, 0.3, 0.2])
    model = dataclasses.replace(paper(1.2, 3), spins=spins)
    small = check(model, dj.stored_pattern(model, 0), 2, 2)
    assert small.active.tolist() == [0, 2]
    np.testing.assert_allclose(small.model.spins.weights, [0.6, 0.4])


@pytest.mark.slow
def test_a_finite_sample_without_the_gauge_loses_its_mirror_images():
    mapped = dj.map_to_large_spins(dj.random_patterns(jax.random.key(0), 3, 60), gauge=False)
    model = uneven(3, mapped.spins)
    assert model.num_subsets == 8
    check(model, dj.stored_pattern(model, 1), 3, 4)


def test_dissipation_that_the_rotation_leaves_as_it_is():
    rates = jnp.array([0.1, 0.3, 0.1, 0.3])
    model = dataclasses.replace(paper(1.2, 3), dissipation=dj.LocalDissipation([("decay_x", rates)]))
    check(model, dj.stored_pattern(model, 0), 2, 2)  # unequal rates drive the mode that tells them apart


@pytest.mark.slow
def test_dissipation_that_the_rotation_changes_keeps_mirror_images_apart():
    model = uneven(2, dj.LargeSpins.hypercube(2, gauge=False))
    damped = dataclasses.replace(model, dissipation=dj.LocalDissipation([("sigma_minus", 0.2)]))
    check(damped, dj.stored_pattern(damped, 0), 1, 2)
    check(model, dj.stored_pattern(model, 0), 1, 1)


def test_schedules_of_the_modes_that_stay():
    omega = dj.PiecewiseLinear([0.0, 2.0], [[1.0, 2.0], [1.5, 1.0]])
    model = dataclasses.replace(paper(1.2, 2), omega_mode=omega, kappa=lambda t: jnp.array([1.0, 0.5]) + 0.1 * t)
    check(model, dj.stored_pattern(model, 1), 1, 1)


def test_the_normal_state_keeps_one_empty_mode():
    model = paper(1.0, 3)
    state = dj.MeanFieldState(jnp.tile(jnp.array([[-1.0], [0.0], [0.0]]), 4), jnp.zeros(3))
    small = dj.reduce_symmetry(model, state)
    assert (small.model.num_modes, small.model.num_subsets) == (1, 1)
    np.testing.assert_array_equal(small.restore(small.state).m, state.m)


def test_what_the_reduction_cannot_see():
    """Between g_crit and g_stab a small admixture of an easier pattern takes over, in the full model alone."""
    model = paper(0.75, 2)
    assert dj.critical_coupling(model, 1) < 0.75 < dj.critical_coupling(model, 1, kind="stability")
    small = dj.reduce_symmetry(model, dj.stored_pattern(model, 1))
    end = dj.steadystate(small.model, small.state)
    np.testing.assert_allclose(abs(end.overlaps[0]), dj.retrieval_overlap(model, 1), atol=1e-7)
    at = dj.stability(model, small.restore(end.state))
    within = dj.stability(small.model, end.state)
    assert within.is_stable and not at.is_stable


def test_bad_arguments_are_refused():
    model = paper(1.0, 2)
    with pytest.raises(ValueError, match="model and state must be known"):
        jax.jit(lambda g0: dj.reduce_symmetry(paper(g0, 2), dj.stored_pattern(model)).model.g0)(1.0)
    small = dj.reduce_symmetry(model, dj.stored_pattern(model))
    with pytest.raises(ValueError, match="state.m must be of shape"):
        small.restore(dj.stored_pattern(model))
