"""One launch for the rows of a chunk: what the kernel is compiled for and given, and what comes back."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._status import Status
from ...couplings.operators import DenseCouplings, HypercubeCouplings
from ...mean_field import DickeModel, LocalDissipation, MeanFieldState, PiecewiseLinear
from ..stiffness import or_too_stiff
from ..taylor_solver import BilinearTaylor
from .device import Defines, Gpu
from .inputs import Inputs, ends_of, one_of, rows_of, schedules_of, slowness_of

MOST_LANES = 32  # of a warp, that a trajectory may take: subsets and modes
HIGHEST = 24  # order of a series whose coefficients stay in registers
ALL_STEPS = 2**31 - 1
ROOM = 2**30  # bytes of results of a launch, unless a number of rows is asked for
BLOCK, BLOCKS_EACH = 128, 3  # the fastest of those that were measured: 168 registers a thread
STATUSES = "successful", "nonfinite", "max_steps_reached", "dt_min_reached", "event_occurred"  # by the kernel's codes


def refusal(model: Any, solver: Any) -> str | None:
    """Why JAX's way is taken, or None where the kernel serves."""
    if type(model) is not DickeModel:
        return f"a {type(model).__name__}"
    operator, jumps = model.spins.operator, model.dissipation
    if type(operator) not in (HypercubeCouplings, DenseCouplings):
        return "couplings of a class of their own"
    if max(model.num_subsets, model.num_modes) > MOST_LANES:
        return f"more than {MOST_LANES} subsets or modes"
    if jumps is not None and type(jumps) is not LocalDissipation:
        return "dissipation of a class of its own"
    if any(type(rate) is not PiecewiseLinear for name, rate in model.schedules if name != "dissipation"):
        return "a rate that is a function of time"
    if any(name == "dissipation" for name, _ in model.schedules):
        return "a jump whose rate depends on time"
    if type(solver) is not BilinearTaylor:
        return "another solver than the series"
    if solver.series_order > HIGHEST:
        return f"a series of an order above {HIGHEST}"
    if (many := rows_of(model)) is None:
        return None
    if model.weights.ndim > 2:
        return "models with several leading axes"
    shared = [*(() if jumps is None else (jumps.linear, jumps.constant)), *schedules_of(model).values()]
    shared += [operator.matrix] if isinstance(operator, DenseCouplings) else []
    arrays = [np.asarray(x) for x in jax.tree.leaves(shared)]
    if not all(x.shape[:1] == (many,) and np.array_equal(x, np.broadcast_to(x[:1], x.shape)) for x in arrays):
        return "couplings, jumps or schedules that differ from row to row"
    return None


class Task(NamedTuple):
    """What is asked for: times, or None for a run until nothing moves; whether all of them, and states or not."""

    solver: BilinearTaylor
    rtol: float
    atol: float
    max_steps: int | None
    times: np.ndarray | None = None
    all_times: bool = False
    with_states: bool = True
    least: float | None = None  # what counts as no motion, in units of the slowest rate
    max_time: Any = None
    samples: np.ndarray | None = None  # shares of the longest run at which one is looked at that does not end

    @property
    def slots(self) -> int:
        if self.times is None:
            return 1 + (0 if self.samples is None else self.samples.size)
        return self.times.size if self.all_times else 1


class Launched(eqx.Module):
    """Results of all rows as they lie in the device's buffers, or in copies of them; `fields` names them."""

    reals: Array | np.ndarray
    whole: Array | np.ndarray
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    def on_host(self, gpu: Gpu) -> dict[str, np.ndarray]:
        assert isinstance(self.reals, Array)
        reals = gpu.to_host(np.empty(self.reals.shape, self.reals.dtype), self.reals.unsafe_buffer_pointer())
        return Launched(reals, np.asarray(self.whole), self.shapes).fields()

    def fields(self) -> dict[str, Any]:
        """The parts of both, as arrays of NumPy's, or traced."""
        reals, whole = self.reals, self.whole
        found, begin = {}, 0
        for name, shape in self.shapes:
            size = math.prod(shape)
            found[name] = reals[begin : begin + size].reshape(shape)
            begin += size
        if "alpha" in found:
            pairs = found["alpha"]
            is_numpy = isinstance(pairs, np.ndarray)
            complex_ = np.result_type(pairs.dtype, np.complex64)
            found["alpha"] = pairs.view(complex_)[..., 0] if is_numpy else jax.lax.complex(pairs[..., 0], pairs[..., 1])
        rows = found["overlaps"].shape[0]
        names = ("code", "steps", "rejected")
        return found | {name: whole[i * rows : (i + 1) * rows] for i, name in enumerate(names)}


def defines_of(model: DickeModel, task: Task) -> Defines:
    """What the kernel is compiled for."""
    one = one_of(model)
    operator, subsets, modes = one.spins.operator, one.num_subsets, one.num_modes
    cube = isinstance(operator, HypercubeCouplings)
    return dict(
        REAL="double" if one.dtype == jnp.float64 else "float",
        ORDER=task.solver.series_order,
        SUBSETS=subsets,
        MODES=modes,
        LANES=1 << (max(subsets, modes) - 1).bit_length(),
        HYPERCUBE=int(cube),
        GAUGE=int(cube and operator.gauge),
        DISSIPATION=int(one.dissipation is not None),
        LINEAR=int(one.is_time_dependent),
        STATIONARY=int(task.times is None),
        SAVES=int(task.slots > 1),
        BLOCK=BLOCK,
        BLOCKS_EACH=BLOCKS_EACH,
    )


def shapes_of(model: DickeModel, task: Task, rows: int) -> dict[str, tuple[int, ...]]:
    """Of each result in real numbers, in the order in which they lie in one buffer."""
    modes, subsets, slots = model.num_modes, model.num_subsets, task.slots
    state_slots = (slots,) if task.all_times else ()
    shapes: dict[str, tuple[int, ...]] = {}
    if task.with_states:
        shapes |= dict(m=(rows, *state_slots, 3, subsets), alpha=(rows, *state_slots, modes, 2))
    of_times = (rows,) if task.times is not None and not task.all_times else (rows, slots)
    shapes |= dict(overlaps=(*of_times, modes), occupations=(*of_times, modes))
    return shapes | (dict(residuals=(rows, slots), time=(rows,)) if task.times is None else {})


def rows_at_once(model: DickeModel, task: Task) -> int:
    """How many rows have room for their results."""
    one = sum(map(math.prod, shapes_of(one_of(model), task, 1).values())) * np.dtype(model.dtype).itemsize
    return max(ROOM // one, 1)


def launch(gpu: Gpu, device: Any, model: DickeModel, states: MeanFieldState, task: Task) -> Launched:
    """Run all rows, to the end."""
    own, one, rows = rows_of(model) is not None, one_of(model), states.m.shape[0]
    dtype = np.dtype(one.dtype)
    kernel = gpu.kernel(defines_of(model, task))
    inputs = Inputs(device, rows, dtype)
    run, times = inputs.run, task.times
    run.t0, run.rtol, run.atol = 0.0 if times is None else float(times[0]), task.rtol, task.atol
    run.max_steps = ALL_STEPS if task.max_steps is None else min(task.max_steps, ALL_STEPS)
    inputs.model(model, own)
    ends = ends_of(model, times, task.least, task.max_time, dtype)
    inputs.each("ends", ends, ends.ndim > 1)
    if times is None:
        inputs.each("slowness", slowness_of(model), own)
    saves = task.samples if times is None else times[1:-1] if task.all_times else None
    if saves is not None and saves.size:
        inputs.put("save_times", saves, dtype)
        run.saves = saves.size
    run.slots, run.state_slots = task.slots, task.slots if task.all_times else 1
    run.first_slot = int(task.all_times)
    inputs.put("m", states.m, dtype)
    inputs.put("alpha", states.alpha, np.result_type(dtype, np.complex64))

    shapes = shapes_of(one, task, rows)
    sizes = [math.prod(shape) for shape in shapes.values()]
    # times that are not reached hold inf; what no row has written would show
    reals = inputs.put("m_out", jnp.full(sum(sizes), jnp.inf, dtype, device=device))
    whole = inputs.put("code", jnp.full(3 * rows + 1, 0, jnp.int32, device=device))
    place = reals.unsafe_buffer_pointer()
    run.m_out = 0
    for name, size in zip(shapes, sizes, strict=True):
        setattr(run, {"m": "m_out", "alpha": "alpha_out"}.get(name, name), place)
        place += size * dtype.itemsize
    place = whole.unsafe_buffer_pointer()
    run.code, run.steps, run.rejected, run.queue = (place + 4 * rows * i for i in range(4))

    lanes = defines_of(model, task)["LANES"]
    grid = gpu.processors * kernel.blocks_each(BLOCK)
    gpu.launch(kernel, min(grid, math.ceil(rows * lanes / BLOCK)), BLOCK, run)
    return Launched(reals, whole, tuple(shapes.items()))


def statuses(codes: np.ndarray, model: DickeModel, states: MeanFieldState, task: Task) -> np.ndarray:
    """The numbers of `Status`; runs that were too long are asked whether their modes are too fast."""
    table = np.array([int(np.asarray(getattr(Status, name)._value)) for name in STATUSES], np.int32)
    status = table[codes]
    slow = np.flatnonzero(codes == STATUSES.index("max_steps_reached"))
    if slow.size == 0 or task.times is None:
        return status
    many = rows_of(model) is not None
    own = jax.tree.map(lambda x: x[slow], model) if many else model
    t0 = jnp.asarray(task.times[0], model.dtype)
    states = jax.tree.map(lambda x: x[slow], states)
    status[slow] = np.asarray(_or_too_stiff(own, states, t0, task.solver, 0 if many else None))
    return status


@eqx.filter_jit
def _or_too_stiff(model: DickeModel, states: MeanFieldState, t0: Array, solver: Any, axis: int | None) -> Array:
    arrays, rest = eqx.partition(model, eqx.is_array)

    def one(arrays: Any, state: MeanFieldState) -> Array:
        model, start = eqx.combine(arrays, rest), Status.max_steps_reached
        return or_too_stiff(start, model, state.to_real(model), t0, solver)._value  # pyright: ignore

    return jax.vmap(one, (axis, 0))(arrays, states)
