"""Sites of d levels: generators, states, and the equations against density matrices in NumPy alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dicke_jax as dj
from dicke_jax.mean_field.site_levels import away_from, populations, structure_constants, turning_part

RNG = np.random.default_rng(3)


def random_matrix(d):
    return RNG.normal(size=(d, d)) + 1j * RNG.normal(size=(d, d))


def random_rho(d, rank=None):
    A = random_matrix(d)[:, :rank]
    rho = A @ A.conj().T
    return rho / np.trace(rho)


def hermitian(d):
    A = random_matrix(d)
    return (A + A.conj().T) / 2


@pytest.mark.parametrize("d", [2, 3, 4])
def test_generators_are_orthogonal_and_close_under_commutation(d):
    g = dj.gell_mann(d)
    np.testing.assert_allclose(np.einsum("aij,bji->ab", g, g), 2 * np.eye(d**2 - 1), atol=1e-14)
    np.testing.assert_allclose(np.trace(g, axis1=1, axis2=2), 0, atol=1e-14)
    commutators = np.einsum("aij,bjk->abik", g, g) - np.einsum("bij,ajk->abik", g, g)
    np.testing.assert_allclose(commutators, 2j * np.einsum("abc,cij->abij", structure_constants(d), g), atol=1e-14)


def test_those_of_spins_are_pauli_s_matrices():
    np.testing.assert_array_equal(dj.gell_mann(2), [[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    np.testing.assert_array_equal(structure_constants(2), np.cross(np.eye(3)[:, None], np.eye(3)[None]))


@pytest.mark.parametrize("d", [2, 3, 4])
def test_states_from_density_matrices_and_back(d):
    rho = np.stack([random_rho(d), random_rho(d, 1)])
    m = dj.bloch_vectors(rho)
    np.testing.assert_allclose(m, np.einsum("kij,aji->ak", rho, dj.gell_mann(d)).real, atol=1e-14)
    np.testing.assert_allclose(dj.density_matrices(m), rho, atol=1e-14)
    state = dj.MeanFieldState(m, [])
    np.testing.assert_allclose(dj.spin_lengths(state.m)[1], np.sqrt(2 - 2 / d), atol=1e-14)  # pure


def levels_model(d, dissipation=None, seed=0):
    """Two ensembles and a mode, an energy with products of several operators, a jump of all sites."""
    rng = np.random.default_rng(seed)
    A, B, C = (rng.normal(size=(d, d)) + 1j * rng.normal(size=(d, d)) for _ in range(3))
    A, B = A + A.conj().T, B + B.conj().T

    def energy(s):
        light = 1.3 * s.photons[0] + 0.7 * s.alpha[0].real * s.expect(A)[0]
        return light + 0.4 * s.expect(B)[0] * s.expect(A)[1] + 0.3 * s.expect(B)[1] ** 2

    def jump(s):
        return s.expect(C)[0] + 0.5 * s.alpha[0]

    jumps = [dj.photon_loss(0.6), dj.collective(jump, 0.2)]
    return dj.CollectiveModel(energy, jumps, dissipation, (0.3, 0.7), 1, levels=d), (A, B, C)


def by_density_matrices(rho, alpha, operators, L, rates):
    """rho'_k and alpha' of `levels_model`, from the mean-field Hamiltonian of a site."""
    A, B, C = operators
    mean = lambda X, k: np.trace(X @ rho[k])  # noqa: E731
    l = mean(C, 0) + 0.5 * alpha  # noqa: E741
    # of -r Im(l^* dl): l^* C - l C^+ over 2i is the Hermitian operator whose mean it is
    back = -0.2 * (np.conj(l) * C - l * C.conj().T) / 2j
    fields = [
        (0.7 * alpha.real * A + 0.4 * mean(A, 1).real * B + back) / 0.3,
        (0.4 * mean(B, 0).real * A + 0.6 * mean(B, 1).real * B) / 0.7,
    ]
    changes = []
    for H, one, rate in zip(fields, rho, rates, strict=True):
        damped = L @ one @ L.conj().T - (L.conj().T @ L @ one + one @ L.conj().T @ L) / 2
        changes.append(-1j * (H @ one - one @ H) + rate * damped)
    alpha_dot = -1j * (1.3 * alpha + 0.35 * mean(A, 0).real) - 0.3 * alpha - 0.1 * 0.5 * l
    return np.stack(changes), alpha_dot


@pytest.mark.parametrize("d", [2, 3, 4])
def test_the_equations_are_those_of_each_site_s_density_matrix(d):
    L, rates = random_matrix(d), np.array([0.2, 0.5])
    model, operators = levels_model(d, dj.LocalDissipation([(L, rates)]))
    rho, alpha = np.stack([random_rho(d), random_rho(d)]), 0.3 - 0.4j
    m_dot, (re, im) = model.rate_of_change(0.0, dj.MeanFieldState(dj.bloch_vectors(rho), [alpha]).to_real(model))
    rho_dot, alpha_dot = by_density_matrices(rho, alpha, operators, L, rates)
    np.testing.assert_allclose(m_dot, np.einsum("kij,aji->ak", rho_dot, dj.gell_mann(d)).real, atol=1e-12)
    np.testing.assert_allclose(complex(re[0], im[0]), alpha_dot, atol=1e-12)


def test_the_general_path_gives_the_numbers_of_spins():
    f, b, m = structure_constants(2), RNG.normal(size=(3, 5)), RNG.normal(size=(3, 5))
    np.testing.assert_allclose(np.einsum("abc,ak,bk->ck", f, b, m), np.cross(b, m, axis=0), atol=1e-14)
    xyz = dj.CollectiveModel(lambda s: 0.3 * s.x[0] * s.z[0] + s.y[0])
    x, y, z = dj.gell_mann(2)
    written = dj.CollectiveModel(lambda s: 0.3 * s.expect(x)[0] * s.expect(z)[0] + s.expect(y)[0])
    start = dj.MeanFieldState([[0.3], [-0.5], [0.6]], []).to_real(xyz)
    np.testing.assert_allclose(xyz.rate_of_change(0.0, start)[0], written.rate_of_change(0.0, start)[0], atol=1e-15)


def test_density_matrices_stay_positive():
    """From pure states, where the least error would show: the flow of each site is one of Lindblad."""
    d, rates = 3, np.array([0.2, 0.5])
    L = np.random.default_rng(5).normal(size=(d, d)) + 0j
    model, operators = levels_model(d, dj.LocalDissipation([(L, rates)]))
    rho = np.stack([np.diag([1.0, 0.0, 0.0]), np.diag([0.0, 0.0, 1.0])])
    run = dj.mfsolve(model, dj.MeanFieldState(dj.bloch_vectors(rho), [0.1]), np.linspace(0.0, 10.0, 101))
    found = np.asarray(dj.density_matrices(run.m))
    assert np.min(np.linalg.eigvalsh(found)) > -1e-9
    np.testing.assert_allclose(np.trace(found, axis1=-2, axis2=-1), 1, atol=1e-12)

    def flat(t, y):
        rho_dot, alpha_dot = by_density_matrices(y[:-1].reshape(2, d, d), y[-1], operators, L, rates)
        return np.append(rho_dot.ravel(), alpha_dot)

    start = np.append(rho.ravel(), 0.1).astype(complex)
    exact = solve_ivp(flat, (0, 10), start, method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(found[-1].ravel(), exact[:-1], atol=1e-8)


def test_what_unitary_motion_keeps_has_its_derivative_also_for_pure_states():
    """Of matrices with these populations it vanishes, whose own motion it is orthogonal to."""
    rho = np.stack([random_rho(3), random_rho(3, 1)])
    m = jnp.asarray(dj.bloch_vectors(rho))
    kept = populations(m)
    np.testing.assert_allclose(away_from(m, kept), 0, atol=1e-14)
    H = hermitian(3)
    turned = np.einsum("kij,aji->ak", -1j * (H @ rho - rho @ H), dj.gell_mann(3)).real
    lost = np.einsum("kij,aji->ak", np.eye(3)[None] / 3 - rho, dj.gell_mann(3)).real
    _, along = jax.jvp(lambda at: away_from(at, kept), (m,), (jnp.asarray(turned),))
    np.testing.assert_allclose(along, 0, atol=1e-13)
    np.testing.assert_allclose(turning_part(m, jnp.asarray(turned + lost)), turned, atol=1e-13)
    _, away = jax.jvp(lambda at: away_from(at, kept), (m,), (jnp.asarray(lost),))
    np.testing.assert_allclose(away, lost, atol=1e-13)  # it commutes with rho
    np.testing.assert_allclose(away_from(m + 1e-6 * lost, kept) / 1e-6, lost, atol=1e-8)


def test_spins_one_in_a_field_are_pairs_of_spins_one_half():
    """A coherent state of a spin 1 is two spins alike; a / sqrt(N) of N pairs is sqrt(2) times that of 2 N spins."""
    omega0, g, root = 0.8, 0.5, np.sqrt(0.5)
    one = dj.gallery.multilevel_dicke(1.1, [omega0, 0.0, -omega0], g * root * np.eye(3, k=1), 0.4)
    half = dj.gallery.unbalanced_dicke(1.1, omega0, g * root, g * root, 0.4)
    theta = 0.7
    ket = np.array([np.cos(theta / 2) ** 2, np.sin(theta) * root, np.sin(theta / 2) ** 2])
    times = [0.0, 3.0]
    run = dj.mfsolve(one, dj.MeanFieldState(dj.bloch_vectors(np.outer(ket, ket)), [0.2]), times)
    spins = dj.MeanFieldState([[np.sin(theta)], [0.0], [np.cos(theta)]], [0.2 * root])
    other = dj.mfsolve(half, spins, times)
    S_z = np.diag([1.0, 0.0, -1.0])
    found = np.trace(np.asarray(dj.density_matrices(run.m))[-1, 0] @ S_z)
    np.testing.assert_allclose(found, other.m[-1, 2, 0], atol=1e-8)
    np.testing.assert_allclose(np.asarray(run.alpha[-1]) * root, other.alpha[-1], atol=1e-8)


def three_levels(**options):
    return dj.CollectiveModel(lambda s: s.expect(np.eye(3))[0], levels=3, **options)


REFUSED = {
    "x of three levels": (
        lambda: dj.CollectiveModel(lambda s: s.x[0], levels=3),
        r"^energy must be a function of .*s.expect\(L\).* got s.x.$",
    ),
    "an operator of another size": (
        lambda: dj.CollectiveModel(lambda s: s.expect(np.eye(2))[0], levels=3),
        r"^energy must be a function of .*; got s.expect\(L\) of L of shape \(2, 2\), sites having 3 levels.$",
    ),
    "jumps of spins": (
        lambda: three_levels(dissipation=dj.LocalDissipation([("decay_x", 0.1)])),
        "^dissipation must be of 3x3 matrices for sites of 3 levels; got 2x2 ones.",
    ),
    "jumps of several sizes": (
        lambda: dj.LocalDissipation([("decay_x", 0.1), (np.eye(3), 0.1)]),
        "^jumps must be matrices of one size",
    ),
    "one level": (lambda: dj.CollectiveModel(lambda s: 0.0, levels=1), "^levels must be a whole number of at least 2"),
    "a state of spins": (
        lambda: dj.mfsolve(three_levels(), dj.MeanFieldState(np.zeros((3, 1)), []), [0.0, 1.0]),
        r"^state.m must be of shape \(8, 1\)",
    ),
    "a state of no sites": (lambda: dj.MeanFieldState(np.zeros((5, 1)), []), r"^m must be of shape \(3, K\), rows x"),
    "no density matrix": (lambda: dj.bloch_vectors(np.diag([1.0, 1.0])), "^trace of rho must be 1; got 2.0"),
    "a negative one": (lambda: dj.bloch_vectors(np.diag([1.5, -0.5])), "^eigenvalues of rho must be not negative"),
    "not Hermitian": (lambda: dj.bloch_vectors(np.array([[1.0, 1.0], [0.0, 0.0]])), "^rho must be Hermitian"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_too_many_levels_is_refused_in_one_line(case):
    call, line = REFUSED[case]
    with pytest.raises(ValueError, match=line) as error:
        call()
    assert "\n" not in str(error.value)


def test_an_orbit_is_looked_for_near_a_state_of_known_populations():
    def period(m):
        return dj.periodic_orbit(three_levels(), dj.MeanFieldState(m, [])).period

    with pytest.raises(ValueError, match="^guess must be known, not traced, where sites of more than two levels keep"):
        jax.eval_shape(period, np.zeros((8, 1)))


class Driven(dj.Energy):
    """One whose operator is a parameter."""

    A: jax.Array

    def __call__(self, s):
        return jnp.real(s.expect(self.A)[0])


def test_operators_may_be_parameters():
    A = hermitian(3)
    model = dj.CollectiveModel(Driven(A), levels=3)
    other = dj.CollectiveModel(lambda s: s.expect(A)[0], levels=3)
    start = dj.random_state(jax.random.key(1), model).to_real(model)
    changes = [at.rate_of_change(0.0, start)[0] for at in (model, other)]
    np.testing.assert_allclose(*changes, atol=1e-14)
    rho = np.asarray(dj.density_matrices(start[0]))[0]
    expected = np.einsum("ij,aji->a", -1j * (A @ rho - rho @ A), dj.gell_mann(3)).real
    np.testing.assert_allclose(changes[0][:, 0], expected, atol=1e-14)
