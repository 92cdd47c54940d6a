"""Rates that depend on time, against SciPy and finite differences."""

import dataclasses
import itertools
import pickle

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, generic_state, paper

import dicke_jax as dj

TIMES = np.linspace(0.0, 5.0, 6)
TIGHT = dict(rtol=1e-12, atol=1e-12)


def scheduled_scipy(model, bloch, alpha, times, rates):
    """DOP853 on the dense equations with rates(t), from kink to kink."""
    from scipy.integrate import solve_ivp

    G, K = np.asarray(model.spins.couplings, dtype=float), model.num_subsets

    def right_hand_side(t, flat):
        omega, omega_mode, kappa, g0, decay = rates(t)
        s, a = flat[: 3 * K].reshape(3, K), flat[3 * K :][: len(G)] + 1j * flat[-len(G) :]
        h = 2 * a.real @ G
        ds = np.array([-2 * g0 * h * s[1], 2 * g0 * h * s[0] - 2 * omega * s[2], 2 * omega * s[1]])
        ds += decay * (np.array([[-1], [-0.5], [-0.5]]) * s + np.array([[-1], [0], [0]]))
        da = -(1j * omega_mode + kappa / 2) * a - 1j * g0 * (G @ s[2]) / K
        return np.concatenate([ds.ravel(), da.real, da.imag])

    state, path = np.concatenate([np.ravel(bloch), np.real(alpha), np.imag(alpha)]), []
    for start, stop in itertools.pairwise(times):
        path.append(state)
        state = solve_ivp(right_hand_side, (start, stop), state, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    return np.array([*path, state])[:, : 3 * K].reshape(len(times), 3, K)


def test_trajectories_with_every_rate_in_time_agree_with_scipy():
    """A function, a ramp with kinks, a diffrax path, and the rate of a jump; saved on the kinks."""
    times = np.array([0.0, 1.0, 2.5, 4.0, 5.0])
    frequencies = np.array([[1.5, 2.0], [2.5, 1.0], [0.5, 3.0]])
    model = dj.DickeModel(
        dj.LargeSpins.hypercube(2),
        omega_spin=lambda t: 0.5 + 0.2 * jnp.sin(3 * t),
        omega_mode=dfx.LinearInterpolation(ts=jnp.array([0.0, 2.5, 5.0]), ys=jnp.array(frequencies)),
        kappa=lambda t: 1.0 + 0.3 * jnp.cos(2 * t) * jnp.array([1.0, -1.0]),
        g0=dj.PiecewiseLinear([1.0, 2.5, 4.0], [0.3, 1.6, 0.7]),
        dissipation=dj.LocalDissipation([("decay_x", dj.PiecewiseLinear([1.0, 4.0], [0.0, 0.3]))]),
    )
    state = generic_state(paper(num_patterns=2))
    sol = dj.mfsolve(model, state, times, rtol=1e-11, atol=1e-11)

    def rates(t):
        modes = np.array([np.interp(t, [0.0, 2.5, 5.0], column) for column in frequencies.T])
        g0, decay = np.interp(t, [1.0, 2.5, 4.0], [0.3, 1.6, 0.7]), np.interp(t, [1.0, 4.0], [0.0, 0.3])
        kappa = 1.0 + 0.3 * np.cos(2 * t) * np.array([1.0, -1.0])
        return 0.5 + 0.2 * np.sin(3 * t), modes, kappa, g0, decay

    np.testing.assert_allclose(sol.m, scheduled_scipy(model, state.m, state.alpha, times, rates), atol=1e-9)


def test_the_series_of_piecewise_linear_rates():
    """Every rate a ramp at once, a jump's too: against Dopri8, in fewer steps."""
    modes = np.array([[1.2, 1.9], [1.6, 1.1], [1.4, 1.5]])
    ramp = lambda *values: dj.PiecewiseLinear([0.3, 1.1, 2.6], values)  # noqa: E731
    model = dj.DickeModel(
        dj.LargeSpins.hypercube(2),
        omega_spin=ramp(0.4, 0.7, 0.5),
        omega_mode=dj.PiecewiseLinear([0.0, 1.7, 3.0], modes),
        kappa=dj.PiecewiseLinear([0.0, 2.0], modes[:2] / 2),
        g0=ramp(0.3, 1.4, 0.8),
        dissipation=dj.LocalDissipation([("decay_x", ramp(0.0, 0.2, 0.1)), ("dephasing_x", 0.05)]),
    )
    state, times = generic_state(model), jnp.linspace(0.0, 3.0, 4)
    series = dj.mfsolve(model, state, times, rtol=1e-12, atol=1e-12, solver=dj.BilinearTaylor(13))
    pair = dj.mfsolve(model, state, times, rtol=1e-12, atol=1e-12, solver=dfx.Dopri8())
    np.testing.assert_allclose(series.m, pair.m, atol=1e-10)
    np.testing.assert_allclose(series.alpha, pair.alpha, atol=1e-10)
    assert series.stats["num_steps"] < pair.stats["num_steps"]


def test_slopes_of_a_ramp_at_and_beyond_its_kinks():
    ramp = dj.PiecewiseLinear([0.0, 1.0, 3.0], [0.0, 2.0, 1.0])
    at = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(jax.vmap(ramp.value_and_slope)(jnp.array(at))[1], [0, 2, 2, -0.5, -0.5, 0, 0])


def test_times_late_in_a_run_are_not_those_of_a_ramp_in_float32():
    """At t = 1e5 a float32 knows times 0.008 apart: the knots are such, the times of a run in float64 are not."""
    knots, values = np.float32([1e5, 1e5 + 1, 1e5 + 2.5]), np.float32([0.5, 2.0, 1.0])
    ramp = dj.PiecewiseLinear(knots, values)
    times = 1e5 + np.array([-0.003, 0.0, 0.001, 0.9987, 1.0, 1.0013, 2.4999, 2.5, 2.501])
    value, slope = jax.vmap(ramp.value_and_slope)(jnp.asarray(times))
    assert value.dtype == slope.dtype == jnp.float32
    np.testing.assert_allclose(value, np.interp(times, knots, values), rtol=2e-7)
    np.testing.assert_allclose(slope, [0, 1.5, 1.5, 1.5, -2 / 3, -2 / 3, -2 / 3, 0, 0], rtol=1e-6)


def test_a_solver_steps_onto_the_kinks():
    """With kinks known, tightening the tolerance costs no burst of rejected steps at an unsaved kink."""
    state = generic_state(paper(num_patterns=2))
    ramp = dj.PiecewiseLinear([0.0, 1.2345, 3.0], [0.2, 3.0, 0.2])
    one, other = (dataclasses.replace(paper(num_patterns=2), g0=g0) for g0 in (ramp, lambda t: ramp(t)))
    known, unknown = (dj.mfsolve(m, state, jnp.array([0.0, 3.0]), rtol=1e-12, atol=1e-12) for m in (one, other))
    np.testing.assert_allclose(known.m, unknown.m, atol=1e-9)
    assert known.stats["num_rejected_steps"] < unknown.stats["num_rejected_steps"]


def test_gradient_in_the_parameters_of_a_schedule():
    state = generic_state(paper(num_patterns=2))

    def value(p):
        model = dataclasses.replace(paper(num_patterns=2), g0=dj.PiecewiseLinear(p[:3], p[3:]))
        options = dict(solver=dj.BilinearTaylor(8), rtol=1e-11, atol=1e-11)  # a low order compiles quickly
        return dj.mfsolve(model, state, jnp.array([0.0, 3.0]), **options).overlaps[-1, 0]

    parameters = jnp.array([0.5, 1.3, 2.7, 0.3, 1.4, 0.8])
    np.testing.assert_allclose(jax.jit(jax.grad(value))(parameters), differences(jax.jit(value), parameters), atol=2e-7)


@pytest.mark.parametrize("mode", ["reverse within jit", pytest.param("forward over reverse", marks=pytest.mark.slow)])
def test_a_rate_may_close_over_what_is_differentiated(mode):
    """A derivative of it was zero, and no error; so in a jump's rate and in a declared one, too."""
    state = generic_state(paper(num_patterns=2))

    def value(w):
        jump = dj.LocalDissipation([("decay_x", lambda t: 0.1 * w * jnp.cos(t) ** 2)])
        drive, loss = dj.RateFunction(lambda t: 1 + 0.2 * jnp.sin(w * t), 0.5), lambda t: w
        model = paper(num_patterns=2).replace(g0=drive, kappa=loss, dissipation=jump)
        return dj.mfsolve(model, state, jnp.array([0.0, 1.0])).overlaps[-1, 0]

    def expected(function):
        return float(differences(jax.jit(lambda w: function(w[0])), [1.3])[0])

    if mode == "reverse within jit":
        assert float(jax.jit(jax.grad(value))(1.3)) == pytest.approx(expected(value), rel=1e-6)
    else:
        slope = jax.jit(jax.grad(value))
        assert float(jax.jacfwd(jax.grad(value))(1.3)) == pytest.approx(expected(slope), rel=1e-5)


def test_what_needs_constant_rates_says_so():
    ramp = dj.PiecewiseLinear([0.0, 1.0], [0.5, 1.0])
    model = dataclasses.replace(paper(), g0=ramp)
    state = dj.stored_pattern(model)
    with pytest.raises(ValueError, match="model must be one with constant rates for a stationary"):
        dj.steadystate(model, state)
    with pytest.raises(ValueError, match="model must be one with constant rates for this closed form"):
        dj.retrieval_overlap(model)
    with pytest.raises(ValueError, match="solver must be .* neither constant nor PiecewiseLinear"):
        other = dataclasses.replace(paper(), g0=lambda t: ramp(t))
        dj.mfsolve(other, state, jnp.array([0.0, 1.0]), solver=dj.BilinearTaylor())
    with pytest.raises(ValueError, match="stepsize_controller must be an adaptive one"):
        fixed = dict(stepsize_controller=dfx.ConstantStepSize(), dt0=0.1, solver=dj.BilinearTaylor())
        dj.mfsolve(model, state, jnp.array([0.0, 1.0]), **fixed)
    assert float(dj.retrieval_overlap(model.at(1.0))) == float(dj.retrieval_overlap(paper(1.0)))


@pytest.mark.parametrize("name", ["omega_spin", "omega_mode", "kappa", "g0", "rate of a jump"])
def test_a_function_with_complex_values_is_no_rate_for_anything_that_integrates(name):
    """Refused where the model is made: no integrator ever meets it."""
    times = jnp.array([0.0, 1.0])
    spiral = dfx.LinearInterpolation(times, jnp.array([0.0, 1.0 + 1.0j]))
    for rate in (lambda t: jax.lax.complex(1 + t, t), spiral, dj.RateFunction(lambda t: 1j, shortest=0.1)):
        with pytest.raises(ValueError, match=f"^{name} must be real at all times; got a function .* complex values.$"):
            jumps = dict(dissipation=dj.LocalDissipation([("decay_x", rate)])) if name == "rate of a jump" else {}
            dataclasses.replace(paper(), **(jumps or {name: rate}))


def test_a_model_read_where_float64_is_off_is_one_of_float32():
    models = paper(), dataclasses.replace(paper(), g0=dj.PiecewiseLinear([0.0, 1.0], [0.5, 1.0]))
    written = pickle.dumps(models)
    with jax.enable_x64(False):
        for model in pickle.loads(written):
            leaves = [leaf for leaf in jax.tree.leaves(model) if jnp.issubdtype(leaf.dtype, jnp.floating)]
            assert {model.dtype, *(leaf.dtype for leaf in leaves)} == {jnp.dtype("float32")}
    for model, again in zip(models, pickle.loads(written), strict=True):
        assert again.dtype == jnp.float64 and eqx.tree_equal(model, again)
