"""All stationary states of models that are given by their energy: closed forms, roots by SciPy, and the Dicke model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from problems import differences, max_rate_of_change, paper
from scipy.optimize import brentq

import dicke_jax as dj

KEY = jax.random.key(0)
CRYSTAL = dj.gallery.boundary_time_crystal


@pytest.mark.slow
def test_a_crystal_has_one_stable_and_one_unstable_state():
    """Y = omega0 / kappa, z = -+sqrt(s^2 - y^2); eigenvalues kappa z, twice."""
    found = dj.stationary_states(KEY, CRYSTAL(0.3, 0.5), spin_length=0.9)
    z = np.sqrt(0.9**2 - 0.6**2)
    np.testing.assert_allclose(found.m[:, :, 0], [[0.0, 0.6, -z], [0.0, 0.6, z]], atol=1e-10)
    np.testing.assert_allclose(found.growth_rate, [-0.5 * z, 0.5 * z], atol=1e-9)
    np.testing.assert_array_equal(found.is_stable, [True, False])
    np.testing.assert_array_equal(found.multiplicity, 1)
    assert int(found.index_sum) == int(found.index_of_all) == 2 and found.successful
    assert "2 up to symmetries, 1 stable" in repr(found) and "proves nothing" in repr(found)
    assert "stable, decays at 0.335" in repr(found) and "grows at 0.335" in repr(found) and "-0.0000" not in repr(found)
    grows = repr(dj.stability(CRYSTAL(0.3, 0.5), found.state(1)))
    assert grows.endswith("at 0.3354") and "pattern" not in grows
    key = jax.random.key(1)  # made before: what makes keys may have been forgotten
    with compilations() as second:
        dj.stationary_states(key, CRYSTAL(0.2, 0.5), spin_length=0.8)
    assert second == []
    few = dj.stationary_states(KEY, CRYSTAL(0.3, 0.5), spin_length=0.9, num_starts=1)
    assert few.status == dj.Status.incomplete and len(few) == 1
    none = dj.stationary_states(KEY, CRYSTAL(1.5, 0.5))  # all starts are on closed orbits around x = +-sqrt(1 - 1/9)
    np.testing.assert_allclose(np.abs(none.m[:, 0, 0]), np.sqrt(1 - 1 / 9), atol=1e-10)


def p_spin_roots(p, strength, field, decay):
    """All z at which a spin at rest in its own field has this z: a spin of Bloch equations of its own."""

    def rest(z):
        B = np.array([field, 0.0, -p * strength * z ** (p - 1)])
        turn = 2 * np.array([[0, -B[2], B[1]], [B[2], 0, -B[0]], [-B[1], B[0], 0]])
        return np.linalg.solve(turn - decay * np.diag([1.0, 0.5, 0.5]), [decay, 0.0, 0.0])

    grid = np.linspace(-1.0, 1.0, 4001) + 1e-7
    off = [rest(z)[2] - z for z in grid]
    return [rest(brentq(lambda z: rest(z)[2] - z, a, b, xtol=1e-14)) for a, b, fa, fb in
            zip(grid, grid[1:], off, off[1:], strict=False) if fa * fb < 0]  # fmt: skip


@pytest.mark.parametrize("p, images", [(2, [1, 2]), pytest.param(3, [1, 1, 1], marks=pytest.mark.slow)])
def test_p_spins_have_the_states_of_one_equation(p, images):
    """For even p states come in pairs, z and -z; for p = 3 there are two ordered ones, above the fold."""
    found = dj.stationary_states(KEY, dj.gallery.p_spin(p, 0.9, 0.35, 0.2))
    expected = np.array(p_spin_roots(p, 0.9, 0.35, 0.2))
    assert sorted(found.multiplicity.tolist()) == images and len(expected) == sum(images)
    for m in np.asarray(found.m[:, :, 0]):
        assert np.min(np.max(np.abs(expected - m), axis=1)) < 1e-9
    assert int(found.index_sum) == int(found.index_of_all) == 1 and found.successful


def test_an_orbit_of_a_continuous_symmetry_is_one_state():
    """Tavis and Cummings without losses: z = -omega omega0 / g^2, any phase; and both poles."""
    omega, omega0, g = 1.1, 0.6, 1.3
    found = dj.stationary_states(KEY, dj.gallery.unbalanced_dicke(omega, omega0, g, 0.0, 0.0))
    assert sorted(np.round(np.asarray(found.m[:, 2, 0]), 9)) == [-1.0, np.round(-omega * omega0 / g**2, 9), 1.0]
    (orbit,) = np.flatnonzero(np.asarray(found.num_free))
    x, y, z = np.asarray(found.m[orbit, :, 0])
    np.testing.assert_allclose(np.abs(found.alpha[orbit]), g * np.hypot(x, y) / (2 * omega), atol=1e-9)
    assert z == pytest.approx(-omega * omega0 / g**2) and int(found.num_free[orbit]) == 1
    assert int(found.multiplicity[orbit]) == 1 and int(found.hits[orbit]) > 10 and "orbit" in repr(found)


@pytest.mark.slow
def test_states_that_a_phase_of_light_exchanges_are_one():
    """Two photons at a time: alpha -> i alpha and x, y -> -x, -y; in all ordered states |x| is the same."""
    omega, omega0, g, kappa, decay = 0.8, 0.7, 3.0, 0.4, 0.3
    found = dj.stationary_states(KEY, dj.gallery.two_photon_dicke(omega, omega0, g, kappa, decay))
    light = np.asarray(found.occupations[:, 0]) > 1e-9
    assert light.sum() == 2 and (~light).sum() == 1
    np.testing.assert_array_equal(np.asarray(found.multiplicity), np.where(light, 4, 1))
    np.testing.assert_allclose(np.abs(found.m[light, 0, 0]), np.hypot(omega, kappa / 2) / g, atol=1e-9)


def nearest(states, i, others):
    """The distance of a state from the nearest of others, in overlaps and photons, up to signs."""
    rows, row = (
        np.concatenate([np.abs(np.asarray(x)) for x in (found.overlaps, found.occupations)], axis=1)
        for found in (others, states)
    )
    return np.min(np.max(np.abs(rows - row[i]), axis=1))


@pytest.mark.slow
def test_with_decay_the_dicke_model_s_states_are_the_twin_s_in_number_and_place():
    model = paper(1.3, 2, dissipation=dj.LocalDissipation([("decay_x", 0.1)]))
    one, other = dj.stationary_states(KEY, model), dj.stationary_states(KEY, model.as_collective())
    assert one.looks_complete and len(one) == len(other)
    assert all(nearest(one, i, other) < 1e-7 for i in range(len(one)))
    assert sorted(one.multiplicity.tolist()) == sorted(other.multiplicity.tolist())
    assert int(other.index_sum) == int(other.index_of_all) == 1
    np.testing.assert_allclose(np.sort(other.growth_rate), np.sort(one.growth_rate), atol=1e-7)


@pytest.mark.slow
def test_without_it_the_twin_has_them_and_those_of_spins_on_either_side_of_their_fields():
    model = paper(1.3, 2)
    other = dj.stationary_states(KEY, model.as_collective())
    for alignment in (1, -1):
        one = dj.stationary_states(KEY, model, spin_alignment=alignment)
        assert all(nearest(one, i, other) < 1e-7 for i in range(len(one)))
    assert all(max_rate_of_change(model, other.state(i)) < 1e-9 for i in range(len(other)))
    assert int(other.index_sum) == int(other.index_of_all) == 4
    np.testing.assert_allclose(np.linalg.norm(other.m, axis=1), 1.0, atol=1e-9)


def test_a_state_near_a_guess_follows_the_parameters_of_the_energy():
    guess = dj.MeanFieldState([[0.1], [0.5], [-0.8]], [])
    length2 = 0.01 + 0.25 + 0.64

    def z(omega0):
        state, good = dj.stationary_state(CRYSTAL(omega0, 1.0), guess)
        return jnp.where(good, state.m[2, 0], jnp.nan)

    value, slope = jax.jit(jax.value_and_grad(z))(0.6)
    np.testing.assert_allclose((value, slope), (-np.sqrt(length2 - 0.36), 0.6 / np.sqrt(length2 - 0.36)), rtol=1e-10)
    assert z(1.5) == pytest.approx(0.0, abs=1e-12)  # of the states that there are above, at x = +-sqrt(s^2 - y^2)


@pytest.mark.slow
def test_states_are_differentiable_and_rows_of_a_batch_are_filled():
    def growth(p):
        found = dj.stationary_states(KEY, dj.gallery.p_spin(2, p[0], 0.35, p[1]), num_starts=64, max_states=4)
        return found.growth_rate[1] + found.overlaps[0, 0] ** 2, found

    (_, found), slope = jax.jit(jax.value_and_grad(growth, has_aux=True))(jnp.array([0.9, 0.2]))
    np.testing.assert_array_equal(found.found, [True, True, False, False])
    np.testing.assert_allclose(slope, differences(lambda p: growth(p)[0], [0.9, 0.2], 1e-3), rtol=1e-6)


def test_what_does_not_fit_is_refused():
    guess, moving = dj.MeanFieldState([[0.1], [0.5], [-0.8]], []), dj.CollectiveModel(lambda s: s.t * s.z[0])
    for call, line in (
        (lambda: dj.stationary_state(CRYSTAL(0.6, 1.0), [0.1]), "guess must be a MeanFieldState for a CollectiveModel"),
        (lambda: dj.stationary_state(paper(1.0, 1), guess), "guess must be overlaps for a DickeModel"),
        (
            lambda: dj.stationary_states(KEY, CRYSTAL(0.6, 1.0), spin_alignment=1),
            "spin_alignment must be left out for a CollectiveModel",
        ),
        (lambda: dj.stationary_states(KEY, moving), "model must be one with constant rates"),
    ):
        with pytest.raises(ValueError, match=line):
            call()


def test_a_model_in_float32_is_searched_in_it():
    """z^2 = 1 - (omega0 / kappa)^2, below and above."""
    crystal = dj.gallery.boundary_time_crystal(omega0=np.float32(0.5), kappa=np.float32(1.0))
    found = dj.stationary_states(jax.random.key(0), crystal)
    assert found.m.dtype == jnp.float32 and found.successful
    np.testing.assert_allclose(np.sort(found.m[:, 2, 0]), [-np.sqrt(0.75), np.sqrt(0.75)], atol=1e-5)
