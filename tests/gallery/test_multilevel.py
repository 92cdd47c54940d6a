"""Atoms with several levels: where the normal state is left, derived once more, and what runs end in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences
from scipy.optimize import brentq

import dicke_jax as dj

OMEGA, KAPPA = 1.1, 0.5
KINDS = {  # energies, couplings above the diagonal, the level that is left
    "V": ([0.0, 0.7, 1.1], {(0, 1): 0.5, (0, 2): 0.4}, 0),
    "ladder": ([0.0, 0.6, 1.5], {(0, 1): 0.6, (1, 2): 0.8}, 0),
    "spin 1, quadratic shift": ([1.2, 0.0, 0.6], {(0, 1): 0.5**0.5, (1, 2): 0.5**0.5}, 1),
    "four levels": ([0.9, 0.4, 0.0, 1.3], {(0, 2): 0.5, (1, 2): 0.2, (2, 3): 0.3, (0, 1): 0.4}, 2),
}


def built(kind, factor=1.0):
    energies, pairs, left = KINDS[kind]
    G = np.zeros((len(energies),) * 2)
    for pair, g in pairs.items():
        G[pair] = factor * g
    return np.array(energies), G, left


def level(n, d, alpha=0.0):
    return dj.MeanFieldState(dj.bloch_vectors(np.diag(np.arange(d) == n) * 1.0), [alpha])


def around_normal(energies, G, left):
    """Of c_m = <|n><m|>, Re and Im, for m other than n, and of Re and Im alpha: their linear equations."""
    both, others = G + G.T, [m for m in range(len(energies)) if m != left]
    A = np.zeros((2 * len(others) + 2,) * 2)
    for i, m in enumerate(others):
        gap, g = energies[m] - energies[left], both[left, m]
        A[2 * i, 2 * i + 1], A[2 * i + 1, 2 * i] = gap, -gap
        A[2 * i + 1, -2] = -2 * g
        A[-1, 2 * i] = -2 * g
    A[-2:, -2:] = [[-KAPPA / 2, OMEGA], [-OMEGA, -KAPPA / 2]]
    return A


@pytest.mark.parametrize("kind", KINDS)
def test_where_the_normal_state_is_left(kind):
    energies, G, left = built(kind)
    both = G + G.T
    others = np.arange(len(energies)) != left
    couplings, gaps = both[left, others], energies[others] - energies[left]
    closed = np.sum(4 * couplings**2 / gaps) * OMEGA / (OMEGA**2 + KAPPA**2 / 4)
    growth = lambda f: np.max(np.linalg.eigvals(around_normal(energies, f * G, left)).real)  # noqa: E731
    edge = brentq(lambda f: np.linalg.det(around_normal(energies, f * G, left)), 0.1, 5.0, xtol=1e-14)
    np.testing.assert_allclose(edge, closed**-0.5, rtol=1e-9)
    for factor in (0.99, 1.01):
        model = dj.gallery.multilevel_dicke(OMEGA, energies, factor * edge * G, KAPPA)
        found = dj.stability(model, level(left, len(energies)))
        assert bool(found.is_stable) == (factor < 1)
        if factor > 1:
            np.testing.assert_allclose(found.growth_rate, growth(factor * edge), atol=1e-10)
        # what is conserved, coherences among levels that no atom is in, and with levels that light does not lead to
        assert int(found.num_neutral) == (len(energies) - 1) ** 2 + 2 * np.sum(couplings == 0)


RISING = np.array([1.0, 0.1, -0.1]) / np.sqrt(1.02)
LOSSES = dj.LocalDissipation([(np.eye(3, k=1), 0.1), (np.array([[0, 0, 0.5], [0, 0, 0.3j], [0, 0, 0]]), 0.2)])


@pytest.mark.slow
@pytest.mark.parametrize("dissipation", [None, LOSSES], ids=["unitary", "with losses"])
def test_runs_end_in_superradiance_with_its_derivatives(dissipation):
    """At rest alpha = -2i G_nm Re <|n><m|> / (i omega + kappa / 2), and the derivative is that of differences."""
    energies, G, _ = built("V")
    model = dj.gallery.multilevel_dicke(OMEGA, energies, G, KAPPA, dissipation)
    start = dj.MeanFieldState(dj.bloch_vectors(np.outer(RISING, RISING)), [0.1])
    end = dj.steadystate(model, start)
    rho = np.asarray(dj.density_matrices(end.state.m))[0]
    assert bool(end.converged) and np.min(np.linalg.eigvalsh(rho)) > -1e-9 and end.occupations[0] > 0.05
    driven = np.sum(G * 2 * rho.real)
    np.testing.assert_allclose(end.state.alpha[0], -1j * driven / (1j * OMEGA + KAPPA / 2), atol=1e-8)
    assert bool(dj.stability(model, end.state).is_stable)
    photons = lambda p: dj.steadystate(model.replace(omega=p[0]), start, tol=1e-11).occupations[0]  # noqa: E731
    slope = jax.grad(photons)(np.array([OMEGA]))
    np.testing.assert_allclose(slope, differences(photons, [OMEGA], 3e-4), rtol=1e-6)


@pytest.mark.slow
def test_an_ensemble_s_rows_are_single_runs():
    energies, G, _ = built("V", 1.5)
    model = dj.gallery.multilevel_dicke(OMEGA, energies, G, KAPPA, LOSSES)
    states = jax.vmap(lambda key: dj.random_state(key, model, 0.2))(jax.random.split(jax.random.key(0), 5))
    many = dj.solve_ensemble(model, states, [0.0, 3.0], save="final")
    one = dj.mfsolve(model, jax.tree.map(lambda x: x[3], states), [0.0, 3.0])
    np.testing.assert_allclose(many.m[3], one.m[-1], atol=1e-12)
    assert np.min(np.linalg.eigvalsh(dj.density_matrices(jnp.asarray(many.m)))) > -1e-9
