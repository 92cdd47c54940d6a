"""Docstrings show examples, and these run.

They see `dj`, `jax`, `jnp` and `np`, in float64. What is printed is compared with what is written, numbers to 1e-3;
with `# doctest: +ELLIPSIS`, "..." is anything.
"""

import doctest
import enum
import inspect
import io
import re
from contextlib import redirect_stdout

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dicke_jax as dj
from dicke_jax._summary import AbstractResult

NUMBER = r"-?\d+\.?\d*(?:e[+-]?\d+)?"
MADE_BY_OTHERS = {  # what functions with examples return; `open_results` reads what `save_results` has written
    "BasinShares",
    "Bifurcations",
    "AttractorKind",
    "Branch",
    "CollectiveJump",
    "CollectiveStates",
    "CueOutcome",
    "CueOutcomes",
    "FiniteOperators",
    "FreeRates",
    "IntensiveVariables",
    "Moments",
    "OrbitBranch",
    "PosteriorSamples",
    "SpecialOrbit",
    "SpecialPoint",
    "StateKind",
    "StationaryStates",
    "Status",
    "SymmetryReduction",
    "TheoremConstants",
    "open_results",
}
SLOW = {  # seconds of compiling
    "ReplayAdjoint",
    "attractor",
    "basin_proxy",
    "basin_shares",
    "bifurcation_diagram",
    "bifurcations",
    "continuation",
    "locate_critical_coupling",
    "lyapunov_exponent",
    "mcsolve",
    "mean_field_exactness",
    "orbit_continuation",
    "periodic_orbit",
    "phase_diagram",
    "picture_mending",
    "plot_cue_plane",
    "quench",
    "ramp_hysteresis",
    "retrieval_basins",
    "retrieval_load",
    "retrieval_probability",
    "retrieval_transition",
    "sample_posterior",
    "solve_ensemble",
    "stationary_states",
    "wigner_moments",
}
STUDIES = {name: it for name, it in vars(dj.studies).items() if callable(it)}
PUBLIC = {name: getattr(dj, name) for name in dj.__all__} | STUDIES
NAMES = {name: it for name, it in PUBLIC.items() if inspect.isclass(it) or inspect.isfunction(it)}
PICTURES = {name: it for name, it in vars(dj.plotting).items() if inspect.isfunction(it)}
EXAMPLES = {
    name: parsed
    for name, it in (NAMES | PICTURES).items()
    if (parsed := doctest.DocTestParser().get_examples(inspect.getdoc(it) or ""))
}


def test_public_names_have_examples():
    results = {name for name, it in NAMES.items() if inspect.isclass(it) and issubclass(it, AbstractResult | enum.Enum)}
    assert NAMES.keys() - results - MADE_BY_OTHERS - EXAMPLES.keys() == set()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in EXAMPLES])
def test_examples_print_what_they_say(name):
    seen = dict(dj=dj, jax=jax, jnp=jnp, np=np)
    for example in EXAMPLES[name]:
        with redirect_stdout(io.StringIO()) as out, jax.numpy_dtype_promotion("standard"):
            exec(compile(example.source, name, "single"), seen)
        printed = out.getvalue()
        if doctest.ELLIPSIS in example.options:
            assert doctest.OutputChecker().check_output(example.want, printed, doctest.ELLIPSIS), printed
            continue
        assert re.sub(NUMBER, "#", printed).split() == re.sub(NUMBER, "#", example.want).split(), printed
        numbers = [np.array(re.findall(NUMBER, text), dtype=float) for text in (printed, example.want)]
        np.testing.assert_allclose(*numbers, rtol=1e-3, atol=1e-6)
