"""Periodic orbits of sites with three levels on which no jumps act, against spins one half and SciPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbit_equations import flat, monodromy, multipliers_of_scipy, unbalanced_equations

import dicke_jax as dj

pytestmark = pytest.mark.slow  # a run with tangents of eight components is compiled

S = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]], [[0, -1j, 0], [1j, 0, -1j], [0, 1j, 0]]]) / 2**0.5
SPIN = *S, np.diag([1.0, 0.0, -1.0]).astype(complex)
CYCLE = dict(omega=1.0, omega0=1.0, rotating=0.8, counter=1.1, kappa=1.0)
NEAR = np.array([0.82286967, -0.42135134, -0.38124603, -0.59223021, -0.24390384])  # on a cycle of spins one half


def coherent(direction):
    """The state of a spin 1 that points there."""
    along = sum(n * L for n, L in zip(direction / np.linalg.norm(direction), SPIN, strict=True))
    return (along @ along + along) / 2


class SpinOne(dj.Energy):
    """Two spins one half each: coherent states turn as theirs do, and the light is sqrt(2) times as strong."""

    omega: Any
    omega0: Any
    rotating: Any
    counter: Any

    def __call__(self, s):
        x, y, z = (s.expect(L)[0] for L in SPIN)
        co, anti = 2**0.5 * (self.counter + self.rotating), 2**0.5 * (self.counter - self.rotating)
        return self.omega * s.photons[0] + self.omega0 * z + co * s.alpha[0].real * x + anti * s.alpha[0].imag * y


def model(kappa, **rates):
    return dj.CollectiveModel(SpinOne(**rates), [dj.photon_loss(kappa)], num_modes=1, levels=3)


def near():
    light = 2**0.5 * (NEAR[3] + 1j * NEAR[4])
    return dj.MeanFieldState(dj.bloch_vectors(coherent(NEAR[:3])), [light])


def equations(omega, omega0, rotating, counter, kappa):
    """Von Neumann's equation written out, and its Jacobian: differences are exact of what is quadratic."""
    co, anti, parts = 2**0.5 * (counter + rotating), 2**0.5 * (counter - rotating), dj.gell_mann(3)

    def f(t, u):
        rho = np.eye(3) / 3 + np.tensordot(u[:8], parts, 1) / 2
        H = omega0 * SPIN[2] + co * u[8] * SPIN[0] + anti * u[9] * SPIN[1]
        change = -1j * (H @ rho - rho @ H)
        x, y = (np.trace(rho @ L).real for L in SPIN[:2])
        light = omega * u[9] + anti * y / 2 - kappa / 2 * u[8], -omega * u[8] - co * x / 2 - kappa / 2 * u[9]
        return np.append(np.einsum("aij,ji->a", parts, change).real, light)

    def jacobian(u):
        return np.stack([(f(0, u + e) - f(0, u - e)) / 2 for e in np.eye(10)], axis=1)

    return f, jacobian


def across_pure(start):
    """Orthonormal deviations that leave a pure site pure, and those of the light."""
    p, U = np.linalg.eigh(np.eye(3) / 3 + np.tensordot(start[:8], dj.gell_mann(3), 1) / 2)
    assert p[-1] == pytest.approx(1, abs=1e-9)
    columns = []
    for other in (0, 1):
        for phase in (1, 1j):
            turned = phase * np.outer(U[:, other], U[:, 2].conj())
            columns.append(np.append(np.einsum("aij,ji->a", dj.gell_mann(3), turned + turned.conj().T).real, [0, 0]))
    return np.linalg.qr(np.stack([*columns, *np.eye(10)[8:]], axis=1))[0]


@pytest.fixture(scope="module")
def cycle():
    return dj.periodic_orbit(model(**CYCLE), near())


def test_a_cycle_of_pure_sites_has_the_multipliers_of_scipy_and_the_period_of_spins_one_half(cycle):
    assert cycle.successful and cycle.is_stable and cycle.num_conserved == 4 and int(cycle.family) == 0
    start, period = flat(cycle.state), float(cycle.period)
    end, matrix = monodromy(*equations(**CYCLE), start, period)
    np.testing.assert_allclose(end, start, atol=1e-10)
    basis = across_pure(start)
    expected = np.linalg.eigvals(basis.T @ matrix @ basis)
    expected = np.delete(expected, np.argmin(np.abs(expected - 1)))
    np.testing.assert_allclose(np.sort_complex(cycle.multipliers), np.sort_complex(expected), atol=1e-8)
    # a deviation from a coherent state is seen by no spin, and only turns
    assert (int(cycle.num_growing), int(cycle.num_neutral), int(cycle.num_decaying)) == (0, 2, 3)
    of_spins = multipliers_of_scipy(*unbalanced_equations(**CYCLE), NEAR, 2.545363)
    for value in of_spins[np.abs(of_spins - 1) > 1e-3]:
        assert np.min(np.abs(cycle.multipliers - value)) < 1e-8


def test_its_period_doubles_where_that_of_spins_one_half_does(cycle):
    """At the coupling of `test_orbit_branches.py`; a pair of multipliers on the circle all along is no torus."""
    branch = dj.orbit_continuation(model(**CYCLE), cycle, "counter", limits=(1.0, 1.36), step=0.4)
    (doubling,) = branch.special
    assert doubling.kind == "period doubling" and doubling.parameter == pytest.approx(1.342242681, abs=1e-8)
    assert branch.multipliers.shape[1] == doubling.multipliers.size == 5


@pytest.fixture(scope="module")
def mixed():
    """Of sites that begin mixed, with three unlike shares of their levels."""
    up, down = coherent(NEAR[:3]), coherent(-NEAR[:3])
    rho = 0.97 * up + 0.02 * (np.eye(3) - up - down) + 0.01 * down
    return dj.periodic_orbit(model(**CYCLE), dj.MeanFieldState(dj.bloch_vectors(rho), near().alpha))


def test_a_cycle_of_mixed_sites_has_the_multipliers_of_scipy(mixed):
    assert mixed.successful and mixed.is_stable
    start, period = flat(mixed.state), float(mixed.period)
    end, matrix = monodromy(*equations(**CYCLE), start, period)
    np.testing.assert_allclose(end, start, atol=1e-10)
    expected = np.linalg.eigvals(matrix)
    assert all(np.min(np.abs(expected - value)) < 1e-8 for value in mixed.multipliers)
    shares = np.linalg.eigvalsh(np.eye(3) / 3 + np.tensordot(end[:8], dj.gell_mann(3), 1) / 2)
    np.testing.assert_allclose(shares, [0.01, 0.02, 0.97], atol=1e-10)


@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
@pytest.mark.parametrize("sites", ["cycle", "mixed"])
def test_derivatives_of_a_cycle_of_sites_with_levels_are_those_of_differences(mode, sites, request):
    cycle = request.getfixturevalue(sites)

    def numbers(counter):
        orbit = dj.periodic_orbit(model(**CYCLE | {"counter": counter}), cycle.state)
        return jnp.stack([orbit.period, jnp.sum(orbit.multipliers).real, jnp.sum(jnp.log(jnp.abs(orbit.multipliers)))])

    step = 1e-4
    expected = (numbers(CYCLE["counter"] + step) - numbers(CYCLE["counter"] - step)) / (2 * step)
    assert np.all(np.abs(expected) > 1e-2)
    np.testing.assert_allclose(mode(numbers)(CYCLE["counter"]), expected, rtol=1e-5)
