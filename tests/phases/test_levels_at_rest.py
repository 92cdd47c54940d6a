"""States at rest of sites with d levels: roots of one equation by SciPy, closed forms, and pairs of spins one half."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences
from scipy.optimize import brentq

import dicke_jax as dj
from dicke_jax.mean_field.at_rest import index_of_all

KEY = jax.random.key(0)
OMEGA, KAPPA = 1.1, 0.5
ENERGIES = np.array([0.0, 0.7, 1.1])
G = np.array([[0.0, 0.5, 0.4], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
THRESHOLD = (4 * (0.5**2 / 0.7 + 0.4**2 / 1.1) * OMEGA / (OMEGA**2 + KAPPA**2 / 4)) ** -0.5  # of a factor of G
LOSSES = dj.LocalDissipation([(np.eye(3, k=1), 0.1), (np.array([[0, 0, 0.5], [0, 0, 0.3j], [0, 0, 0]]), 0.2)])


def atoms(factor=1.0, dissipation=None):
    return dj.gallery.multilevel_dicke(OMEGA, ENERGIES, factor * G, KAPPA, dissipation)


def level(n, alpha=0.0):
    return dj.MeanFieldState(dj.bloch_vectors(np.diag(np.arange(3) == n) * 1.0), [alpha])


def density_matrix(a, factor, populations):
    """With these populations, in this order, of the eigenvectors of a site's own H at Re alpha = a."""
    _, U = np.linalg.eigh(np.diag(ENERGIES) + 2 * a * factor * (G + G.T))
    return U @ np.diag(populations) @ U.T


def light_left(a, factor, populations):
    """Re alpha = -omega tr(rho (G + G^T)) / (omega^2 + kappa^2 / 4) at rest."""
    driven = factor * np.trace(density_matrix(a, factor, populations) @ (G + G.T))
    return a + OMEGA * driven / (OMEGA**2 + KAPPA**2 / 4)


def states_by_roots(factor, populations):
    """Rho of all states at rest with Re alpha >= 0: those of every order of the populations."""
    found, grid = [], np.linspace(1e-6, 6.0, 1501)
    for order in set(itertools.permutations(populations)):
        found.append(np.diag(order))
        off = [light_left(a, factor, order) for a in grid]
        for a, b, fa, fb in zip(grid, grid[1:], off, off[1:], strict=False):
            if fa * fb < 0:
                found.append(density_matrix(brentq(light_left, a, b, (factor, order), xtol=1e-14), factor, order))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("populations", [(0.0, 0.0, 1.0), (0.7, 0.2, 0.1)], ids=["pure", "mixed"])
def test_all_states_are_the_roots_of_one_equation(populations):
    factor = 1.5 * THRESHOLD
    given = {} if max(populations) == 1 else {"populations": populations}
    found, expected = dj.stationary_states(KEY, atoms(factor), **given), states_by_roots(factor, populations)
    assert len(found) == len(expected) > 3 and found.successful
    assert int(found.index_sum) == int(found.index_of_all) == len(set(itertools.permutations(populations)))
    for i in range(len(found)):
        rho = np.asarray(dj.density_matrices(found.m[i]))[0]
        np.testing.assert_allclose(np.linalg.eigvalsh(rho), np.sort(populations), atol=1e-9)
        # coherences change their sign with the light
        assert min(np.max(np.abs(np.abs(rho) - np.abs(one))) for one in expected) < 1e-8
        assert int(found.multiplicity[i]) == (2 if float(found.occupations[i, 0]) > 1e-6 else 1)
    assert float(np.max(found.residual)) < 1e-9


@pytest.mark.slow
def test_spins_one_rest_where_pairs_of_spins_one_half_do():
    """A state of the pairs is one of the spins 1, with sqrt(2) times the amplitude; the others have S_z = 0."""
    omega0, g, root = 0.8, 1.0, np.sqrt(0.5)
    one = dj.gallery.multilevel_dicke(1.1, [omega0, 0.0, -omega0], g * root * np.eye(3, k=1), 0.4)
    half = dj.gallery.unbalanced_dicke(1.1, omega0, g * root, g * root, 0.4)
    found, pairs = dj.stationary_states(KEY, one), dj.stationary_states(KEY, half)
    S_z = np.trace(np.asarray(dj.density_matrices(found.m))[:, 0] @ np.diag([1.0, 0.0, -1.0]), axis1=1, axis2=2).real
    rows = np.stack([S_z, found.occupations[:, 0] / 2, found.energy / 2, found.multiplicity], axis=1)
    for i in range(len(pairs)):
        row = [pairs.m[i, 2, 0], pairs.occupations[i, 0], pairs.energy[i], pairs.multiplicity[i]]
        assert np.min(np.max(np.abs(rows - np.array(row)), axis=1)) < 1e-8
    assert len(found) == len(pairs) + 1 and int(found.index_of_all) == int(found.index_sum) == 3
    assert np.min(np.abs(S_z) + np.abs(found.energy)) < 1e-9


@pytest.mark.slow
def test_with_losses_one_state_attracts_what_runs_and_indices_add_up_to_one():
    model = atoms(1.8 * THRESHOLD, LOSSES)
    found = dj.stationary_states(KEY, model)
    assert int(found.index_of_all) == int(found.index_sum) == 1 and found.successful
    assert np.min(np.linalg.eigvalsh(dj.density_matrices(found.m))) > -1e-9
    end = dj.steadystate(model, level(0, 0.3))
    assert end.successful
    distance = np.max(np.abs(np.abs(found.m[:, :, 0]) - np.abs(end.state.m[:, 0])), axis=1)
    assert bool(found.is_stable[np.argmin(distance)]) and np.min(distance) < 1e-6


@pytest.mark.slow
def test_a_branch_leaves_the_normal_state_at_its_threshold_in_closed_form():
    """And is that of the equation for Re alpha, of pure sites, on which no local jump acts."""
    build = lambda factor: atoms(factor)  # noqa: E731
    limits = (0.5 * THRESHOLD, 1.6 * THRESHOLD)
    normal = dj.continuation(atoms(0.8 * THRESHOLD), level(0), build, limits=limits, value=0.8 * THRESHOLD)
    (crossing,) = [point for point in normal.special if point.kind == "branch point"]
    assert crossing.parameter == pytest.approx(THRESHOLD, rel=1e-9)
    ordered = dj.continuation(atoms(), crossing, build, limits=limits)
    assert ordered.ended == "limit" and np.all(ordered.is_stable[2:])
    i = len(ordered.parameter) - 2
    state = ordered.state(i)
    a = abs(float(state.alpha[0].real))
    assert a > 0.1 and abs(light_left(a, ordered.parameter[i], (1.0, 0.0, 0.0))) < 1e-9
    rho = np.asarray(dj.density_matrices(state.m))[0]
    np.testing.assert_allclose(np.linalg.eigvalsh(rho), [0, 0, 1], atol=1e-9)


@pytest.mark.slow
def test_a_state_near_a_guess_has_the_derivatives_of_the_root():
    factor = 1.5 * THRESHOLD
    (a,) = [brentq(light_left, 0.05, 5.0, (factor, (1.0, 0.0, 0.0)))]
    rho = density_matrix(a, factor, (1.0, 0.0, 0.0))
    near = dj.MeanFieldState(dj.bloch_vectors(rho), [1.1 * a])

    def light(factor):
        state, good = dj.stationary_state(atoms(factor), near)
        return jnp.where(good, jnp.real(state.alpha[0]), jnp.nan)

    value, slope = jax.jit(jax.value_and_grad(light))(factor)
    assert float(value) == pytest.approx(a, rel=1e-9)
    exact = lambda f: brentq(light_left, 0.05, 5.0, (f[0], (1.0, 0.0, 0.0)), xtol=1e-14)  # noqa: E731
    np.testing.assert_allclose(slope, differences(exact, [factor], 1e-3)[0], rtol=1e-7)


def test_how_many_states_there_are_at_least_of_given_populations():
    """D! / (n_1! n_2! ...): as many as there are orders of the populations."""
    rows = [(0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.5, 0.5), (0.1, 0.2, 0.3, 0.4), (0.1, 0.1, 0.2, 0.6), (0.25,) * 4]
    for row in rows:
        orders = len(set(itertools.permutations(row)))
        assert int(index_of_all(jnp.array(row)[:, None], jnp.array([True]))) == orders
    kept = jnp.array(rows[:2]).T
    assert int(index_of_all(kept, jnp.array([True, True]))) == 4 * math.comb(4, 2)
    assert int(index_of_all(kept, jnp.array([True, False]))) == 4
    assert int(index_of_all(jnp.ones((1, 3)), jnp.array([True, False, True]))) == 4


def test_populations_that_do_not_fit_are_refused():
    dicke = dj.examples.paper_model(num_patterns=1)
    for model, populations, line in (
        (atoms(), [0.5, 0.5], r"^populations must be of shape \(3,\) or \(3, 1\); got shape \(2,\)."),
        (atoms(), [1.2, -0.1, -0.1], "^populations must be not negative; got -0.1 at index "),
        (atoms(), [0.5, 0.3, 0.1], "^sum of populations must be 1; got 0.9"),
        (dicke, [0.5, 0.5], "^populations must be left out for a DickeModel"),
    ):
        with pytest.raises(ValueError, match=line):
            dj.stationary_states(KEY, model, populations=populations)
