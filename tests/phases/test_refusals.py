"""Every refusal of the phases names the argument, what it must be and what it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import config
from problems import paper, sampled

import dicke_jax as dj
from dicke_jax.phases.cue_outcome import wilson_interval

KEY = jax.random.key(0)
MODEL = paper(1.0, num_patterns=2)
STATE = dj.stored_pattern(MODEL)
RATES = dict(omega_spin=0.5, omega_mode=1.0, kappa=1.0, g0=1.0)
DECAYING = dj.DickeModel(
    dj.LargeSpins.individual([[1, 1]]), **RATES, dissipation=dj.LocalDissipation([("sigma_minus", 0.1)])
)


def model(**rates):
    return MODEL.replace(**rates)


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    """Without the executed annotations of the tests, which would be the first to refuse."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


CASES = {
    "pattern: negative": (lambda: dj.critical_coupling(MODEL, -1), "pattern must be .* got -1"),
    "pattern: not whole": (lambda: dj.retrieval_overlap(MODEL, 0.5), "pattern must be .* got 0.5"),
    "sign": (lambda: dj.retrieval_state(MODEL, 0, sign=2), r"sign must be \+1 or -1; got 2"),
    "spin_length": (lambda: dj.retrieval_overlap(MODEL, 0, spin_length=1.5), "spin_length must be .* got 1.5"),
    "kind": (
        lambda: dj.critical_coupling(MODEL, 0, kind="exist"),
        "kind must be one of 'existence', 'stability', 'normal'; got 'exist'",
    ),
    "kind: method": (
        lambda: dj.critical_coupling(MODEL, 0, method="newton"),
        "method must be one of 'closed form', 'root finding'; got 'newton'",
    ),
    "spin_length: each": (
        lambda: dj.critical_coupling(MODEL, 0, spin_length=[1.0, 1.0, 1.0]),
        r"spin_length must be one number or of shape \(2,\); got shape \(3,\)",
    ),
    "normal: none": (
        lambda: dj.critical_coupling(DECAYING, kind="normal"),
        "model must be one whose dissipation leaves spins without field no overlap.*; got an overlap of",
    ),
    "state: moves": (lambda: dj.stability(MODEL, STATE), "state must be stationary; got one that changes at"),
    "stability: method": (
        lambda: dj.stability(MODEL, dj.retrieval_state(MODEL), method="lanczos"),
        "method must be one of 'dense', 'krylov'; got 'lanczos'",
    ),
    "stability: tol": (
        lambda: dj.stability(MODEL, dj.retrieval_state(MODEL), tol=-1.0),
        "tol must be a number from 0 to 1; got -1.0",
    ),
    "spin_alignment": (
        lambda: dj.stationary_states(KEY, MODEL, spin_alignment=0),
        r"spin_alignment must be \+1, -1 or None; got 0",
    ),
    "num_starts": (lambda: dj.stationary_states(KEY, MODEL, num_starts=0), "num_starts must be .* at least 1; got 0"),
    "guess": (lambda: dj.stationary_state(MODEL, [1.0]), r"guess must be of shape \(2,\), an overlap .*shape \(1,\)"),
    "limits": (
        lambda: dj.continuation(MODEL, [0.0, 0.0], limits=(1.0, 1.0)),
        r"limits must be two finite numbers, the lower one first; got \(1.0, 1.0\)",
    ),
    "parameter": (
        lambda: dj.continuation(MODEL, [0.0, 0.0], "kappa", limits=(0.5, 1.0)),
        "parameter must be 'g0', 'omega_spin', .*; got 'kappa'",
    ),
    "parameter: mode": (
        lambda: dj.continuation(MODEL, [0.0, 0.0], ("kappa", 2), limits=(0.5, 1.0)),
        "parameter must be of a mode from 0 to 1; got",
    ),
    "value": (
        lambda: dj.continuation(MODEL, [0.0, 0.0], limits=(0.5, 1.0), value=2.0),
        "value must be the parameter's at the start, from 0.5 to 1; got 2.0",
    ),
    "continuation: ramp": (
        lambda: dj.continuation(model(g0=lambda t: 1.0 + t), [0.0, 0.0], limits=(0.5, 1.0)),
        "model must be one with constant rates .* got one with rates that change",
    ),
    "value: function": (
        lambda: dj.continuation(MODEL, [0.0, 0.0], lambda p: MODEL, limits=(0.5, 1.0)),
        "value must be the parameter's at the start, from 0.5 to 1; got None",
    ),
    "start": (
        lambda: dj.continuation(MODEL, [0.0], limits=(0.5, 1.5), value=1.0),
        r"start must be a state, a branch point or overlaps of shape \(2,\); got shape \(1,\)",
    ),
    "closed form": (
        lambda: dj.retrieval_overlap(paper(dissipation=dj.LocalDissipation([("decay_x", 0.1)]))),
        "model must be without single-spin dissipation",
    ),
    "chunk": (
        lambda: dj.retrieval_probability(KEY, MODEL, chunk=0),
        "chunk must be a whole number of at least 1; got 0",
    ),
    "num_samples": (lambda: dj.retrieval_probability(KEY, MODEL, num_samples=0), "num_samples must be .* got 0"),
    "cue: name": (lambda: dj.retrieval_probability(KEY, MODEL, cue="turn"), "cue must be one of 'tilt'.*got 'turn'"),
    "cue: type": (lambda: dj.retrieval_probability(KEY, MODEL, cue=3), "cue must be a name or a function.*got int"),
    "strength: flip": (
        lambda: dj.retrieval_probability(KEY, MODEL, cue="flip", strength=2.0),
        "strength must be a probability.*got 2.0",
    ),
    "strength: shape": (
        lambda: dj.retrieval_probability(KEY, MODEL, strength=[0.1, 0.2]),
        r"strength must be one finite number or None; got \[0.1, 0.2\]",
    ),
    "strength: random": (
        lambda: dj.retrieval_probability(KEY, MODEL, cue="random", strength=0.3),
        "strength must be left out for random cues",
    ),
    "max_time: cues": (lambda: dj.retrieval_probability(KEY, MODEL, max_time=0.0), "max_time must be positive"),
    "kappa: cues": (lambda: dj.retrieval_probability(KEY, model(kappa=0.0)), "kappa must be positive"),
    "confidence": (lambda: wilson_interval(1, 2, 1.0), "confidence must be .* got 1.0"),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_closed_forms_refuse_patterns_that_are_not_orthogonal():
    with pytest.raises(ValueError, match="model.spins must be patterns of .* orthogonal.*; got others"):
        dj.critical_coupling(sampled(3, 50), 0, method="closed form")
    with pytest.raises(ValueError, match="model.spins must be"):
        dj.retrieval_overlap(dj.DickeModel(dj.LargeSpins.individual([[0.5, 1.0]]), **RATES), 0)
    assert np.isfinite(dj.critical_coupling(dj.DickeModel(dj.LargeSpins.individual([[1, -1], [1, 1]]), **RATES), 0))


def test_a_traced_model_is_refused_as_a_known_one_is():
    """Orthogonality is a static fact: under `jax.jit` the closed form neither answers nor gives way in silence."""
    slanted, even = sampled(3, 50), paper(1.0, 3)
    with pytest.raises(ValueError, match="model.spins must be patterns of .* orthogonal"):
        jax.jit(dj.retrieval_overlap)(slanted)
    with pytest.raises(ValueError, match="model.spins must be patterns of .* orthogonal"):
        jax.jit(lambda m: dj.critical_coupling(m, 0, method="closed form"))(slanted)
    assert float(jax.jit(dj.retrieval_overlap)(even, jnp.asarray(1))) == float(dj.retrieval_overlap(even, 1))
    for m in (slanted, even):
        traced = jax.jit(lambda m: dj.critical_coupling(m, 1))(m)
        assert float(traced) == pytest.approx(float(dj.critical_coupling(m, 1)), rel=1e-14)
    alike = jax.make_jaxpr(lambda m: dj.critical_coupling(m, 1))
    assert "by_root_finding" in str(alike(slanted)) and "by_root_finding" not in str(alike(even))


def test_the_old_order_and_name_of_arguments_are_deprecated():
    with pytest.warns(DeprecationWarning, match="stationary_states.key, .... takes the key first"):
        states = dj.stationary_states(MODEL, KEY)
    np.testing.assert_array_equal(states.overlaps, dj.stationary_states(KEY, MODEL).overlaps)
    with pytest.warns(DeprecationWarning, match="side is called spin_alignment now"):
        dj.stationary_state(MODEL, [0.9, 0.0], side=1)
