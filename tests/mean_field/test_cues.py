"""Cues are what they say, flipped spins stay flipped, and a cue for single spins is retrieved as they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import paper, rates_of, spin_by_spin

import dicke_jax as dj


@settings(max_examples=5)
@given(st.floats(0.0, 0.4))
def test_flipped_spins_stay_flipped(flip):
    """Without single-spin decay |m_k| is conserved: the overlap cannot exceed 1 - 2 flip, whatever the coupling."""
    model = paper(1.6)
    cue = dj.corrupted_pattern(jax.random.key(0), model, 0, flip=flip)
    sol = dj.mfsolve(model, cue, np.linspace(0.0, 50.0, 101))
    assert np.abs(sol.overlaps).max() <= 1 - 2 * flip + 1e-8
    np.testing.assert_allclose(dj.overlaps(model, cue.m)[0], 1 - 2 * flip, atol=1e-12)


def test_a_finite_sample_flips_whole_spins():
    """Counted spin by spin: p_k is binomial with the subset's own size, and reproduces a raw flipped configuration."""
    num_spins = 200
    mapped = dj.map_to_large_spins(dj.random_patterns(jax.random.key(1), 3, num_spins))
    model = paper(1.0, num_patterns=3)
    model = dataclasses.replace(model, spins=mapped.spins)
    z = jax.vmap(lambda key: dj.corrupted_pattern(key, model, 1, flip=0.2).m[2])(
        jax.random.split(jax.random.key(0), 4000)
    )
    share = (1 - np.asarray(z) * np.asarray(mapped.spins.couplings[1])) / 2
    flipped = share * np.asarray(mapped.spins.subset_sizes)
    np.testing.assert_allclose(flipped, np.round(flipped), atol=1e-9)
    sizes = np.asarray(mapped.spins.subset_sizes)
    np.testing.assert_allclose(flipped.mean(axis=0), 0.2 * sizes, atol=5 * np.sqrt(0.16 * sizes / 4000).max())
    np.testing.assert_allclose(flipped.var(axis=0), 0.16 * sizes, rtol=0.15)


def test_cues_are_what_they_say():
    model = paper(1.0)
    for nu in range(4):
        np.testing.assert_allclose(dj.overlaps(model, dj.stored_pattern(model, nu).m), np.eye(4)[nu], atol=0)
        tilted = dj.tilted_pattern(jax.random.key(nu), model, nu, angle=0.4)
        assert float(dj.overlaps(model, tilted.m)[nu]) == pytest.approx(np.cos(0.4), abs=1e-12)
        np.testing.assert_allclose(dj.spin_lengths(tilted.m), 1.0, atol=1e-12)
    state = dj.random_state(jax.random.key(0), model, amplitude=0.2)
    np.testing.assert_allclose(dj.spin_lengths(state.m), 1.0, atol=1e-12)
    assert np.abs(state.alpha).min() > 0
    assert np.abs(dj.random_state(jax.random.key(0), model).alpha).max() == 0


def test_retrieval_of_raw_spins_end_to_end():
    """A tilted cue given for 60 single spins, against all 60 evolved one by one in SciPy."""
    G = np.asarray(dj.random_patterns(jax.random.key(7), 2, 60))
    mapped = dj.map_to_large_spins(G)
    model = dj.DickeModel(mapped.spins, 0.5, jnp.array([1.5, 2.0]), 1.0, 1.3)
    cue = dj.tilted_pattern(jax.random.key(1), model, 1, angle=0.5)
    times = np.linspace(0.0, 20.0, 5)
    sol = dj.mfsolve(model, cue, times, rtol=1e-12, atol=1e-12)
    exact, _ = spin_by_spin(G, rates_of(model), mapped.to_spins(cue.m), cue.alpha, times)
    np.testing.assert_allclose(dj.pattern_overlaps(G, exact[-1, 2]), sol.overlaps[-1], atol=1e-8)


@pytest.mark.parametrize("inside", [False, True])
def test_very_many_spins_are_looked_at_where_they_lie(inside, monkeypatch):
    """And refused in the same line, also where they are known to a program that is being traced; NaN is no length."""
    from dicke_jax.mean_field import state

    monkeypatch.setattr(state, "VERY_MANY", 10)
    m = np.zeros((5, 3, 2))
    m[:, 2] = 1.0

    def check(m):
        known = jnp.asarray(m)  # outside of the program

        def program():
            state.check_spin_lengths(known)
            return jnp.zeros(())

        jax.jit(program)() if inside else program()

    check(m)
    m[1, :, 0] = np.nan
    check(m)
    m[3, 2, 1] = 1.02
    with pytest.raises(ValueError, match=r"\|m_k\| must be at most 1; got 1.02 at index \(3, 1\)"):
        check(m)
