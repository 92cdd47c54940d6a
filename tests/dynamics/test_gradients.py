"""Derivatives through trajectories and closed forms, against finite differences and against a second route."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.flatten_util import ravel_pytree
from problems import differences, generic_state, paper, uneven

import dicke_jax as dj

MODEL = uneven(2)
STATE = generic_state(MODEL)
PARAMETERS, unravel = ravel_pytree(
    {
        "omega_spin": MODEL.omega_spin,
        "omega_mode": MODEL.omega_mode,
        "kappa": MODEL.kappa,
        "g0": MODEL.g0,
        "m": STATE.m,
        "re": STATE.alpha.real,
        "im": STATE.alpha.imag,
    }
)


def value(flat, **options):
    """A scalar that feels every rate, every component of the initial state, spins, modes and two times."""
    p = unravel(flat)
    model = dj.DickeModel(MODEL.spins, p["omega_spin"], p["omega_mode"], p["kappa"], p["g0"])
    state = dj.MeanFieldState(p["m"], jax.lax.complex(p["re"], p["im"]))
    sol = dj.mfsolve(model, state, jnp.array([0.0, 1.0, 3.0]), rtol=1e-11, atol=1e-11, **options)
    weight = jnp.array([[0.3, -0.7], [1.1, 0.4]])
    return jnp.sum(weight * sol.overlaps[1:]) + jnp.sum(jnp.sin(sol.occupations[-1])) + sol.m[-1, 1, 0]


@pytest.fixture(scope="module")
def reference():
    return differences(jax.jit(value), PARAMETERS)


def test_reverse_mode_through_a_trajectory(reference):
    np.testing.assert_allclose(jax.jit(jax.grad(value))(PARAMETERS), reference, atol=2e-8)


def test_forward_mode_through_a_trajectory(reference):
    def forward(flat):
        return value(flat, adjoint=dfx.ForwardMode())

    np.testing.assert_allclose(jax.jit(jax.jacfwd(forward))(PARAMETERS), reference, atol=2e-8)
    direction = np.random.default_rng(0).normal(size=PARAMETERS.size)
    _, slope = jax.jit(lambda d: jax.jvp(forward, (PARAMETERS,), (d,)))(jnp.asarray(direction))
    assert float(slope) == pytest.approx(float(reference @ direction), abs=2e-7)


def test_backsolve_adjoint_is_passed_on(reference):
    gradient = jax.jit(jax.grad(lambda flat: value(flat, adjoint=dfx.BacksolveAdjoint())))(PARAMETERS)
    np.testing.assert_allclose(gradient, reference, atol=1e-6)


@pytest.mark.slow
def test_reverse_mode_under_vmap():
    g0 = jnp.array([0.5, 0.8, 1.1])

    def overlap(g):
        return value(PARAMETERS.at[0].set(g))  # parameter 0 is g0, by the alphabet

    many = jax.jit(jax.vmap(jax.grad(overlap)))(g0)
    assert float(many[1]) == pytest.approx(float(jax.jit(jax.grad(overlap))(g0[1])), abs=1e-9)


RATES = jnp.array([0.5, 1.7, 0.9, 1.25, 0.85])  # Omega, Omega_nu, kappa_nu, g0, spin length


def with_rates(rates):
    omega_mode = jnp.array([1.5, 0.0, 2.2]).at[1].set(rates[1])
    kappa = jnp.array([1.0, 0.0, 1.0]).at[1].set(rates[2])
    return dj.DickeModel(dj.LargeSpins.hypercube(3), rates[0], omega_mode, kappa, rates[3])


CLOSED_FORMS = {
    "retrieval_overlap": lambda r: dj.retrieval_overlap(with_rates(r), 1, spin_length=r[4]),
    "retrieval_state_x": lambda r: dj.retrieval_state(with_rates(r), 1, spin_length=r[4]).m[0, 0],
    "retrieval_state_z": lambda r: dj.retrieval_state(with_rates(r), 1, -1, spin_length=r[4]).m[2, 1],
    "retrieval_state_alpha": lambda r: jnp.abs(dj.retrieval_state(with_rates(r), 1, spin_length=r[4]).alpha[1] - 0.3j),
    "critical_coupling": lambda r: dj.critical_coupling(with_rates(r), 1, spin_length=r[4]),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms_are_differentiable_in_every_rate(name):
    function = CLOSED_FORMS[name]
    expected = differences(jax.jit(function), RATES)
    np.testing.assert_allclose(jax.jit(jax.grad(function))(RATES), expected, atol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(function))(RATES), expected, atol=1e-8)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms_have_no_nan_gradient_below_threshold(name):
    gradient = jax.grad(CLOSED_FORMS[name])(RATES.at[3].set(0.1))
    assert np.isfinite(gradient).all()
    if name.startswith("retrieval_overlap"):
        np.testing.assert_array_equal(gradient, 0.0)


def test_derivative_of_the_overlap_that_traps_a_least_squares_solve():
    """D xi / d g0 at g0 = 1.5 g_crit of the paper's first pattern, by hand: 2 (g_nu^4 / g0^5) / xi."""
    g_crit = float(dj.critical_coupling(paper(), 0))
    g0 = 1.5 * g_crit
    by_hand = 2 * g_crit**4 / g0**5 / np.sqrt(1 - (g_crit / g0) ** 4)
    assert by_hand == pytest.approx(0.4555, abs=5e-5)
    assert float(jax.grad(lambda g: dj.retrieval_overlap(paper(g), 0))(g0)) == pytest.approx(by_hand, rel=1e-12)


def test_steady_state_gradients_in_every_rate_meet_the_closed_form():
    """Reverse and forward mode, by implicit differentiation of the run's end, also close above the threshold."""

    def relaxed(rates):
        model = paper(rates[5], 2, omega_spin=rates[0], omega_mode=rates[1:3], kappa=rates[3:5])
        return jnp.abs(dj.steadystate(model, dj.stored_pattern(model, 1)).overlaps[1])

    def closed(rates):
        model = paper(rates[5], 2, omega_spin=rates[0], omega_mode=rates[1:3], kappa=rates[3:5])
        return dj.retrieval_overlap(model, 1)

    gradient, by_hand = jax.jit(jax.grad(relaxed)), jax.jit(jax.grad(closed))
    forward = jax.jit(lambda rates: jax.jvp(relaxed, (rates,), (jnp.ones(6),)))
    for g0 in (0.75, 1.1):  # g_crit = 0.7289
        rates = jnp.array([0.5, 1.5, 2.0, 1.0, 1.0, g0])
        expected = np.asarray(by_hand(rates))
        np.testing.assert_allclose(gradient(rates), expected, rtol=1e-5, atol=1e-7)
        _, along = forward(rates)
        assert float(along) == pytest.approx(float(expected.sum()), rel=1e-5)


@pytest.mark.slow
def test_steady_state_gradients_against_differences_of_converged_runs():
    """Weights of unequal size and damped spins: no closed form. Photons, and a component of a spin."""
    spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(5), 2, 101)).spins

    def relaxed(rates):
        jumps = dj.LocalDissipation([("decay_x", rates[4])])
        model = dj.DickeModel(spins, rates[0], jnp.array([1.5, 2.0]) * rates[1], rates[2], rates[3], dissipation=jumps)
        end = dj.steadystate(model, dj.tilted_pattern(jax.random.key(2), model, 0, 0.1), tol=1e-11)
        return end.occupations[0] + end.state.m[0, 1], end.converged

    rates, run = jnp.array([0.5, 1.0, 1.0, 1.2, 0.3]), jax.jit(lambda rates: relaxed(rates)[0])
    assert relaxed(rates)[1]
    np.testing.assert_allclose(jax.grad(run)(rates), differences(run, rates, 1e-3), rtol=1e-6, atol=1e-8)


def test_a_run_that_has_not_converged_has_no_gradient_and_spoils_no_other():
    def ends(g0):
        model = paper(g0, 2)
        end = dj.steadystate(model, dj.stored_pattern(model), max_time=60.0)
        return end.overlaps[0], end.converged

    g0 = jnp.array([1.0, 1.6])  # relaxes at 0.2 and at 0.001 kappa
    converged = jax.jit(jax.vmap(ends))(g0)[1]
    assert not converged[1]
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda g: ends(g)[0])))(g0)
    np.testing.assert_array_equal(np.isnan(slopes), ~converged)

    def total(g, counts):
        return jnp.sum(jnp.where(counts, jax.vmap(ends)(g)[0], 0.0))

    back = jax.jit(jax.grad(total))
    assert np.isfinite(back(g0, converged)).all() and back(g0, converged)[1] == 0
    assert np.isnan(back(g0, jnp.full(2, True))[1])


def test_stationary_states_are_differentiable_where_a_least_squares_solve_is_not():
    """A state followed through g0, pure and mixed, against differences; the trap's value is +0.4555."""
    key = jax.random.key(0)
    g0 = 1.5 * float(dj.critical_coupling(paper(), 0))
    slope = jax.grad(lambda g: dj.stationary_states(key, paper(g), max_states=8).overlaps[1, 0])(g0)
    assert float(slope) == pytest.approx(0.4555, abs=5e-5)

    mixed = dj.stationary_states(key, paper(1.2, 3))
    guess = jnp.asarray(mixed.overlaps[-1])

    def photons(g):
        state, found = dj.stationary_state(paper(g, 3), guess)
        return jnp.sum(dj.occupations(state.alpha) * jnp.arange(1.0, 4.0)) + jnp.where(found, 0.0, jnp.nan)

    assert float(jax.jit(jax.grad(photons))(1.2)) == pytest.approx(
        float(differences(jax.jit(lambda g: photons(g[0])), [1.2])[0]), rel=1e-8
    )


def test_eigenvalue_gradients_are_right_at_simple_eigenvalues_and_absent_elsewhere():
    def rate(g):
        return dj.stability(paper(g), dj.retrieval_state(paper(g), 3)).growth_rate

    expected = float(differences(jax.jit(lambda g: rate(g[0])), [0.95])[0])
    assert float(jax.jit(jax.grad(rate))(0.95)) == pytest.approx(expected, rel=1e-8)
    assert float(jax.jit(jax.jacfwd(rate))(0.95)) == pytest.approx(expected, rel=1e-8)

    def values(g):
        return dj.stability(paper(g), dj.retrieval_state(paper(g), 3)).eigenvalues.real

    slopes, now = jax.jit(jax.jacfwd(values))(0.95), values(0.95)
    dark = np.abs(np.asarray(now)) < 1e-12  # four pairs at one frequency
    assert dark.sum() == 8
    np.testing.assert_array_equal(np.isnan(slopes), dark)
    back = jax.jit(jax.grad(lambda g, row: values(g)[row]))
    assert np.isfinite(back(0.95, 1)) and np.isnan(back(0.95, 2))


LONG = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("existence", "stability")]


@pytest.mark.parametrize("kind", ["normal", *LONG])
def test_thresholds_are_differentiable_in_every_rate(kind):
    """Closed form and roots found, for the same model, unequal weights and dissipation, against differences."""
    spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(5), 2, 101)).spins
    cube = dj.LargeSpins.hypercube(2)

    def threshold(r, spins=cube, method=None, damped=False):
        jumps = dj.LocalDissipation([("decay_x", r[5])]) if damped else None
        model = dj.DickeModel(spins, r[0], r[1:3], r[3:5], 1.0, dissipation=jumps)
        return dj.critical_coupling(model, 1, kind=kind, method=method)

    rates = jnp.array([0.5, 1.5, 2.0, 1.0, 1.3, 0.2])
    cases = [dict(), dict(spins=spins)]
    cases += [dict(method="root finding"), dict(damped=True)] if kind == "stability" else []
    for case in cases:
        run = jax.jit(lambda r, case=case: threshold(r, **case))
        np.testing.assert_allclose(jax.grad(run)(rates), differences(run, rates, 1e-4), rtol=1e-6, atol=1e-8)


def test_thresholds_of_equally_easy_patterns_have_no_gradient():
    def threshold(omega_mode):
        model = dj.DickeModel(dj.LargeSpins.hypercube(3), 0.5, omega_mode, 1.0, 1.0)
        return dj.critical_coupling(model, 2, kind="stability")

    assert np.isnan(jax.grad(threshold)(jnp.array([1.5, 1.5, 2.0]))).any()
    assert np.isfinite(jax.grad(threshold)(jnp.array([1.5, 1.7, 2.0]))).all()


def at_rest_and_linear(model, state, time):
    """u(T) of u' = J u + df/dg0, in one exponential: J and df/dg0 by central differences, exact for such products."""
    y, back = ravel_pytree(state.to_real(model))

    def rates(y, g0):
        return np.asarray(ravel_pytree(dj.mean_field_equations(0.0, back(y), model.replace(g0=g0)))[0])

    assert np.abs(rates(y, model.g0)).max() < 1e-13
    matrix = np.zeros((y.size + 1, y.size + 1))
    for i, e in enumerate(np.eye(y.size)):
        matrix[:-1, i] = (rates(y + e, model.g0) - rates(y - e, model.g0)) / 2
    matrix[:-1, -1] = (rates(y, model.g0 + 1) - rates(y, model.g0 - 1)) / 2
    return scipy.linalg.expm(matrix * time)


@pytest.mark.parametrize(
    "solver, how",
    [
        (None, {}),
        (None, {"adjoint": dfx.ForwardMode()}),
        pytest.param(dfx.Tsit5(), {}, marks=pytest.mark.slow),
        pytest.param(dfx.Dopri8(), {"adjoint": dfx.RecursiveCheckpointAdjoint()}, marks=pytest.mark.slow),
        pytest.param(None, {"adjoint": dfx.RecursiveCheckpointAdjoint()}, marks=pytest.mark.slow),
    ],
)
def test_derivatives_of_a_run_that_rests(solver, how):
    """A state at rest has no error: steps grew until the derivative was off by 1e5 and more, and was told as right."""
    model = paper(1.2, num_patterns=1)
    start, time = dj.retrieval_state(model), 20.0
    expected = at_rest_and_linear(model, start, time)[2, -1]  # z of one subset

    def end(g0):
        return dj.mfsolve(model.replace(g0=g0), start, [0.0, time], solver=solver, **how).m[-1, 2, 0]

    derivative = jax.jacfwd if isinstance(how.get("adjoint"), dfx.ForwardMode) else jax.grad
    assert float(derivative(end)(1.2)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_derivatives_of_a_stiff_run_that_rests():
    """In the start, through the implicit solver, whose steps need not follow the modes."""
    model = dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, 1e4, 1e4, 1.5 * np.sqrt(0.5 * 1.25e4 / 2))
    start, time = dj.retrieval_state(model), 5.0
    expected = at_rest_and_linear(model, start, time)[2, 1]

    def end(y):
        m = start.m.at[1, 0].set(y)
        return dj.mfsolve(model, dj.MeanFieldState(m, start.alpha), [0.0, time]).m[-1, 2, 0]

    assert float(jax.grad(end)(0.0)) == pytest.approx(expected, abs=1e-6)


def stiff_end(rates, **how):
    """A mode 1e4 times faster than the spin, as functions of rates that may be traced."""
    model = dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, *rates)
    state = dj.MeanFieldState(jnp.array([[0.6], [0.0], [0.8]]), jnp.zeros(1, complex))
    return dj.mfsolve(model, state, [0.0, 1.0], **how).overlaps[-1, 0]


STIFF_RATES = np.array([1e4, 1e4, 1.5 * np.sqrt(0.5 * 1.25e4 / 2)])


@pytest.mark.parametrize("derivative", [jax.grad, pytest.param(jax.jacfwd, marks=pytest.mark.slow)])
def test_a_run_of_traced_rates_that_takes_too_many_steps_names_the_solver(derivative):
    """Only the derivative is asked for, and the value not computed."""
    traced = eqx.filter_jit(derivative(lambda rates: stiff_end(rates, max_steps=64)))
    with pytest.raises(eqx.EquinoxRuntimeError, match=r"modes are far faster .* solver=diffrax.Kvaerno5\(\) lets them"):
        traced(STIFF_RATES)


@pytest.mark.slow
@pytest.mark.parametrize("derivative", [jax.grad, jax.jacfwd])
def test_derivatives_in_traced_rates_of_fast_modes_by_the_solver_named(derivative):
    """In shares of each rate, against differences."""
    traced = jax.jit(derivative(lambda p: stiff_end(p * STIFF_RATES, solver=dfx.Kvaerno5())))(np.ones(3))
    value, h = jax.jit(lambda p: stiff_end(p * STIFF_RATES, solver=dfx.Kvaerno5())), 2e-3
    for i, e in enumerate(h * np.eye(3)):
        slope = 8 * (value(1 + e) - value(1 - e)) - value(1 + 2 * e) + value(1 - 2 * e)
        assert float(traced[i]) == pytest.approx(float(slope) / (12 * h), abs=1e-6)
