"""Every public function with derivatives against central differences, in first and second order and in every mode.

One table: a function of the rates (functions_of_rates.py), where it is looked at, and how exact it is by itself. First
derivatives are compared with differences of the function, second ones with differences of the first, which are known to
be right then.
"""

import inspect

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from functions_of_rates import (
    AT,
    ONE,
    SERIES,
    START,
    TIMES,
    TWO,
    UNEQUAL,
    at_times,
    course,
    curve_loss,
    ended_fluctuations,
    growth,
    light,
    margin,
    model,
    moments,
    own_course,
    own_end,
    own_fluctuations,
    own_growth,
    own_light,
    own_rates,
    own_stationary,
    ramped,
    resting,
    retrieval,
    right_hand_side,
    stationary,
    steady,
    threshold,
    weighted,
    weighted_rest,
)

import dicke_jax as dj

STEP = 2e-3

ROWS = {  # function, its own error, and whether the row is quick
    "mfsolve": (course, 3e-11, True),
    "mfsolve, times and start": (at_times, 3e-11, False),
    "mfsolve, ramp": (ramped, 3e-11, False),
    "mfsolve, at rest": (resting, 3e-11, False),
    "mfsolve, weights": (weighted, 3e-11, False),
    "stationary_state, weights": (weighted_rest, 1e-14, False),
    "mfsolve, Dopri8": (lambda p: course(p, solver=dfx.Dopri8()), 3e-11, False),
    "steadystate": (steady, 1e-10, False),  # the last state, not yet at rest
    "stationary_state": (stationary, 1e-14, False),
    "mean_field_equations": (right_hand_side, 1e-14, True),
    "retrieval_overlap": (lambda p: dj.retrieval_overlap(model(p, TWO), 1), 1e-15, True),
    "retrieval_state": (lambda p: retrieval(p).m[0, 0] + jnp.abs(retrieval(p).alpha[1] - 0.3j), 1e-15, False),
    "critical_coupling, normal": (threshold("normal"), 1e-15, False),
    "critical_coupling, existence": (threshold("existence"), 1e-15, False),
    "critical_coupling, stability": (threshold("stability"), 1e-15, True),
    "critical_coupling, existence by roots": (threshold("existence", "root finding"), 1e-13, False),
    "critical_coupling, stability by roots": (threshold("stability", "root finding"), 1e-13, False),
    "critical_coupling, normal, unequal": (threshold("normal", None, UNEQUAL, 0.2), 1e-13, False),
    "stability": (growth, 1e-14, False),
    "stability_margin": (margin, 1e-13, False),
    "stationary_covariance": (ended_fluctuations, 1e-14, False),
    "output_spectrum": (light, 1e-14, False),
    "StationaryCurve": (curve_loss, 1e-14, False),
    "mean_field_equations, own energy": (own_rates, 1e-14, False),
    "mfsolve, own energy": (own_course, 3e-9, False),
    "steadystate, own energy": (own_end, 1e-10, False),
    "stationary_state, own energy": (own_stationary, 1e-13, False),
    "stability, own energy": (own_growth, 1e-12, False),
    "stationary_covariance, own energy": (own_fluctuations, 1e-12, False),
    "output_spectrum, own energy": (own_light, 1e-12, False),
}
MODES = {
    "forward": lambda f: jax.jacfwd(f),
    "forward over reverse": lambda f: jax.jacfwd(jax.grad(f)),
    "reverse over reverse": lambda f: jax.jacrev(jax.grad(f)),
    "reverse over forward": lambda f: jax.jacrev(jax.jacfwd(f)),
    "forward twice": lambda f: jax.jacfwd(jax.jacfwd(f)),
}
QUICK_MODES = ("forward over reverse", "reverse over reverse")


def by_differences(function, error):
    """Central differences of fourth order, and what they are off by: h^4 from twice the step, and round-off over h."""
    out, off = [], []
    for i in range(AT.size):
        values = {n: np.asarray(function(AT + n * STEP * np.eye(AT.size)[i])) for n in (-4, -2, -1, 1, 2, 4)}
        fine, coarse = (
            (8 * (values[n] - values[-n]) - (values[2 * n] - values[-2 * n])) / (12 * n * STEP) for n in (1, 2)
        )
        size = 1 + max(float(np.abs(value).max()) for value in values.values())
        out.append(fine)
        off.append(np.abs(fine - coarse).max() / 10 + 3 * error * size / STEP)
    return np.stack(out), max(off)


@pytest.fixture(scope="module")
def first():
    """The first derivative in reverse mode of a row, compared with differences of the function once."""
    known = {}

    def of(name):
        if name not in known:
            function, error, _ = ROWS[name]
            expected, off = by_differences(jax.jit(function), error)
            gradient = jax.jit(jax.grad(function))
            np.testing.assert_allclose(gradient(AT), expected, rtol=0, atol=off)
            known[name] = gradient, by_differences(gradient, 10 * error)
        return known[name]

    return of


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(n, m, marks=[] if ROWS[n][2] and m in QUICK_MODES else [pytest.mark.slow])
        for n in ROWS
        for m in MODES
    ],
)
def test_derivatives_are_those_of_differences(first, name, mode):
    gradient, (expected, off) = first(name)
    found = np.asarray(jax.jit(MODES[mode](ROWS[name][0]))(AT))
    if mode == "forward":
        expected, off = gradient(AT), 100 * ROWS[name][1] * (1 + float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=off)


# without a row of their own: a part of one of the rows, or no number of the model that could be differentiated
BY_PARTS = "overlaps occupations spin_lengths stored_pattern tilted_pattern stationary_states"
WITHOUT = {
    "make what is stored, before there are rates": "flip_spins image_patterns map_to_large_spins pattern_overlaps "
    "random_patterns corrupted_pattern random_state",
    "make parts of a CollectiveModel, the derivatives of which tests/dynamics has": "collective photon_loss",
    "of orbits, the derivatives of which tests/phases has": "periodic_orbit",
    "write operators down for QuTiP": "to_operators",
    "hand back models or settings": "reduce_symmetry show_progress show_versions use_cpu_kernel use_gpu_kernel "
    "free_rates",
    "keep results": "save load",
    "count, classify or sample": "attractor basin_shares retrieval_probability mcsolve wigner_moments sample_posterior "
    "find_boundary",
    "search step by step on the host, for a model whose numbers are known": "continuation orbit_continuation "
    "bifurcations locate_critical_coupling "
    "invert_critical_coupling design fit mesolve check_theorem",
    "of chaotic motion, whose derivative grows without bound": "lyapunov_exponent",
    "rows of mfsolve and steadystate, the derivatives of which are to be asked of these": "solve_ensemble",
    "plain arithmetic on what others give": "scaled_error initial_error theorem_constants commutators "
    "product_covariance density_matrices bloch_vectors gell_mann",
    "forward mode alone, of many long runs; tests/inference has it": "basin_proxy",
    "first derivatives alone, below": "gaussian_moments",
}


def test_every_public_function_is_in_the_table_or_has_a_reason_not_to_be():
    public = {name for name in dj.__all__ if inspect.isfunction(getattr(dj, name))}
    in_table = {name.split(",")[0] for name in ROWS}
    elsewhere = {name for names in (BY_PARTS, *WITHOUT.values()) for name in names.split()}
    assert not elsewhere & in_table and public - in_table - elsewhere == set()
    assert elsewhere <= public, elsewhere - public


def test_mfsolve_is_differentiable_in_its_times_in_forward_mode():
    """`jax.linearize` in tsave met a raw message: the end moves along the flow."""
    at = model(AT)
    run = lambda times: dj.mfsolve(at, START, times, solver=dj.BilinearTaylor(8), throw=False)  # noqa: E731
    (_, along), end = jax.linearize(lambda times: run(times).m[-1, 2], TIMES), run(TIMES).final_state
    flow = dj.mean_field_equations(0.0, end.to_real(at), at)[0][2]
    np.testing.assert_allclose(along(jnp.array([0.0, 1.0])), flow, rtol=1e-9)
    np.testing.assert_allclose(along(jnp.ones(2)), 0, atol=1e-9)  # nothing else happens later


@pytest.mark.parametrize(
    "derivative, adjoint",
    [(jax.grad, dfx.ForwardMode()), (jax.jacfwd, dfx.RecursiveCheckpointAdjoint())],
    ids=["grad", "jacfwd"],
)
def test_a_derivative_that_an_adjoint_lacks_is_refused_in_one_line(derivative, adjoint):
    def end(g0):
        return dj.mfsolve(model((0.5, 1, 1, g0)), START, TIMES, solver=SERIES, adjoint=adjoint).overlaps[-1, 0]

    name = type(adjoint).__name__
    with pytest.raises(ValueError, match=rf"^adjoint must be one with the derivatives .*; got {name}\."):
        derivative(end)(1.2)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_reverse_mode_twice_through_checkpoints_is_refused_in_one_line(wrap):
    """Also out of a user's `jax.jit`, where the run is no longer on the stack. Forward over reverse is right."""

    def end(g0):
        how = dict(solver=SERIES, adjoint=dfx.RecursiveCheckpointAdjoint())
        return dj.mfsolve(model((0.5, 1, 1, g0)), START, TIMES, throw=False, **how).overlaps[-1, 0]

    with pytest.raises(ValueError, match=r"^adjoint must be one with the derivatives .*; got RecursiveCheckpoint"):
        jax.grad(jax.grad(wrap(end)))(1.2)


STIFF = dj.DickeModel(ONE, 0.5, 1e4, 1e4, 1.5 * np.sqrt(0.5 * 1.25e4 / 2))


def stiff(p):
    """Of the start, the mode being so fast that an implicit solver is chosen."""
    return dj.mfsolve(STIFF, dj.MeanFieldState(START.m * p, START.alpha), TIMES, throw=False).overlaps[-1, 0]


@pytest.mark.slow
def test_the_implicit_solver_has_derivatives_of_second_order():
    h, first = 2e-3, jax.jit(jax.grad(stiff))
    expected = (8 * (first(1 + h) - first(1 - h)) - first(1 + 2 * h) + first(1 - 2 * h)) / (12 * h)
    slope = (8 * (stiff(1 + h) - stiff(1 - h)) - stiff(1 + 2 * h) + stiff(1 - 2 * h)) / (12 * h)
    np.testing.assert_allclose(first(1.0), slope, rtol=1e-7)
    for second in (jax.grad(jax.grad(stiff)), jax.jit(jax.jacfwd(jax.grad(stiff)))):
        np.testing.assert_allclose(second(1.0), expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_gaussian_moments_in_the_mode_of_their_adjoint(mode):
    options = {"adjoint": dfx.ForwardMode()} if mode == "forward" else {}
    expected, off = by_differences(jax.jit(moments), 1e-9)
    wrap = jax.jacfwd if mode == "forward" else jax.grad
    np.testing.assert_allclose(jax.jit(wrap(lambda p: moments(p, **options)))(AT), expected, rtol=0, atol=off)
