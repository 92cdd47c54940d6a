"""Every refusal names the argument, what it must be and what it was."""

import diffrax as dfx
import jax
import numpy as np
import optimistix as optx
import pytest
from jaxtyping import config
from problems import paper

import dicke_jax as dj

MODEL = paper(1.0, num_patterns=2)
STATE = dj.stored_pattern(MODEL)
CURVE = dj.StationaryCurve([0.5, 1.0], [0.1, 0.2], 0.1)
NAN = float("nan")


class Found:
    """Of a fit, all that is looked at before its arguments are."""

    loss = 0.0


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    """Without the executed annotations of the tests, which would be the first to refuse."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


CASES = {
    "free: name": (lambda: dj.free_rates(MODEL, ("omega",)), "free must be names out of .* got 'omega'"),
    "free: text": (lambda: dj.free_rates(MODEL, "kappa"), "free must be a sequence of names.*got 'kappa'"),
    "free: mode": (lambda: dj.free_rates(MODEL, (("kappa", 2),)), r"free must be names .*got \('kappa', 2\)"),
    "free: no jump": (lambda: dj.free_rates(MODEL, ("jump",)), "free must be names .*got 'jump'"),
    "free: twice": (lambda: dj.free_rates(MODEL, ("kappa", ("kappa", 1))), "free must be rates that are named once"),
    "free: ramp": (
        lambda: dj.free_rates(MODEL.replace(g0=lambda t: t), ("g0",)),
        "free must be .*constant; got 'g0', which",
    ),
    "free: zero": (
        lambda: dj.free_rates(MODEL.replace(kappa=0.0), ("kappa",)),
        "a free rate must be other than 0.*got 0.0",
    ),
    "bounds": (
        lambda: dj.free_rates(MODEL, ("g0",), {"g0": (2.0, 1.0)}),
        r"bounds must be pairs .*\(2.0, 1.0\) for 'g0'",
    ),
    "bounds: name": (
        lambda: dj.free_rates(MODEL, ("g0",), {"kappa": (0, 1)}),
        "bounds must be given for names that are",
    ),
    "bounds: outside": (
        lambda: dj.invert_critical_coupling(MODEL, 0, 0.7, bounds={"kappa": (2.0, 3.0)}),
        r"kappa\[0\] must be of its sign, and in size between 2 and 3; got 1.0",
    ),
    "target: sign": (lambda: dj.invert_critical_coupling(MODEL, 0, -0.7), "target must be positive; got -0.7"),
    "target: shape": (lambda: dj.invert_critical_coupling(MODEL, 0, [0.7, 0.8]), r"target must be of shape \(1,\)"),
    "target: word": (
        lambda: dj.invert_critical_coupling(MODEL, (0, 1), "same"),
        "target must be one of 'equal', 'increasing'; got 'same'",
    ),
    "pattern: twice": (lambda: dj.invert_critical_coupling(MODEL, (0, 0), 0.7), "pattern must be .* all different"),
    "kind: equal": (
        lambda: dj.invert_critical_coupling(MODEL, (0, 1), "equal", kind="stability"),
        "kind must be 'existence' where all are to be equal",
    ),
    "stay": (lambda: dj.invert_critical_coupling(MODEL, 0, 0.7, stay={"g0": 2.0}), "stay must be given for rates that"),
    "route": (lambda: dj.locate_critical_coupling(MODEL, 0, route="theory"), "route must be one of .*got 'theory'"),
    "start: locate": (
        lambda: dj.locate_critical_coupling(MODEL, 0, start=0.0),
        "start must be positive and finite; got 0.0",
    ),
    "adjoint": (
        lambda: dj.locate_critical_coupling(MODEL, 0, adjoint=dfx.ForwardMode()),
        "adjoint must be a diffrax adjoint, with route 'integration'; got ForwardMode with 'stationary'",
    ),
    "free: no trace": (
        lambda: dj.fit(MODEL, CURVE, free=("overlap",)),
        r"free must be with an overlap of one of the time traces, of numbers \[\]; got 'overlap'",
    ),
    "state: not tilted": (
        lambda: dj.fit(MODEL, dj.TimeTrace([0.0, 1.0], np.ones((2, 2)), 0.1, STATE), free=(("overlap", 0),)),
        "state must be of spins that are tilted, where its overlap is free",
    ),
    "bounds: overlap": (
        lambda: dj.fit(MODEL, CURVE, free=("g0", "overlap"), bounds={"overlap": (0.1, 0.2)}),
        "bounds must be given for rates",
    ),
    "time: proxy": (lambda: dj.basin_proxy(MODEL, STATE, 0, time=0.0), "time must be positive; got 0.0"),
    "kappa: locate": (
        lambda: dj.locate_critical_coupling(MODEL.replace(kappa=0.0), 0, route="integration"),
        "kappa must be positive in every mode",
    ),
    "values: hole": (
        lambda: dj.StationaryCurve([0.5, 1.0], [0.1, NAN], 0.1),
        r"values must be finite where not marked as missing; got nan at index \(1,\)",
    ),
    "values: curve": (lambda: dj.StationaryCurve([0.5, 1.0], [0.1], 0.1), r"values must be of shape \(2,\)"),
    "noise": (lambda: dj.StationaryCurve([0.5, 1.0], [0.1, 0.2], 0.0), "noise must be positive and finite; got 0.0"),
    "quantity": (
        lambda: dj.StationaryCurve([0.5], [0.1], 0.1, quantity="spin"),
        "quantity must be one of 'overlap', 'photons'; got 'spin'",
    ),
    "t: trace": (lambda: dj.TimeTrace([1.0, 0.0], np.ones((2, 2)), 0.1, STATE), "t must be at least two increasing"),
    "data": (lambda: dj.fit(MODEL, [1.0]), "data must be StationaryCurve or TimeTrace.*got float"),
    "data: pattern": (
        lambda: dj.fit(MODEL, dj.StationaryCurve([0.5], [0.1], 0.1, pattern=2)),
        "pattern must be a pattern number from 0 to 1; got 2",
    ),
    "loss": (lambda: dj.fit(MODEL, CURVE, loss="L1"), "loss must be one of 'chi-square', 'huber'; got 'L1'"),
    "loss: least squares": (
        lambda: dj.fit(MODEL, CURVE, loss="huber", optimizer=optx.GaussNewton(1e-6, 1e-6)),
        "loss must be 'chi-square' for least squares",
    ),
    "spread": (lambda: dj.fit(MODEL, CURVE, spread=0.0), "spread must be positive; got 0.0"),
    "objective": (lambda: dj.design(1.0, MODEL), "objective must be a function; got float"),
    "objective: shape": (
        lambda: dj.design(lambda model: model.kappa, MODEL),
        r"objective must be a function with one number .*got shape \(2,\)",
    ),
    "optimizer": (
        lambda: dj.fit(MODEL, CURVE, optimizer=optx.BFGS(1e-6, 1e-6)),
        "optimizer must be an optimistix AbstractGaussNewton or an optax GradientTransformation or None; got BFGS",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_the_order_of_before_is_told_to_be_deprecated():
    with pytest.warns(DeprecationWarning, match="key first"), pytest.raises(ValueError, match="found must be"):
        dj.sample_posterior(Found(), jax.random.key(0), num_samples=1)


def test_values_and_noise_of_a_trace_may_be_traced_and_its_times_may_not():
    times, values = np.array([0.0, 1.0]), np.array([[0.9, 0.1], [0.8, 0.0]])

    @jax.jit
    def residuals(values, noise):
        trace = dj.TimeTrace(times, values, noise, STATE, missing=[[False, True], [False, False]])
        return (trace.values - 0.5) / trace.noise, trace.present

    found, present = residuals(values, 0.1)
    np.testing.assert_allclose(np.where(present, found, 0.0), [[4.0, 0.0], [3.0, -5.0]], rtol=1e-12)
    with pytest.raises(ValueError, match=r"^t must be known: times made by numpy, or outside of jax.jit; got traced"):
        jax.jit(lambda t: dj.TimeTrace(t, values, 0.1, STATE).values)(times)
