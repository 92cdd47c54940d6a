"""Runs that go on for ever are told apart by spectra: one for each state at rest, which answers as each by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import paper

import dicke_jax as dj
from dicke_jax.dynamics import motions
from dicke_jax.dynamics.distance_to_rest import kind_of_motion

MODEL = paper(1.2, 3)


@pytest.fixture
def asked(monkeypatch):
    """Every time that a spectrum is asked for, as of many rows."""
    monkeypatch.setattr(motions, "FEWEST", 1)
    calls = []

    def kind(*arguments):
        calls.append(arguments)
        return kind_of_motion(*arguments)

    monkeypatch.setattr(motions, "kind_of_motion", kind)
    return calls


def at_rest(lengths, away=0.0):
    """States beside those at rest of the first pattern, of spins of these lengths."""
    state = dj.stored_pattern(MODEL)
    xi = float(dj.retrieval_overlap(MODEL, 0))
    m = np.asarray(lengths)[:, None, :] * np.array([np.sqrt(1 - xi**2), 0.0, xi])[:, None] * np.sign(state.m[2])
    g0, omega, kappa = (np.asarray(x) for x in (MODEL.g0, MODEL.omega_mode[0], MODEL.kappa[0]))
    alpha = -1j * g0 * xi / (1j * omega + kappa / 2)
    quadratures = np.zeros((len(m), 2, 3))
    quadratures[:, :, 0] = alpha.real, alpha.imag
    return m + away, quadratures + away


def test_runs_around_one_state_share_its_spectrum(asked):
    keys = jax.random.split(jax.random.key(3), 12)
    cues = jax.vmap(lambda key: dj.tilted_pattern(key, MODEL, angle=0.3))(keys)
    together = dj.solve_ensemble(MODEL, cues, max_time=400.0)
    number, codes = len(asked), np.asarray(together.status._value)
    assert number == 1 and (codes != np.asarray(dj.Status.undecided._value)).all()
    for row in (0, 5, 11):
        alone = dj.steadystate(MODEL, jax.tree.map(lambda x, row=row: x[row], cues), max_time=400.0)
        assert codes[row] == int(alone.status._value)


def test_an_answer_is_that_of_the_start_by_itself_and_is_asked_for_once(asked):
    """Of spins of other lengths, whose states at rest are others, and of runs that took other times."""
    lengths = np.ones((5, 4))
    lengths[2], lengths[4] = 0.9, 0.5
    starts, times = at_rest(lengths, 1e-4), np.array([400.0, 400.0, 400.0, 1e5, 400.0])
    of_all = motions.Motions(MODEL)
    codes = of_all.kinds(starts, times)
    assert len(asked) == 4  # rows 0 and 1 are alike
    for i in range(5):
        own = kind_of_motion(MODEL, jax.tree.map(lambda x, i=i: x[i], starts), times[i])
        assert codes[i] == int(own._value)
    assert np.array_equal(of_all.kinds(jax.tree.map(lambda x: x[::-1], starts), times[::-1]), codes[::-1])
    assert len(asked) == 4


def test_starts_beside_nothing_at_rest_are_asked_for_each_by_itself(asked):
    starts = tuple(np.full((3, *shape), np.nan) for shape in ((3, 4), (2, 3)))
    of_all = motions.Motions(MODEL)
    for calls in (3, 6):  # and never taken for those of another chunk
        codes = of_all.kinds(starts, np.full(3, 400.0))
        assert len(asked) == calls and (codes == np.asarray(dj.Status.undecided._value)).all()


def test_models_of_other_kinds_are_asked_for_row_by_row(asked):
    model = MODEL.as_collective()
    starts = at_rest(np.ones((2, 4)))
    codes = motions.Motions(model).kinds(starts, np.full(2, 400.0))
    own = [kind_of_motion(model, jax.tree.map(lambda x, i=i: x[i], starts), 400.0) for i in (0, 1)]
    assert len(asked) == 2 and codes.tolist() == [int(one._value) for one in own]


def test_float32_tells_what_is_alike_by_its_own_precision(asked):
    model = MODEL.replace(**{name: jnp.asarray(rate, jnp.float32) for name, rate in MODEL.rates.items()})
    starts = tuple(x.astype(np.float32) for x in at_rest(np.ones((6, 4)), 1e-3))
    motions.Motions(model).kinds(starts, np.full(6, 400.0, np.float32))
    assert len(asked) == 1


def test_of_few_rows_each_is_asked_for(asked, monkeypatch):
    """To find out that they are alike would take longer to compile."""
    monkeypatch.undo()
    calls = []
    monkeypatch.setattr(motions, "kind_of_motion", lambda *given: calls.append(given) or dj.Status.undecided)
    motions.Motions(MODEL).kinds(at_rest(np.ones((5, 4))), np.full(5, 400.0))
    assert len(calls) == 5
