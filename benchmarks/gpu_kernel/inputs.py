"""What the kernel is given: arrays on the device, those of a model and those of its rows."""

import ctypes
from typing import Any

import jax
import numpy as np

import dicke_jax as dj
from dicke_jax.dynamics.begin_and_end import FAST

from .places import Kernel

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
        + [(name, ctypes.c_double) for name in ("t0", "rtol", "atol", "first_step")]
        + [(name, ctypes.c_int) for name in ("jumps", "max_steps")]
    )


def rows_of(model: dj.DickeModel) -> int | None:
    """How many models there are, None for one."""
    return model.weights.shape[0] if model.weights.ndim > 1 else None


def one_of(model: dj.DickeModel) -> dj.DickeModel:
    """The first of many models."""
    return model if rows_of(model) is None else jax.tree.map(lambda x: x[0], model)


def matrix_of(model: dj.DickeModel) -> np.ndarray | None:
    operator = model.spins.operator
    return np.asarray(operator.matrix) if isinstance(operator, dj.DenseCouplings) else None


def terms_of(model: dj.DickeModel) -> list[np.ndarray]:
    jumps = model.dissipation
    return [] if jumps is None else [np.asarray(jumps.linear), np.asarray(jumps.constant)]


class Inputs:
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


def give_model(inputs: Inputs, model: dj.DickeModel, own: bool, subsets: int) -> None:
    for name in ("omega_spin", "omega_mode", "kappa", "g0"):
        inputs.each(name, getattr(model, name), own)
    inputs.each("weights", model.weights, own)
    matrix, terms = matrix_of(model), terms_of(model)
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


def ends_of(model: Any, times: Any, least: float | None, max_time: float | None, dtype: Any) -> np.ndarray:
    """t1, what is clipped to it, and the residual that is none: one of each, or of each row."""
    if times is not None:
        t1 = np.asarray(times[1], dtype)
        return np.stack([t1, clip_of(t1), np.zeros_like(t1)], axis=-1)
    rate = slowest_of(model).astype(dtype)
    t1 = (5000 / rate if max_time is None else np.full_like(rate, max_time)).astype(dtype)
    return np.stack([t1, clip_of(t1), np.asarray(least, dtype) * rate], axis=-1)


def slowest_of(model: Any) -> np.ndarray:
    """As `slowest_rate`, of every row."""
    kappa, flip = np.min(np.asarray(model.kappa), axis=-1), 2 * np.abs(np.asarray(model.omega_spin))
    return np.where(flip > 0, np.minimum(kappa, flip), kappa)


def slowness_of(model: Any) -> np.ndarray:
    """The share of a mode's dy/dt that counts as motion, as in `largest_change`."""
    turns = np.hypot(np.asarray(model.kappa) / 2, np.asarray(model.omega_mode))
    return 1 / np.maximum(1, turns / (FAST * slowest_of(model)[..., None]))
