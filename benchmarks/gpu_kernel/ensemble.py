"""The host's part: what the kernel is compiled for and given, and what comes back. `solve` is `solve_ensemble`'s."""

import ctypes
import math
import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax.dynamics.begin_and_end import FAST
from dicke_jax.dynamics.ensemble import MANY
from dicke_jax.dynamics.relaxation import default_residual
from dicke_jax.dynamics.steady_state import _finest
from dicke_jax.dynamics.stiffness import or_too_stiff
from dicke_jax.dynamics.taylor_solver import BilinearTaylor
from dicke_jax.dynamics.trajectory import check_tolerance, default_solver

from .places import Defines, Emulator, Gpu, Kernel

MOST_LANES = 32
ALL_STEPS = 2**31 - 1
BLOCK, BLOCKS_EACH = 128, 2
STATUSES = "successful", "nonfinite", "max_steps_reached", "dt_min_reached", "event_occurred"  # by the kernel's codes
ARRAYS = "m", "alpha", "omega_spin", "omega_mode", "kappa", "g0", "weights", "jump_rates", "slowness", "ends"
SHARED = "couplings", "jump_linear", "jump_constant"
OUTPUTS = "m_end", "alpha_end", "overlaps", "occupations", "time", "residual", "code", "steps"
STRIDES = "omega_spin", "omega_mode", "kappa", "g0", "weights", "jump_rates", "slowness", "ends"


class Run(ctypes.Structure):
    """`Run` of ensemble.cu."""

    _fields_ = (
        [(name, ctypes.c_uint64) for name in (*ARRAYS, *SHARED, *OUTPUTS, "queue")]
        + [("rows", ctypes.c_longlong)]
        + [(f"stride_{name}", ctypes.c_longlong) for name in STRIDES]
        + [(name, ctypes.c_double) for name in ("t0", "rtol", "atol")]
        + [(name, ctypes.c_int) for name in ("jumps", "max_steps", "search")]
    )


@dataclass
class Ends:
    """The last states of all rows as NumPy arrays, and where the time went."""

    m: np.ndarray
    alpha: np.ndarray
    overlaps: np.ndarray
    occupations: np.ndarray
    status: np.ndarray  # the numbers of `Status`
    num_steps: np.ndarray
    time: np.ndarray | None
    residual: np.ndarray | None
    seconds: dict[str, float]
    route: str = "kernel"

    @property
    def successful(self) -> np.ndarray:
        return self.status == number_of("successful")


def number_of(status: str) -> int:
    return int(np.asarray(getattr(dj.Status, status)._value))


def rows_of(model: dj.DickeModel) -> int | None:
    """How many models there are, None for one."""
    return model.weights.shape[0] if model.weights.ndim > 1 else None


def one_of(model: dj.DickeModel) -> dj.DickeModel:
    """The first of many models."""
    return model if rows_of(model) is None else jax.tree.map(lambda x: x[0], model)


def refusal(model: Any, solver: Any = None) -> str | None:
    """Why JAX's way is taken, or None where the kernel serves."""
    if type(model) is not dj.DickeModel:
        return "not a DickeModel"
    if model.is_time_dependent or (model.dissipation is not None and any(map(callable, model.dissipation.rates))):
        return "a rate depends on time"
    if type(model.spins.operator) not in (dj.HypercubeCouplings, dj.DenseCouplings):
        return "couplings of a class of their own"
    one = one_of(model)
    if max(one.num_subsets, one.num_modes) > MOST_LANES:
        return f"more than {MOST_LANES} subsets or modes"
    if model.weights.ndim > 2:
        return "models with several leading axes"
    if not isinstance(default_solver(one) if solver is None else solver, BilinearTaylor):
        return "another solver than the series"
    shared = [x for x in (_matrix(model), *_terms(model)) if x is not None]
    if rows_of(model) is not None and not all(np.array_equal(x, np.broadcast_to(x[:1], x.shape)) for x in shared):
        return "couplings or jumps that differ from row to row"
    return None


def _matrix(model: dj.DickeModel) -> np.ndarray | None:
    operator = model.spins.operator
    return np.asarray(operator.matrix) if isinstance(operator, dj.DenseCouplings) else None


def _terms(model: dj.DickeModel) -> list[np.ndarray]:
    jumps = model.dissipation
    return [] if jumps is None else [np.asarray(jumps.linear), np.asarray(jumps.constant)]


def defines_of(
    model: dj.DickeModel, order: int, stationary: bool, block: int = BLOCK, blocks_each: int = BLOCKS_EACH
) -> Defines:
    """What the kernel is compiled for."""
    one = one_of(model)
    operator, subsets, modes = one.spins.operator, one.num_subsets, one.num_modes
    cube = isinstance(operator, dj.HypercubeCouplings)
    return dict(
        REAL="double" if one.dtype == jnp.float64 else "float",
        ORDER=order,
        SUBSETS=subsets,
        MODES=modes,
        LANES=1 << (max(subsets, modes) - 1).bit_length(),
        HYPERCUBE=int(cube),
        GAUGE=int(cube and operator.gauge),
        DISSIPATION=int(one.dissipation is not None),
        STATIONARY=int(stationary),
        BLOCK=block,
        BLOCKS_EACH=blocks_each,
    )


class _Inputs:
    """Arrays on the device and the strides of those that a row has for itself."""

    def __init__(self, kernel: Kernel, platform: str, rows: int, dtype: Any) -> None:
        self.kernel, self.platform, self.rows, self.dtype = kernel, platform, rows, dtype
        self.rooms: list[Any] = []
        self.keep: list[Any] = []
        self.run = Run(rows=rows)

    def host(self, name: str, array: Any) -> None:
        room = self.kernel.cuda.copied(np.ascontiguousarray(array))
        self.rooms.append(room)
        setattr(self.run, name, room.pointer.value)

    def each(self, name: str, value: Any, own: bool) -> None:
        """One for all rows, or one for each."""
        array = np.asarray(value).astype(self.dtype)
        if own and (array[:1] == array).all():
            array, own = array[0], False
        setattr(self.run, f"stride_{name}", array[0].size if own else 0)
        self.host(name, array)

    def states(self, name: str, array: Any, dtype: Any) -> None:
        """Read where it is, if it is on the device."""
        if isinstance(array, jax.Array) and array.dtype == dtype:
            devices = list(array.devices())
            find = getattr(array, "unsafe_buffer_pointer", None)
            if len(devices) == 1 and devices[0].platform == self.platform and find is not None:
                self.keep.append(jax.block_until_ready(array))
                setattr(self.run, name, find())
                return
        self.host(name, np.asarray(array).astype(dtype, copy=False))

    def output(self, name: str, numbers: int, dtype: Any) -> Any:
        room = self.kernel.cuda.empty(numbers * np.dtype(dtype).itemsize)
        self.rooms.append(room)
        setattr(self.run, name, room.pointer.value)
        return room

    def close(self) -> None:
        for room in self.rooms:
            room.close()


def clip_of(t1: np.ndarray) -> np.ndarray:
    """100 numbers before: from there on diffrax steps onto the end."""
    before = t1
    for _ in range(100):
        before = np.nextafter(before, np.asarray(-np.inf, t1.dtype))
    return before


def solve(
    model: dj.DickeModel,
    states: dj.MeanFieldState,
    times: tuple[float, float] | None,
    *,
    place: Gpu | Emulator,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int | None = None,
    tol: float | None = None,
    max_time: float | None = None,
    search: bool | None = None,
    block: int = BLOCK,
    blocks_each: int = BLOCKS_EACH,
    poison: bool = False,
) -> Ends:
    """The last states at times[1], as `solve_ensemble(model, states, times, save="final")` has them.

    None for runs until nothing moves, whose last states and residuals are here, and which are not judged.

    `poison` fills the room for results with NaN, so that what no row has written shows.
    """
    begin = time.perf_counter()
    if (why := refusal(model)) is not None:
        raise ValueError(f"not for the kernel: {why}")
    own, one = rows_of(model), one_of(model)
    dtype, complex_ = np.dtype(one.dtype), np.result_type(one.dtype, np.complex64)
    rows, modes, subsets = states.m.shape[0], one.num_modes, one.num_subsets
    assert states.m.shape == (rows, 3, subsets) and states.alpha.shape == (rows, modes) and own in (None, rows)
    least = (default_residual(model) if tol is None else tol) if times is None else None
    default = None if least is None else _finest(one, least)
    rtol, atol = (float(check_tolerance("", default if x is None else x, one.dtype)) for x in (rtol, atol))
    order = default_solver(one, rtol).series_order  # pyright: ignore[reportAttributeAccessIssue]
    most = (ALL_STEPS if times is None else 2**20) if max_steps is None else max_steps
    kernel = place.kernel(defines_of(model, order, times is None, block, blocks_each))
    inputs = _Inputs(kernel, place.platform, rows, dtype)
    run, cuda = inputs.run, kernel.cuda
    run.t0, run.rtol, run.atol, run.max_steps = 0.0 if times is None else times[0], rtol, atol, most
    run.search = int(rows >= MANY if search is None else search)
    try:
        _give_model(inputs, model, own is not None, subsets)
        ends = _ends(model, times, least, max_time, dtype)
        inputs.each("ends", ends, ends.ndim > 1)
        inputs.states("m", states.m, dtype)
        inputs.states("alpha", states.alpha, complex_)
        inputs.host("queue", np.zeros(1, np.uint64))
        shapes: dict[str, tuple[tuple[int, ...], Any]] = dict(
            m_end=((rows, 3, subsets), dtype),
            alpha_end=((rows, modes), complex_),
            overlaps=((rows, modes), dtype),
            occupations=((rows, modes), dtype),
            code=((rows,), np.dtype(np.int32)),
            steps=((rows,), np.dtype(np.int32)),
        )
        if times is None:
            inputs.each("slowness", _slowness(model), own is not None)
            shapes |= dict(time=((rows,), dtype), residual=((rows,), dtype))
        rooms = {name: inputs.output(name, math.prod(shape), kind) for name, (shape, kind) in shapes.items()}
        if poison:
            for room in rooms.values():
                room.fill(255)
        cuda.synchronize()
        copied_in = time.perf_counter()
        lanes = defines_of(model, order, False)["LANES"]
        grid = cuda.about()["processors"] * kernel.function.blocks_each(block)
        launched = kernel.function.launch(min(grid, math.ceil(rows * lanes / block)), block, run)
        done = time.perf_counter()
        found = {name: room.as_array(*shapes[name]) for name, room in rooms.items()}
    finally:
        inputs.close()
    status = _status(found["code"], model, states, run.t0)
    end = time.perf_counter()
    seconds = dict(all=end - begin, before=copied_in - begin, kernel=launched, after=end - done)
    results = [found.get(name) for name in ("m_end", "alpha_end", "overlaps", "occupations")]
    return Ends(*results, status, found["steps"], found.get("time"), found.get("residual"), seconds)  # pyright: ignore


def _give_model(inputs: _Inputs, model: dj.DickeModel, own: bool, subsets: int) -> None:
    for name in ("omega_spin", "omega_mode", "kappa", "g0"):
        inputs.each(name, getattr(model, name), own)
    inputs.each("weights", model.weights, own)
    matrix, terms = _matrix(model), _terms(model)
    if matrix is not None:
        inputs.host("couplings", (matrix[0] if own else matrix).astype(inputs.dtype))
    if model.dissipation is None:
        return
    rates = [np.asarray(rate) for rate in model.dissipation.rates]
    short = int(own)  # axes of a rate that is one for all subsets
    rates = [np.broadcast_to(r[..., None] if r.ndim == short else r, (*r.shape[:short], subsets)) for r in rates]
    inputs.each("jump_rates", np.stack(rates, axis=short), own)
    inputs.run.jumps = len(rates)
    for name, array in zip(("jump_linear", "jump_constant"), terms, strict=True):
        inputs.host(name, (array[0] if own else array).astype(inputs.dtype))


def _ends(model: Any, times: Any, least: float | None, max_time: float | None, dtype: Any) -> np.ndarray:
    """t1, what is clipped to it, and the residual that is none: one of each, or of each row."""
    if times is not None:
        t1 = np.asarray(times[1], dtype)
        return np.stack([t1, clip_of(t1), np.zeros_like(t1)], axis=-1)
    rate = _slowest(model).astype(dtype)
    t1 = (5000 / rate if max_time is None else np.full_like(rate, max_time)).astype(dtype)
    return np.stack([t1, clip_of(t1), np.asarray(least, dtype) * rate], axis=-1)


def _slowest(model: Any) -> np.ndarray:
    """As `slowest_rate`, of every row."""
    kappa, flip = np.min(np.asarray(model.kappa), axis=-1), 2 * np.abs(np.asarray(model.omega_spin))
    return np.where(flip > 0, np.minimum(kappa, flip), kappa)


def _slowness(model: Any) -> np.ndarray:
    """The share of a mode's dy/dt that counts as motion, as in `largest_change`."""
    turns = np.hypot(np.asarray(model.kappa) / 2, np.asarray(model.omega_mode))
    return 1 / np.maximum(1, turns / (FAST * _slowest(model)[..., None]))


def _status(codes: np.ndarray, model: dj.DickeModel, states: dj.MeanFieldState, t0: float) -> np.ndarray:
    """The numbers of `Status`; runs that were too long are asked whether their modes are too fast."""
    table = np.array([number_of(name) for name in STATUSES])
    status = table[codes]
    slow = np.flatnonzero(codes == STATUSES.index("max_steps_reached"))
    for row in slow.tolist():
        own = model if rows_of(model) is None else jax.tree.map(lambda x, row=row: x[row], model)
        y0 = dj.MeanFieldState(states.m[row], states.alpha[row]).to_real(own)
        start = jnp.asarray(t0, own.dtype)
        status[row] = np.asarray(
            or_too_stiff(dj.Status.max_steps_reached, own, y0, start, BilinearTaylor())._value  # pyright: ignore
        )
    return status
