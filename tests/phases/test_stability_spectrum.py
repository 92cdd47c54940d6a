"""Spectra of stationary states, against NumPy on the Jacobian written out entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import paper, sampled, written_out_jacobian

import dicke_jax as dj

KEY = jax.random.key(0)


def without_lengths(values, num_subsets):
    """The spectrum of the written-out Jacobian less its K zero modes, one for each spin length."""
    return np.sort_complex(values[np.argsort(np.abs(values))][num_subsets:])


def same_spectrum(a, b, atol):
    """Every eigenvalue of one list has its own in the other, whatever their order."""
    a, b = list(np.asarray(a)), list(np.asarray(b))
    assert len(a) == len(b)
    for value in a:
        nearest = int(np.argmin(np.abs(np.array(b) - value)))
        assert abs(b.pop(nearest) - value) < atol


@pytest.mark.parametrize("nu", [0, 3])
@pytest.mark.parametrize("g0", [0.95, 1.6])
def test_spectrum_of_a_pattern_against_numpy_and_the_quartic(g0, nu):
    """Four roots for each mode, K - M dark pairs at +-i w: the closed form, and the Jacobian written out."""
    model = paper(g0)
    state = dj.retrieval_state(model, nu)
    result = dj.stability(model, state)
    expected = without_lengths(np.linalg.eigvals(written_out_jacobian(model, state.m, state.alpha)), 8)
    same_spectrum(result.eigenvalues, expected, 1e-7)

    omega_mode, g_nu = np.asarray(model.omega_mode), float(dj.critical_coupling(model, nu))
    w, quartics = 2 * 0.5 * (g0 / g_nu) ** 2, []
    for mode in omega_mode:
        mode_part = np.polynomial.polynomial.polyfromroots([-0.5 + 1j * mode, -0.5 - 1j * mode]).real
        poly = np.polynomial.polynomial.polymul([w**2, 0, 1], mode_part)
        poly[0] -= 8 * 0.5 * mode * g_nu**2
        quartics += list(np.polynomial.polynomial.polyroots(poly))
    same_spectrum(result.eigenvalues, [*quartics, *[1j * w] * 4, *[-1j * w] * 4], 1e-7)
    assert int(result.num_neutral) == 8
    assert int(result.num_growing) == int(np.sum(np.real(quartics) > 1e-9))
    assert bool(result.is_stable) == (g0 > float(dj.critical_coupling(model, nu, kind="stability")))


def test_the_subspace_of_the_modes_has_the_whole_spectrum():
    """The matrix-free route against the matrix, where it ends early, where it does not, and with dissipation."""
    decay = dj.LocalDissipation([("decay_x", 0.1)])
    mixed = dj.stationary_states(KEY, paper(1.2, 3))
    cases = [
        (paper(0.95), dj.retrieval_state(paper(0.95), 3)),
        (paper(1.2, 3), mixed.state(len(mixed) - 1)),
        (sampled(3), dj.stationary_state(sampled(3), [0.0, 0.0, 1.0])[0]),
        (
            damped := paper(1.2, 3, dissipation=decay),
            dj.stationary_state(damped, [0.0, 0.6, 0.0])[0],
        ),
    ]
    for model, state in cases:
        dense, krylov = (dj.stability(model, state, method=method) for method in ("dense", "krylov"))
        assert krylov.complete
        for name in ("num_growing", "num_neutral", "num_decaying"):
            assert int(getattr(dense, name)) == int(getattr(krylov, name))
        seen = np.asarray(krylov.eigenvalues)
        assert max(np.min(np.abs(np.asarray(dense.eigenvalues) - value)) for value in seen) < 1e-7
        assert float(krylov.growth_rate) == pytest.approx(float(dense.growth_rate), abs=1e-8)
        growing = int(dense.num_growing)
        np.testing.assert_allclose(krylov.directions[:growing], dense.directions[:growing], atol=1e-6)


@pytest.mark.slow
def test_twelve_patterns_by_their_structure():
    """K = 2048: the spectrum of 4120 rows from 48, against the quartic of the easiest other pattern."""
    model = paper(1.05, 12)
    result = dj.stability(model, dj.retrieval_state(model, 4))
    assert result.complete and result.eigenvalues.size == 48
    assert int(result.num_growing + result.num_neutral + result.num_decaying) == 2 * 2048 + 2 * 12
    g = [float(dj.critical_coupling(model, nu)) for nu in range(12)]
    growing = sum(g[4] * np.sqrt(g[4] / other) > 1.05 for other in g[:4])
    assert int(result.num_growing) == growing > 0
    assert f"towards pattern {1 + int(np.argmax(result.directions[0]))}" in repr(result)


def test_growing_directions_are_those_of_easier_patterns():
    model = paper(0.95)
    result = dj.stability(model, dj.retrieval_state(model, 3))
    assert not result.is_stable and int(result.num_growing) == 2
    np.testing.assert_allclose(result.directions[:2], np.eye(4)[:2], atol=1e-9)
    assert "towards pattern 1" in repr(result) and "towards pattern 2" in repr(result)


def test_a_run_leaves_an_unstable_pattern_as_its_stability_says():
    """At an unstable pattern plus 1e-4: the fastest direction wins; above the stability threshold it stays."""

    def end_of(g0, nu):
        model = paper(g0)
        state = dj.retrieval_state(model, nu)
        noise = 1e-4 * jax.random.normal(KEY, state.m.shape)
        m = state.m + noise
        m /= jnp.linalg.norm(m, axis=0, keepdims=True)
        sol = dj.mfsolve(model, dj.MeanFieldState(m, state.alpha), jnp.linspace(0.0, 300.0, 61))
        return dj.stability(model, state), np.abs(np.asarray(sol.overlaps[-30:])).mean(axis=0)

    unstable, left = end_of(0.95, 3)
    assert not unstable.is_stable and np.argmax(unstable.directions[0]) == 0
    assert left[0] > 0.8 and left[3] < 0.1
    stable, stayed = end_of(1.1, 3)
    assert stable.is_stable
    np.testing.assert_allclose(stayed, [0, 0, 0, float(dj.retrieval_overlap(paper(1.1), 3))], atol=1e-3)
