"""Refusals of the studies name the argument, what it must be and what it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import config
from problems import paper

import dicke_jax as dj

KEY = jax.random.key(0)
MODEL = paper(1.0, num_patterns=2)
STATE = dj.stored_pattern(MODEL)
RATES = dict(omega_spin=0.5, omega_mode=1.0, kappa=1.0, g0=1.0)


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
    "phases: ramp": (
        lambda: dj.studies.phase_diagram(
            KEY, MODEL.replace(g0=lambda t: 1.0 + t), ("g0", [1.0]), ("omega_spin", [1.0])
        ),
        "model must be one with constant rates .* got one with rates that change",
    ),
    "y: twice": (
        lambda: dj.studies.phase_diagram(KEY, MODEL, ("g0", [1.0]), ("g0", [1.0])),
        "y must be another parameter than x; got 'g0'",
    ),
    "x: shape": (
        lambda: dj.studies.phase_diagram(KEY, MODEL, ("g0", 1.0), ("omega_spin", [1.0])),
        r"x must be a named parameter and a one-dimensional array of finite values; got shape \(\)",
    ),
    "g0: scan": (lambda: dj.studies.retrieval_transition(MODEL, [1.0, 0.5]), "g0 must be strictly increasing"),
    "model: ramp": (lambda: dj.studies.ramp_hysteresis(1.0, 0.3, 1.0, 5.0), "model must be a DickeModel; got float"),
    "decays": (
        lambda: dj.studies.picture_mending(KEY, np.ones((2, 3, 3)), MODEL, [0.0, 1.0], decays=()),
        "decays must be at least one rate",
    ),
    "cue: study": (
        lambda: dj.studies.retrieval_basins(KEY, MODEL, g0=[1.0], strength=[0.1], cue="random"),
        "cue must be 'tilt' or 'flip'.*got 'random'",
    ),
    "g0: study": (
        lambda: dj.studies.retrieval_basins(KEY, MODEL, g0=1.0, strength=[0.1]),
        r"g0 must be a one-dimensional array.*got shape \(\)",
    ),
    "model: study": (
        lambda: dj.studies.retrieval_basins(KEY, lambda g0: g0, g0=[1.0], strength=[0.1]),
        r"model\(g0\) must be a DickeModel; got float",
    ),
    "num_patterns: load": (
        lambda: dj.studies.retrieval_load(KEY, 10, [], **RATES),
        "num_patterns must be at least one number of patterns; got none",
    ),
    "kappa: load": (lambda: dj.studies.retrieval_load(KEY, 10, [1], **(RATES | {"kappa": 0.0})), "kappa must be pos"),
    "exact_sizes": (
        lambda: dj.studies.mean_field_exactness(MODEL, STATE, [0.0, 1.0], exact_sizes=(2, 1)),
        r"exact_sizes must be at least two increasing numbers; got \[2, 1\]",
    ),
    "sampled_sizes": (
        lambda: dj.studies.mean_field_exactness(MODEL, STATE, [0.0, 1.0], sampled_sizes=(0, 1)),
        "sampled_sizes must be a whole number of at least 1; got 0",
    ),
    "exactness: finite": (
        lambda: dj.studies.mean_field_exactness(
            model_of(dj.LargeSpins.individual([[1, -1]])), at_rest(1, 2), [0.0, 1.0]
        ),
        "model.spins must be infinitely many, whose number is varied; got 2",
    ),
    "kappa: scan": (
        lambda: dj.studies.retrieval_transition(MODEL.replace(kappa=0.0), [0.5, 1.0]),
        "kappa must be positive",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)
