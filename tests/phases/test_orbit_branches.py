"""Branches of periodic orbits, where they are born and where they double, against SciPy on equations written out."""

import numpy as np
import pytest
from orbit_equations import dicke_equations, flat, monodromy, multipliers_of_scipy, unbalanced_equations
from scipy.optimize import brentq, fsolve

import dicke_jax as dj

pytestmark = pytest.mark.slow  # a run with tangents is compiled for each kind of model and parameter

RATES = dict(omega=1.0, omega0=1.0, rotating=0.8, kappa=1.0)


def model(counter):
    return dj.gallery.unbalanced_dicke(RATES["omega"], RATES["omega0"], RATES["rotating"], counter, RATES["kappa"])


def at_rest(counter):
    """The state with photons, and the eigenvalue that turns fastest."""
    f, jacobian = unbalanced_equations(**RATES, counter=counter)

    def equations(u):
        change = f(0, u)
        return [*change[:2], np.sum(u[:3] ** 2) - 1, *change[3:]]

    u = fsolve(equations, [0.927, 0.062, -0.371, -0.679, -0.347], xtol=1e-13)
    values = np.linalg.eigvals(jacobian(u))
    return u, values[np.argmax(values.imag)]


def as_state(u):
    return dj.MeanFieldState(u[:3, None], [u[3] + 1j * u[4]])


HOPF = brentq(lambda counter: at_rest(counter)[1].real, 1.03, 1.06, xtol=1e-13)


@pytest.fixture(scope="module")
def born():
    return dj.orbit_continuation(model(HOPF), as_state(at_rest(HOPF)[0]), "counter", limits=(0.9, 1.5))


def test_orbits_are_born_at_a_hopf_point_on_the_side_where_the_state_is_unstable(born):
    assert born.ended == "limit" and born.successful and born.parameter[-1] == pytest.approx(1.5, abs=1e-12)
    assert np.all(np.diff(born.parameter) > 0) and born.parameter[0] > HOPF
    period = 2 * np.pi / at_rest(HOPF)[1].imag
    assert born.period[0] == pytest.approx(period, rel=1e-4)
    assert np.max(born.highest[0] - born.lowest[0]) < 0.05 < np.max(born.highest[-1] - born.lowest[-1])


def test_near_it_the_multiplier_is_that_of_the_normal_form(born):
    """A radius r with r' = mu r - a r^3 rests at r^2 = mu / a, where deviations decay at 2 mu.

    The multiplier is e^(-2 mu T). mu, the growth of deviations from the state at rest, is taken at the orbit's own
    parameter; corrections are of order mu.
    """
    growth = np.array([at_rest(counter)[1].real for counter in born.parameter[:6]])
    measured = -np.log(born.multipliers[:6, 0].real) / born.period[:6]
    off = measured / (2 * growth) - 1
    assert abs(off[0]) < 1e-3
    np.testing.assert_allclose(off[1:4] / growth[1:4], off[1] / growth[1], rtol=0.05)


def test_back_at_the_hopf_point_the_branch_ends(born):
    orbit = dj.periodic_orbit(model(born.parameter[5]), dj.MeanFieldState(born.states.m[5], born.states.alpha[5]),
                              period=float(born.period[5]))  # fmt: skip
    back = dj.orbit_continuation(model(born.parameter[5]), orbit, "counter", limits=(0.9, 1.5), direction=-1)
    assert back.ended == "hopf" and [orbit.kind for orbit in back.special] == ["hopf"]
    assert back.special[0].parameter == pytest.approx(HOPF, abs=1e-7)


def orbit_of_scipy(counter, guess, period):
    return multipliers_of_scipy(*unbalanced_equations(**RATES, counter=counter), guess, period)


def test_the_period_doubles_where_scipy_s_multiplier_is_minus_one(born):
    (doubling,) = born.special
    assert doubling.kind == "period doubling" and np.min(np.abs(doubling.multipliers + 1)) < 1e-8
    near = [doubling.parameter + shift for shift in (-1e-4, 1e-4)]
    lowest = [np.min(orbit_of_scipy(p, flat(doubling.state), doubling.period).real) for p in near]
    crossing = near[0] + (near[1] - near[0]) * (-1 - lowest[0]) / (lowest[1] - lowest[0])
    assert doubling.parameter == pytest.approx(crossing, abs=1e-6)
    stable = born.parameter < doubling.parameter
    np.testing.assert_array_equal(born.is_stable, stable)
    assert "period doubling  counter = 1.3422" in repr(born)


def test_the_doubled_orbit_ends_where_it_was_born(born):
    (doubling,) = born.special
    run = dj.mfsolve(model(1.38), doubling.state, [0.0, 1500.0])
    twice = dj.periodic_orbit(model(1.38), run.final_state)
    assert twice.successful and twice.is_stable and float(twice.period) > 1.9 * doubling.period
    back = dj.orbit_continuation(model(1.38), twice, "counter", limits=(1.0, 1.5), direction=-1)
    assert back.ended == "branch point"
    assert back.special[-1].parameter == pytest.approx(doubling.parameter, abs=1e-7)


@pytest.mark.slow
def test_a_torus_leaves_an_orbit_of_two_modes_where_scipy_s_multipliers_cross_the_circle():
    two = dj.DickeModel(dj.LargeSpins.hypercube(2), omega_spin=1.0, omega_mode=[1.0, -2.0], kappa=1.0, g0=1.0)
    start = dj.MeanFieldState([[-0.239, 0.159], [0.970, 0.684], [0.045, 0.712]], [0.244 + 0.372j, -0.253 + 0.351j])
    orbit = dj.periodic_orbit(two, start, period=3.2)
    branch = dj.orbit_continuation(two, orbit, "g0", limits=(0.6, 1.3), direction=1)
    (torus,) = branch.special
    assert torus.kind == "torus"
    f, jacobian = dicke_equations(two.replace(g0=torus.parameter))
    end, matrix = monodromy(f, jacobian, flat(torus.state), torus.period)
    np.testing.assert_allclose(end, flat(torus.state), atol=1e-9)
    values = np.linalg.eigvals(matrix)
    pair = values[np.abs(values.imag) > 0.7]
    assert np.min(np.abs(np.abs(pair) - 1)) < 1e-7
    np.testing.assert_array_equal(branch.is_stable, branch.parameter < torus.parameter)


def test_what_does_not_fit_is_refused():
    rest = as_state(at_rest(HOPF)[0])
    with pytest.raises(ValueError, match="parameter must be .*; got 'detuning'"):
        dj.orbit_continuation(model(HOPF), rest, "detuning", limits=(0.9, 1.5))
    with pytest.raises(ValueError, match="value must be the parameter's at the start, from 2 to 3; got 1.04"):
        dj.orbit_continuation(model(HOPF), rest, "counter", limits=(2.0, 3.0))


def test_a_diagram_holds_the_states_and_the_orbits_born_at_their_hopf_points():
    states = dj.continuation(model(1.0), as_state(at_rest(1.0)[0]), "counter", limits=(0.95, 1.1))
    diagram = dj.bifurcations(model(1.0), states, "counter", limits=(0.95, 1.2))
    assert diagram.states is states and len(diagram.orbits) == len(diagram.hopf) == 1 and not diagram.without
    (point,), (orbits,) = diagram.hopf, diagram.orbits
    assert point.parameter == pytest.approx(HOPF, abs=1e-7)
    assert orbits.ended == "limit" and orbits.parameter[-1] == pytest.approx(1.2, abs=1e-12)
    assert orbits.period[0] == pytest.approx(2 * np.pi / at_rest(HOPF)[1].imag, rel=1e-3)
    assert orbits.lowest[0, 0] < point.overlaps[0] < orbits.highest[0, 0]
    assert "1 branch of orbits" in repr(diagram) and "from counter = 1.048" in repr(diagram)
    with pytest.raises(ValueError, match="^parameter must be that of the branch, counter; got rotating.$"):
        dj.bifurcations(model(1.0), states, "rotating")
