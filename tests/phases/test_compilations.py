"""A first call compiles a handful of programs, a second one with other numbers none."""

import jax
import numpy as np
import pytest
from compilations import compilations
from problems import cpu_only, paper

import dicke_jax as dj

MODELS = [paper(1.2, 3), paper(1.1, 3, omega_spin=0.55)]
WEAK = [paper(0.3, 3), paper(0.35, 3, kappa=1.1)]
DAMPED = [paper(g0, 3, dissipation=dj.LocalDissipation([("decay_x", rate)])) for g0, rate in ((1.2, 0.2), (0.9, 0.25))]
STATES = [dj.retrieval_state(MODELS[i], i) for i in range(2)]
KEYS = [jax.random.key(i) for i in range(2)]


def critical(models=MODELS, **options):
    return lambda i: dj.critical_coupling(models[i], 1 + i, **options)


CASES = {  # what is called with the first and the second numbers, and how many programs it may compile
    "stationary_states": (lambda i: dj.stationary_states(KEYS[i], MODELS[i]), 3),
    "stationary_state": (lambda i: dj.stationary_state(MODELS[i], [0.9, 0.1 * i, 0.0]), 2),
    "stability": (lambda i: dj.stability(MODELS[i], STATES[i]), 1),
    "stability, krylov": (lambda i: dj.stability(MODELS[i], STATES[i], method="krylov"), 2),
    "continuation": (lambda i: dj.continuation(WEAK[i], np.zeros(3), limits=(0.2, 1.5 + 0.1 * i)), 4),
    "continuation of a state": (lambda i: dj.continuation(MODELS[i], STATES[i], limits=(0.9, 1.5)), 3),
    "retrieval_overlap": (lambda i: dj.retrieval_overlap(MODELS[i], i, spin_length=1 - 0.1 * i), 1),
    "retrieval_state": (lambda i: dj.retrieval_state(MODELS[i], i, 1 - 2 * i), 1),
    "normal": (critical(kind="normal"), 1),
    "normal, damped": (critical(DAMPED, kind="normal"), 1),
    "existence": (critical(), 1),
    "stability of a pattern": (critical(kind="stability"), 1),
    "existence, root": (critical(method="root finding"), 1),
    "stability of a pattern, root": (critical(kind="stability", method="root finding"), 1),
    "retrieval_probability": (
        lambda i: dj.retrieval_probability(
            KEYS[i], MODELS[i], i, strength=0.2 + 0.1 * i, num_samples=16, chunk=16, max_time=20.0 + i
        ),
        7,  # one of them the spectrum of a row that ends moving
    ),
}


@cpu_only
@pytest.mark.parametrize("name", CASES)
def test_programs_that_are_compiled(name):
    call, most = CASES[name]
    with compilations(fresh=True) as first:
        call(0)
    assert 1 <= len(first) <= most, first
    with compilations() as second:
        call(1)
    assert second == []


def test_to_print_compiles_next_to_nothing():
    printed = [dj.stationary_states(KEYS[0], MODELS[0]), dj.continuation(WEAK[0], np.zeros(3), limits=(0.2, 0.8))]
    with compilations() as names:
        assert all(repr(result) for result in printed)
    assert len(names) <= 1, names  # a comparison's result put on the device
