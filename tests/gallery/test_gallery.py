"""Each model of the gallery gives the number that its docstring promises, derived here once more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

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


def test_the_two_photon_model_is_bistable_where_spins_decay_fast():
    omega, omega0, kappa, decay = 1.0, 12.0, 4.0, 4.0
    least = np.sqrt(2 * (omega**2 + kappa**2 / 4) * (1 + decay**2 / (4 * omega0**2)))
    assert not two_photon_states(omega, omega0, 0.999 * least, kappa, decay)
    model = G.two_photon_dicke(omega, omega0, 6.0, kappa, decay)
    with_photons = two_photon_states(omega, omega0, 6.0, kappa, decay)
    few, many = sorted(with_photons, key=lambda state: abs(state.alpha[0]))
    assert [bool(dj.stability(model, state).is_stable) for state in (DOWN, few, many)] == [True, False, True]
    (x, z), g = (0.4, -np.sqrt(1 - 0.4**2)), np.hypot(omega, kappa / 2) / 0.4
    phase = np.angle(-1j / (1j * omega + kappa / 2)) / 2
    alone = dj.MeanFieldState([[x], [0.0], [z]], [np.sqrt(-omega0 * x**2 / (2 * omega * z)) * np.exp(1j * phase)])
    assert not dj.stability(G.two_photon_dicke(omega, omega0, g, kappa), alone).is_stable


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


def rates(model, m):
    """Of many states of spins alone, (T, 3, 1)."""
    return np.asarray(jax.jit(jax.vmap(lambda m: model.rate_of_change(0.0, (m, jnp.zeros((2, 0))))[0]))(jnp.asarray(m)))


def along(m):
    return np.moveaxis(np.array(m), -1, 0)[..., None]


def test_spins_that_exchange_and_emit_follow_the_closed_form():
    chi, delta, Gamma, r = 0.7, 0.3, 0.5, 0.8
    tau = Gamma * r * np.linspace(-3, 3, 7)
    phi, phi_dot = (
        delta * tau / (Gamma * r) + 2 * chi / Gamma * np.log(np.cosh(tau)),
        delta + 2 * chi * r * np.tanh(tau),
    )
    s, s_dot, z_dot = r / np.cosh(tau), -Gamma * r**2 * np.tanh(tau) / np.cosh(tau), -Gamma * (r / np.cosh(tau)) ** 2
    m = [s * np.cos(phi), s * np.sin(phi), -r * np.tanh(tau)]
    expected = [s_dot * np.cos(phi) - phi_dot * m[1], s_dot * np.sin(phi) + phi_dot * m[0], z_dot]
    np.testing.assert_allclose(rates(G.spin_exchange(chi, delta, Gamma), along(m)), along(expected), atol=1e-14)


def test_the_superradiant_laser_turns_at_the_rate_of_exchange():
    """In the frame that turns with it, delta = 2 chi z, it is at rest at any phase."""
    chi, Gamma, pump = 0.4, 0.7, 0.5
    z = pump / (2 * Gamma)
    light = dj.MeanFieldState([[np.sqrt(2 * z * (1 - z))], [0.0], [z]], [])
    result = dj.stability(G.spin_exchange(chi, 2 * chi * z, Gamma, pump), light)
    assert result.is_stable and int(result.num_neutral) == 1
    at_top = dj.stability(G.spin_exchange(chi, 0.1, Gamma, pump), dj.MeanFieldState([[0.0], [0.0], [1.0]], []))
    np.testing.assert_allclose(at_top.growth_rate, Gamma - pump / 2, atol=1e-9)


def test_noise_of_a_kossakowski_matrix():
    """Its antisymmetric part pulls: along c and in a field along c by a closed form, else as written out."""
    rng = np.random.default_rng(1)
    A, field, m = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)), rng.normal(size=3), rng.normal(size=(4, 3))
    C = (A.T @ A.conj()).imag
    c = np.array([C[1, 2], C[2, 0], C[0, 1]])
    expected = np.cross(field, m) + 2 * np.cross(m, np.cross(m, c))
    found = rates(G.collective_noise(A, field), m[..., None])
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-13)
    u = m @ c / np.linalg.norm(c)
    pulled = np.sum(expected * c, axis=1) / np.linalg.norm(c)
    turning = np.cross(field, m) @ c / np.linalg.norm(c)
    np.testing.assert_allclose(pulled - turning, 2 * np.linalg.norm(c) * (u**2 - np.sum(m**2, axis=1)), atol=1e-13)
    lowering = np.sqrt(0.6 / 2) * np.array([[1, -1j, 0]])
    crystal = rates(G.boundary_time_crystal(0.9, 0.6), m[..., None])
    same = rates(G.collective_noise(lowering, [0.9, 0.0, 0.0]), m[..., None])
    np.testing.assert_allclose(same, crystal, atol=1e-14)


def test_spins_trap_themselves():
    lowest = []
    for chi in (1.98, 2.02):
        model = G.polynomial_spins([(0, 0, 2), (1, 0, 0)], [chi / 4, 0.5])
        flow = jax.jit(lambda m, model=model: model.rate_of_change(0.0, (m[:, None], jnp.zeros((2, 0))))[0][:, 0])
        run = solve_ivp(
            lambda t, m, flow=flow: flow(m), (0, 20), [0.0, 0.0, 1.0], method="DOP853", rtol=1e-9, atol=1e-10
        )
        x, y, z = run.y
        np.testing.assert_allclose(chi * z**2 / 4 + x / 2, chi / 4, atol=1e-7)
        np.testing.assert_allclose(x**2 + y**2 + z**2, 1, atol=1e-7)
        lowest.append(np.min(z))
    assert lowest[0] < -0.9 and lowest[1] > 0


def ordered_ensembles(omega, omega0, g, kappa, signs, share):
    """At rest: z_k = -s_k omega0 / (2 b), b = 2 g^2 omega sum w s / (omega^2 + kappa^2 / 4)."""
    weights, signs, couplings = np.array([share, 1 - share]), np.array(signs), np.array([g, -g])
    b = 2 * g**2 * omega * np.sum(weights * signs) / (omega**2 + kappa**2 / 4)
    x = -signs * np.sign(couplings) * np.sqrt(1 - (omega0 / (2 * b)) ** 2)
    alpha = -1j * np.sum(weights * couplings * x) / (1j * omega + kappa / 2)
    return dj.MeanFieldState([x, np.zeros(2), -signs * omega0 / (2 * b)], [alpha])


def test_two_ensembles_have_two_kinds_of_order():
    omega, omega0, kappa, share = 1.1, 0.7, 0.5, 0.7
    g = 1.1 * np.sqrt(omega0 * (omega**2 + kappa**2 / 4) / omega / (2 * share - 1)) / 2
    model = G.two_ensemble_dicke(omega, omega0, [g, -g], kappa, share)
    for signs in ((1, 1), (1, -1)):
        state = ordered_ensembles(omega, omega0, g, kappa, signs, share)
        assert dj.stability(model, state).is_stable and signs[0] * signs[1] * state.m[0, 0] * state.m[0, 1] < 0


@pytest.mark.parametrize("g, kappa", [(0.1, 2.0), (0.5, 1.0)])
def test_quadratures_leave_the_normal_state_at_any_coupling(g, kappa):
    omega, omega0 = 0.7, 0.9
    cubic = np.polyadd(np.polymul([1, 0, omega0**2], [1, kappa / 2 - 1j * omega]), [2j * omega0 * g**2])
    down = dj.MeanFieldState([[0.0, 0.0], [0.0, 0.0], [-1.0, -1.0]], [0.0])
    growth = dj.stability(G.quadrature_dicke(omega, omega0, g, kappa), down).growth_rate
    np.testing.assert_allclose(growth, np.max(np.roots(cubic).real), atol=1e-9)
    assert growth > 0


def test_a_driven_kerr_mode_is_bistable():
    omega, kappa, kerr, drive = -1.5, 0.6, 1.0, 0.6
    photons = np.roots([kerr**2, 2 * omega * kerr, omega**2 + kappa**2 / 4, -(drive**2)])
    assert np.all(np.abs(photons.imag) < 1e-9)
    model = G.dicke_ring(1, omega, 0.8, 0.0, kappa, kerr=kerr, drive=drive)
    stable = [
        bool(
            dj.stability(
                model, dj.MeanFieldState(DOWN.m, [-1j * drive / (1j * (omega + kerr * q) + kappa / 2)])
            ).is_stable
        )
        for q in np.sort(photons.real)
    ]
    assert stable == [True, False, True]


def test_what_is_no_such_model_is_refused():
    with pytest.raises(ValueError, match=r"J must be of shape \(3,\), J_x, J_y and J_z; got shape \(2,\)"):
        G.dissipative_xyz([1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="p must be a whole number of at least 2; got 1"):
        G.p_spin(1, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="kappa must be not negative; got -1"):
        G.boundary_time_crystal(1.0, -1.0)
    with pytest.raises(ValueError, match="energy.omega0 must be a number, an array or a function of time .*; got 'a'"):
        G.boundary_time_crystal("a", 1.0)
    for refused, message in (
        (lambda: G.dicke_ring(0, 1.0, 1.0, 1.0, 1.0), "num_sites must be a whole number of at least 1; got 0"),
        (lambda: G.two_ensemble_dicke(1.0, 1.0, [1.0], 1.0), r"g must be of shape \(2,\), one for each ensemble"),
        (lambda: G.two_ensemble_dicke(1.0, 1.0, [1.0, 2.0], 1.0, 1.5), "share must be from 0 to 1; got 1.5"),
        (lambda: G.collective_noise([1.0, 2.0], [0.0, 0.0, 1.0]), r"A must be of shape \(J, 3\), a row for each jump"),
        (lambda: G.collective_noise([[1.0, 1j, 0.0]], [1.0]), r"field must be of shape \(3,\), along x, y and z"),
        (lambda: G.polynomial_spins([(1, 0)], [1.0]), "powers must be three whole numbers from 0 for each term; got"),
        (
            lambda: G.polynomial_spins([(1, 0, -1)], [1.0]),
            "powers must be three whole numbers from 0 for each term; got",
        ),
        (
            lambda: G.polynomial_spins([(1, 0, 0)], [1.0, 2.0]),
            r"coefficients must be of shape \(1,\), one for each term",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            refused()
