"""What a rate does between the steps is seen, or the run says that it was not: against closed forms and SciPy."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences

import dicke_jax as dj

ONE = dj.LargeSpins.hypercube(1)
UP = dj.MeanFieldState(jnp.array([[0.0], [0.0], [1.0]]), jnp.zeros(1, complex))
AREA = np.pi / 8  # of Omega: the spin turns by pi / 4


class Pulse(eqx.Module):
    """A Gaussian of unit area times `area`."""

    area: jax.Array
    centre: jax.Array
    width: jax.Array

    def __call__(self, t):
        return self.area / (jnp.sqrt(jnp.pi) * self.width) * jnp.exp(-(((t - self.centre) / self.width) ** 2))


def pulse(centre, width, area=AREA):
    return Pulse(*(jnp.asarray(x, float) for x in (area, centre, width)))


def pulsed(rate):
    return dj.DickeModel(ONE, rate, 1.0, 1.0, 0.0)


def final_z(model, times, **options):
    return dj.mfsolve(model, UP, times, **options).m[-1, 2, 0]


def test_a_pulse_between_two_steps_is_seen():
    """Nothing else ever happens: the run would take a few steps of any length."""
    widths, centres = np.array([0.2, 0.5, 1.0]), np.array([50.0, 123.4, 290.0])
    at = jax.jit(
        jax.vmap(lambda width, centre, end: final_z(pulsed(pulse(centre, width)), jnp.array([0, end])), (0, 0, None))
    )
    for end in (300.0, 3000.0):
        np.testing.assert_allclose(at(widths, centres, end), np.cos(2 * AREA), rtol=1e-9)


def test_a_pulse_is_seen_at_every_saved_time():
    times = np.linspace(0.0, 100.0, 2001)
    z = dj.mfsolve(pulsed(pulse(50.0, 0.5)), UP, times).m[:, 2, 0]
    from scipy.special import erf

    np.testing.assert_allclose(z, np.cos(AREA * (1 + erf((times - 50.0) / 0.5))), atol=1e-9)


@pytest.mark.parametrize("solver", [dfx.Tsit5(), dfx.Kvaerno5()])
def test_other_solvers_see_it(solver):
    z = final_z(pulsed(pulse(50.0, 0.5)), jnp.array([0.0, 100.0]), solver=solver, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(z, np.cos(2 * AREA), atol=1e-6)


def test_ensembles_and_float32_see_it():
    states = dj.MeanFieldState(jnp.broadcast_to(UP.m, (3, 3, 1)), jnp.zeros((3, 1), complex))
    sol = dj.solve_ensemble(pulsed(pulse(50.0, 0.5)), states, [0.0, 100.0], save="final")
    np.testing.assert_allclose(sol.m[:, 2, 0], np.cos(2 * AREA), rtol=1e-9)
    assert np.all(sol.num_steps < 1000)
    single = jax.tree.map(lambda x: x.astype(jnp.float32), pulse(50.0, 0.5))
    model = dj.DickeModel(ONE, single, *(jnp.asarray(rate, jnp.float32) for rate in (1.0, 1.0, 0.0)))
    state = dj.MeanFieldState(UP.m.astype(jnp.float32), UP.alpha.astype(jnp.complex64))
    np.testing.assert_allclose(dj.mfsolve(model, state, [0.0, 100.0]).m[-1, 2, 0], np.cos(2 * AREA), atol=1e-5)


def test_derivatives_in_what_a_pulse_is_made_of():
    def z(area, adjoint=None):
        return final_z(pulsed(pulse(50.0, 0.5, area)), jnp.array([0.0, 100.0]), adjoint=adjoint)

    expected = -2 * np.sin(2 * AREA)
    np.testing.assert_allclose(jax.grad(z)(AREA), expected, rtol=1e-8)
    np.testing.assert_allclose(jax.jacfwd(lambda a: z(a, dfx.ForwardMode()))(AREA), expected, rtol=1e-8)
    np.testing.assert_allclose(differences(lambda x: z(x[0]), [AREA]), [expected], rtol=1e-5)


def test_a_pulse_on_a_state_at_rest_agrees_with_scipy():
    """At a stationary state steps are long; amplitude and width of the pulse are far from those of the model."""
    from scipy.integrate import solve_ivp

    model = dj.DickeModel(ONE, 0.5, 1.5, 1.0, 1.0)
    rest = dj.steadystate(model, dj.MeanFieldState(-UP.m * 0.8 + jnp.array([[0.6], [0.0], [0.0]]), UP.alpha)).state
    start = np.array([*np.asarray(rest.m[:, 0]), rest.alpha[0].real, rest.alpha[0].imag])

    @jax.jit
    def ends(centres):
        def one(centre):
            def g0(t):
                return 1 + 100 * jnp.exp(-(((t - centre) / 0.01) ** 2))

            return dj.mfsolve(model.replace(g0=g0), rest, jnp.array([0.0, 100.0]), throw=False).overlaps[-1, 0]

        return jax.lax.map(one, centres)

    centres = np.linspace(5.0, 95.0, 4) + 0.123

    def scipy_end(centre):
        def right_hand_side(t, y):
            g0 = 1 + 100 * np.exp(-(((t - centre) / 0.01) ** 2))
            x, y_, z, re, im = y
            h = 2 * re
            turned = -2 * g0 * h * y_, 2 * g0 * h * x - z, y_
            return np.array([*turned, 1.5 * im - 0.5 * re, -1.5 * re - 0.5 * im - g0 * z])

        y = start
        for begin, end in ((0, centre - 0.1), (centre - 0.1, centre), (centre, centre + 0.1), (centre + 0.1, 100)):
            y = solve_ivp(right_hand_side, (begin, end), y, method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
        return y[2]

    np.testing.assert_allclose(ends(centres), [scipy_end(centre) for centre in centres], atol=1e-7)


def test_what_has_declared_its_shortest_feature_needs_no_luck():
    """A pulse of 1e-5 of the run, which nobody looks for; declared, no step is longer than it."""
    narrow = pulse(51.23, 1e-3)
    z = final_z(pulsed(dj.RateFunction(narrow, shortest=1e-2)), jnp.array([0.0, 100.0]))
    np.testing.assert_allclose(z, np.cos(2 * AREA), rtol=1e-9)
    with pytest.raises(ValueError, match="shortest must be a positive duration; got 0"):
        dj.RateFunction(narrow, shortest=0.0)


@pytest.mark.parametrize("controller", [dfx.ConstantStepSize(), dfx.StepTo(jnp.linspace(0.0, 100.0, 11))])
def test_steps_of_a_given_size_say_what_they_did_not_see(controller):
    constant = isinstance(controller, dfx.ConstantStepSize)
    how = dict(stepsize_controller=controller, dt0=10.0 if constant else None)
    with pytest.raises(RuntimeError, match=r"unresolved: omega_spin\(t\) changes within a step"):
        dj.mfsolve(pulsed(pulse(50.0, 0.5)), UP, [0.0, 100.0], **how)
    sol = dj.mfsolve(pulsed(pulse(50.0, 0.5)), UP, [0.0, 100.0], **how, throw=False)
    assert not sol.successful
    np.testing.assert_allclose(sol.stats["unresolved_time"], 50.0, atol=2.0)
    if constant:
        fine = dj.mfsolve(pulsed(pulse(50.0, 0.5)), UP, [0.0, 100.0], stepsize_controller=controller, dt0=0.05)
        np.testing.assert_allclose(fine.m[-1, 2, 0], np.cos(2 * AREA), rtol=1e-6)


def test_an_interpolation_is_stepped_from_knot_to_knot():
    knots = jnp.linspace(0.0, 200.0, 2001)
    coefficients = dfx.backward_hermite_coefficients(knots, pulse(50.0, 0.5)(knots))
    sol = dj.mfsolve(pulsed(dfx.CubicInterpolation(knots, coefficients)), UP, [0.0, 200.0])
    np.testing.assert_allclose(sol.m[-1, 2, 0], np.cos(2 * AREA), atol=1e-6)
    assert sol.stats["num_steps"] < 2100


@pytest.mark.parametrize("ulps", [1, 2, 4, 8])
def test_kinks_that_round_off_holds_apart(ulps):
    jump = 2.0
    after = jump
    for _ in range(ulps):
        after = np.nextafter(after, 3)
    model = dj.DickeModel(ONE, 0.5, 1.5, 1.0, dj.PiecewiseLinear([0.0, jump, after, 6.0], [0.3, 0.3, 2.0, 2.0]))
    half = dj.mfsolve(model.replace(g0=0.3), UP, [0.0, 2.0])
    halves = dj.mfsolve(model.replace(g0=2.0), half.final_state, [0.0, 4.0])
    np.testing.assert_allclose(dj.mfsolve(model, UP, [0.0, 6.0]).m[-1], halves.m[-1], atol=1e-9)


def test_two_ramps_on_almost_the_same_times():
    first, second = np.arange(0, 5.0001, 0.1), np.linspace(0, 5, 51) * (1 + 1e-16 + 2e-16)
    assert np.any(first != second)
    spin, field = (
        dj.PiecewiseLinear(second, 0.5 + 0.3 * np.sin(2 * second)),
        dj.PiecewiseLinear(first, 1 + np.cos(3 * first)),
    )
    model = dj.DickeModel(ONE, spin, 1.5, 1.0, field)
    series = dj.mfsolve(model, UP, [0.0, 5.0])
    pair = dj.mfsolve(model, UP, [0.0, 5.0], solver=dfx.Dopri8(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(series.m[-1], pair.m[-1], atol=1e-9)


@pytest.mark.parametrize("kink", [2.3, 3.3, 7.7])
def test_a_ramp_in_another_precision(kink):
    def end(rates, ramp):
        g0 = dj.PiecewiseLinear(jnp.array([0.0, kink, kink + 0.5, 10.0], ramp), jnp.array([0.3, 0.3, 2.0, 1.0], ramp))
        model = dj.DickeModel(ONE, *(jnp.asarray(rate, rates) for rate in (0.5, 1.5, 1.0)), g0)
        state = dj.MeanFieldState(UP.m.astype(rates), jax.lax.complex(jnp.zeros(1, rates), jnp.zeros(1, rates)))
        return dj.mfsolve(model, state, [0.0, 10.0]).m[-1, :, 0]

    np.testing.assert_allclose(end(jnp.float32, jnp.float64), end(jnp.float64, jnp.float64), atol=2e-5)


def test_rows_that_are_nan_end_at_once():
    """Of a function of time: put to zero its numbers are not at rest, but divide zero by zero."""

    def steps(bad):
        sol = dj.mfsolve(pulsed(pulse(50.0, 0.5 + bad)), UP, [0.0, 100.0], throw=False, max_steps=2000)
        return sol.successful, sol.stats["num_steps"]

    successful, number = jax.vmap(steps)(jnp.array([0.0, jnp.nan]))
    np.testing.assert_array_equal(successful, [True, False])
    assert np.all(number < 1000)


def test_a_step_that_the_precision_cannot_shorten_ends_a_run():
    """A float64 kink of a float32 run lies between two of its times: no step over it is right, and none is shorter."""
    t, values = 1e5 + np.array([-1, 0.2928, 0.5857, 1.1714, 3]), np.array([[0.6], [0.7], [2.0], [0.4], [0.6]])
    line = dfx.LinearInterpolation(jnp.asarray(t), jnp.asarray(values))
    omega_spin, kappa, g0 = (jnp.asarray(rate, jnp.float32) for rate in (0.5, 1.0, 1.2))
    model = dj.DickeModel(ONE, omega_spin, line, kappa, g0)
    state = dj.tilted_pattern(jax.random.key(0), model, pattern=0, angle=0.5)
    with jax.numpy_dtype_promotion("standard"):  # a path of diffrax looks up its time as it is
        sol = dj.mfsolve(model, state, jnp.array([1e5, 1e5 + 2], jnp.float32), throw=False)
    assert int(sol.stats["num_steps"]) < 100 and sol.status == dj.Status.dt_min_reached
