"""A subcritical Hopf point of the unbalanced Dicke model, the unstable orbits born there, and where they fold."""

import numpy as np
import pytest
from orbit_equations import at_rest_with_photons, first_lyapunov_coefficient, flat, monodromy, unbalanced_equations
from scipy.optimize import brentq

import dicke_jax as dj

pytestmark = pytest.mark.slow  # a run with tangents is compiled

RATES = dict(omega=2.5, omega0=0.8, rotating=0.6, kappa=1.0)


def model(counter):
    return dj.gallery.unbalanced_dicke(RATES["omega"], RATES["omega0"], RATES["rotating"], counter, RATES["kappa"])


def at_rest(counter):
    """The state with photons, and the eigenvalue that turns and grows fastest."""
    state = at_rest_with_photons(**RATES, counter=counter)
    values = np.linalg.eigvals(unbalanced_equations(**RATES, counter=counter)[1](state))
    values = values[values.imag > 1e-3]
    return state, values[np.argmax(values.real)]


HOPF = brentq(lambda counter: at_rest(counter)[1].real, 1.65, 1.75, xtol=1e-13)


@pytest.fixture(scope="module")
def born():
    state = at_rest(HOPF)[0]
    rest = dj.MeanFieldState(state[:3, None], [state[3] + 1j * state[4]])
    return dj.orbit_continuation(model(HOPF), rest, "counter", limits=(1.6, 2.089))


def test_unstable_orbits_are_born_where_the_first_lyapunov_coefficient_is_positive(born):
    """By r' = mu r + c r^3, y = y_0 + 2 r Re(q e^(i w t)) an orbit is at r^2 = -mu / c, its multiplier e^(-2 mu T).

    c > 0 is of NumPy's derivatives. Orbits stand where mu < 0; what both leave out is of order r^2, and extremes are
    those of 128 points.
    """
    c, q = first_lyapunov_coefficient(*unbalanced_equations(**RATES, counter=HOPF), at_rest(HOPF)[0])
    assert c > 0
    growth = np.array([at_rest(counter)[1].real for counter in born.parameter[:6]])
    assert np.all(growth < 0) and np.all(np.diff(born.parameter[:6]) > 0)
    r2 = ((born.highest[:6, 0] - born.lowest[:6, 0]) / (4 * np.abs(q[2]))) ** 2
    rates = np.log(born.multipliers[:6, 0].real) / born.period[:6]
    for measured, expected in ((-growth, c * r2), (rates, 2 * c * r2)):
        off = measured / expected - 1
        assert abs(off[0]) < 2e-3
        np.testing.assert_allclose(off[1:5], off[5] * r2[1:5] / r2[5], rtol=0.15, atol=2 * (np.pi / 128) ** 2)


def counter_of(period, guess, counter):
    """The counter-rotating coupling at which there is an orbit of a period, by Newton's method on SciPy's runs."""
    (f, jacobian), normal, start = unbalanced_equations(**RATES, counter=counter), None, guess.copy()
    for _ in range(8):
        f, jacobian = unbalanced_equations(**RATES, counter=counter)
        normal = f(0, guess) if normal is None else normal
        change = unbalanced_equations(**RATES, counter=counter + 1)[0]  # the equations are linear in it
        end, matrix = monodromy(f, jacobian, start, period, lambda u, f=f, change=change: change(0, u) - f(0, u))
        rows = [matrix - np.eye(5, 6), np.append(normal, 0), np.append(start * [1, 1, 1, 0, 0], 0)]
        values = np.concatenate([end - start, [normal @ (start - guess)], [(np.sum(start[:3] ** 2) - 1) / 2]])
        shift = np.linalg.lstsq(np.vstack(rows), values, rcond=None)[0]
        start, counter = start - shift[:5], counter - shift[5]
        if np.max(np.abs(shift)) < 1e-11:
            return counter
    raise AssertionError("no orbit of this period")


def test_orbits_pass_two_folds_where_scipy_s_orbits_cease_to_exist(born):
    """Of all periods, the largest coupling that has an orbit near the first fold, and the least near the second."""
    first, second = born.special
    assert born.ended == "limit" and first.kind == second.kind == "fold"
    assert born.parameter[first.after + 1] < first.parameter > second.parameter < born.parameter[-1]
    for fold, sign in ((first, -1), (second, 1)):
        assert np.min(np.abs(fold.multipliers - 1)) < 1e-6
        periods = fold.period + 0.04 * np.arange(-2, 3)
        counters = np.array([counter_of(T, flat(fold.state), fold.parameter) for T in periods])
        course = np.polynomial.Polynomial.fit(periods, counters, 4)
        turns = course.deriv().roots()
        turns = turns[np.argmin(np.abs(turns - fold.period))].real
        assert fold.parameter == pytest.approx(course(turns), abs=1e-8)
        assert fold.period == pytest.approx(turns, abs=1e-4)
        assert np.all(sign * (counters - fold.parameter) > -1e-9) and sign * course.deriv(2)(turns) > 0


def test_orbits_are_stable_between_the_folds_where_a_multiplier_is_below_one(born):
    first, second = born.special
    between = np.arange(born.parameter.size)
    between = (between > first.after) & (between <= second.after)
    outside = np.abs(born.multipliers) > 1 + 1e-6
    assert np.all(np.sum(outside, axis=1)[~between] % 2 == 1) and np.all(np.sum(outside, axis=1)[between] % 2 == 0)


NEAR_HOMOCLINIC = dict(omega=1.0, omega0=0.2, rotating=0.4, kappa=1.0)


def test_an_orbit_near_a_homoclinic_one_closes_piece_by_piece_and_has_the_multiplier_of_scipy():
    """Its period grows without bound, and deviations grow by more than a run around can keep, of SciPy as of any."""
    hopf = 0.6639058729925352  # where the state with photons wins its stability
    rest = at_rest_with_photons(**NEAR_HOMOCLINIC, counter=hopf)
    start = model(hopf).replace(**{name: NEAR_HOMOCLINIC[name] for name in ("omega", "omega0", "rotating")})
    state = dj.MeanFieldState(rest[:3, None], [rest[3] + 1j * rest[4]])
    branch = dj.orbit_continuation(start, state, "counter", limits=(0.6, 1.4), max_points=40)
    assert np.max(branch.period) > 60 and np.max(np.abs(branch.multipliers)) > 1e5
    at = np.argmax(branch.period > 35)
    guess = dj.MeanFieldState(branch.states.m[at], branch.states.alpha[at])
    counter = float(branch.parameter[at])
    orbit = dj.periodic_orbit(start.replace(counter=counter), guess, period=float(branch.period[at]))
    assert orbit.successful and np.max(np.abs(orbit.multipliers)) > 5e3
    f, jacobian = unbalanced_equations(**NEAR_HOMOCLINIC, counter=counter)
    points = np.concatenate([orbit.m[:, :, 0], orbit.alpha.real, orbit.alpha.imag], axis=1)
    product = np.eye(5)
    for i in range(16):
        end, matrix = monodromy(f, jacobian, points[8 * i], float(orbit.period) / 16)
        np.testing.assert_allclose(end, points[8 * (i + 1) % 128], atol=1e-9)
        product = matrix @ product
    largest = np.max(np.abs(np.linalg.eigvals(product)))
    assert abs(orbit.multipliers[0]) == pytest.approx(largest, rel=1e-6)
