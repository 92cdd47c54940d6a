"""What a sweep computes: pure functions of the values that a chunk of rows has."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._checks import as_array, known_to_hold, refuse, told
from ...dynamics import MFSolution, SteadyState, check_reaches_steady, mfsolve, solve_ensemble
from ...dynamics.ensemble import MANY
from ...dynamics.relaxation import default_residual
from ...dynamics.steady_state import STIFF_TOLERANCE, check_ends, relaxing_solver
from ...dynamics.stiffness import STIFF, stiffness
from ...dynamics.taylor_solver import written_out
from ...dynamics.trajectory import check_tolerance, default_solver
from ...finite_size import gaussian_moments, mesolve, scaled_error, wigner_moments
from ...mean_field import DickeModel, MeanFieldState, check_constant_rates
from ...phases import critical_coupling, retrieval_state, stability
from ...phases.basins import named_outcomes
from ..ramps import ramp_and_back
from .asked import GAUSSIAN, MASTER, on_host, taken_by
from .axes import BATCH
from .starts import Values, of_cues_and_rates, start_of, with_values

RAMP_POINTS = 100  # of each way
LONG = 5000  # in 1 / kappa: so long a run takes by default at most; fewer that are longer pay for a longer compilation


@eqx.filter_jit
def _of_rows(function: Callable[..., Any], model: DickeModel, cues: Any, rates: Any, cue: Any) -> Any:
    """`function` of the model, cue and pattern of every row, in batches of a fixed size."""

    def one(row: Any) -> Any:
        return function(*start_of(with_values(model, row[1]), cue, row[0]), row[0] | row[1])

    return jax.lax.map(one, (cues, rates), batch_size=BATCH)


@eqx.filter_jit
def _in_turn(function: Callable[..., Any], model: DickeModel, cues: Any, rates: Any, cue: Any, filled: Array) -> Any:
    """The same one by one, for what takes very different times; the last row's repetitions are left out."""
    rows = cues, rates

    def one(i: Array) -> Any:
        own, rate = jax.tree.map(lambda x: x[i], rows)
        return function(*start_of(with_values(model, rate), cue, own), own | rate)

    def put(i: Array, found: Any) -> Any:
        return jax.tree.map(lambda whole, x: whole.at[i].set(x), found, one(i))

    size = jax.tree.leaves(rows)[0].shape[0]
    empty = jax.tree.map(lambda x: jnp.zeros((size, *x.shape), x.dtype), jax.eval_shape(one, filled))
    return jax.lax.fori_loop(0, filled, put, empty)


def _model_and_state(model: DickeModel, state: MeanFieldState, row: Any) -> Any:
    return eqx.filter(model, eqx.is_array), state


def _state(model: DickeModel, state: MeanFieldState, row: Any) -> Any:
    return state


class RowFunction(eqx.Module):
    """What a row computes that is no run: of its model, its cue's state and its values."""

    compute: Any  # numbers in a module are no part of the program
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    taken: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, model: DickeModel, state: MeanFieldState, row: Mapping[str, Any]) -> dict[str, Any]:
        options, pattern = dict(self.options), row["pattern"]
        if self.compute == "critical_coupling":
            return {"g_crit": critical_coupling(model, pattern, **options)}
        if self.compute == "stability":
            found = stability(model, retrieval_state(model, pattern), method="dense", **options)
            names = ("growth_rate", "num_growing", "num_neutral", "num_decaying", "residual")
            stable = {"is_stable": found.is_stable.astype(jnp.int8)}
            return {**{name: getattr(found, name) for name in names}, **stable, "status": code_of(found.status)}
        if self.compute == "ramp":
            with known_to_hold():
                own = options.pop("pattern", pattern), row["duration"], (row["g0_low"], row["g0_high"]), row["turn"]
                found = ramp_and_back(model, *own, **options)
            return found | {"status": code_of(found["status"])}
        if self.compute == "exactness":
            return exactness(model, state, row, **options)
        result = self.compute(model, state, **{name: row[name] for name in self.taken if name in row})
        named = result if isinstance(result, Mapping) else {"value": result}
        return {name: jnp.asarray(x) for name, x in named.items()}


def exactness(
    model: DickeModel,
    state: MeanFieldState,
    row: Mapping[str, Any],
    time: float,
    method: str,
    levels: int | None = None,
    num_samples: int = 2000,
) -> dict[str, Any]:
    """N E_N(t) of Eq. 9 at one time: its limit, or of so many spins; with the standard error where it is sampled."""
    times, size = np.array([0.0, time], model.dtype), row.get("subset_size")
    reference, more = mfsolve(model, state, times, throw=False), {}
    if method == GAUSSIAN:
        return {"scaled_error": scaled_error(model, gaussian_moments(model, state, times), reference)[-1]}
    size = None if size is None else int(size)
    if method == MASTER:
        run = mesolve(model, state, times, size, levels=levels)
        more["top_population"] = jnp.max(run.top_population)
    else:
        key = jax.random.fold_in(jax.random.key(int(row["seed"])), 0 if size is None else size)
        run = wigner_moments(key, model, state, times, size, num_samples=num_samples)
        more["scaled_error_sem"] = run.scaled_error_sem[-1]
    return more | {"scaled_error": scaled_error(model, run.moments, reference)[-1], "status": code_of(run.status)}


def code_of(status: Any) -> Any:
    return status._value.astype(np.int8)


def _kept(end: SteadyState) -> dict[str, Any]:
    names = ("overlaps", "occupations", "fluctuations", "residual", "time")
    return {name: getattr(end, name) for name in names} | {"m": end.state.m}


def _last(run: MFSolution) -> dict[str, Any]:
    return {"overlaps": run.overlaps[-1], "occupations": run.occupations[-1]}


def compute_rows(
    model: DickeModel, values: Values, filled: int, compute: Any, cue: Any, how: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """What one chunk computes, on the host: a pure function of its arguments, and of what runs it.

    - `values`: for every place of the chunk; those from `filled` on repeat the last row and are no rows of the study.
    - `how`: options, as `settled` makes them for all chunks alike.
    """
    cues, rates = of_cues_and_rates(values, model)
    size = cues["pattern"].size
    if compute not in ("steadystate", "final_overlap", "retrieval"):
        function = RowFunction(compute, tuple(how.items()), tuple(taken_by(compute, how)))
        if on_host(compute, how):
            return _by_python(function, model, values, filled, cue)
        own = function, model, cues, rates, cue
        return jax.tree.map(np.asarray, _in_turn(*own, jnp.asarray(filled)) if in_turn(compute) else _of_rows(*own))
    if rates or callable(cue):
        arrays, states = _of_rows(_model_and_state, model, cues, rates, cue)
        rest = eqx.filter(model, eqx.is_array, inverse=True)  # rates that are functions of time
        models = eqx.combine(arrays, rest) if jax.tree.leaves(rest) else arrays
    else:
        models, states = model, _of_rows(_state, model, cues, rates, cue)
    states = jax.tree.map(np.array, states)
    for x in jax.tree.leaves(states):
        x[filled:] = np.nan  # put to rest
    options = {name: option for name, option in how.items() if name not in ("time", "max_time")}
    if "max_time" in how:
        options["max_time"] = as_array(how["max_time"], model.dtype)  # no part of the program
    if compute == "final_overlap":
        times = np.array([0.0, how["time"]], model.dtype)
        run = solve_ensemble(models, states, times, save=_last, chunk=size, **options)
    else:
        run = solve_ensemble(models, states, save=_kept, chunk=size, **options)
    kept = run.reduced
    found = {"overlap": kept["overlaps"], "status": np.asarray(run.status._value), "num_steps": run.num_steps}
    if compute == "retrieval":
        ends = tuple(kept[name] for name in ("overlaps", "fluctuations", "m", "time"))
        outcome = named_outcomes(models, jnp.asarray(cues["pattern"]), run.status, ends)[0]
        return found | {
            "outcome": np.asarray(outcome._value),
            "time": kept["time"],
            "fluctuation": kept["fluctuations"],
        }
    found["occupation"] = kept["occupations"]
    if compute == "steadystate":
        found |= {"fluctuation": kept["fluctuations"], "residual": kept["residual"], "time": kept["time"]}
    return found


def in_turn(compute: Any) -> bool:
    """Whether rows take so different times that they are better computed one after the other."""
    if compute == "ramp":  # on a CPU runs are one after the other anyway, and repetitions need not be run
        return jax.default_backend() == "cpu"
    return getattr(compute, "one_by_one", False)


def _by_python(
    function: RowFunction, model: DickeModel, values: Values, filled: int, cue: Any
) -> dict[str, np.ndarray]:
    """The rows of a chunk by Python, one after the other: every one may have shapes of its own."""
    made = _of_rows(_model_and_state, model, *of_cues_and_rates(values, model), cue)
    made, rest, found = jax.tree.map(np.asarray, made), eqx.filter(model, eqx.is_array, inverse=True), []
    for i in range(filled):
        own, state = jax.device_put(jax.tree.map(lambda x, i=i: x[i], made))
        row = function(eqx.combine(own, rest), state, {name: x[i].item() for name, x in values.items()})
        found.append(jax.tree.map(np.asarray, row))
    return jax.tree.map(lambda *rows: np.stack(rows), *found)


def check_cue(model: DickeModel, values: Values, cue: Any) -> None:
    """Refuse a function that makes no cue, before anything is computed."""
    if callable(cue):
        eqx.filter_eval_shape(_of_rows, _state, model, *of_cues_and_rates(values, model), cue)


def variables_of(model: DickeModel, values: Values, compute: Any, cue: Any, how: Mapping[str, Any]) -> dict[str, Any]:
    """Names, shapes and types of what a row computes, without computing it."""
    M, real = (model.num_modes,), np.dtype(model.dtype)
    if on_host(compute, how):
        if not isinstance(compute, str):
            return compute.variables(model)
        more = "top_population" if how["method"] == MASTER else "scaled_error_sem"
        return {"scaled_error": ((), real), more: ((), real), "status": ((), np.dtype(np.int8))}
    runs = {"overlap": (M, real), "status": ((), np.dtype(np.int8)), "num_steps": ((), np.dtype(np.int32))}
    if compute == "retrieval":
        return runs | {"outcome": ((), np.dtype(np.int8)), "time": ((), real), "fluctuation": (M, real)}
    if compute in ("steadystate", "final_overlap"):
        runs["occupation"] = (M, real)
        more = {"fluctuation": (M, real), "residual": ((), real), "time": ((), real)}
        return runs | (more if compute == "steadystate" else {})
    cues, rates = of_cues_and_rates({name: x[:BATCH] for name, x in values.items()}, model)
    function = RowFunction(compute, tuple(how.items()), tuple(taken_by(compute, how)))
    try:
        found = eqx.filter_eval_shape(_of_rows, function, model, cues, rates, cue)
    except (jax.errors.JAXTypeError, TypeError) as error:
        if not callable(compute):
            raise
        refuse("compute", "a function of model and state that jax.vmap takes, of arrays", str(error).splitlines()[0])
    for name, _x in found.items():
        if not isinstance(name, str) or not name.isidentifier():
            refuse("compute", "a function whose results have names", told(name))
    return {name: (x.shape[1:], np.dtype(x.dtype)) for name, x in found.items()}


def settled(
    models: list[DickeModel], compute: Any, options: Mapping[str, Any], num_rows: int, pattern: int | None
) -> dict[str, Any]:
    """Options that leave nothing to what a chunk holds: solver, tolerances, longest run.

    - `models`: those at the corners of the axes. Where one is stiff all rows get the solver that it needs.
    - `pattern`: of all rows, if it is one: then closed forms need no more than that it is orthogonal to the others.
    """
    how = dict(options)
    if compute == "exactness":
        how.setdefault("method", GAUSSIAN)
    if callable(compute) or compute in ("critical_coupling", "stability", "exactness"):
        if compute in ("critical_coupling", "stability"):
            check_constant_rates(models[0])
        return how
    hardest, tol = max(models, key=stiffness), how.get("tol")
    if compute in ("final_overlap", "ramp"):
        how["rtol"] = check_tolerance("options, rtol,", how.get("rtol"), hardest.dtype)
        how["atol"] = check_tolerance("options, atol,", how.get("atol"), hardest.dtype)
        solver = default_solver(hardest, how["rtol"], dense=compute == "ramp")
        if compute == "ramp":
            check_constant_rates(hardest)
            how = {"points": RAMP_POINTS, "solver": solver} | how
            return how if pattern is None else how | {"pattern": pattern}
    else:
        for model in models:
            check_reaches_steady(model)
        if compute == "retrieval":
            how.setdefault("tol", 1e-6 if hardest.dtype == np.float64 else 1e-4)
            how.setdefault("max_time", 1000 / min(float(np.min(model.kappa)) for model in models))
            tol = how["tol"]
        for model in models:
            check_ends(model, tol, how.get("max_time"), how.get("max_steps"))
        how["tol"] = default_residual(hardest) if tol is None else tol
        if stiffness(hardest) >= STIFF:
            for name in ("rtol", "atol"):
                how.setdefault(name, STIFF_TOLERANCE[str(hardest.dtype)])
        solver = relaxing_solver(hardest, how["tol"], how.get("rtol"))
    longest = how.get("max_time", 0.0) * min(float(np.min(model.kappa)) for model in models)
    many = num_rows >= MANY or num_rows * longest >= MANY * LONG
    how["solver"] = written_out(solver) if many else solver
    return how
