"""Periodic orbits and their multipliers, against SciPy on equations that are written out, and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbit_equations import dicke_equations, flat, monodromy, unbalanced_equations
from problems import differences
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import dicke_jax as dj
from dicke_jax.phases.orbit_branches import extremum

G = dj.gallery


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
    assert orbit.status == dj.Status.at_rest and np.isnan(float(orbit.period)) and not orbit.is_stable
    none = "must be a state near an orbit, or an orbit that was found; got one that is at rest"
    with pytest.raises(ValueError, match=f"^guess {none}"):
        dj.periodic_orbit(G.boundary_time_crystal(1.0, 1.5), orbit)
    with pytest.raises(ValueError, match=f"^start {none}"):
        dj.orbit_continuation(G.boundary_time_crystal(1.0, 1.5), orbit, "omega0", limits=(0.5, 2.0))


@pytest.mark.parametrize("turn", [0.03, 0.0999, 0.1002])
def test_a_turn_is_found_also_just_outside_the_orbits_around_it(turn):
    """Where the last orbit has all but shrunk to a state at rest, the parameter turns after it."""
    x = 0.1 * (1 - np.cos(np.pi * np.arange(17) / 16)) / 2
    where, value = extremum(x, 2.5 - 0.06 * (x - turn) ** 2 + 0.3 * (x - turn) ** 4, 0.97 * turn)
    assert where == pytest.approx(turn, abs=1e-6) and value == pytest.approx(2.5, abs=1e-12)


def test_what_is_no_guess_is_refused():
    model = two_modes()
    with pytest.raises(ValueError, match="period must be positive and finite; got -1"):
        dj.periodic_orbit(model, dj.stored_pattern(model), period=-1.0)
    with pytest.raises(ValueError, match="model must be one with constant rates for a periodic orbit"):
        dj.periodic_orbit(model.replace(g0=lambda t: 1.0 + 0 * t), dj.stored_pattern(model))
    with pytest.raises(ValueError, match="guess must be an Attractor or a MeanFieldState or a PeriodicOrbit; got"):
        dj.periodic_orbit(model, 1.0)


@pytest.mark.slow
def test_the_period_of_a_family_has_the_derivatives_of_its_closed_form():
    start = dj.MeanFieldState([[0.6], [0.0], [-0.8]], [])

    def period(p):
        return dj.periodic_orbit(G.boundary_time_crystal(p[0], p[1]), start, period=5.6).period

    at = jnp.array([1.5, 1.0])
    gap = 1.5**2 - 1
    expected = np.array([-1.5, 1.0]) * 2 * np.pi / gap**1.5
    np.testing.assert_allclose(jax.jit(jax.grad(period))(at), expected, rtol=1e-8)


def seen_of(p, guess):
    """A number of the orbit that does not hang on where it begins, besides the period and a multiplier."""
    model = two_modes().replace(g0=p[0], kappa=p[1] * jnp.ones(2), omega_spin=p[2])
    orbit = dj.periodic_orbit(model, guess, period=guess.period, num_points=32)
    return orbit.period + jnp.mean(orbit.overlaps[:, 0] ** 2) + jnp.abs(orbit.multipliers[0])


@pytest.mark.slow
@pytest.mark.parametrize("mode", [jax.grad, jax.jacfwd])
def test_derivatives_of_orbits_are_those_of_differences(mode):
    at = np.array([1.0, 1.0, 1.0])
    orbit = dj.periodic_orbit(two_modes(), near_two(), period=3.2)
    value = jax.jit(lambda p: seen_of(p, orbit))
    expected = differences(value, at, 2.5e-4)
    np.testing.assert_allclose(jax.jit(mode(lambda p: seen_of(p, orbit)))(at), expected, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_an_attractor_hands_over_its_limit_cycle():
    model = two_modes()
    end = dj.attractor(model, near_two(), transient=100.0, num_windows=40)
    assert end.kind == dj.AttractorKind.limit_cycle
    orbit = dj.periodic_orbit(model, end)
    assert orbit.successful and orbit.is_stable
    assert float(orbit.period) == pytest.approx(float(end.period), rel=1e-6)


@pytest.mark.slow
def test_spins_that_oscillate_under_a_mode_a_thousand_times_faster_come_back():
    """Counter-rotating terms pump spins that decay; SciPy's implicit solver goes round."""
    kappa, decay = 1000.0, 0.3
    rates = dict(omega=kappa / 2, omega0=1.0, rotating=0.35 * kappa**0.5, counter=kappa**0.5)
    energy = G.unbalanced_dicke(**rates, kappa=kappa).energy
    jumps = dj.LocalDissipation([("sigma_minus", decay)])
    model = dj.CollectiveModel(energy, [dj.photon_loss(kappa)], jumps, num_modes=1)
    start = dj.MeanFieldState([[0.5], [0.1], [0.3]], [0.0])
    late = dj.mfsolve(model, start, jnp.array([0.0, 200.0]), max_steps=10**6).final_state
    orbit = dj.periodic_orbit(model, late)
    assert orbit.successful and orbit.is_stable and orbit.num_conserved == 0
    coherent, jacobian = unbalanced_equations(**rates, kappa=kappa)

    def f(t, u):
        return coherent(t, u) - decay * np.array([u[0] / 2, u[1] / 2, u[2] + 1, 0, 0])

    def slope(t, u):
        return jacobian(u) - decay * np.diag([0.5, 0.5, 1, 0, 0])

    begin, period = flat(orbit.state), float(orbit.period)
    run = solve_ivp(
        f, (0, period), begin, method="Radau", jac=slope, rtol=1e-9, atol=1e-11, t_eval=[period / 3, period]
    )
    np.testing.assert_allclose(run.y[:, 1], begin, atol=1e-6)
    assert np.linalg.norm(run.y[:3, 0] - begin[:3]) > 0.1


def strongest_frequency(t, signal):
    """Laskar's: where the transform of the windowed signal is largest, between the points of its FFT."""
    window = (1 - np.cos(2 * np.pi * np.arange(t.size) / t.size)) ** 3
    signal = signal - np.sum(window * signal) / np.sum(window)
    step = t[1] - t[0]
    at = np.argmax(np.abs(np.fft.rfft(window * signal)))
    unit = 2 * np.pi / (step * t.size)

    def power(omega):
        return -(np.abs(np.sum(window * signal * np.exp(-1j * omega * t))) ** 2)

    def slope(omega):  # whose root is found to round-off, where the largest value is flat
        wave = window * signal * np.exp(-1j * omega * t)
        return np.real(np.conj(np.sum(wave)) * np.sum(-1j * t * wave))

    assert power(at * unit) < power((at - 1) * unit) and power(at * unit) < power((at + 1) * unit)
    return brentq(slope, (at - 1) * unit, (at + 1) * unit, xtol=1e-15)


@pytest.mark.slow
def test_a_fourier_transform_of_a_long_run_has_the_period_of_two_modes():
    """That of SciPy, which is not at the orbit but comes to it."""
    model = two_modes()
    orbit = dj.periodic_orbit(model, near_two())
    period = float(orbit.period)
    assert orbit.successful and orbit.is_stable
    f, _ = dicke_equations(model)
    long = np.log(1e-12) / np.log(np.max(np.abs(orbit.multipliers)))
    t = period * (long + np.arange(2**13) * 300 / 2**13)
    start = flat(near_two())
    run = solve_ivp(f, (0, t[-1]), start, method="DOP853", t_eval=t, rtol=1e-12, atol=1e-13).y
    frequency = strongest_frequency(t - t[0], run[-1])
    turns = frequency * period / (2 * np.pi)  # a harmonic may be the strongest
    assert round(turns) >= 1
    np.testing.assert_allclose(turns / round(turns), 1, atol=1e-8)
