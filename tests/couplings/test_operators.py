"""Patterns, couplings as linear maps, large spins and the mapping between spins and subsets."""

import time
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dicke_jax as dj

signs = hnp.arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 24)), elements=st.sampled_from([-1, 1]))
values = hnp.arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 24)), elements=st.sampled_from([-1.5, 0.0, 2.0]))


def test_random_patterns_are_fair_signs():
    G = np.asarray(dj.random_patterns(jax.random.key(0), 3, 40_000))
    assert G.dtype == np.int8 and set(np.unique(G)) == {-1, 1}
    covariance = (G.astype(float) @ G.T) / G.shape[1]
    assert np.abs(covariance - np.eye(3)).max() < 5 / np.sqrt(40_000)
    assert np.abs(G.mean(axis=1)).max() < 5 / np.sqrt(40_000)


@pytest.mark.parametrize("gauge", [True, False])
@pytest.mark.parametrize("num_modes", [1, 2, 3, 5])
def test_hypercube_has_every_sign_column_once_in_the_paper_s_order(num_modes, gauge):
    spins = dj.LargeSpins.hypercube(num_modes, gauge=gauge)
    G = np.asarray(spins.couplings)
    digits = [np.array(c) for c in np.ndindex(*(2,) * (num_modes - gauge))]
    expected = np.array([[1] * gauge + list(1 - 2 * d) for d in digits]).T
    np.testing.assert_array_equal(G, expected)
    np.testing.assert_array_equal(spins.weights, np.full(G.shape[1], 1 / G.shape[1]))
    np.testing.assert_allclose(G @ G.T / G.shape[1], np.eye(num_modes) if num_modes else 1)  # S26


@pytest.mark.parametrize("gauge", [True, False])
@pytest.mark.parametrize("num_modes", [5, 7, 8])  # written out, and along the cube
def test_hypercube_maps_are_the_matrix_products(num_modes, gauge):
    operator = dj.HypercubeCouplings(num_modes, gauge)
    G = np.asarray(dj.LargeSpins.hypercube(num_modes, gauge=gauge).couplings, dtype=float)
    rng = np.random.default_rng(0)
    q, s = rng.normal(size=num_modes), rng.normal(size=operator.num_subsets)
    np.testing.assert_allclose(operator.field(jnp.array(q)), q @ G, atol=1e-14)
    np.testing.assert_allclose(operator.project(jnp.array(s)), G @ s, atol=1e-13)
    # on one pattern nothing is rounded: no other is seen, not by the last digit
    np.testing.assert_array_equal(operator.project(jnp.array(0.1 * G[2])), 0.1 * G.shape[1] * np.eye(num_modes)[2])


@pytest.mark.parametrize("num_subsets", [7, 4000])  # written out, and as a matrix product
def test_dense_maps_are_the_matrix_products(num_subsets):
    rng = np.random.default_rng(1)
    G, q, s = rng.normal(size=(3, num_subsets)), rng.normal(size=3), rng.normal(size=num_subsets)
    operator = dj.DenseCouplings(G)
    np.testing.assert_allclose(operator.field(jnp.array(q)), q @ G, atol=1e-12)
    np.testing.assert_allclose(operator.project(jnp.array(s)), G @ s, atol=1e-12)


@given(signs)
def test_mapping_groups_alike_spins_under_the_gauge(G):
    mapped = dj.map_to_large_spins(G)
    gauge, subset, order = (np.asarray(a) for a in (mapped.gauge, mapped.subset, mapped.order))
    gauged, columns = G * gauge, np.asarray(mapped.spins.couplings)
    np.testing.assert_array_equal(gauge, G[0])
    np.testing.assert_array_equal(columns[:, subset], gauged)  # every spin has the couplings of its subset
    assert len(set(map(tuple, columns.T))) == columns.shape[1]  # no two subsets couple alike
    np.testing.assert_allclose(mapped.spins.weights, np.bincount(subset) / G.shape[1])
    np.testing.assert_array_equal(mapped.spins.subset_sizes, np.bincount(subset))
    assert mapped.spins.num_subsets <= 2 ** (G.shape[0] - 1)
    assert np.all(np.diff(subset[order]) >= 0)  # block-constant in order, and stable within blocks
    assert all(np.all(np.diff(order[subset[order] == k]) > 0) for k in range(columns.shape[1]))
    assert [tuple(-c) for c in columns.T] == sorted(tuple(-c) for c in columns.T)  # +1 to the left, as in Fig. 2


@given(values)
def test_mapping_without_gauge_takes_any_values(G):
    mapped = dj.map_to_large_spins(G, gauge=False)
    columns = np.asarray(mapped.spins.couplings)
    np.testing.assert_array_equal(columns[:, np.asarray(mapped.subset)], G)
    np.testing.assert_array_equal(mapped.gauge, 1)
    assert columns.shape[1] == len(set(map(tuple, G.T)))


@given(signs, st.integers(0, 2**31 - 1))
def test_mapping_round_trip_and_overlaps_in_both_representations(G, seed):
    mapped = dj.map_to_large_spins(G)
    rng = np.random.default_rng(seed)
    m = rng.normal(size=(3, mapped.spins.num_subsets))
    np.testing.assert_allclose(mapped.to_large(mapped.to_spins(m)), m, atol=1e-14)

    bloch = rng.uniform(-1, 1, size=(3, G.shape[1]))  # spins of one subset all different
    large = mapped.to_large(bloch)
    np.testing.assert_allclose(mapped.spins.project(large[2]), dj.pattern_overlaps(G, bloch[2]), atol=1e-14)
    np.testing.assert_allclose(dj.pattern_overlaps(G, bloch[2]), G @ bloch[2] / G.shape[1], atol=1e-14)


@given(signs, st.randoms(use_true_random=False))
def test_mapping_does_not_depend_on_the_order_of_spins(G, random):
    shuffled = list(range(G.shape[1]))
    random.shuffle(shuffled)
    one, other = dj.map_to_large_spins(G), dj.map_to_large_spins(G[:, shuffled])
    np.testing.assert_array_equal(one.spins.couplings, other.spins.couplings)
    np.testing.assert_array_equal(one.spins.weights, other.spins.weights)
    np.testing.assert_array_equal(np.asarray(one.subset)[shuffled], other.subset)


def test_gauge_flips_y_and_z_and_leaves_x():
    mapped = dj.map_to_large_spins(np.array([[1, -1], [1, -1]], dtype=np.int8))
    assert mapped.spins.num_subsets == 1
    spins = np.asarray(mapped.to_spins(np.array([[0.1], [0.2], [0.3]])))
    np.testing.assert_allclose(spins, [[0.1, 0.1], [0.2, -0.2], [0.3, -0.3]])


def test_values_that_are_all_different_take_no_more_memory_than_spins():
    """One subset for each spin: the number of conceivable parts is the square of that of spins."""
    rng = np.random.default_rng(0)
    G, bloch = rng.normal(size=(2, 100_000)), rng.normal(size=(3, 100_000))
    mapped = dj.map_to_large_spins(G, gauge=False)
    assert mapped.spins.num_subsets == 100_000
    np.testing.assert_array_equal(np.asarray(mapped.spins.couplings)[:, np.asarray(mapped.subset)], G)
    refined = dj.map_to_large_spins(np.sign(G).astype(np.int8), bloch=bloch)
    np.testing.assert_allclose(refined.to_spins(refined.to_large(bloch)), bloch, atol=1e-14)


def test_empty_subsets_are_left_out():
    G = np.array([[1, 1, 1], [1, -1, 1], [1, -1, 1]], dtype=np.int8)  # 2 of the 4 possible columns
    spins = dj.map_to_large_spins(G).spins
    np.testing.assert_array_equal(spins.couplings, [[1, 1], [1, -1], [1, -1]])
    np.testing.assert_allclose(spins.weights, [2 / 3, 1 / 3])


def test_full_mapping_is_the_structured_hypercube():
    G = dj.random_patterns(jax.random.key(2), 4, 1000)
    spins = dj.map_to_large_spins(G).spins
    assert isinstance(spins.operator, dj.HypercubeCouplings)
    np.testing.assert_array_equal(spins.couplings, dj.LargeSpins.hypercube(4).couplings)
    assert isinstance(dj.map_to_large_spins(G, gauge=False).spins.operator, dj.HypercubeCouplings)


def test_ten_million_spins_map_in_seconds_without_an_array_of_spins_times_subsets():
    num_spins = 10_000_000
    G = np.asarray(dj.random_patterns(jax.random.key(0), 8, num_spins))
    tracemalloc.start()
    start = time.perf_counter()
    mapped = dj.map_to_large_spins(G)
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mapped.spins.num_subsets == 128
    assert np.abs(np.asarray(mapped.spins.weights) * 128 - 1).max() < 5 * np.sqrt(128 / num_spins)
    assert seconds < 20
    assert peak < 64 * num_spins  # bytes; one float for every spin and subset would be 1024 a spin


def test_maps_that_close_over_a_traced_number_are_refused():
    """What it is differentiated in has to be a field, or the derivative is lost."""

    def of(scale):
        class Scaled(dj.AbstractCouplings):
            num_modes = 1
            num_subsets = 2

            def field(self, q):
                return jnp.broadcast_to(scale * q[0], (2,))

            def project(self, s):
                return scale * jnp.sum(s)[None]

        return dj.LargeSpins(Scaled(), jnp.full(2, 0.5)).weights[0] * scale

    with pytest.raises(ValueError, match="operator.field must be one whose fields hold what it is traced"):
        jax.grad(of)(1.0)
    assert of(2.0) == 1.0
