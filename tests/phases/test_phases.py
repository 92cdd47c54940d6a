"""Stationary states, stability and critical couplings, against SciPy and NumPy on equations written out here."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import max_rate_of_change, paper, rates_of, sampled
from scipy.optimize import brentq, fsolve

import dicke_jax as dj

KEY = jax.random.key(0)


def written_out_jacobian(model, m, alpha, damping=None):
    """Of the right-hand side in the order x, y, z, Re alpha, Im alpha, entry by entry; damping: the matrix T."""
    G, w = np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    M, K = G.shape
    omega, omega_mode, kappa, g0 = (np.asarray(rate) for rate in rates_of(model))
    omega_mode, kappa = np.broadcast_to(omega_mode, M), np.broadcast_to(kappa, M)
    x, y, _ = np.asarray(m)
    h = 2 * np.real(alpha) @ G
    A = np.zeros((3 * K + 2 * M, 3 * K + 2 * M))
    for k in range(K):
        ix, iy, iz = k, K + k, 2 * K + k
        A[ix, iy], A[iy, ix] = -2 * g0 * h[k], 2 * g0 * h[k]
        A[iy, iz], A[iz, iy] = -2 * omega, 2 * omega
        if damping is not None:
            A[np.ix_([ix, iy, iz], [ix, iy, iz])] += damping
        for mu in range(M):
            A[ix, 3 * K + mu] = -4 * g0 * G[mu, k] * y[k]
            A[iy, 3 * K + mu] = 4 * g0 * G[mu, k] * x[k]
            A[3 * K + M + mu, iz] = -g0 * w[k] * G[mu, k]
    for mu in range(M):
        re, im = 3 * K + mu, 3 * K + M + mu
        A[re, re] = A[im, im] = -kappa[mu] / 2
        A[re, im], A[im, re] = omega_mode[mu], -omega_mode[mu]
    return A


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


def growth_of_written_out(model, m, alpha, damping=None):
    return np.max(np.linalg.eigvals(written_out_jacobian(model, m, alpha, damping)).real)


def test_normal_threshold_against_spectra():
    """Random rates, unequal kappa and weights: SciPy on the largest real part of the written-out Jacobian."""
    rng = np.random.default_rng(3)
    for _ in range(3):
        rates = dict(omega_spin=rng.uniform(0.3, 1), omega_mode=rng.uniform(0.8, 3, 3), kappa=rng.uniform(0.3, 2, 3))
        model = sampled(3, 200, **rates)
        x = np.stack([-np.ones(model.num_subsets), *np.zeros((2, model.num_subsets))])

        def determinant(g0, model=model, x=x):
            """Of the linearised equations in y, z and the modes, whose sign changes where one mode starts to grow."""
            A = written_out_jacobian(dataclasses.replace(model, g0=g0), x, np.zeros(3))
            keep = slice(model.num_subsets, None)
            return np.linalg.slogdet(A[keep, keep])[0]

        threshold = float(dj.critical_coupling(model, kind="normal"))
        grid = np.linspace(0.05, 2 * threshold, 200)
        signs = np.array([determinant(g0) for g0 in grid])
        first = np.flatnonzero(signs != signs[0])[0]
        expected = brentq(determinant, grid[first - 1], grid[first], xtol=1e-13)
        assert threshold == pytest.approx(expected, rel=1e-8)


def test_normal_threshold_with_dissipation_that_makes_spins_swing():
    """Spins pumped to +x give energy: an oscillation grows first, where no static threshold is."""
    up = (np.array([[0, -1j], [1j, 0]]) + 1j * np.diag([1.0, -1.0])) / 2  # towards +x
    model = paper(1.0, 2, dissipation=dj.LocalDissipation([(up, 0.3)]))
    x = np.stack([np.ones(2), np.zeros(2), np.zeros(2)])
    T = np.diag([-0.3, -0.15, -0.15])

    def growth(g0):
        return growth_of_written_out(dataclasses.replace(model, g0=g0), x, np.zeros(2), T)

    expected = brentq(growth, 0.01, 0.5, xtol=1e-13)
    assert float(dj.critical_coupling(model, kind="normal")) == pytest.approx(expected, rel=1e-8)


def random_rates(seed):
    rng = np.random.default_rng(seed)
    return dict(omega_spin=rng.uniform(0.3, 1), omega_mode=rng.uniform(0.8, 3, 3), kappa=rng.uniform(0.3, 2, 3))


@pytest.mark.parametrize("seed", [0, 1])
def test_thresholds_of_patterns_against_spectra(seed):
    """Existence and stability, closed form and root finding, against SciPy on the written-out Jacobian."""
    model = paper(1.0, 3, **random_rates(seed))
    for nu in range(3):
        g_nu = float(dj.critical_coupling(model, nu))
        assert float(dj.critical_coupling(model, nu, method="root finding")) == pytest.approx(g_nu, rel=1e-12)

        def determinant(g0, nu=nu, g_nu=g_nu, model=model):
            """Of the written-out Jacobian on the deviations that keep all lengths: its sign changes where one grows."""
            x, xi = -((g_nu / g0) ** 2), np.sqrt(1 - (g_nu / g0) ** 4)
            z, alpha = xi * np.asarray(model.spins.couplings)[nu], np.zeros(3, complex)
            alpha[nu] = -1j * g0 * xi / complex(model.kappa[nu] / 2, model.omega_mode[nu])
            at = dataclasses.replace(model, g0=g0)
            A = written_out_jacobian(at, np.stack([np.full(4, x), np.zeros(4), z]), alpha)
            basis = np.zeros((18, 14))
            for k in range(4):
                basis[[k, 8 + k], k] = z[k], -x
                basis[4 + k, 4 + k] = 1
            basis[12:, 8:] = np.eye(6)
            return np.linalg.det(basis.T @ A @ basis)

        stability = float(dj.critical_coupling(model, nu, kind="stability"))
        rooted = float(dj.critical_coupling(model, nu, kind="stability", method="root finding"))
        assert rooted == pytest.approx(stability, rel=1e-10)
        if stability > g_nu * (1 + 1e-3):
            expected = brentq(determinant, stability * (1 - 1e-3), stability * (1 + 1e-3), xtol=1e-14)
            assert stability == pytest.approx(expected, rel=1e-10)
        else:
            assert stability == pytest.approx(g_nu, rel=1e-12)


@pytest.mark.parametrize("kind", [pytest.param("existence", marks=pytest.mark.slow), "stability"])
def test_thresholds_of_sampled_patterns_against_scipy(kind):
    """The state is followed down by fsolve, written out here, to where it folds: det = 0, at the same coupling."""
    model = sampled(3)
    G, w = np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    omega, omega_mode, kappa, _ = (np.asarray(rate) for rate in rates_of(model))
    response = -2 * omega_mode / (omega_mode**2 + kappa**2 / 4)

    def equations(xi, g0):
        b = (g0**2 * response * xi) @ G
        slope = -(omega**2) / (omega**2 + b**2) ** 1.5
        defect = xi - G @ (w * -b / np.sqrt(omega**2 + b**2))
        return defect, np.eye(3) - (G * (w * slope)) @ G.T * (g0**2 * response)

    def folded(unknowns):
        """Xi = P(xi) and a null vector of its Jacobian: the fold, as one regular system in xi, v and g0."""
        xi, v = unknowns[:3], unknowns[3:6]
        defect, jacobian = equations(xi, unknowns[6])
        return [*defect, *(jacobian @ v), v @ v - 1]

    xi, g0 = np.array([0.0, 0.0, 0.9]), 1.3
    for g0 in np.arange(1.3, 0.9, -1e-3):  # down by small steps, until the state is lost
        new, _, flag, _ = fsolve(lambda xi, g0=g0: equations(xi, g0)[0], xi, full_output=True, xtol=1e-12)
        if flag != 1 or np.max(np.abs(new - xi)) > 0.05:
            break
        xi = new
    null = np.linalg.svd(equations(xi, g0)[1])[2][-1]
    solution = fsolve(folded, [*xi, *null, g0], xtol=1e-12)
    assert np.max(np.abs(folded(solution))) < 1e-12
    threshold = float(dj.critical_coupling(model, 2, kind=kind))
    assert threshold == pytest.approx(solution[6], rel=1e-8)


@pytest.mark.slow
def test_thresholds_with_decay_against_spectra_of_integrated_states():
    """SciPy on the written-out Jacobian at the state that the equations themselves relax to."""
    rate = 0.2
    model = paper(1.0, 2, dissipation=dj.LocalDissipation([("decay_x", rate)]))
    T = np.diag([-rate, -rate / 2, -rate / 2])
    threshold = float(dj.critical_coupling(model, 1, kind="stability"))
    assert threshold > float(dj.critical_coupling(model, 1)) > float(dj.critical_coupling(model, kind="normal"))

    def growth(g0):
        at = dataclasses.replace(model, g0=g0)
        end = dj.steadystate(at, dj.stored_pattern(at, 1), tol=1e-12)  # its subspace, in which it is stable
        assert end.converged
        return growth_of_written_out(at, end.state.m, np.asarray(end.state.alpha), T)

    expected = brentq(growth, threshold * (1 - 1e-3), threshold * (1 + 1e-3), xtol=1e-12)
    assert threshold == pytest.approx(expected, rel=1e-8)


def test_mixed_signs_leave_nothing_stable():
    model = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, jnp.array([1.5, -2.0]), 1.0, 1.3)
    assert float(dj.critical_coupling(model, kind="normal")) == 0.0
    for method in ("closed form", "root finding"):
        assert float(dj.critical_coupling(model, 0, kind="stability", method=method)) == np.inf
    for side, nu in ((1, 0), (-1, 1)):
        states = dj.stationary_states(KEY, model, spin_alignment=side)
        assert not states.is_stable.any()
        assert np.argmax(np.abs(states.overlaps[-1])) == nu
    negative = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, jnp.array([-1.5, -2.0]), 1.0, 1.3)
    positive = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, jnp.array([1.5, 2.0]), 1.0, 1.3)
    for kind in ("normal", "existence", "stability"):
        a, b = (float(dj.critical_coupling(m, 1, kind=kind, method="root finding")) for m in (negative, positive))
        assert a == pytest.approx(b, rel=1e-12)


def test_shorter_spins_need_more_coupling():
    model, length = paper(1.0, 2), 0.6
    for kind in ("existence", "stability"):
        closed = float(dj.critical_coupling(model, 1, kind=kind, spin_length=length))
        rooted = float(dj.critical_coupling(model, 1, kind=kind, spin_length=length, method="root finding"))
        assert closed == pytest.approx(rooted, rel=1e-11)
        assert closed == pytest.approx(float(dj.critical_coupling(model, 1, kind=kind)) / np.sqrt(length), rel=1e-12)


@pytest.mark.slow
def test_float32_finds_the_same_to_its_accuracy():
    """States and thresholds by root finding, none of them by a closed form; a wrong sign of anything would show."""
    single = paper(1.0, 3, omega_mode=np.array([1.5, 2.0, 2.5], np.float32))
    states, double = dj.stationary_states(KEY, single), dj.stationary_states(KEY, paper(1.0, 3))
    assert single.dtype == jnp.float32 and states.looks_complete
    np.testing.assert_allclose(np.abs(states.overlaps), np.abs(double.overlaps), atol=1e-5)
    np.testing.assert_array_equal(states.num_growing, double.num_growing)
    for kind in ("normal", "existence", "stability"):
        a, b = (float(dj.critical_coupling(m, 2, kind=kind, method="root finding")) for m in (single, paper(1.0, 3)))
        assert a == pytest.approx(b, rel=1e-5)
