"""Operators of finite models, against those written down by hand, and what the mean field is the limit of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qutip

import dicke_jax as dj


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


def test_what_has_no_operators_is_refused():
    xyz = dj.gallery.dissipative_xyz([1.0, 2.0, 3.0], 1.0)
    two = dj.CollectiveModel(lambda s: s.z[0], weights=[0.3, 0.7])

    def traced(w):
        return dj.to_operators(two.replace(weights=w), 10).m

    for call, line in (
        (lambda: dj.to_operators(xyz, 3), "model must be without single-spin dissipation"),
        (lambda: dj.to_operators(two, 4), "num_spins must be such that every ensemble has a whole number"),
        (lambda: dj.to_operators(dj.CollectiveModel(lambda s: jnp.exp(s.z[0])), 4), "energy must be a polynomial of"),
        (lambda: dj.to_operators(two, 10, levels=(3,)), "levels must be at least 2, one number or 0 of them"),
        (lambda: jax.jit(traced)(np.ones(2) / 2), "model must be known"),
    ):
        with pytest.raises(ValueError, match=line):
            call()
