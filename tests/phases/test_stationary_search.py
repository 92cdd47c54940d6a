"""All stationary states, against SciPy on the self-consistent equations written out here."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import max_rate_of_change, paper, rates_of, sampled
from scipy.optimize import fsolve

import dicke_jax as dj

KEY = jax.random.key(0)


def self_consistent_roots(model, starts):
    """Roots of the M self-consistent equations by SciPy, from a grid of starts, up to reversed signs."""
    G, w = np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    omega, omega_mode, kappa, g0 = (np.asarray(rate) for rate in rates_of(model))
    response = -2 * g0**2 * omega_mode / (omega_mode**2 + kappa**2 / 4)

    def defect(xi):
        b = (response * xi) @ G
        return xi - G @ (w * -b / np.sqrt(omega**2 + b**2))

    found = []
    for start in starts:
        xi, _, flag, _ = fsolve(defect, start, full_output=True, xtol=1e-13)
        if flag != 1 or np.max(np.abs(defect(xi))) > 1e-11:
            continue
        images = [np.array(signs) * xi for signs in itertools.product((1, -1), repeat=len(xi))]
        images = [image for image in images if np.max(np.abs(defect(image))) < 1e-9]
        if not any(np.max(np.abs(image - other)) < 1e-6 for image in images for other in found):
            found.append(xi)
    return found


@pytest.mark.parametrize("model", [paper(1.25, 2), paper(1.3, 3), sampled(2, 300, 1.4)], ids=["M2", "M3", "sampled"])
def test_all_stationary_states_agree_with_an_independent_search(model):
    """SciPy's fsolve from a fine grid of starts finds the same states, as many and in the same places."""
    M = model.num_modes
    grid = np.linspace(-1, 1, 21 if M == 2 else 11)
    expected = self_consistent_roots(model, itertools.product(grid[grid >= 0], *[grid] * (M - 1)))
    states = dj.stationary_states(KEY, model)
    assert states.looks_complete and int(states.index_sum) == 1
    assert len(states) == len(expected) == int(states.num_found)
    for row in np.asarray(states.overlaps):
        distance = min(np.max(np.abs(np.abs(row) - np.abs(other))) for other in expected)
        assert distance < 1e-9
    for i in range(len(states)):
        assert max_rate_of_change(model, states.state(i)) < 1e-12
        np.testing.assert_allclose(dj.overlaps(model, states.m[i]), states.overlaps[i], atol=1e-12)
    np.testing.assert_array_equal(states.kind == dj.StateKind.normal, np.abs(states.overlaps).max(axis=1) < 1e-6)


def test_the_states_of_four_patterns():
    """Above the last stability threshold the four patterns are stable and no mixture is; at large g0 some are."""
    states = dj.stationary_states(KEY, paper(1.2))
    assert states.looks_complete
    pure = np.asarray(states.kind == dj.StateKind.pure)
    np.testing.assert_array_equal(states.is_stable, pure)
    expected = [dj.retrieval_overlap(paper(1.2), nu) for nu in range(4)]
    np.testing.assert_allclose(np.diag(np.asarray(states.overlaps)[pure]), expected, atol=1e-12)
    assert "15 up to signs, 4 stable" in repr(states) and "grows at 0.976 towards pattern 1" in repr(states)

    strong = dj.stationary_states(KEY, paper(2.5))
    assert int(strong.index_sum) == 1
    stable_mixtures = np.asarray(strong.is_stable & (strong.kind == dj.StateKind.mixed))
    assert stable_mixtures.sum() == 2
    assert ((np.abs(np.asarray(strong.overlaps)[stable_mixtures]) > 0.4).sum(axis=1) == 3).all()


@pytest.mark.slow
def test_states_with_decay_are_rest_positions_of_damped_spins():
    """Where jumps act the equations are others: the full ones stand still there, and integration ends there."""
    model = paper(1.2, 3, dissipation=dj.LocalDissipation([("decay_x", 0.2)]))
    states = dj.stationary_states(KEY, model)
    assert states.looks_complete
    for i in range(len(states)):
        rates = dj.mean_field_equations(0.0, states.state(i).to_real(model), model)
        assert max(float(np.abs(rate).max()) for rate in rates) < 1e-12
    end = dj.steadystate(model, dj.tilted_pattern(KEY, model, 1, angle=0.2))
    assert end.converged
    stable = np.asarray(states.overlaps)[np.asarray(states.is_stable)]
    assert np.min(np.max(np.abs(stable - np.abs(end.overlaps)), axis=1)) < 1e-7
    assert (np.linalg.norm(np.asarray(states.m), axis=1) < 0.999).any()  # lengths are not what they were


def test_search_in_a_batch_is_filled_up_and_says_so():
    g0 = jnp.array([0.5, 0.7, 0.9])
    batch = jax.vmap(lambda g: dj.stationary_states(KEY, paper(g, 2), max_states=3))(g0)
    np.testing.assert_array_equal(batch.num_found, [1, 2, 4])
    np.testing.assert_array_equal(batch.found, [[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(batch.looks_complete, [True, True, False])
    np.testing.assert_array_equal(np.isnan(batch.overlaps).all(axis=-1), ~batch.found)
    np.testing.assert_allclose(batch.overlaps[1, 1], [dj.retrieval_overlap(paper(0.7, 2)), 0], atol=1e-12)


@pytest.mark.parametrize("num_clusters", [3, 4])
def test_a_state_with_overlaps_of_one_size_is_listed_once(num_clusters):
    """Clusters in a chain, neighbours in a common mode: 2, 4 stable states of 3, 4 clusters (arXiv 2606.13072)."""
    G = np.eye(num_clusters)[:-1] + np.eye(num_clusters, k=1)[:-1]
    spins = dj.LargeSpins(dj.DenseCouplings(G), np.full(num_clusters, 1 / num_clusters))
    model = dj.DickeModel(spins, omega_spin=0.5, omega_mode=1.5, kappa=1.0, g0=1.0)
    strong = model.replace(g0=3 * dj.critical_coupling(model, kind="normal"))
    states = dj.stationary_states(KEY, strong)
    assert int(np.sum(states.multiplicity[states.is_stable])) == {3: 2, 4: 4}[num_clusters]
    assert int(states.index_sum) == 1
