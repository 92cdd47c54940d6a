"""`solve_ensemble`: many states and many models, in chunks that fit, on all local devices."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from .._checks import as_times, check_choice, check_count, known, refuse, told
from .._door import check_options, checked
from .._progress import Loop
from .._status import Status
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike
from ..mean_field import AbstractMeanFieldModel, CollectiveModel, DickeModel, MeanFieldState, check_spin_lengths
from ._gpu import way_of
from .by_components import FEW
from .distance_to_rest import kind_of_motion
from .motions import Motions
from .rows import KEPT, Run, run_chunk
from .steady_state import check_ends, relaxing_solver, steadystate
from .taylor_solver import written_out
from .trajectory import default_solver, mfsolve

CHUNK = {"cpu": 2048}  # rows between two calls of progress, for each device
CHUNK_ELSEWHERE = 65_536
TOGETHER = {"cpu": 32}  # rows whose results a core holds at once, or that run in lock step where a solver needs that
# where there is no kernel and a state is of few numbers: steps that cost little are taken at once
SMALL_TOGETHER = 1024
MANY = 256  # rows from which on orders of the series are written out: longer to compile, shorter to run
STATE = ("model", "state")  # what every row has of its own


class EnsembleSolution(AbstractResult):
    """What was asked for of every trajectory, as NumPy arrays with the leading axes of the ensemble.

    - `t`: (T,), the times `tsave`; None for runs until nothing moves.
    - `m`, `alpha`: (..., T, 3, K) and (..., T, M) with `save="all"`, those of the last time with "final" and for runs
      until nothing moves, else None.
    - `overlaps`, `occupations`: (..., T, M), with "all" and "overlaps"; (..., M) with "final"; for runs until nothing
      moves (..., M) as in `SteadyState`.
    - `reduced`: what a function given as `save` returned.
    - `status`: (...), a `Status` of every row; `successful` says which rows are good.
    - `num_steps`: (...), steps of every row.
    - `route`: how rows were run: "one launch" of a kernel on a GPU, or "JAX", on a GPU with why.
    """

    t: Any
    m: Any
    alpha: Any
    overlaps: Any
    occupations: Any
    reduced: Any
    status: Any
    num_steps: np.ndarray
    route: str = eqx.field(static=True, default="JAX")

    @property
    def successful(self) -> Any:
        """Whether all is well; a NumPy array, of one answer for each row."""
        return np.asarray(super().successful)

    def _heading(self) -> str:
        return f"EnsembleSolution: {self.successful.shape}"

    def _rows(self) -> Rows:
        yield "kept", ", ".join(name for name in KEPT if getattr(self, name) is not None)
        yield "steps", f"{np.min(self.num_steps)} to {np.max(self.num_steps)}"
        if self.route != "JAX":
            yield "route", self.route


@checked
def solve_ensemble(
    model: DickeModel | CollectiveModel,
    states: MeanFieldState,
    tsave: ArrayLike | None = None,
    *,
    save: str | Callable[[Any], Any] = "all",
    chunk: int | None = None,
    devices: list[Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> EnsembleSolution:
    """Integrate every state, with every model, and keep what is asked for.

    A row's numbers do not depend on its neighbours, on `chunk` or on the number of devices. What is kept leaves the
    device chunk by chunk, so that a million trajectories need not fit there. On one NVIDIA GPU each row is integrated
    from its first step to its last in one launch of a kernel, where that serves what is asked for; `route` says so.

    **Main arguments**

    - `model`: a `DickeModel` or a `CollectiveModel`; or many, with leading axes on all arrays, as `jax.vmap` makes
      them from a function that returns one.
    - `states`: a `MeanFieldState` whose arrays have leading axes. The leading axes of both are broadcast.
    - `tsave`: increasing times, as in `mfsolve`; None to run until nothing moves, as in `steadystate`.

    **Other arguments**

    - `save`: "all" times, "final" state only, "overlaps" (and occupations) on the grid of times; or a function of one
      `MFSolution` (or `SteadyState`) whose arrays are kept, compiled once for each function object.
    - `chunk`: rows on their way at a time; by default 2,048 for each device on a CPU, where it is rounded up to a
      multiple of 32 (or 1024), 65,536 elsewhere; with one launch those whose results take a GB. Rows of a
      `CollectiveModel` depend on it by round-off.
    - `devices`: all local ones by default. Make a CPU several by `jax.config.update("jax_num_cpu_devices", n)`. Where
      `jax.distributed` is initialised every host calls this alike, does its share, and gets all rows.
    - `progress`: called with the numbers of finished and of all rows of this host.
    - others, as `solver`, `rtol`, `atol`, `max_steps`, go to `mfsolve` or `steadystate`.

    **Returns** an `EnsembleSolution`. A row that fails says so in its `status`; nothing is raised for it. One that
    moves without a trend is told by a spectrum for up to 32 subsets; with more it stays undecided.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.5)
        >>> keys = jax.random.split(jax.random.key(0), 8)
        >>> cues = jax.vmap(lambda key: dj.tilted_pattern(key, model, angle=0.3))(keys)
        >>> many = dj.solve_ensemble(model, cues, [0.0, 20.0], save="final")
        >>> print(many.overlaps.shape, bool(many.successful.all()))
        (8, 4) True
    """
    if not callable(save):
        check_choice("save", save, ("all", "final", "overlaps"))
    if "throw" in options:
        refuse("throw", "left out: a row that fails says so in its status", options["throw"])
    run_by, given = (steadystate, STATE) if tsave is None else (mfsolve, (*STATE, "tsave", "throw"))
    options = check_options(run_by, options, given)
    check_ends(model, *(options.get(name) for name in ("tol", "max_time", "max_steps")))
    if not all(known(leaf) for leaf in jax.tree.leaves(eqx.filter((model, states), eqx.is_array))):
        refuse("model and states", "known; jax.vmap(mfsolve) can be traced", "traced")
    check_spin_lengths(states.m)
    times = None if tsave is None else as_times(tsave)
    devices = jax.local_devices() if devices is None else devices
    if not isinstance(devices, list | tuple) or not all(isinstance(device, jax.Device) for device in devices):
        refuse("devices", "a list of JAX's devices", told(devices))
    if not devices:
        refuse("devices", "at least one", "none")
    platform = devices[0].platform

    shape, total, model_of, state_of = _rows(model, states)
    if total == 0:
        refuse("states", "at least one", f"leading axes {shape}")
    each = len(devices) * CHUNK.get(platform, CHUNK_ELSEWHERE) if chunk is None else chunk
    check_count("chunk", each)
    together = TOGETHER.get(platform)  # None: all of a chunk
    if together and times is not None and total >= MANY and not isinstance(model, DickeModel):
        most = math.ceil(min(each, total) / len(devices) / together) * together
        together = min(SMALL_TOGETHER, most) if model.num_components <= FEW else together
    unit = len(devices) * (together or 1)
    share = math.ceil(total / jax.process_count())  # rows of each host
    first = jax.process_index() * share
    each = unit * math.ceil(min(each, share) / unit)
    if total >= MANY and not options.keys() & {"solver", "adjoint", "stepsize_controller"}:
        tol, rtol = options.get("tol"), options.get("rtol")  # the rows' own solver, but written out
        own = relaxing_solver(model, tol, rtol) if times is None else default_solver(model, rtol, times.size > 2)
        options["solver"] = written_out(own)
    run = Run(times, save, options, together, model_of is not None)
    launches, route = way_of(model, devices, run)
    if launches is not None:
        each = min(launches.rows if chunk is None else chunk, share)
    mesh = Mesh(np.array(devices), ("row",)) if len(devices) > 1 else None
    # rows are picked on the host: on a device each shape of an array would be compiled for
    flat_model = model if model_of is None else _flat(model, model.weights.ndim - 1)
    axes = states.m.ndim - 2
    flat_states = _flat(states, axes) if launches is None else jax.tree.map(lambda x: _as_rows(x, axes), states)

    def own_model(row: int) -> Any:
        which = None if model_of is None else model_of[row]
        return model if which is None else _of_arrays(lambda x: x[which], flat_model)

    motions = Motions(model) if model_of is None else None

    in_turn = np.arange(each).reshape(-1, len(devices)).T.ravel()  # neighbours take about as long: one for each device

    def launched(start: int) -> dict[str, Any]:
        rows = slice(start, min(start + each, total))
        which = None if model_of is None else model_of[rows]
        own = model if which is None else _of_arrays(lambda x: jax.device_put(x[which], devices[0]), flat_model)
        assert launches is not None  # where this is called
        return launches(own, jax.tree.map(lambda x: _picked(x, state_of[rows]), flat_states))

    def by_jax(start: int) -> dict[str, Any]:
        numbers = start + in_turn
        rows = np.minimum(numbers, total - 1)
        which = rows if model_of is None else model_of[rows]
        own = model if model_of is None else _of_arrays(lambda x: x[which], flat_model)
        starts = jax.tree.map(lambda x: x[state_of[rows]], flat_states)
        for x in jax.tree.leaves(starts):
            x[numbers >= total] = np.nan  # past the last row, and put to rest
        place = devices[0] if mesh is None else NamedSharding(mesh, PartitionSpec("row"))
        starts = jax.device_put(starts, place)
        if mesh is None or run.own_models:
            own = _of_arrays(lambda x: jax.device_put(x, place), own)
        return jax.tree.map(lambda x: np.asarray(x)[np.argsort(in_turn)], run_chunk(run, own, starts, mesh))

    def take(start: int) -> dict[str, Any]:
        part = by_jax(start) if launches is None else launched(start)
        return _told_apart(part, motions, lambda i: own_model(start + i))

    kept: Any = None
    report = Loop(share, "runs", progress)
    report(0)
    for done in range(0, share, each):
        part = take(first + done)
        if each >= share:
            kept = jax.tree.map(lambda x: x[:share], part)
        elif kept is None:  # room for all rows, filled chunk by chunk
            kept = jax.tree.map(lambda x: np.empty((share, *x.shape[1:]), x.dtype), part)
        for whole, piece in zip(jax.tree.leaves(kept), jax.tree.leaves(part), strict=True) if each < share else ():
            whole[done : done + each] = piece[: share - done]
        report(min(done + each, share))
    fields = jax.tree.map(lambda x: x.reshape((*shape, *x.shape[1:])), _from_all_hosts(kept, total))
    return EnsembleSolution(t=None if times is None else np.asarray(times), route=route, **fields)


def _told_apart(part: dict[str, Any], motions: Motions | None, model_of_row: Callable[[int], Any]) -> dict[str, Any]:
    """The same rows, with those that are on their way told from those that oscillate, as `steadystate` tells them."""
    around, status = part.pop("at_rest"), part["status"]
    codes = np.array(status._value)  # in NumPy, for which nothing is compiled
    undecided = np.flatnonzero(codes == np.asarray(Status.undecided._value))
    if around is None or undecided.size == 0:
        return part
    starts = jax.tree.map(lambda x: x[undecided], around)
    if motions is not None:
        codes[undecided] = motions.kinds(*starts)
    else:
        for i, row in enumerate(map(int, undecided)):
            codes[row] = kind_of_motion(model_of_row(row), *jax.tree.map(lambda x, i=i: x[i], starts))._value
    return part | {"status": eqx.tree_at(lambda s: s._value, status, codes)}


def _from_all_hosts(kept: Any, total: int) -> Any:
    """The rows of all hosts, on each of them."""
    if jax.process_count() == 1:
        return kept
    from jax.experimental import multihost_utils

    everywhere = jax.tree.map(np.asarray, multihost_utils.process_allgather(kept))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:total], everywhere)


def _rows(
    model: AbstractMeanFieldModel, states: MeanFieldState
) -> tuple[tuple[int, ...], int, Int[np.ndarray, " R"] | None, Int[np.ndarray, " R"]]:
    """The leading axes of the ensemble, the number of rows, and which model and which state each row has."""
    of_model, of_states = model.weights.shape[:-1], states.m.shape[:-2]
    try:
        shape = np.broadcast_shapes(of_model, of_states)
    except ValueError:
        refuse("states", f"of leading axes that broadcast with those of the model, {of_model}", of_states)

    def index(own: tuple[int, ...]) -> Int[np.ndarray, " R"]:
        return np.broadcast_to(np.arange(math.prod(own)).reshape(own), shape).ravel()

    return shape, math.prod(shape), index(of_model) if of_model else None, index(of_states)


def _as_rows(x: Any, axes: int) -> Any:
    """Where they are: states of a single leading axis stay on their device."""
    return x if axes == 1 else np.asarray(x).reshape(math.prod(x.shape[:axes]), *x.shape[axes:])


def _picked(x: Any, which: Int[np.ndarray, " R"]) -> Any:
    """These rows; all of them, or those that follow each other, without a copy on the host."""
    follow = which[-1] - which[0] == which.size - 1 and bool(np.all(np.diff(which) == 1))
    if not follow:
        return np.asarray(x)[which]
    return x if which.size == x.shape[0] else x[which[0] : which[-1] + 1]


def _flat(tree: Any, axes: int) -> Any:
    """All leading axes as one."""
    return _of_arrays(lambda x: np.asarray(x).reshape(math.prod(x.shape[:axes]), *x.shape[axes:]), tree)


def _of_arrays(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` of all arrays; rates that are functions of time stay as they are."""
    return jax.tree.map(lambda x: function(x) if isinstance(x, jax.Array | np.ndarray) else x, tree)
