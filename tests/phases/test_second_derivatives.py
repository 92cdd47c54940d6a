"""Second derivatives of what is found by a search: of the equation that it solves, in every mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, sampled

import dicke_jax as dj

FORWARD, REVERSE = jax.jacfwd, jax.jacrev
ONE = dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, 1.5, 1.0, 0.8)
TWO = dj.DickeModel(dj.LargeSpins.hypercube(2), 0.5, [1.5, 2.0], 1.0, 1.0)


def threshold(kind, model=TWO, pattern=1):
    return lambda kappa: dj.critical_coupling(model.replace(kappa=kappa), pattern, kind=kind, method="root finding")


def stationary(g0):
    model = ONE.replace(g0=g0)
    state, found = dj.stationary_state(model, [0.8])
    return jnp.where(found, dj.overlaps(model, state.m)[0], jnp.nan)


def steady(g0):
    return jnp.abs(dj.steadystate(ONE.replace(g0=g0), dj.stored_pattern(ONE)).overlaps[0])


CASES = {  # function, where, the second derivative in closed form: Eq. 12 and below, differentiated twice
    "existence": (threshold("existence"), 1.0, 0.0403526082688),
    "existence, one pattern": (threshold("existence", ONE, 0), 1.0, 0.0580947501931),
    "stability": (threshold("stability"), 1.0, 0.0304511060097),
    "stationary state": (stationary, 0.8, -11.2926707821),
    "steady state": (steady, 0.8, -11.2926707821),
}
MODES = {"forward over reverse": (FORWARD, REVERSE), "reverse over forward": (REVERSE, FORWARD)}
QUICK = {(case, "forward over reverse") for case in ("steady state", "stationary state")}


@pytest.mark.parametrize(
    ("case", "mode"),
    [pytest.param(c, m, marks=[] if (c, m) in QUICK else [pytest.mark.slow]) for c in CASES for m in MODES],
)
def test_second_derivatives_are_those_of_the_closed_form(case, mode):
    function, at, expected = CASES[case]
    outer, inner = MODES[mode]
    assert float(outer(inner(function))(at)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.slow
def test_a_fold_s_second_derivative_is_that_of_differences():
    """Where a branch turns back the field at which it does moves too."""
    slope = jax.jit(jax.jacfwd(threshold("existence", sampled(3), 2)))
    expected = differences(lambda kappa: slope(kappa[0]), [1.0], step=1e-3)
    assert float(jax.jacfwd(slope)(1.0)) == pytest.approx(float(expected[0]), rel=1e-6)


def test_equally_easy_patterns_have_a_threshold_and_no_derivative():
    alike = TWO.replace(omega_mode=1.5)
    values = [float(dj.critical_coupling(alike, kind="stability", method=m)) for m in ("closed form", "root finding")]
    np.testing.assert_allclose(values, 0.6454972243679028, rtol=1e-12)
    slope = jax.grad(lambda kappa: dj.critical_coupling(alike.replace(kappa=kappa), kind="stability"))
    assert np.isnan(slope(1.0))
