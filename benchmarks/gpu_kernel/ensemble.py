"""The host's part: what the kernel is compiled for and given, and what comes back. `solve` is `solve_ensemble`'s."""

import math
import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax.dynamics.ensemble import MANY
from dicke_jax.dynamics.relaxation import default_residual
from dicke_jax.dynamics.steady_state import _finest
from dicke_jax.dynamics.stiffness import or_too_stiff
from dicke_jax.dynamics.taylor_solver import BilinearTaylor
from dicke_jax.dynamics.trajectory import check_tolerance, default_solver

from .inputs import Inputs, ends_of, give_model, matrix_of, one_of, rows_of, slowness_of, terms_of
from .places import Defines, Emulator, Gpu

MOST_LANES = 32
ALL_STEPS = 2**31 - 1
BLOCK, BLOCKS_EACH = 128, 2
OF_MANY = 0.01  # the first step that diffrax 0.7 takes of any terms, whatever the rates, where it is to search for one
STATUSES = "successful", "nonfinite", "max_steps_reached", "dt_min_reached", "event_occurred"  # by the kernel's codes


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


def refusal(model: Any, solver: Any = None) -> str | None:
    """Why JAX's way is taken, or None where the kernel serves."""
    if type(model) is not dj.DickeModel:
        return "not a DickeModel"
    if model.is_time_dependent:
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
    shared = [x for x in (matrix_of(model), *terms_of(model)) if x is not None]
    if rows_of(model) is not None and not all(np.array_equal(x, np.broadcast_to(x[:1], x.shape)) for x in shared):
        return "couplings or jumps that differ from row to row"
    return None


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
    first_step: float | None = None,
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
    inputs = Inputs(kernel, place.platform, rows, dtype)
    run, cuda = inputs.run, kernel.cuda
    run.t0, run.rtol, run.atol, run.max_steps = 0.0 if times is None else times[0], rtol, atol, most
    run.first_step = (OF_MANY if rows >= MANY else 0.0) if first_step is None else first_step
    try:
        give_model(inputs, model, own is not None, subsets)
        ends = ends_of(model, times, least, max_time, dtype)
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
            inputs.each("slowness", slowness_of(model), own is not None)
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


def _status(codes: np.ndarray, model: dj.DickeModel, states: dj.MeanFieldState, t0: float) -> np.ndarray:
    """The numbers of `Status`; runs that were too long are asked whether their modes are too fast."""
    table = np.array([number_of(name) for name in STATUSES])
    status = table[codes]
    slow = np.flatnonzero(codes == STATUSES.index("max_steps_reached"))
    if slow.size == 0:
        return status
    many = rows_of(model) is not None
    own = jax.tree.map(lambda x: x[slow], model) if many else model
    dtype = model.dtype

    def judged(model: dj.DickeModel, m: jax.Array, alpha: jax.Array) -> jax.Array:
        y0 = m.astype(dtype), jnp.stack([alpha.real, alpha.imag]).astype(dtype)
        start: Any = dj.Status.max_steps_reached
        return or_too_stiff(start, model, y0, jnp.asarray(t0, dtype), BilinearTaylor())._value

    each = jax.jit(jax.vmap(judged, (0 if many else None, 0, 0)))
    status[slow] = np.asarray(each(own, states.m[slow], states.alpha[slow]))
    return status
