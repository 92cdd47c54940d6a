"""Refusals where finite N differs name the argument, what it must be and what it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import config
from problems import paper

import dicke_jax as dj

DOWN = [[0.0], [0.0], [-1.0]]
KEY = jax.random.key(0)
MODEL = paper(1.0, num_patterns=2)
STATE = dj.stored_pattern(MODEL)
DISSIPATIVE = MODEL.replace(dissipation=dj.LocalDissipation([("decay_x", 0.1)]))


def model_of(spins):
    return MODEL.replace(spins=spins, omega_mode=1.0, kappa=1.0)


def at_rest(num_modes, num_subsets):
    return dj.MeanFieldState(jnp.tile(jnp.array([[-1.0], [0.0], [0.0]]), num_subsets), jnp.zeros(num_modes))


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    """Without the executed annotations of the tests, which would be the first to refuse."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


CASES = {
    "subset_size: none": (
        lambda: dj.mesolve(MODEL, STATE, [0.0, 1.0]),
        "subset_size must be given, how many spins.*None",
    ),
    "subset_size: zero": (lambda: dj.mesolve(MODEL, STATE, [0.0, 1.0], 0), "subset_size must be .* at least 1; got 0"),
    "subset_size: not whole": (lambda: dj.mesolve(MODEL, STATE, [0.0, 1.0], 2.5), "subset_size must be .* got 2.5"),
    "subset_size: unequal": (
        lambda: dj.mesolve(
            model_of(dj.LargeSpins.from_distribution((1, 0), (0.3, 0.7), 1)), at_rest(1, 2), [0.0, 1.0], 2
        ),
        "model.spins must be of equal weights",
    ),
    "subset_size: twice": (
        lambda: dj.mesolve(model_of(dj.LargeSpins.individual([[1, -1]])), at_rest(1, 2), [0.0, 1.0], 2),
        "subset_size must be left out",
    ),
    "space": (
        lambda: dj.mesolve(MODEL, STATE, [0.0, 1.0], 40, levels=20),
        "subset_size and levels must be so small .* 8 GB; got dimension 672400, 6.51e.04 GB",
    ),
    "levels": (lambda: dj.mesolve(MODEL, STATE, [0.0, 1.0], 1, levels=1), "levels must be .* at least 2; got 1"),
    "levels: modes": (lambda: dj.mesolve(MODEL, STATE, [0.0, 1.0], 1, levels=(3,)), "levels must be .* 2, one for"),
    "mixed spins": (
        lambda: dj.mesolve(MODEL, dj.corrupted_pattern(KEY, MODEL), [0.0, 1.0], 1),
        ".m_k. must be 1: spins of a subset alike.*0.8",
    ),
    "single spins: space": (
        lambda: dj.mesolve(DISSIPATIVE, STATE, [0.0, 1.0], 8, levels=4),
        "subset_size and levels must be .* 18 density matrices of single spins.*dimension 1048576, 1.58e.05 GB",
    ),
    "single spins: enormous": (
        lambda: dj.mesolve(DISSIPATIVE, STATE, [0.0, 1.0], 5000),
        r"subset_size and levels must be .*dimension about 10\^3012, 10\^6018 GB",
    ),
    "single spins: long": (
        lambda: dj.mesolve(DISSIPATIVE, dj.MeanFieldState(2 * STATE.m, STATE.alpha), [0.0, 1.0], 1),
        ".m_k. must be at most 1; got 2.0",
    ),
    "tsave: exact": (lambda: dj.mesolve(MODEL, STATE, [1.0, 0.0], 1), "tsave must be strictly increasing"),
    "state: exact": (lambda: dj.mesolve(MODEL, 1.0, [0.0, 1.0], 1), "state must be a MeanFieldState; got float"),
    "trajectories: dissipation": (
        lambda: dj.mcsolve(KEY, DISSIPATIVE, STATE, [0.0, 1.0], 1),
        "model must be without single-spin dissipation .mesolve takes it",
    ),
    "trajectories: mixed spins": (
        lambda: dj.mcsolve(KEY, MODEL, dj.corrupted_pattern(KEY, MODEL), [0.0, 1.0], 1),
        ".m_k. must be 1: spins of a subset alike.*0.8",
    ),
    "trajectories: space": (
        lambda: dj.mcsolve(KEY, MODEL, STATE, [0.0, 1.0], 400, levels=30),
        "subset_size and levels must be .* 100 times 22 state vectors fit .*dimension 144720900, 5.09e.03 GB",
    ),
    "num_trajectories": (
        lambda: dj.mcsolve(KEY, MODEL, STATE, [0.0, 1.0], 1, num_trajectories=1),
        "num_trajectories must be .* at least 2; got 1",
    ),
    "chunk: trajectories": (
        lambda: dj.mcsolve(KEY, MODEL, STATE, [0.0, 1.0], 1, chunk=0),
        "chunk must be .* at least 1; got 0",
    ),
    "tol: trajectories": (
        lambda: dj.mcsolve(KEY, MODEL, STATE, [0.0, 1.0], 1, tol=0.0),
        "tol must be between 0 and 1; got 0.0",
    ),
    "levels: trajectories": (lambda: dj.mcsolve(KEY, MODEL, STATE, [0.0, 1.0], 1, levels=(3,)), "levels must be .* 2,"),
    "tsave: trajectories": (lambda: dj.mcsolve(KEY, MODEL, STATE, [1.0, 1.0], 1), "tsave must be strictly increasing"),
    "bound: losses": (
        lambda: dj.theorem_constants(MODEL.replace(kappa=0.0), STATE),
        "kappa must be positive in every mode",
    ),
    "bound: dissipation": (
        lambda: dj.theorem_constants(DISSIPATIVE, STATE),
        "model must be without single-spin dissipation for this bound: it adds a source",
    ),
    "bound: schedule": (
        lambda: dj.theorem_constants(MODEL.replace(g0=lambda t: 1.0), STATE),
        "model must be one with const",
    ),
    "d0": (lambda: dj.theorem_constants(MODEL, STATE, d0="stated"), "d0 must be one of 'proved', 'printed'"),
    "d0: couplings": (
        lambda: dj.theorem_constants(
            model_of(dj.LargeSpins.from_distribution((1, 0), (0.5, 0.5), 1)), at_rest(1, 2), d0="printed"
        ),
        "d0 must be 'proved' for couplings other than signs of equal subsets",
    ),
    "covariance": (
        lambda: dj.gaussian_moments(MODEL, STATE, [0.0, 1.0], covariance=np.eye(3)),
        r"covariance must be of shape \(10, 10\), 3 K spin components and 2 M quadratures; got shape \(3, 3\)",
    ),
    "tsave: fluctuations": (lambda: dj.gaussian_moments(MODEL, STATE, [1.0, 1.0]), "tsave must be strictly increasing"),
    "mixed spins: stationary": (
        lambda: dj.stationary_covariance(MODEL, dj.corrupted_pattern(KEY, MODEL)),
        ".m_k. must be 1 for a stationary covariance without single-spin dissipation; got 0.8",
    ),
    "model: ramp, stationary": (
        lambda: dj.stationary_covariance(MODEL.replace(g0=lambda t: 1.0), STATE),
        "model must be one with constant rates for a stationary state",
    ),
    "spectrum: no losses": (
        lambda: dj.output_spectrum(dj.gallery.boundary_time_crystal(0.5, 1.0), dj.MeanFieldState(DOWN, []), [1.0]),
        "model must be one with one photon_loss, for its light to leave by; got one with 0",
    ),
    "omega": (lambda: dj.output_spectrum(MODEL, STATE, 1.0), r"omega must be one-dimensional; got shape \(\)"),
    "num_samples: wigner": (
        lambda: dj.wigner_moments(KEY, MODEL, STATE, [0.0, 1.0], 5, num_samples=1),
        "num_samples must be .* at least 2; got 1",
    ),
    "chunk: wigner": (lambda: dj.wigner_moments(KEY, MODEL, STATE, [0.0, 1.0], 5, chunk=0), "chunk must be .* got 0"),
    "dt": (
        lambda: dj.wigner_moments(KEY, MODEL, STATE, [0.0, 1.0], 5, dt=-0.1),
        "dt must be positive and finite.*-0.1",
    ),
    "subset_size: sampled": (lambda: dj.wigner_moments(KEY, MODEL, STATE, [0.0, 1.0], -3), "subset_size must be .*-3"),
    "tsave: sampled": (
        lambda: dj.wigner_moments(KEY, MODEL, STATE, [2.0, 1.0], 5),
        "tsave must be strictly increasing",
    ),
    "long spins": (
        lambda: dj.wigner_moments(KEY, MODEL, dj.MeanFieldState(2 * STATE.m, STATE.alpha), [0.0, 1.0], 5),
        ".m_k. must be at most 1; got 2.0",
    ),
    "sampled: dissipation": (
        lambda: dj.wigner_moments(
            KEY,
            DISSIPATIVE,
            STATE,
            [0.0, 1.0],
            5,
        ),
        "model must be without single-spin dissipation, whose noise is not sampled",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)
