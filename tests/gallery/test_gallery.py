"""Each model of the gallery gives the number that its docstring promises, derived here once more."""

import numpy as np
import pytest

import dicke_jax as dj

G = dj.gallery
DOWN = dj.MeanFieldState([[0.0], [0.0], [-1.0]], [0.0])
DOWN_ALONE = dj.MeanFieldState([[0.0], [0.0], [-1.0]], [])
LEFT = dj.MeanFieldState([[-1.0], [0.0], [0.0]], [])


def normal_state_matrix(omega, omega0, co, anti, kappa):
    """Of x, y, Re alpha, Im alpha around z = -1, with h = ... + co Re(alpha) x + anti Im(alpha) y."""
    return np.array(
        [
            [0, -omega0, 0, -2 * anti],
            [omega0, 0, 2 * co, 0],
            [0, anti / 2, -kappa / 2, omega],
            [-co / 2, 0, -omega, -kappa / 2],
        ]
    )


@pytest.mark.parametrize("rotating, counter", [(0.9, 0.0), (0.9, 0.2), (0.4, 0.9), (0.2, 0.15)])
def test_the_unbalanced_model_s_normal_state(rotating, counter):
    omega, omega0, kappa = 1.1, 0.7, 0.5
    model = G.unbalanced_dicke(omega, omega0, rotating, counter, kappa)
    expected = np.linalg.eigvals(normal_state_matrix(omega, omega0, rotating + counter, counter - rotating, kappa))
    result = dj.stability(model, DOWN)
    np.testing.assert_allclose(np.sort(result.eigenvalues.real), np.sort(expected.real), atol=1e-9)
    assert bool(result.is_stable) == bool(np.max(expected.real) < 1e-9)
    assert counter or result.is_stable  # Tavis and Cummings: nothing but loss


def test_where_the_balanced_and_the_nonlinear_model_leave_it():
    omega, omega0, kappa, U = 1.1, 0.7, 0.5, 0.6
    mode = omega - U / 2
    shifted = np.sqrt(omega0 * (mode**2 + kappa**2 / 4) / mode) / 2
    balanced = np.sqrt(omega0 * (omega**2 + kappa**2 / 4) / omega) / 2
    for factor in (0.999, 1.001):
        g = factor * balanced
        assert bool(dj.stability(G.unbalanced_dicke(omega, omega0, g, g, kappa), DOWN).is_stable) == (factor < 1)
        model = G.nonlinear_dicke(omega, omega0, factor * shifted, U, kappa)
        assert bool(dj.stability(model, DOWN).is_stable) == (factor < 1)
        expected = np.linalg.eigvals(normal_state_matrix(mode, omega0, 2 * factor * shifted, 0, kappa))
        np.testing.assert_allclose(dj.stability(model, DOWN).growth_rate, np.max(expected.real), atol=1e-9)


def two_photon_states(omega, omega0, g, kappa, decay):
    """Both states at rest with photons and x > 0; none where the root is complex.

    (i omega + kappa/2) alpha = -i g x alpha^*, so that g |x| = |i omega + kappa/2|; with B = 2 g Re alpha^2 the spin's
    y = -decay x / (2 omega0), z = -1 - B x / (2 omega0), and B is a root of a quadratic equation.
    """
    x = np.hypot(omega, kappa / 2) / g
    under = 1 - 2 * x**2 * (1 + decay**2 / (4 * omega0**2))
    if under < 0:
        return []
    found = []
    for sign in (-1, 1):
        B = omega0 / x * (-1 + sign * np.sqrt(under))
        m = [[x], [-decay * x / (2 * omega0)], [-1 - B * x / (2 * omega0)]]
        phase = np.angle(-1j * g * x / (1j * omega + kappa / 2)) / 2
        found.append(dj.MeanFieldState(m, [np.sqrt(-B * x / (2 * omega)) * np.exp(1j * phase)]))
    return found


def test_the_two_photon_model_is_bistable_beyond_its_coupling():
    omega, omega0, kappa, decay = 1.0, 0.8, 0.6, 0.5
    least = np.sqrt(2 * (omega**2 + kappa**2 / 4) * (1 + decay**2 / (4 * omega0**2)))
    assert not two_photon_states(omega, omega0, 0.999 * least, kappa, decay)
    model = G.two_photon_dicke(omega, omega0, 1.1 * least, kappa, decay)
    with_photons = [dj.stability(model, s) for s in two_photon_states(omega, omega0, 1.1 * least, kappa, decay)]
    assert len(with_photons) == 2  # at rest, or `stability` had refused them
    assert dj.stability(model, DOWN).is_stable


def ordered(strength, field, decay):
    """Z of the states with x = -A / (6 strength z): 3 strength z^4 / B - z + A / (6 strength) = 0."""
    B = 2 * field
    A = B + decay**2 / (4 * B)
    roots = np.roots([3 * strength / B, 0, 0, -1, A / (6 * strength)])
    z = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
    return [dj.MeanFieldState([[-A / (6 * strength * x)], [decay * x / (2 * B)], [x]], []) for x in z if 0 < x <= 1]


def test_p_spins_order_continuously_for_two_and_by_a_fold_for_three():
    field, decay = 0.5, 2.0
    B = 2 * field
    A = B + decay**2 / (4 * B)
    for factor in (0.999, 1.001):
        assert bool(dj.stability(G.p_spin(2, factor * A / 4, field, decay), LEFT).is_stable) == (factor < 1)
    fold = (2 / 9 * A * (12 / B) ** (1 / 3)) ** 1.5
    assert ordered(0.999 * fold, field, decay) == []
    inner, outer = ordered(1.02 * fold, field, decay)
    model = G.p_spin(3, 1.02 * fold, field, decay)
    assert dj.stability(model, outer).is_stable and not dj.stability(model, inner).is_stable
    assert dj.stability(model, LEFT).is_stable


@pytest.mark.parametrize("J", [(1.0, 2.0, 0.5), (0.5, 1.3, 0.8)])
def test_the_paramagnet_of_xyz_spins(J):
    (Jx, Jy, Jz), decay = J, 1.0
    matrix = np.array([[-decay / 2, -2 * (Jy - Jz), 0], [2 * (Jx - Jz), -decay / 2, 0], [0, 0, -decay]])
    result = dj.stability(G.dissipative_xyz(J, decay), DOWN_ALONE)
    expected = np.linalg.eigvals(matrix)
    np.testing.assert_allclose(np.sort(result.eigenvalues.real), np.sort(expected.real), atol=1e-9)
    assert bool(result.is_stable) == (16 * (Jx - Jz) * (Jz - Jy) < decay**2)


def test_what_is_no_such_model_is_refused():
    with pytest.raises(ValueError, match=r"J must be of shape \(3,\), J_x, J_y and J_z; got shape \(2,\)"):
        G.dissipative_xyz([1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="p must be a whole number of at least 2; got 1"):
        G.p_spin(1, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="kappa must be not negative; got -1"):
        G.boundary_time_crystal(1.0, -1.0)
    with pytest.raises(ValueError, match="energy.omega0 must be a number, an array or a function of time .*; got 'a'"):
        G.boundary_time_crystal("a", 1.0)
