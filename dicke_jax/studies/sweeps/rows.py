"""What a sweep computes: pure functions of the values that a chunk of rows has."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._checks import as_array, check_all, check_choice, check_count, refuse, told
from ...dynamics import MFSolution, SteadyState, check_reaches_steady, mfsolve, solve_ensemble
from ...dynamics.ensemble import MANY
from ...dynamics.relaxation import default_residual
from ...dynamics.steady_state import STIFF_TOLERANCE, check_ends, relaxing_solver
from ...dynamics.stiffness import STIFF, stiffness
from ...dynamics.taylor_solver import written_out
from ...dynamics.trajectory import check_tolerance, default_solver
from ...finite_size import gaussian_moments, scaled_error
from ...mean_field import DickeModel, MeanFieldState, check_constant_rates
from ...phases import critical_coupling, retrieval_state, stability
from ...phases.basins import named_outcomes
from .axes import BATCH
from .starts import Values, of_cues_and_rates, start_of, with_values

OPTIONS: dict[str, dict[str, Any]] = {  # of what is computed, with their defaults
    "steadystate": dict(tol=None, max_time=None, rtol=None, atol=None, max_steps=None),
    "final_overlap": dict(time=None, rtol=None, atol=None, max_steps=None),
    "retrieval": dict(tol=None, max_time=None),
    "critical_coupling": dict(kind="existence", method=None),
    "stability": dict(tol=None),
    "exactness": dict(time=None),
}
LONG = 5000  # in 1 / kappa: so long a run takes by default at most; fewer that are longer pay for a longer compilation


@eqx.filter_jit
def _of_rows(function: Callable[..., Any], model: DickeModel, cues: Any, rates: Any, cue: Any) -> Any:
    """`function` of the model, cue and pattern of every row, in batches of a fixed size."""

    def one(row: Any) -> Any:
        return function(*start_of(with_values(model, row[1]), cue, row[0]), row[0]["pattern"])

    return jax.lax.map(one, (cues, rates), batch_size=BATCH)


@eqx.filter_jit
def _in_turn(function: Callable[..., Any], model: DickeModel, cues: Any, rates: Any, cue: Any, filled: Array) -> Any:
    """The same one by one, for what takes very different times; the last row's repetitions are left out."""
    rows = cues, rates

    def one(i: Array) -> Any:
        own, rate = jax.tree.map(lambda x: x[i], rows)
        return function(*start_of(with_values(model, rate), cue, own), own["pattern"])

    def put(i: Array, found: Any) -> Any:
        return jax.tree.map(lambda whole, x: whole.at[i].set(x), found, one(i))

    size = jax.tree.leaves(rows)[0].shape[0]
    empty = jax.tree.map(lambda x: jnp.zeros((size, *x.shape), x.dtype), jax.eval_shape(one, filled))
    return jax.lax.fori_loop(0, filled, put, empty)


def _model_and_state(model: DickeModel, state: MeanFieldState, pattern: Array) -> Any:
    return eqx.filter(model, eqx.is_array), state


def _state(model: DickeModel, state: MeanFieldState, pattern: Array) -> Any:
    return state


class RowFunction(eqx.Module):
    """What a row computes that is no run: of its model, its cue's state and pattern."""

    compute: Any  # numbers in a module are no part of the program
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __call__(self, model: DickeModel, state: MeanFieldState, pattern: Array) -> dict[str, Any]:
        options = dict(self.options)
        if self.compute == "critical_coupling":
            return {"g_crit": critical_coupling(model, pattern, **options)}
        if self.compute == "stability":
            found = stability(model, retrieval_state(model, pattern), method="dense", **options)
            names = ("growth_rate", "num_growing", "num_neutral", "num_decaying", "residual")
            stable = {"is_stable": found.is_stable.astype(jnp.int8)}
            return {**{name: getattr(found, name) for name in names}, **stable, "status": code_of(found.status)}
        if self.compute == "exactness":
            times = np.array([0.0, options["time"]], model.dtype)
            limit, reference = gaussian_moments(model, state, times), mfsolve(model, state, times, throw=False)
            return {"scaled_error": scaled_error(model, limit, reference)[-1]}
        result = self.compute(model, state)
        named = result if isinstance(result, Mapping) else {"value": result}
        return {name: jnp.asarray(x) for name, x in named.items()}


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
        own = RowFunction(compute, tuple(how.items())), model, cues, rates, cue
        one_by_one = getattr(compute, "one_by_one", False)
        return jax.tree.map(np.asarray, _in_turn(*own, jnp.asarray(filled)) if one_by_one else _of_rows(*own))
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


def check_cue(model: DickeModel, values: Values, cue: Any) -> None:
    """Refuse a function that makes no cue, before anything is computed."""
    if callable(cue):
        eqx.filter_eval_shape(_of_rows, _state, model, *of_cues_and_rates(values, model), cue)


def variables_of(model: DickeModel, values: Values, compute: Any, cue: Any, how: Mapping[str, Any]) -> dict[str, Any]:
    """Names, shapes and types of what a row computes, without computing it."""
    M, real = (model.num_modes,), np.dtype(model.dtype)
    runs = {"overlap": (M, real), "status": ((), np.dtype(np.int8)), "num_steps": ((), np.dtype(np.int32))}
    if compute == "retrieval":
        return runs | {"outcome": ((), np.dtype(np.int8)), "time": ((), real), "fluctuation": (M, real)}
    if compute in ("steadystate", "final_overlap"):
        runs["occupation"] = (M, real)
        more = {"fluctuation": (M, real), "residual": ((), real), "time": ((), real)}
        return runs | (more if compute == "steadystate" else {})
    cues, rates = of_cues_and_rates({name: x[:BATCH] for name, x in values.items()}, model)
    function = RowFunction(compute, tuple(how.items()))
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


def as_options(compute: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of what is computed, each of the right kind."""
    if callable(compute):
        if options:
            refuse("options", "left out where compute is a function", ", ".join(map(str, options)))
        return {}
    own, options = OPTIONS[compute], {name: value for name, value in options.items() if value is not None}
    for name, value in options.items():
        if name not in own:
            refuse("options", f"those of {compute}, {', '.join(own)}", told(name))
        if name in ("kind", "method"):
            kinds = {"kind": ("existence", "stability", "normal"), "method": ("closed form", "root finding")}
            check_choice(f"options, {name},", value, kinds[name])
        elif name == "max_steps":
            check_count(f"options, {name},", value)
        elif isinstance(value, bool) or not isinstance(value, int | float | np.number):
            refuse(f"options, {name},", "a positive number", told(value))
        else:
            check_all(f"options, {name},", value, lambda x: (x > 0) & np.isfinite(x), "positive and finite")
    if compute in ("final_overlap", "exactness") and "time" not in options:
        refuse("options", f"given for {compute}, with the time at which runs end", "no time")
    return options


def settled(models: list[DickeModel], compute: Any, options: Mapping[str, Any], num_rows: int) -> dict[str, Any]:
    """Options that leave nothing to what a chunk holds: solver, tolerances, longest run.

    - `models`: those at the corners of the axes. Where one is stiff all rows get the solver that it needs.
    """
    how = dict(options)
    if callable(compute) or compute in ("critical_coupling", "stability", "exactness"):
        if compute in ("critical_coupling", "stability"):
            check_constant_rates(models[0])
        return how
    hardest, tol = max(models, key=stiffness), how.get("tol")
    if compute == "final_overlap":
        how["rtol"] = check_tolerance("options, rtol,", how.get("rtol"), hardest.dtype)
        how["atol"] = check_tolerance("options, atol,", how.get("atol"), hardest.dtype)
        solver = default_solver(hardest, how["rtol"], dense=False)
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
