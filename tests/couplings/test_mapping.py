"""Every mapping of the paper, against evolution spin by spin; structured couplings at size."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from problems import generic_state, rates_of, spin_by_spin, uneven

import dicke_jax as dj

TIMES = np.linspace(0.0, 5.0, 6)
TIGHT = dict(rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["gauge", "no gauge", "three values", "individual"])
def test_every_mapping_is_exact_spin_by_spin(kind):
    rng = np.random.default_rng(5)
    G = rng.choice([-1.0, 0.5, 2.0], size=(2, 24)) if kind == "three values" else rng.choice([-1, 1], size=(2, 24))
    bloch = rng.normal(size=(3, 24))
    bloch /= np.linalg.norm(bloch, axis=0)
    alpha = np.array([0.2 - 0.1j, 0.3j])
    if kind == "individual":
        spins, to_large = dj.LargeSpins.individual(G), lambda vectors: vectors
    else:
        mapped = dj.map_to_large_spins(G, gauge=kind == "gauge")
        spins, to_large = mapped.spins, mapped.to_large
    model = uneven(2, spins)
    exact, exact_alpha = spin_by_spin(G, rates_of(model), bloch, alpha, TIMES)
    sol = dj.mfsolve(model, dj.MeanFieldState(to_large(bloch), alpha), TIMES, **TIGHT)
    np.testing.assert_allclose(sol.m, np.stack([to_large(vectors) for vectors in exact]), atol=1e-9)
    np.testing.assert_allclose(sol.alpha, exact_alpha, atol=1e-9)


def test_distribution_of_couplings_has_product_weights():
    spins = dj.LargeSpins.from_distribution(values=(-1.0, 0.0, 1.0), probabilities=(0.2, 0.5, 0.3), num_patterns=2)
    G, w = np.asarray(spins.couplings), np.asarray(spins.weights)
    assert G.shape == (2, 9)
    probability = {-1.0: 0.2, 0.0: 0.5, 1.0: 0.3}
    np.testing.assert_allclose(w, [probability[a] * probability[b] for a, b in G.T])
    assert len(set(map(tuple, G.T))) == 9 and np.all(np.diff(G[0]) >= 0)
    signs = dj.LargeSpins.from_distribution((1.0, -1.0), (0.3, 0.7), 3)
    assert isinstance(signs.operator, dj.HypercubeCouplings)
    np.testing.assert_allclose(signs.weights[0], 0.3**3)
    np.testing.assert_array_equal(signs.couplings, dj.LargeSpins.hypercube(3, gauge=False).couplings)


def test_a_distribution_evolves_as_spins_drawn_in_just_its_proportions():
    spins = dj.LargeSpins.from_distribution((2.0, -1.0), (0.25, 0.75), 2)
    G = np.repeat(np.asarray(spins.couplings), np.round(16 * np.asarray(spins.weights)).astype(int), axis=1)
    assert G.shape == (2, 16)
    model = uneven(2, spins)
    state = generic_state(model)
    subset = np.repeat(np.arange(4), np.round(16 * np.asarray(spins.weights)).astype(int))
    exact, _ = spin_by_spin(G, rates_of(model), np.asarray(state.m)[:, subset], state.alpha, TIMES)
    sol = dj.mfsolve(model, state, TIMES, **TIGHT)
    np.testing.assert_allclose(np.asarray(sol.m)[:, :, subset], exact, atol=1e-9)


def test_a_large_sample_approaches_its_distribution():
    rng = np.random.default_rng(0)
    values, p = np.array([-1.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.3])
    sampled = dj.map_to_large_spins(rng.choice(values, p=p, size=(2, 200_000)), gauge=False).spins
    limit = dj.LargeSpins.from_distribution(values[::-1], p[::-1], 2)  # the mapping puts the largest value first
    np.testing.assert_array_equal(sampled.couplings, limit.couplings)
    np.testing.assert_allclose(sampled.weights, limit.weights, atol=5 / np.sqrt(200_000))


def test_spins_that_start_differently_are_read_out_one_by_one():
    """Refined by initial state: every single spin exactly, where the coarse mapping gives the mean of its subset."""
    G = np.asarray(dj.random_patterns(jax.random.key(4), 3, 40))
    rng = np.random.default_rng(1)
    z = G[1] * np.where(rng.random(40) < 0.2, -1, 1)
    bloch = np.stack([np.zeros(40), np.zeros(40), z])
    coarse, fine = dj.map_to_large_spins(G), dj.map_to_large_spins(G, bloch=bloch)
    assert coarse.spins.num_subsets < fine.spins.num_subsets <= 2 * coarse.spins.num_subsets
    model = uneven(3, fine.spins)
    exact, _ = spin_by_spin(G, rates_of(model), bloch, np.zeros(3), TIMES)
    sol = dj.mfsolve(model, dj.MeanFieldState(fine.to_large(bloch), np.zeros(3)), TIMES, **TIGHT)
    np.testing.assert_allclose(np.stack([fine.to_spins(m) for m in sol.m]), exact, atol=1e-9)


@pytest.mark.slow
def test_twenty_patterns_take_the_memory_of_their_state_not_of_a_matrix():
    """M = 20, 524,288 subsets: the right-hand side needs less than half of what a dense G alone would take."""
    code = """
import resource, jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
import dicke_jax as dj
spins = dj.LargeSpins.hypercube(20)
model = dj.DickeModel(spins, omega_spin=0.5, omega_mode=jnp.linspace(1.5, 3.0, 20), kappa=1.0, g0=1.0)
cue = dj.tilted_pattern(jax.random.key(0), model, 7, angle=0.4)
rhs = jax.jit(dj.mean_field_equations).lower(0.0, cue.to_real(model), model).compile().memory_analysis()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sol = dj.mfsolve(model, cue, jnp.array([0.0, 1.0]))
assert bool(sol.successful) and sol.m.shape == (2, 3, 524288)
assert float(abs(sol.spin_lengths - 1).max()) < 1e-9
state = 3 * 524288 * 8
print(rhs.temp_size_in_bytes / state, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / state)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr
    right_hand_side, whole_run = map(float, run.stdout.split())  # in states of 12.6 MB; a dense G is 6.7 of them
    assert right_hand_side < 3.3
    assert whole_run < 100  # the series keeps 14 coefficients and their sums; its compilation is in here too


def test_pictures_that_are_no_rows_yet_are_told_the_way():
    pictures = dj.image_patterns(np.arange(24).reshape(2, 3, 4))
    told = r"patterns must be of shape \(M, N_sp\) .*, as patterns\.reshape\(M, -1\) of pictures; got shape \(2, 3, 4\)"
    with pytest.raises(ValueError, match=told):
        dj.map_to_large_spins(pictures)
    assert dj.map_to_large_spins(pictures.reshape(2, -1)).spins.num_spins == 12
