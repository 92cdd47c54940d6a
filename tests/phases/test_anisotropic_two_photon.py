"""The way to chaos of the two-photon Dicke model with two couplings and photon loss.

Li, Fazio and Chesi, New J. Phys. 24, 083039 (2022), arXiv:2207.06019, report chaos that begins in a cascade of period
doublings. The rates here are not theirs: they were found by a scan, and everything is confirmed by SciPy.
"""

import jax
import numpy as np
import pytest
from orbit_equations import flat, multipliers_of_scipy
from scipy.integrate import solve_ivp

import dicke_jax as dj

pytestmark = pytest.mark.slow
OMEGA, OMEGA0, ROTATING, KAPPA = 1.0, 0.5, 1.1, 0.7


class TwoPhotons(dj.Energy):
    """H / N of omega a^dag a + omega0 S_z + [a^2 (rotating S_+ + counter S_-) + h.c.] / N."""

    omega: jax.Array
    omega0: jax.Array
    rotating: jax.Array
    counter: jax.Array

    def __call__(self, s):
        re, im = s.alpha[0].real, s.alpha[0].imag
        along, across = self.rotating + self.counter, self.counter - self.rotating
        pairs = along * (re**2 - im**2) / 2 * s.x[0] + across * re * im * s.y[0]
        return self.omega * s.photons[0] + self.omega0 * s.z[0] / 2 + pairs


def model(counter):
    return dj.CollectiveModel(TwoPhotons(OMEGA, OMEGA0, ROTATING, counter), jumps=[dj.photon_loss(KAPPA)], num_modes=1)


def equations(counter):
    """Right-hand side and Jacobian in x, y, z, a = Re alpha, b = Im alpha.

    A spin turns about (co (a^2 - b^2), 2 anti a b, omega0).
    """
    co, anti, half = ROTATING + counter, counter - ROTATING, KAPPA / 2

    def f(t, u):
        x, y, z, a, b = u
        bx, by = co * (a * a - b * b), 2 * anti * a * b
        spin = [by * z - OMEGA0 * y, OMEGA0 * x - bx * z, bx * y - by * x]
        light = [OMEGA * b - co * b * x / 2 + anti * a * y / 2, -OMEGA * a - co * a * x / 2 - anti * b * y / 2]
        return np.array([*spin, light[0] - half * a, light[1] - half * b])

    def jacobian(u):
        x, y, z, a, b = u
        bx, by = co * (a * a - b * b), 2 * anti * a * b
        dx, dy = np.array([2 * co * a, -2 * co * b]), np.array([2 * anti * b, 2 * anti * a])
        return np.array(
            [
                [0, -OMEGA0, by, *(dy * z)],
                [OMEGA0, 0, -bx, *(-dx * z)],
                [-by, bx, 0, *(dx * y - dy * x)],
                [-co * b / 2, anti * a / 2, 0, anti * y / 2 - half, OMEGA - co * x / 2],
                [-co * a / 2, -anti * b / 2, 0, -OMEGA - co * x / 2, -anti * y / 2 - half],
            ]
        )

    return f, jacobian


def state(u):
    m = np.array(u[:3]) / np.linalg.norm(u[:3])
    return dj.MeanFieldState(m[:, None], [u[3] + 1j * u[4]])


NEAR = [0.19526, 0.97688, 0.08704, 0.19416, -0.54381]  # where a long run is at counter = 3.24


@pytest.fixture(scope="module")
def branch():
    """Of one of the two orbits that alpha -> -alpha exchanges: a symmetric one has lost its stability at 3.2335."""
    orbit = dj.periodic_orbit(model(3.24), state(NEAR))
    assert orbit.successful and orbit.is_stable
    return dj.orbit_continuation(model(3.24), orbit, "counter", limits=(3.238, 3.25))


def lowest_multiplier(counter, guess, period):
    return np.min(multipliers_of_scipy(*equations(counter), guess, period).real)


def test_a_period_doubles_where_scipy_s_multiplier_is_minus_one(branch):
    (doubling,) = branch.special
    assert doubling.kind == "period doubling"
    near = [doubling.parameter + shift for shift in (-2e-5, 2e-5)]
    lowest = [lowest_multiplier(p, flat(doubling.state), doubling.period) for p in near]
    crossing = near[0] + (near[1] - near[0]) * (-1 - lowest[0]) / (lowest[1] - lowest[0])
    assert doubling.parameter == pytest.approx(crossing, abs=1e-6)
    np.testing.assert_array_equal(branch.is_stable, branch.parameter < doubling.parameter)


def returns(counter, start, period):
    """How near a run of SciPy, when it is on its attractor, comes back after one period and after two."""
    f, _ = equations(counter)
    begin = solve_ivp(f, (0, 3000), start, method="DOP853", rtol=1e-9, atol=1e-10).y[:, -1]
    normal = f(0, begin)

    def section(t, u):
        return normal @ (u - begin)

    section.direction = 1.0
    run = solve_ivp(f, (0, 2.2 * period), begin, method="DOP853", events=section, rtol=1e-9, atol=1e-10)
    times, apart = run.t_events[0] / period, np.linalg.norm(run.y_events[0] - begin, axis=1)
    return [np.min(apart[np.abs(times - count) < 0.1]) for count in (1, 2)]


def test_beyond_it_a_run_of_scipy_takes_twice_the_time_to_come_back(branch):
    (doubling,) = branch.special
    for counter, is_twice in ((doubling.parameter - 5e-4, False), (doubling.parameter + 5e-4, True)):
        period = float(np.interp(counter, branch.parameter, branch.period))
        once, twice = returns(counter, flat(doubling.state), period)
        assert twice < 1e-5 and (once > 1e-3 if is_twice else once < 1e-5)


def benettin(counter, start, window, transient, number):
    """The exponents of windows, of a run with one tangent."""
    f, jacobian = equations(counter)

    def both(t, u):
        return np.concatenate([f(t, u[:5]), jacobian(u[:5]) @ u[5:]])

    u, growth = np.concatenate([start, np.cross(start[:3], [0.3, 0.5, 0.8]), [0.1, 0.2]]), []
    for _ in range(transient + number):
        u = solve_ivp(both, (0, window), u, method="DOP853", rtol=1e-8, atol=1e-9).y[:, -1]
        size = np.linalg.norm(u[5:])
        u[5:] /= size
        u[:3] /= np.linalg.norm(u[:3])
        growth.append(np.log(size) / window)
    return np.array(growth[transient:])


def test_after_the_cascade_motion_is_chaotic_with_the_exponent_of_scipy():
    """Chaos lives in a window, up to 3.26, where it meets the edge of its basin."""
    found = dj.lyapunov_exponent(model(3.25), state(NEAR), window=10.0, num_windows=600, num_transient=60)
    assert found.exponent > 8 * found.error > 0
    growth = benettin(3.25, flat(state(NEAR)), 10.0, 60, 300)
    means = growth.reshape(10, -1).mean(axis=1)
    expected, error = means.mean(), means.std(ddof=1) / np.sqrt(10)
    assert abs(found.exponent - expected) < 4 * np.hypot(float(found.error), error)
    assert 0.02 < expected < 0.04
