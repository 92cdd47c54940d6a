"""Operators of finite models, against those written down by hand, and what the mean field is the limit of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qutip

import dicke_jax as dj
from dicke_jax.finite_size.finite_operators import of_symmetric
from dicke_jax.mean_field.site_levels import structure_constants

PAULI = qutip.sigmax(), qutip.sigmay(), qutip.sigmaz()


def same(found, expected):
    np.testing.assert_allclose(found.full(), expected.full(), atol=1e-12)


def test_a_crystal_s_operators_are_those_of_a_large_spin():
    omega0, kappa, N = 0.7, 0.3, 5
    S = N / 2
    exact = dj.to_operators(dj.gallery.boundary_time_crystal(omega0, kappa), N)
    same(exact.hamiltonian, omega0 * qutip.jmat(S, "x"))
    (jump,) = exact.jumps
    same(jump, np.sqrt(kappa / S) * qutip.jmat(S, "-"))
    same(exact.m[2][0], qutip.jmat(S, "z") / S)


def test_the_dicke_model_s_operators_are_the_paper_s():
    G, N, levels = np.array([[1.0, -1.0], [1.0, 1.0]]), 4, (3, 4)
    spins = dj.LargeSpins(dj.DenseCouplings(G), [0.25, 0.75])
    model = dj.DickeModel(spins, 0.5, [1.1, 1.7], [0.3, 0.6], 0.9).as_collective()
    found = dj.to_operators(model, N, levels=levels)
    dims = (2, 4, *levels)
    on = lambda i, A: qutip.tensor([A if j == i else qutip.qeye(n) for j, n in enumerate(dims)])  # noqa: E731
    S = [[2 * on(k, qutip.jmat(n / 2, axis)) for k, n in enumerate((1, 3))] for axis in "xyz"]  # sums of Pauli matrices
    a = [on(2 + mu, qutip.destroy(n)) for mu, n in enumerate(levels)]
    H = 0.5 * sum(S[0]) + sum(w * (b.dag() * b + b * b.dag()) / 2 for w, b in zip((1.1, 1.7), a, strict=True))
    for mu in range(2):
        H += 0.9 / np.sqrt(N) * (a[mu] + a[mu].dag()) * sum(G[mu, k] * S[2][k] for k in range(2))
    same(found.hamiltonian, H)
    for jump, kappa, b in zip(found.jumps, (0.3, 0.6), a, strict=True):
        same(jump, np.sqrt(kappa) * b)
        same(found.alpha[0], a[0] / np.sqrt(N))


def test_products_are_symmetrically_ordered():
    N = 3
    found = dj.to_operators(dj.CollectiveModel(lambda s: s.z[0] ** 2 * s.x[0] - 0.3 * s.y[0] ** 4 + 0.1), N)
    x, y, z = (qutip.jmat(N / 2, axis) / (N / 2) for axis in "xyz")
    same(found.hamiltonian, N * ((z * z * x + z * x * z + x * z * z) / 3 - 0.3 * y**4 + 0.1))


def test_two_photons_are_lost_at_once():
    model = dj.CollectiveModel(lambda s: s.photons[0], [dj.collective(lambda s: s.alpha**2, 0.9)], num_modes=1)
    found = dj.to_operators(model, 2, levels=6)
    a = qutip.tensor(qutip.qeye(3), qutip.destroy(6))
    same(found.jumps[0], np.sqrt(0.9 / 2) * a * a)


def test_jumps_of_single_spins_are_those_of_each_site():
    N, J, decay = 3, (0.9, 0.4, 0.2), 0.3
    found = dj.to_operators(dj.gallery.dissipative_xyz(J, decay), N)
    sigma = [[qutip.tensor([s if j == i else qutip.qeye(2) for j in range(N)]) for i in range(N)] for s in PAULI]
    H = sum(J_a / (2 * N) * sum(own) ** 2 for J_a, own in zip(J, sigma, strict=True))
    jumps = [np.sqrt(decay) * (x - 1j * y) / 2 for x, y in zip(*sigma[:2], strict=True)]
    same(qutip.liouvillian(found.hamiltonian, found.jumps), qutip.liouvillian(H, jumps))
    same(found.m[1][0], sum(sigma[1]) / N)


@pytest.mark.parametrize("d", [2, 3])
def test_jumps_are_found_again_from_what_they_do_to_mean_values(d):
    """Also one with a trace, which turns the site besides: sqrt(r) L and L + l_0 differ by a Hamiltonian."""
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(2, d, d)) + 1j * rng.normal(size=(2, d, d))
    rates = [[0.3, 0.7], 0.4]
    local = dj.LocalDissipation(list(zip(matrices, rates, strict=True)))
    model = dj.CollectiveModel(lambda s: 0.0, dissipation=local, weights=(0.5, 0.5), levels=d)
    found = dj.to_operators(model, 2)
    jumps = [np.sqrt(0.3) * qutip.tensor(qutip.Qobj(matrices[0]), qutip.qeye(d))]
    jumps += [np.sqrt(0.7) * qutip.tensor(qutip.qeye(d), qutip.Qobj(matrices[0]))]
    jumps += [np.sqrt(0.4) * qutip.tensor(qutip.Qobj(matrices[1]), qutip.qeye(d))]
    jumps += [np.sqrt(0.4) * qutip.tensor(qutip.qeye(d), qutip.Qobj(matrices[1]))]
    same(qutip.liouvillian(found.hamiltonian, found.jumps), qutip.liouvillian(0 * found.hamiltonian, jumps))


def test_many_sites_of_three_levels_are_one_large_spin_of_su3():
    g, N = dj.gell_mann(3), 4
    large = [of_symmetric(matrix, N) for matrix in g]
    assert large[0].shape == (15, 15)
    np.testing.assert_array_equal(of_symmetric(g[6], 1), g[6])
    f = structure_constants(3)
    for a in range(8):
        for b in range(a):
            expected = 2j * np.einsum("c,cij->ij", f[a, b], large)
            np.testing.assert_allclose(large[a] @ large[b] - large[b] @ large[a], expected, atol=1e-12)
    casimir = sum(matrix @ matrix for matrix in large)  # of the representation (N, 0), in which all lambda^2 / 4 is
    np.testing.assert_allclose(casimir, 4 / 3 * N * (N + 3) * np.eye(15), atol=1e-12)


def test_three_levels_are_one_over_n_from_their_mean_field():
    flip, lower = np.array([[0, 0.6, 0.5], [0.6, 0, 0.2], [0.5, 0.2, 0.1]]), np.eye(3, k=1)

    def energy(s):
        return s.expect(np.diag([0.0, 0.7, 1.1]))[0] + 0.8 * s.expect(flip)[0] + 0.5 * s.expect(flip)[0] ** 2

    model = dj.CollectiveModel(energy, [dj.collective(lambda s: s.expect(lower)[0], 0.9)], levels=3)
    start = dj.MeanFieldState(dj.bloch_vectors(np.diag([0.0, 0.0, 1.0])), [])
    expected = np.asarray(dj.mfsolve(model, start, [0.0, 0.4]).m)[-1, :, 0]
    constants = []
    for N in (5, 20):
        exact = dj.to_operators(model, N)
        last = qutip.basis(exact.hamiltonian.shape[0], exact.hamiltonian.shape[0] - 1)
        last.dims = [exact.hamiltonian.dims[0], [1]]
        watched = [row[0] for row in exact.m]
        run = qutip.mesolve(exact.hamiltonian, last, [0, 0.4], exact.jumps, e_ops=watched, options=dict(rtol=1e-8))
        constants.append(N * (np.array([values[-1] for values in run.expect]) - expected))
    assert np.linalg.norm(constants[1]) > 0.1
    assert np.linalg.norm(constants[1] - constants[0]) < 0.1 * np.linalg.norm(constants[1])


def test_what_has_no_operators_is_refused():
    xyz = dj.gallery.dissipative_xyz([1.0, 2.0, 3.0], 1.0)
    levels = dj.gallery.multilevel_dicke(1.0, [0.0, 1.0, 2.0], np.ones((3, 3)), 0.5)
    two = dj.CollectiveModel(lambda s: s.z[0], weights=[0.3, 0.7])

    def traced(w):
        return dj.to_operators(two.replace(weights=w), 10).m

    for call, line in (
        (
            lambda: dj.to_operators(xyz, 13),
            "num_spins must be so small that there are at most 4096 dimensions; got 8192",
        ),
        (lambda: dj.to_operators(levels, 40), "num_spins must be so small that there are at most 4096 dim.* got 8610"),
        (lambda: dj.to_operators(two, 4), "num_spins must be such that every ensemble has a whole number"),
        (lambda: dj.to_operators(dj.CollectiveModel(lambda s: jnp.exp(s.z[0])), 4), "energy must be a polynomial of"),
        (lambda: dj.to_operators(two, 10, levels=(3,)), "levels must be at least 2, one number or 0 of them"),
        (lambda: jax.jit(traced)(np.ones(2) / 2), "model must be known"),
    ):
        with pytest.raises(ValueError, match=line):
            call()
