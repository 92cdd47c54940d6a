"""Critical couplings, against SciPy on spectra and equations written out here."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import growth_of_written_out, paper, rates_of, sampled, written_out_jacobian
from scipy.optimize import brentq, fsolve

import dicke_jax as dj

KEY = jax.random.key(0)


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


def test_mixed_signs_of_patterns_that_are_not_orthogonal_are_not_decided():
    """One spin that both modes see: the first damps what the second lets grow (found by the fuzzer).

    0 was said of the normal state, which eigenvalues call stable at g0 = .2, and inf of a sample's patterns.
    """
    spins = dj.LargeSpins(dj.DenseCouplings([[1.0], [1.0]]), [1.0])
    model = dj.DickeModel(spins, 0.5, jnp.array([1.0, -3.0]), 1.0, 0.2)
    normal = np.array([[-1.0], [0.0], [0.0]])
    rates = np.linalg.eigvals(written_out_jacobian(model, normal, np.zeros(2)))
    assert np.sort(rates.real)[-2] < -1e-4  # besides the spin's length
    assert np.isnan(dj.critical_coupling(model, kind="normal"))
    assert np.isnan(dj.critical_coupling(sampled(2, g0=1.2, omega_mode=[1.5, -2.0]), 0, kind="stability"))


def test_patterns_that_are_alike_are_memories_both():
    spins = dj.LargeSpins(dj.DenseCouplings([[1.0, 1.0], [1.0, -1.0], [1.0, -1.0]]), [0.5, 0.5])
    model = dj.DickeModel(spins, 0.5, jnp.array([1.0, 1.5, 1.5]), 1.0, 1.0)
    first, second = (float(dj.critical_coupling(model, nu, kind="existence")) for nu in (1, 2))
    # modes that pull alike pull as one, of twice the strength
    assert first == second == pytest.approx(np.sqrt(0.5 * (1.5**2 + 0.25) / (2 * 2 * 1.5)), rel=1e-9)


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


@pytest.mark.parametrize("kind", ["normal", "existence", pytest.param("stability", marks=pytest.mark.slow)])
def test_dissipation_that_vanishes_leaves_the_closed_form(kind):
    """g0^2 = Omega (Omega_1^2 + kappa^2 / 4) / (2 Omega_1), off by the square of the decay rate."""

    def threshold(rate):
        jumps = dj.LocalDissipation([("decay_x", rate)])
        model = dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, 1.0, 1.0, 1.0, dissipation=jumps)
        return dj.critical_coupling(model, 0, kind=kind)

    found = jax.vmap(threshold)(jnp.array([0.0, 1e-12, 1e-9, 1e-7]))
    np.testing.assert_allclose(found, np.sqrt(0.5 * 1.25 / 2), rtol=1e-10)


def test_a_mode_that_turns_no_spin_changes_no_threshold():
    """Omega_1 = 0: mode 1 pulls nothing, and mode 2's closed form stays, as a spectrum written out says."""
    model = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, jnp.array([0.0, 1.2]), 1.0, 1.0)
    right = np.sqrt(0.5 * (1.2**2 + 0.25) / (2 * 1.2))
    for kind in ("normal", "stability"):
        np.testing.assert_allclose(dj.critical_coupling(model, 1, kind=kind), right, rtol=1e-10)
    x = np.stack([-np.ones(model.num_subsets), *np.zeros((2, model.num_subsets))])
    keep = slice(model.num_subsets, None)

    def growth(share):
        A = written_out_jacobian(model.replace(g0=share * right), x, np.zeros(2))[keep, keep]
        return np.max(np.linalg.eigvals(A).real)

    assert growth(0.99) < 1e-9 < 1e-3 < growth(1.01)


def test_spins_that_do_not_precess_never_leave_the_normal_state():
    model = dj.DickeModel(dj.LargeSpins.hypercube(1), 0.0, 1.0, 1.0, 1.0)
    assert dj.critical_coupling(model, 0, kind="normal") == np.inf
