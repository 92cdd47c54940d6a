"""Chunks of an ensemble, each by one launch, with the results that JAX's way has."""

import warnings
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._checks import check_count
from ..._status import Status
from ...mean_field import DickeModel, MeanFieldState, check_constant_rates
from ..end_of_run import end_of_run
from ..relaxation import default_residual, last_half
from ..steady_state import finest_steps
from ..trajectory import MFSolution, check_tolerance, default_solver
from .cuda import CudaError
from .device import Gpu, gpu_of
from .inputs import one_of, rows_of
from .launch import Launched, Task, defines_of, launch, refusal, rows_at_once, statuses

SERVED = {"solver", "rtol", "atol", "max_steps", "tol", "max_time"}
REST, SUCCESS, NO_NUMBER = 4, 0, 1  # codes of the kernel


class Launches:
    """What `solve_ensemble` does with a chunk of its rows, on a GPU that has the kernel.

    - `run`: what is done with one row: its options, and what is kept of it.
    """

    def __init__(self, gpu: Gpu, device: Any, model: DickeModel, run: Any) -> None:
        self.gpu, self.device, self.run = gpu, device, run
        self.task = task_of(model, run)
        gpu.kernel(defines_of(model, self.task))  # is compiled now: what does not compile is left to JAX
        self.rows = rows_at_once(model, self.task)

    def __call__(self, model: DickeModel, states: MeanFieldState) -> dict[str, Any]:
        jax.eval_shape(jax.vmap(lambda state: state.to_real(one_of(model))), states)  # refuses what does not fit
        done = launch(self.gpu, self.device, model, states, self.task)
        if self.run.times is not None and not callable(self.run.save):
            found = done.on_host(self.gpu)
            lost = (found["code"] == NO_NUMBER) & (found["steps"] == 0)
            kept = {name: found.get(name) for name in ("m", "alpha", "overlaps", "occupations")}
            if lost.any():
                kept = {name: x if x is None else np.where(_beside(lost, x), np.nan, x) for name, x in kept.items()}
            number = statuses(found["code"], model, states, self.task)
            steps = found["steps"].astype(jnp.result_type(int))
            return kept | dict(status=_named(number), num_steps=steps, at_rest=None, reduced=None)
        whole = np.asarray(done.whole)
        number = statuses(whole[: len(whole) // 3], model, states, self.task)
        many = rows_of(model) is not None
        part = _finished(self.run, model, states, done, number, many)
        return jax.tree.map(np.array, part)


def task_of(model: DickeModel, run: Any) -> Task:
    """The same tolerances, times and ends as `mfsolve` and `steadystate` take, and the same refusals."""
    one, options, times = one_of(model), run.options, run.times
    how: dict[str, Any]
    if options.get("max_steps") is not None:
        check_count("max_steps", options["max_steps"])
    if times is not None:
        rtol, atol = (check_tolerance(name, options.get(name), one.dtype) for name in ("rtol", "atol"))
        dense = times.size > 2
        solver: Any = options.get("solver") or default_solver(one, options.get("rtol"), dense)
        how = dict(all_times=run.save != "final", with_states=run.save != "overlaps")
        times = np.asarray(times, one.dtype)
        return Task(solver, float(rtol), float(atol), options.get("max_steps", 2**20), times, **how)
    check_constant_rates(model, "for a stationary state to be reached")  # a row with kappa = 0 says so in its status
    least = options.get("tol")
    least = default_residual(one) if least is None else least
    given = {name: options.get(name) for name in ("rtol", "atol")}
    finest = finest_steps(one, least)
    own = {name: finest if value is None else value for name, value in given.items()}
    rtol, atol = (float(check_tolerance(name, value, one.dtype)) for name, value in own.items())
    solver = options.get("solver") or default_solver(one, rtol)
    how = dict(least=least, max_time=options.get("max_time"), samples=last_half(one.dtype)[:-1])
    return Task(solver, rtol, atol, options.get("max_steps"), **how)


def way_of(model: Any, devices: list[Any], run: Any) -> tuple[Any, str]:
    """`Launches` for these rows, or None; and the name of the way that is taken."""
    gpu = gpu_of(devices[0])
    if isinstance(gpu, str):
        return None, f"JAX: {gpu}" if devices[0].platform != "cpu" else "JAX"
    if len(devices) > 1:
        return None, "JAX: several devices"
    if others := set(run.options) - SERVED:
        return None, f"JAX: {', '.join(sorted(others))} given"
    solver = run.options.get("solver")
    why = refusal(model, default_solver(one_of(model)) if solver is None and type(model) is DickeModel else solver)
    if not why and run.times is not None and not np.all(np.diff(np.asarray(run.times, model.dtype)) > 0):
        why = "times that are one in this precision"
    if why:
        return None, f"JAX: {why}"
    try:
        return Launches(gpu, devices[0], model, run), "one launch"
    except CudaError as error:  # a device that is too old or too new for this compiler
        first = str(error).splitlines()[0]
        warnings.warn(f"solve_ensemble runs without the GPU kernel: {first}", RuntimeWarning, stacklevel=4)
        return None, f"JAX: {first}"


def _beside(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, *(1,) * (values.ndim - 1))


def _named(number: Any) -> Any:
    return eqx.tree_at(lambda status: status._value, Status.successful, number)


@eqx.filter_jit
def _finished(
    run: Any, model: DickeModel, states: MeanFieldState, done: Launched, number: Any, many: bool
) -> dict[str, Any]:
    """What is kept of every row: of its solution, or of its end."""
    arrays, rest = eqx.partition(model, eqx.is_array)

    def one(arrays: Any, state: MeanFieldState, found: dict[str, Array], number: Array) -> dict[str, Any]:
        model = eqx.combine(arrays, rest)
        if run.times is None:
            end, around = _end(run, model, state, found)
            return run.of_end(model, end, around)
        lost = (found["code"] == NO_NUMBER) & (found["steps"] == 0)
        names = ("m", "alpha", "overlaps", "occupations")
        m, alpha, xi, photons = (jnp.where(lost, jnp.nan, found[name]) for name in names)
        steps, rejected = (found[name].astype(int) for name in ("steps", "rejected"))
        stats = dict(num_steps=steps, num_accepted_steps=steps - rejected, num_rejected_steps=rejected)
        return run.of_solution(MFSolution(run.times, m, alpha, xi, photons, _named(number), stats))

    axis = 0 if many else None
    return jax.vmap(one, (axis, 0, 0, 0))(arrays, states, done.fields(), number)


def _end(run: Any, model: DickeModel, state: MeanFieldState, found: dict[str, Array]) -> Any:
    alpha, code = found["alpha"], found["code"]
    y = found["m"], jnp.stack([alpha.real, alpha.imag])
    window = found["residuals"], found["overlaps"], found["occupations"]
    known: Any = dfx.RESULTS
    ran = known.where(code == SUCCESS, known.successful, known.max_steps_reached)
    ran = known.where(code == REST, known.event_occurred, ran)
    tol, max_time = (run.options.get(name) for name in ("tol", "max_time"))
    tol = default_residual(model) if tol is None else tol
    tol, max_time = np.asarray(tol, model.dtype), None if max_time is None else jnp.asarray(max_time, model.dtype)
    start = state.to_real(model)
    return end_of_run(model, start, max_time, tol, y, window, ran, found["time"], found["steps"].astype(int))
