"""Derivatives through trajectories and closed forms, against finite differences and against a second route."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
    np.testing.assert_allclose(jax.grad(value)(PARAMETERS), reference, atol=2e-8)


def test_forward_mode_through_a_trajectory(reference):
    def forward(flat):
        return value(flat, adjoint=dfx.ForwardMode())

    np.testing.assert_allclose(jax.jacfwd(forward)(PARAMETERS), reference, atol=2e-8)
    direction = np.random.default_rng(0).normal(size=PARAMETERS.size)
    _, slope = jax.jvp(forward, (PARAMETERS,), (jnp.asarray(direction),))
    assert float(slope) == pytest.approx(float(reference @ direction), abs=2e-7)


def test_backsolve_adjoint_is_passed_on(reference):
    gradient = jax.grad(lambda flat: value(flat, adjoint=dfx.BacksolveAdjoint()))(PARAMETERS)
    np.testing.assert_allclose(gradient, reference, atol=1e-6)


def test_reverse_mode_under_vmap():
    g0 = jnp.array([0.5, 0.8, 1.1])

    def overlap(g):
        return value(PARAMETERS.at[0].set(g))  # parameter 0 is g0, by the alphabet

    many = jax.vmap(jax.grad(overlap))(g0)
    assert float(many[1]) == pytest.approx(float(jax.grad(overlap)(g0[1])), abs=1e-9)


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
    expected = differences(function, RATES)
    np.testing.assert_allclose(jax.grad(function)(RATES), expected, atol=1e-8)
    np.testing.assert_allclose(jax.jacfwd(function)(RATES), expected, atol=1e-8)


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


def test_forward_mode_through_relaxation_meets_the_closed_form():
    def relaxed(g0):
        model = paper(g0, num_patterns=2)
        return jnp.abs(dj.steadystate(model, dj.stored_pattern(model, 1)).overlaps[1])

    _, slope = jax.jvp(relaxed, (1.0,), (1.0,))
    _, expected = jax.jvp(lambda g0: dj.retrieval_overlap(paper(g0, num_patterns=2), 1), (1.0,), (1.0,))
    assert float(slope) == pytest.approx(float(expected), abs=1e-5)
