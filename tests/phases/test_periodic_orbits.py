"""Periodic orbits and their multipliers, against SciPy on equations that are written out, and closed forms."""

import numpy as np
import pytest
from problems import written_out_jacobian
from scipy.integrate import solve_ivp

import dicke_jax as dj

G = dj.gallery


def unbalanced_equations(omega, omega0, rotating, counter, kappa):
    """Right-hand side and Jacobian in x, y, z, Re alpha, Im alpha.

    h = omega (a^2 + b^2) + omega0 z / 2 + co a x + anti b y with alpha = a + i b; a spin turns about (2 co a, 2 anti b,
    omega0).
    """
    co, anti, half = rotating + counter, counter - rotating, kappa / 2

    def f(t, u):
        x, y, z, a, b = u
        bx, by = 2 * co * a, 2 * anti * b
        spin = [by * z - omega0 * y, omega0 * x - bx * z, bx * y - by * x]
        return np.array([*spin, omega * b + anti * y / 2 - half * a, -omega * a - co * x / 2 - half * b])

    def jacobian(u):
        x, y, z, a, b = u
        bx, by = 2 * co * a, 2 * anti * b
        return np.array(
            [
                [0, -omega0, by, 0, 2 * anti * z],
                [omega0, 0, -bx, -2 * co * z, 0],
                [-by, bx, 0, 2 * co * y, -2 * anti * x],
                [0, anti / 2, 0, -half, omega],
                [-co / 2, 0, 0, -omega, -half],
            ]
        )

    return f, jacobian


def dicke_equations(model):
    G, w = np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    M, K = G.shape
    omega, omega_mode, kappa, g0 = (np.asarray(model.rates[n]) for n in ("omega_spin", "omega_mode", "kappa", "g0"))

    def f(t, u):
        (x, y, z), (re, im) = u[: 3 * K].reshape(3, K), u[3 * K :].reshape(2, M)
        turn = 4 * g0 * re @ G
        light = [omega_mode * im - kappa / 2 * re, -omega_mode * re - kappa / 2 * im - g0 * G @ (w * z)]
        return np.concatenate([-turn * y, turn * x - 2 * omega * z, 2 * omega * y, *light])

    return f, lambda u: written_out_jacobian(model, u[: 3 * K].reshape(3, K), u[3 * K : 3 * K + M])


def flat(state):
    return np.concatenate([np.ravel(state.m), np.real(state.alpha), np.imag(state.alpha)])


def monodromy(f, jacobian, start, period):
    """Where a run ends, and the derivative of that in its start."""
    n = start.size

    def both(t, u):
        return np.concatenate([f(t, u[:n]), (jacobian(u[:n]) @ u[n:].reshape(n, n)).ravel()])

    begin = np.concatenate([start, np.eye(n).ravel()])
    u = solve_ivp(both, (0, period), begin, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return u[:n], u[n:].reshape(n, n)


def check(orbit, f, jacobian):
    """It closes, and multipliers are those of the monodromy matrix but for the known ones."""
    start, period = flat(orbit.state), float(orbit.period)
    end, matrix = monodromy(f, jacobian, start, period)
    np.testing.assert_allclose(end, start, atol=1e-10)
    values = np.linalg.eigvals(matrix)
    values = values[np.argsort(np.abs(values - 1))]
    known = orbit.num_conserved + 1
    assert np.all(np.abs(values[:known] - 1) < 1e-5)  # a Jordan block: round-off's square root
    expected = values[known:]
    found = np.asarray(orbit.multipliers)
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-8)
    assert abs(float(orbit.trivial) - 1) < 1e-9


CYCLE = dict(omega=1.0, omega0=1.0, rotating=0.8, counter=1.1, kappa=1.0)
NEAR = np.array(
    [0.82286967, -0.42135134, -0.38124603, -0.59223021, -0.24390384]
)  # where SciPy's run is at t = 2000, from x = 0.6, z = -0.8, alpha = -0.3 + 0.1 i


@pytest.fixture(scope="module")
def cycle():
    return dj.periodic_orbit(G.unbalanced_dicke(**CYCLE), dj.MeanFieldState(NEAR[:3, None], [NEAR[3] + 1j * NEAR[4]]))


def test_a_limit_cycle_closes_and_has_the_multipliers_of_scipy(cycle):
    assert cycle.successful and cycle.is_stable and int(cycle.family) == 0 and cycle.num_conserved == 1
    check(cycle, *unbalanced_equations(**CYCLE))
    assert (int(cycle.num_growing), int(cycle.num_neutral), int(cycle.num_decaying)) == (0, 0, 3)
    rates = np.asarray(cycle.exponents)
    np.testing.assert_allclose(np.exp(rates * float(cycle.period)), cycle.multipliers, atol=1e-12)
    assert "0 growing, 0 neutral, 3 decaying: stable" in repr(cycle)


def test_its_states_are_those_of_a_run(cycle):
    f, _ = unbalanced_equations(**CYCLE)
    t = np.asarray(cycle.t)
    run = solve_ivp(f, (0, t[-1]), flat(cycle.state), method="DOP853", t_eval=t, rtol=1e-12, atol=1e-13).y.T
    found = np.concatenate([cycle.m[:, :, 0], cycle.alpha.real, cycle.alpha.imag], axis=1)
    np.testing.assert_allclose(found, run, atol=1e-8)
    np.testing.assert_allclose(np.diff(t), cycle.period / 128, rtol=1e-10)


def two_modes():
    return dj.DickeModel(dj.LargeSpins.hypercube(2), omega_spin=1.0, omega_mode=[1.0, -2.0], kappa=1.0, g0=1.0)


# where SciPy's run is at t = 500, from m_1 = (0.6, 0, 0.8), m_2 = (0, 0.6, -0.8) without photons
TWO = np.array(
    [-0.2391872, 0.158795, 0.9699307, 0.6836768, 0.0449891, 0.712299, 0.2443109, -0.2525524, 0.3721576, 0.3508382]
)


def near_two():
    m = TWO[:6].reshape(3, 2)
    return dj.MeanFieldState(m / np.linalg.norm(m, axis=0), TWO[6:8] + 1j * TWO[8:])


def test_two_modes_oscillate_at_the_period_of_a_long_run():
    model = two_modes()
    orbit = dj.periodic_orbit(model, near_two(), period=3.2)
    assert orbit.successful and orbit.is_stable and orbit.num_conserved == 2
    f, jacobian = dicke_equations(model)
    check(orbit, f, jacobian)
    # times at which it passes through a section at its start, of a run that knows nothing of periods
    period, start = float(orbit.period), flat(orbit.state)

    def section(t, u):
        return (u - start) @ f(0, start)

    section.direction = 1.0
    run = solve_ivp(f, (0, 40.5 * period), start, method="DOP853", events=section, rtol=1e-12, atol=1e-13)
    crossings = run.t_events[0][run.t_events[0] > period / 2]
    again = [min(crossings, key=lambda t, i=i: abs(t - i * period)) for i in (1, 40)]
    assert (again[1] - again[0]) / 39 == pytest.approx(period, abs=1e-8)


def test_a_boundary_time_crystal_has_a_family_of_orbits_of_one_period():
    """All orbits on the sphere |m| = r have the period 2 pi / sqrt(omega0^2 - (kappa r)^2)."""
    for r, direction in ((1.0, [0.6, 0.0, -0.8]), (0.8, [0.0, 0.28, 0.96])):
        start = dj.MeanFieldState(r * np.array(direction)[:, None], [])
        orbit = dj.periodic_orbit(G.boundary_time_crystal(1.5, 1.0), start)
        assert orbit.successful and int(orbit.family) == 1 and orbit.is_stable
        assert float(orbit.period) == pytest.approx(2 * np.pi / np.sqrt(1.5**2 - r**2), rel=1e-10)
        np.testing.assert_allclose(orbit.multipliers, [1.0], atol=1e-8)
        np.testing.assert_allclose(orbit.state.m, start.m, atol=1e-6)  # the member through the guess
        assert "one of a family" in repr(orbit)


def test_what_rests_is_no_orbit():
    at_rest = dj.MeanFieldState([[0.0], [2 / 3], [-np.sqrt(5) / 3]], [])
    orbit = dj.periodic_orbit(G.boundary_time_crystal(1.0, 1.5), at_rest)
    assert orbit.status == dj.Status.at_rest and np.isnan(float(orbit.period))


def test_what_is_no_guess_is_refused():
    model = two_modes()
    with pytest.raises(ValueError, match="period must be positive and finite; got -1"):
        dj.periodic_orbit(model, dj.stored_pattern(model), period=-1.0)
    with pytest.raises(ValueError, match="model must be one with constant rates for a periodic orbit"):
        dj.periodic_orbit(model.replace(g0=lambda t: 1.0 + 0 * t), dj.stored_pattern(model))
    with pytest.raises(ValueError, match="guess must be an Attractor or a MeanFieldState or a PeriodicOrbit; got"):
        dj.periodic_orbit(model, 1.0)
