"""`solve_ensemble`: many states and many models, in chunks that fit, on all local devices."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from .._checks import as_times, check_choice, check_count, known, refuse, told
from .._door import check_options, checked
from .._progress import Loop
from .._status import Status
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike
from ..mean_field import AbstractMeanFieldModel, CollectiveModel, DickeModel, MeanFieldState, check_spin_lengths
from .by_components import FEW
from .distance_to_rest import kind_of_motion
from .steady_state import check_ends, relaxing_solver, run_and_rest, steadystate
from .taylor_solver import written_out
from .trajectory import default_solver, mfsolve

CHUNK = {"cpu": 2048}  # rows between two calls of progress, for each device
CHUNK_ELSEWHERE = 65_536
TOGETHER = {"cpu": 32}  # rows whose results a core holds at once, or that run in lock step where a solver needs that
# where there is no kernel and a state is of few numbers: steps that cost little are taken at once
SMALL_TOGETHER = 1024
MANY = 256  # rows from which on orders of the series are written out: longer to compile, shorter to run
LARGE_SPECTRUM = 96  # components of spins beyond which a spectrum of every row would take over a fifth of its run
STATE = ("model", "state")  # what every row has of its own
KEPT = ("m", "alpha", "overlaps", "occupations", "reduced")


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
    """

    t: Any
    m: Any
    alpha: Any
    overlaps: Any
    occupations: Any
    reduced: Any
    status: Any
    num_steps: np.ndarray

    @property
    def successful(self) -> Any:
        """Whether all is well; a NumPy array, of one answer for each row."""
        return np.asarray(super().successful)

    def _heading(self) -> str:
        return f"EnsembleSolution: {self.successful.shape}"

    def _rows(self) -> Rows:
        yield "kept", ", ".join(name for name in KEPT if getattr(self, name) is not None)
        yield "steps", f"{np.min(self.num_steps)} to {np.max(self.num_steps)}"


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
    device chunk by chunk, so that a million trajectories need not fit there.

    **Main arguments**

    - `model`: a `DickeModel` or a `CollectiveModel`; or many, with leading axes on all arrays, as `jax.vmap` makes
      them from a function that returns one.
    - `states`: a `MeanFieldState` whose arrays have leading axes. The leading axes of both are broadcast.
    - `tsave`: increasing times, as in `mfsolve`; None to run until nothing moves, as in `steadystate`.

    **Other arguments**

    - `save`: "all" times, "final" state only, "overlaps" (and occupations) on the grid of times; or a function of one
      `MFSolution` (or `SteadyState`) whose arrays are kept, compiled once for each function object.
    - `chunk`: rows on their way at a time; by default 2,048 for each device on a CPU, where it is rounded up to a
      multiple of 32 (or 1024), 65,536 elsewhere. Rows of a `CollectiveModel` depend on it by round-off.
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
    run = _Run(times, save, options, together, model_of is not None)
    mesh = Mesh(np.array(devices), ("row",)) if len(devices) > 1 else None
    # rows are picked on the host: on a device each shape of an array would be compiled for
    flat_model = model if model_of is None else _flat(model, model.weights.ndim - 1)
    flat_states = _flat(states, states.m.ndim - 2)

    def own_model(row: int) -> Any:
        if model_of is None:
            return model
        which = model_of[row]
        return _of_arrays(lambda x: x[which], flat_model)

    in_turn = np.arange(each).reshape(-1, len(devices)).T.ravel()  # neighbours take about as long: one for each device

    def take(start: int) -> dict[str, Any]:
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
        part = jax.tree.map(lambda x: np.asarray(x)[np.argsort(in_turn)], _run_chunk(run, own, starts, mesh))
        return _told_apart(part, lambda i: own_model(start + i))

    kept: Any = None
    report = Loop(share, "runs", progress)
    report(0)
    for done in range(0, share, each):
        part = take(first + done)
        if kept is None:  # room for all rows, filled chunk by chunk
            kept = jax.tree.map(lambda x: np.empty((share, *x.shape[1:]), x.dtype), part)
        for whole, piece in zip(jax.tree.leaves(kept), jax.tree.leaves(part), strict=True):
            whole[done : done + each] = piece[: share - done]
        report(min(done + each, share))
    fields = jax.tree.map(lambda x: x.reshape((*shape, *x.shape[1:])), _from_all_hosts(kept, total))
    return EnsembleSolution(t=None if times is None else np.asarray(times), **fields)


def _told_apart(part: dict[str, Any], model_of_row: Callable[[int], Any]) -> dict[str, Any]:
    """The same rows, with those that are on their way told from those that oscillate, as `steadystate` tells them."""
    around, status = part.pop("at_rest"), part["status"]
    codes = np.array(status._value)  # in NumPy, for which nothing is compiled
    undecided = np.flatnonzero(codes == np.asarray(Status.undecided._value))
    if around is None or undecided.size == 0:
        return part
    for i in map(int, undecided):
        codes[i] = kind_of_motion(model_of_row(i), *jax.tree.map(lambda x, i=i: x[i], around))._value
    return part | {"status": eqx.tree_at(lambda s: s._value, status, codes)}


def _from_all_hosts(kept: Any, total: int) -> Any:
    """The rows of all hosts, on each of them."""
    if jax.process_count() == 1:
        return kept
    from jax.experimental import multihost_utils

    everywhere = jax.tree.map(np.asarray, multihost_utils.process_allgather(kept))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:total], everywhere)


class _Run(eqx.Module):
    """What is done with one row."""

    times: Float[Array, " T"] | None
    save: Any
    options: dict[str, Any]
    together: int | None = eqx.field(static=True)
    own_models: bool = eqx.field(static=True)

    def __call__(self, model: DickeModel | CollectiveModel, state: MeanFieldState) -> dict[str, Any]:
        if self.times is None:
            end, around = run_and_rest(model, state, **self.options)
            large = 3 * model.num_subsets > LARGE_SPECTRUM
            at_rest = None if around is None or large else (around, end.time)
            run, spins_and_modes, num_steps = end, end.state, end.num_steps
        else:
            sol, at_rest = mfsolve(model, state, self.times, throw=False, **self.options), None
            run, spins_and_modes, num_steps = sol, sol, sol.stats["num_steps"]
        kept: dict[str, Any] = dict.fromkeys(KEPT)
        if callable(self.save):
            kept["reduced"] = self.save(run)
        else:
            kept.update(overlaps=run.overlaps, occupations=run.occupations)
            if self.save != "overlaps":
                kept.update(m=spins_and_modes.m, alpha=spins_and_modes.alpha)
            if self.save == "final" and self.times is not None:
                kept = jax.tree.map(lambda x: x[-1], kept)
        return kept | {"status": run.status, "num_steps": num_steps, "at_rest": at_rest}


@eqx.filter_jit
def _run_chunk(run: _Run, model: AbstractMeanFieldModel, states: MeanFieldState, mesh: Mesh | None) -> dict[str, Any]:
    arrays, rest = eqx.partition((run, model), eqx.is_array)

    def every(arrays: Any, states: MeanFieldState) -> dict[str, Any]:
        run, model = eqx.combine(arrays, rest)
        rows = (eqx.filter(model, eqx.is_array), states) if run.own_models else states

        def one(row: Any) -> dict[str, Any]:
            own, state = (eqx.combine(row[0], model), row[1]) if run.own_models else (model, row)
            return run(own, state)

        if run.together is None:
            return jax.vmap(one)(rows)
        empty, tree = [], []

        def full(row: Any) -> list[Array]:  # `jax.lax.map` makes no batches of arrays that hold nothing
            leaves, structure = jax.tree.flatten(one(row))
            empty[:], tree[:] = [None if x.size else (x.shape, x.dtype) for x in leaves], [structure]
            return [x for x in leaves if x.size]

        found, number = iter(jax.lax.map(full, rows, batch_size=run.together)), states.m.shape[0]
        leaves = [next(found) if none is None else jnp.zeros((number, *none[0]), none[1]) for none in empty]
        return jax.tree.unflatten(tree[0], leaves)

    if mesh is None:
        return every(arrays, states)
    row, all_ = PartitionSpec("row"), PartitionSpec()
    specs = (all_, row if run.own_models else all_)
    split = jax.shard_map(every, mesh=mesh, in_specs=(specs, row), out_specs=row, check_vma=False)
    return split(arrays, states)


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


def _flat(tree: Any, axes: int) -> Any:
    """All leading axes as one."""
    return _of_arrays(lambda x: np.asarray(x).reshape(math.prod(x.shape[:axes]), *x.shape[axes:]), tree)


def _of_arrays(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` of all arrays; rates that are functions of time stay as they are."""
    return jax.tree.map(lambda x: function(x) if isinstance(x, jax.Array | np.ndarray) else x, tree)
