"""A small result of every class, made of numbers that look like such a result, without a computation.

Arrays have the shapes of the class's annotations, so that a new class of results needs a line here only where random
numbers are no such result.
"""

import dataclasses
import typing

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax._labelled import Labelled
from dicke_jax.phases.cue_outcome import OUTCOMES

MODEL = dj.examples.paper_model(g0=0.9, num_patterns=2)
SIZES = {"T": 9, "B": 3, "S": 7, "M": 2, "P": 2, "K": 2, "n": 6, "state": 4, "point": 8, "W": 11, "C": 3, "F": 2,
         "R": 2, "D": 10, "E": 3, "steps": 5, "descents": 3}  # fmt: skip
SUCCESS = dj.Status.successful


def classes():
    """All classes of results that the package has."""
    found, queue = [], [Labelled]
    for _room in (dj.inference, dj.finite_size, dj.studies, dj.plotting):
        pass  # loaded
    while queue:
        for kind in queue.pop().__subclasses__():
            queue.append(kind)
            if kind.__module__.startswith("dicke_jax.") and not kind.__name__.startswith("Abstract"):
                found.append(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def moments(times=SIZES["T"]):
    covariance = np.broadcast_to(np.diag([0.0, 0, 1, 1, 1, 1, 0.3, 0.2, 0.2, 0.3]), (times, 10, 10)) * 1.0
    m = np.stack([0.6 * np.ones((times, 2)), np.zeros((times, 2)), 0.8 * np.ones((times, 2))], axis=1)
    t = np.linspace(0.0, 2.0, times)
    return dj.Moments(*map(jnp.asarray, (t, m, np.ones((times, 2)) * (0.1 + 0.2j), covariance)), 100)


def orbit():
    t = np.linspace(0, 5, SIZES["S"], endpoint=False)
    phase = 2 * np.pi * t / 5
    m = np.stack([np.stack([np.cos(phase + k), np.sin(phase + k), 0 * phase]) for k in range(2)], -1).transpose(1, 0, 2)
    m = m * 0.7
    xi = np.stack([0.5 + 0.3 * np.sin(phase), 0.1 * np.cos(phase)], -1)
    multipliers = np.array([1.2, 0.6 + 0.5j, 0.6 - 0.5j, 0.1])
    return dict(period=5.0, t=t, m=m, overlaps=xi, occupations=xi**2, multipliers=multipliers, trivial=1.0,
                num_conserved=2, num_growing=1, num_neutral=0, num_decaying=3)  # fmt: skip


def branch():
    x = np.linspace(0.5, 1.2, SIZES["point"])
    xi = np.sqrt(np.maximum(x - 0.5, 0))[:, None] * np.array([1.0, 0.3])
    return dict(name="g0", parameter=x, overlaps=xi, num_growing=np.arange(8) // 5, ended="limit", components=None,
                num_modes=0, special=(dj.SpecialPoint("hopf", 0.93, xi[4], 4, np.ones(3)),))  # fmt: skip


def orbits():
    x, rest = np.linspace(0.9, 1.2, 6), dj.retrieval_state(MODEL)
    size = np.sqrt(x - 0.9)[:, None] * np.array([0.5, 0.1])
    special = dj.SpecialOrbit("period doubling", 1.1, 2.0, rest, np.ones(2) + 0j, 3)
    hopf = dj.SpecialOrbit("hopf", 0.9, 2.0, rest, np.ones(2) + 0j, 0)
    multipliers = np.where(x > 1.1, 1.5, 0.5)[:, None] * np.ones(2) + 0j
    return dict(name="g0", parameter=x, period=np.ones(6), states=rest, lowest=0.5 - size, highest=0.5 + size,
                multipliers=multipliers, special=(hopf, special), ended="limit")  # fmt: skip


def item(enumeration, names):
    """An array of items."""
    codes = list(enumeration._name_to_item)
    numbers = jnp.asarray([codes.index(name) for name in names], jnp.int32)
    return eqx.tree_at(lambda x: x._value, getattr(enumeration, names[0]), numbers)


CURVE = dj.StationaryCurve([0.7, 0.9, 1.1], [0.3, 0.6, 0.8], 0.02)


def diagram():
    states, born = made(dj.Branch), made(dj.OrbitBranch)
    why = "start must be an orbit; got none"
    return dict(states=states, orbits=(born, born), hopf=states.special * 2, without=states.special, reasons=(why,))


GIVEN = {  # what is more than numbers of a shape
    "Attractor": lambda: dict(kind=dj.AttractorKind.limit_cycle),
    "BasinShares": lambda: dict(
        hits=np.array([3, 2, 1]), end=np.array([0, 0, 0, 1, 1, 2, -1]),
        status=item(dj.Status, ["successful"] * 6 + ["oscillating"]),
    ),
    "Bifurcations": diagram,
    "Branch": branch,
    "CueOutcomes": lambda: dict(
        pattern=1,
        outcome=item(dj.CueOutcome, [OUTCOMES[i] for i in (0, 0, 1, 2, 4, 0, 7)]),
        leading=jnp.zeros(7, int), sign=jnp.ones(7, int), involved=jnp.ones((7, 2), bool),
        status=item(dj.Status, ["successful"] * 7),
    ),
    "EnsembleSolution": lambda: dict(
        t=None, m=None, alpha=None, reduced=None, occupations=None, num_steps=np.ones(50, int),
        overlaps=np.random.default_rng(0).uniform(-1, 1, (50, 2)), status=item(dj.Status, ["successful"] * 50),
    ),
    "FitResult": lambda: dict(
        data=(CURVE,), residuals=np.array([0.5, -1.0, 0.2]), names=("g0", "kappa[0]"), parameters=None,
        information=None,
    ),
    "MasterSolution": lambda: dict(stats={}),
    "Moments": lambda: vars(moments()),
    "OrbitBranch": orbits,
    "PeriodicOrbit": orbit,
    "Stability": lambda: dict(
        eigenvalues=np.array([0.2, 1j, -1j, -0.5 + 2j, -0.5 - 2j, -1.0]), num_growing=1, num_neutral=2, num_decaying=3,
        growth_rate=0.2, tolerance=1e-9,
    ),
    "StationaryCovariance": lambda: dict(moments=moments(1)),
    "StationaryStates": lambda: dict(kind=item(dj.StateKind, ["normal", "pure", "pure", "mixed"]), num_starts=9),
    "CollectiveStates": lambda: dict(num_starts=9),
    "TheoremCheck": lambda: dict(constants=None, N=30.0),
}  # fmt: skip


def made(kind):
    """One result of a class."""
    rng, given = np.random.default_rng(1), GIVEN.get(kind.__name__, dict)()
    hints = typing.get_type_hints(kind, include_extras=True)
    values = {}
    for field in dataclasses.fields(kind):
        values[field.name] = _made(field.name, hints.get(field.name), given, rng)
    result = object.__new__(kind)  # its numbers are of the right shapes: annotations are for real ones
    for name, value in values.items():
        object.__setattr__(result, name, value)
    return result


def _made(name, hint, given, rng):
    if name in given:
        value = given[name]
        is_array = getattr(hint, "dim_str", None) is not None and hint.array_type is not np.ndarray
        return jnp.asarray(value) if is_array and value is not None else value
    if name == "status":
        return SUCCESS
    if name == "moments":
        return moments()
    if name in ("state", "final_state"):
        return dj.retrieval_state(MODEL)
    if name == "model":
        return MODEL
    if name == "route":
        return "JAX"
    if hint is bool:
        return True
    if name == "names":
        return ("g0", "kappa[0]")
    words = [word for word in getattr(hint, "dim_str", "").split() if not word.startswith("*")]
    shape = [int(word) if word.isdigit() else SIZES[word] for word in words]
    dtype = str(getattr(hint, "dtypes", ["float"])[0])
    if dtype.startswith("complex"):
        return jnp.asarray(rng.uniform(-1, 1, shape) + 1j * rng.uniform(-1, 1, shape))
    if dtype.startswith("bool"):
        return jnp.ones(shape, bool)
    if "int" in dtype:
        return jnp.asarray(rng.integers(0, 2, shape))
    if hint is not None and getattr(hint, "array_type", None) is np.ndarray:
        return rng.uniform(-1, 1, shape)
    return jnp.asarray(np.sort(rng.uniform(0.1, 1, shape), axis=0) if shape else rng.uniform(0.1, 1))


def two_of(result):
    """As under `jax.vmap`."""
    return jax.tree.map(lambda x: jnp.stack([x, x]) if isinstance(x, jax.Array | np.ndarray) else x, result)
