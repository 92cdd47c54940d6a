"""Every public function refuses every argument of the wrong kind, in one line that names it, before anything runs.

The calls are generated: a call that is right but for one argument, for every argument that has a kind of its own.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jaxtyping import config
from problems import paper

import dicke_jax as dj

KEY, NAN, INF = jax.random.key(0), float("nan"), float("inf")
MODEL = paper(1.0, num_patterns=2)
STATE = dj.stored_pattern(MODEL)
CURVE = dj.StationaryCurve([0.5, 1.0], [0.1, 0.2], 0.1)


class Odd:
    """What no argument is meant to be."""

    def __repr__(self):
        return "Odd()\nof two lines"


NO_MODEL = [1.0, None, "paper", STATE, np.ones((2, 2)), Odd(), dj.DickeModel]
NO_STATE = [1.0, None, MODEL, np.ones((3, 2)), (STATE.m, STATE.alpha), Odd()]
NO_NUMBER = ["1.0", NAN, INF, 1j, [1.0, 2.0], {}, Odd(), True]
NO_COUNT = [2.5, "3", True, NAN, [1], 1j, -1, Odd()]
NO_ARRAY = ["up", 1j, [1.0, "a"], [[1.0], [1.0, 2.0]], {}, Odd(), np.array([None])]
NO_KEY = [0, np.arange(2), jnp.zeros(3, jnp.uint32), jax.random.split(KEY, 2), "key", Odd()]
NO_FUNCTION = [{}, 3, "f", Odd()]
NO_CHOICE = ["none of them", 1.0, b"existence", ["existence"], np.ones(2), Odd()]
BAD = {  # by kind of argument
    "model": NO_MODEL,
    "state": NO_STATE,
    "times": [*NO_ARRAY, 1.0, [0.0], [0.0, NAN], [1.0, 0.0], [0.0, 0.0], [0.0, INF], [[0.0, 1.0]], None],
    "key": NO_KEY,
    "count": NO_COUNT,
    "number": NO_NUMBER,
    "positive": [*NO_NUMBER, 0.0, -1.0],
    "array": NO_ARRAY,
    "pattern": [-1, 2, 0.5, "a", 1j, [0], None, Odd()],
    "function": NO_FUNCTION,
    "flag": ["no", 2, 0.0, [], Odd()],
    "choice": NO_CHOICE,
    "solver": [1e300, "Dopri8", jnp.ones(2), MODEL, Odd()],
    "sign": [n for n in NO_COUNT if n != -1] + [0, 2],
    "mapping": [3, "g0", [1.0], Odd()],
    "result": [1.0, None, "paper", {}, Odd(), dj.DickeModel],
    "path": [3, None, 1.0, b"file", [], Odd()],
    "sweep": [None, 3, MODEL, "study.toml", dj.Sweep(MODEL, {"g0": [1.0, 2.0]}), Odd()],
}
KIND = {  # by name, which means the same everywhere
    **dict.fromkeys(("model", "rates"), "model"),
    **dict.fromkeys(("state", "states", "cues"), "state"),
    **dict.fromkeys(("reference", "moments", "found", "solution", "mapping"), "state"),
    **dict.fromkeys(("tsave",), "times"),
    **dict.fromkeys(("key",), "key"),
    **dict.fromkeys(("max_steps", "num_windows", "num_transient", "num_starts", "max_states", "max_points"), "count"),
    **dict.fromkeys(("num_samples", "chunk", "subset_size", "num_trajectories", "num_restarts", "num_steps"), "count"),
    **dict.fromkeys(("num_chains", "num_warmup", "num_patterns", "num_spins", "points", "depth"), "count"),
    **dict.fromkeys(("max_branches", "num_points"), "count"),
    **dict.fromkeys(("tol", "rtol", "atol", "max_time", "transient", "window", "step", "spread", "prior"), "positive"),
    **dict.fromkeys(("cutoff_tol", "period", "dt", "dt0", "time", "duration"), "positive"),
    **dict.fromkeys(("value", "gap", "strength", "seed", "g0_before", "g0_after", "g0_low", "g0_high"), "number"),
    **dict.fromkeys(("patterns", "sigma_z", "configuration", "flip", "angle", "amplitude", "bloch"), "array"),
    **dict.fromkeys(("spin_length", "guess", "covariance", "omega", "m", "alpha", "pictures", "images"), "array"),
    **dict.fromkeys(("overlap", "start", "rho", "populations"), "array"),
    "pattern": "pattern",
    **dict.fromkeys(("progress", "objective", "l", "draw"), "function"),
    **dict.fromkeys(("throw", "gauge", "reduce", "on"), "flag"),
    **dict.fromkeys(("kind", "method", "route", "d0", "save", "loss", "cue", "parameter"), "choice"),
    **dict.fromkeys(("solver", "adjoint", "stepsize_controller", "optimizer"), "solver"),
    **dict.fromkeys(("bounds", "stay"), "mapping"),
    **dict.fromkeys(("sign", "direction", "spin_alignment"), "sign"),
    **dict.fromkeys(("exact_sizes", "sampled_sizes", "levels", "decays", "data", "free", "target"), "array"),
    **dict.fromkeys(("limits", "devices", "x", "y"), "array"),
    **{kind: kind for kind in ("result", "path", "sweep")},
    **dict.fromkeys(("sizes", "scaled_errors", "sem"), "array"),
    "results": "result",
    "branch": "result",
    "level": "number",
    "variable": "choice",
}
GOOD = dict(  # what a call cannot do without
    model=MODEL, rates=MODEL, state=STATE, states=STATE, tsave=[0.0, 1.0], key=KEY, data=CURVE, limits=(0.5, 1.5),
    start=[0.0, 0.0], guess=[1.0, 0.0], num_patterns=2, num_spins=10, patterns=[[1, -1]], sigma_z=[1.0, 1.0],
    configuration=[1.0, 1.0], flip=0.1, m=np.ones((3, 2)), alpha=np.ones(2) + 0j, on=True, omega=[0.0, 1.0],
    objective=dj.stability_margin, cues=jax.tree.map(lambda x: x[None], STATE), reference=STATE,
    g0_before=0.5, g0_after=1.5, g0_low=0.5, g0_high=1.5, duration=1.0, pictures=np.ones((2, 2, 2)),
    rho=np.eye(2) / 2, levels=2,
    images=np.eye(3)[None], g0=[0.5, 1.0], x=("g0", [1.0]), y=("omega_spin", [1.0]), strength=[0.1],
    omega_spin=0.5, omega_mode=1.0, kappa=1.0, l=lambda s: s.z[0], result=STATE, path="/no/such/folder/file.nc",
    overlap=[0.0, 0.5], sizes=[4, 8], scaled_errors=np.ones((2, 3)), results=xr.Dataset(),
    sweep=dj.Sweep(MODEL, {"g0": [0.5, 1.0], "kappa": [0.5, 1.0]}, "critical_coupling"),
)  # fmt: skip
GOOD["moments"] = dj.Moments(
    jnp.arange(2.0), jnp.ones((2, 3, 2)), jnp.ones((2, 2), complex), jnp.ones((2, 10, 10)), None
)
GOOD["branch"] = dj.Branch("g0", np.array([0.5, 1.5]), np.zeros((2, 2)), np.zeros(2), np.zeros(2, int), (), "limit")
GOOD["found"] = object.__new__(dj.FitResult)  # of a fit, all that is looked at before the arguments are
object.__setattr__(GOOD["found"], "loss", 0.0)
BESIDES = {  # what a call needs although it has a default
    "mesolve": dict(subset_size=2),
    "mcsolve": dict(subset_size=2),
    "wigner_moments": dict(subset_size=2),
    "invert_critical_coupling": dict(pattern=(0, 1)),
    "retrieval_load": dict(num_patterns=[1], g0=1.0),
    "stability": dict(state=dj.retrieval_state(MODEL)),
    "periodic_orbit": dict(guess=STATE),
    "orbit_continuation": dict(start=dj.retrieval_state(MODEL)),
    "to_operators": dict(model=MODEL.as_collective()),
}
EXAMINED_ELSEWHERE = {"options", "with_model", "side", "g0", "omega_spin", "omega_mode", "kappa", "dissipation", "rate"}
UNASKED = {"mean_field_equations", "show_versions"}  # the one is a solver's, the other asks for nothing
FUNCTIONS = {
    name: thing
    for name in dj.__all__
    if name not in UNASKED and callable(thing := getattr(dj, name)) and not inspect.isclass(thing)
} | {name: thing for name, thing in vars(dj.studies).items() if inspect.isfunction(thing)}
SUITS = {  # one function, but not others
    ("stability", "tol", "0.0"),
    ("invert_critical_coupling", "pattern", "[0]"),
    ("retrieval_load", "num_patterns", "[1]"),
    ("retrieval_basins", "strength", "[1.0, 2.0]"),
    ("retrieval_basins", "model", str(dj.DickeModel)),
}


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    """Without the executed annotations of the tests, which would be the first to refuse."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def bad_calls(called):
    """Arguments that are right but for one, that one's name, and its value."""
    parameters = inspect.signature(FUNCTIONS[called]).parameters
    needed = {n: GOOD[n] for n, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    for name in parameters.keys() - EXAMINED_ELSEWHERE:
        for bad in BAD[KIND[name]]:
            if not (bad is None and parameters[name].default is None) and (called, name, str(bad)) not in SUITS:
                yield needed | BESIDES.get(called, {}) | {name: bad}, name, bad


def outcome(called, arguments, name):
    try:
        FUNCTIONS[called](**arguments)
    except (ValueError, TypeError) as error:
        text = str(error)
        clear = name in text.split(" must be ")[0] and "; got " in text and "\n" not in text
        return "right" if clear else f"unclear, {type(error).__name__}: {text}"
    except Exception as error:
        return f"unclear, {type(error).__name__}: {error}"
    return "accepted"


@pytest.mark.parametrize("called", FUNCTIONS)
def test_every_bad_argument_is_refused_in_a_line_that_names_it(called):
    outcomes = {f"{name}={bad!r}": outcome(called, arguments, name) for arguments, name, bad in bad_calls(called)}
    assert {call: what for call, what in outcomes.items() if what != "right"} == {}


def test_there_are_many():
    assert sum(1 for called in FUNCTIONS for _ in bad_calls(called)) > 2000


def test_whole_numbers_of_any_library_are_counts():
    for count in (np.int64(3), np.int32(3), jnp.asarray(3), np.array(3)):
        assert dj.random_patterns(KEY, count, count).shape == (3, 3)


def test_the_door_stands_before_the_annotations_that_tests_execute():
    config.update("jaxtyping_disable", False)
    with pytest.raises(ValueError, match="model must be a CollectiveModel or a DickeModel; got float"):
        dj.overlaps(1.0, STATE.m)
