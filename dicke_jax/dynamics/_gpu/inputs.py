"""What the kernel is given: arrays on the device, those of a model and those of its rows."""

import ctypes
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...couplings.operators import DenseCouplings
from ...mean_field import DickeModel, PiecewiseLinear
from ...mean_field.rates import same_time
from ..begin_and_end import FAST, LONGEST

ARRAYS = "m", "alpha", "omega_spin", "omega_mode", "kappa", "g0", "weights", "jump_rates", "slowness", "ends"
SHARED = "couplings", "jump_linear", "jump_constant", "save_times", "knots", "pieces"
OUTPUTS = "m_out", "alpha_out", "overlaps", "occupations", "time", "residuals", "code", "steps", "rejected"
STRIDES = "omega_spin", "omega_mode", "kappa", "g0", "weights", "jump_rates", "slowness", "ends"
NUMBERS = "jumps", "max_steps", "saves", "slots", "state_slots", "first_slot", "num_knots", "first_piece"


class Run(ctypes.Structure):
    """`Run` of ensemble.cu."""

    _fields_ = (
        [(name, ctypes.c_uint64) for name in (*ARRAYS, *SHARED, *OUTPUTS, "queue")]
        + [("rows", ctypes.c_longlong)]
        + [(f"stride_{name}", ctypes.c_longlong) for name in STRIDES]
        + [(name, ctypes.c_double) for name in ("t0", "rtol", "atol")]
        + [(name, ctypes.c_int) for name in NUMBERS]
    )


def rows_of(model: DickeModel) -> int | None:
    """How many models there are, None for one."""
    return model.weights.shape[0] if model.weights.ndim > 1 else None


def one_of(model: DickeModel) -> DickeModel:
    """The first of many models."""
    return model if rows_of(model) is None else jax.tree.map(lambda x: x[0], model)


def schedules_of(model: DickeModel) -> dict[str, PiecewiseLinear]:
    return {name: rate for name, rate in model.rates.items() if isinstance(rate, PiecewiseLinear)}


class Inputs:
    """Arrays on the device, kept until the run is over, and the strides of those that a row has for itself."""

    def __init__(self, device: Any, rows: int, dtype: Any) -> None:
        self.device, self.dtype = device, dtype
        self.keep: list[jax.Array] = []
        self.run = Run(rows=rows)

    def put(self, name: str, array: Any, dtype: Any = None) -> jax.Array:
        """Read where it is, if it is on the device."""
        if not (isinstance(array, jax.Array) and array.devices() == {self.device}):
            array = jax.device_put(np.ascontiguousarray(array, dtype), self.device)
        elif dtype is not None and array.dtype != dtype:
            array = array.astype(dtype)
        self.keep.append(jax.block_until_ready(array))
        setattr(self.run, name, array.unsafe_buffer_pointer())
        return array

    def each(self, name: str, value: Any, own: bool) -> None:
        """One for all rows, or one for each."""
        array = np.asarray(value).astype(self.dtype)
        if own and (array[:1] == array).all():
            array, own = array[0], False
        setattr(self.run, f"stride_{name}", array[0].size if own else 0)
        self.put(name, array)

    def model(self, model: DickeModel, own: bool) -> None:
        one = one_of(model)
        moving = schedules_of(one)
        for name, rate in model.rates.items():
            constant = np.zeros(one.num_modes if name in ("omega_mode", "kappa") else ())
            self.each(name, constant if name in moving else rate, own and name not in moving)
        self.each("weights", model.weights, own)
        operator, jumps = one.spins.operator, model.dissipation
        if isinstance(operator, DenseCouplings):
            self.put("couplings", np.asarray(operator.matrix), self.dtype)
        if jumps is not None:
            rates = [np.asarray(rate) for rate in jumps.rates]
            short = int(own)  # axes of a rate that is one for all subsets
            rates = [r[..., None] if r.ndim == short else r for r in rates]
            rates = [np.broadcast_to(r, (*r.shape[:short], one.num_subsets)) for r in rates]
            self.each("jump_rates", np.stack(rates, axis=short), own)
            self.run.jumps = len(rates)
            for name, array in (("jump_linear", jumps.linear), ("jump_constant", jumps.constant)):
                self.put(name, np.asarray(array)[0] if own else np.asarray(array), self.dtype)
        if moving:
            self.schedules(moving, one.num_modes)

    def schedules(self, moving: dict[str, PiecewiseLinear], modes: int) -> None:
        """The pieces of all rates at once: before the first kink of any, between two, and behind the last."""
        knots = np.sort(np.concatenate([np.asarray(rate.times).astype(self.dtype) for rate in moving.values()]))
        soon = knots + _same_time(knots)
        first = np.diff(knots, prepend=-np.inf) > soon - knots  # round-off alone holds the others apart
        knots, soon = knots[first], soon[first]
        pieces = np.zeros((knots.size + 1, 2, 2 + 2 * modes))  # values where a piece begins, and slopes
        places = dict(omega_spin=slice(0, 1), g0=slice(1, 2), omega_mode=slice(2, 2 + modes))
        places["kappa"] = slice(2 + modes, 2 + 2 * modes)
        for name, rate in moving.items():
            times, values = np.asarray(rate.times, np.float64), np.asarray(rate.values, np.float64)
            values = values.reshape(times.size, -1)
            slopes = np.concatenate([values[:1] * 0, np.diff(values, axis=0) / np.diff(times)[:, None], values[:1] * 0])
            own = np.searchsorted(times, soon, side="right")  # pieces of this rate, 0 being before its first time
            since = np.maximum(own - 1, 0)
            at = values[since] + slopes[own] * (knots - times[since])[:, None]
            pieces[0, 0, places[name]], pieces[1:, 0, places[name]] = values[0], at
            pieces[1:, 1, places[name]] = slopes[own]
        self.put("knots", knots, self.dtype)
        self.put("pieces", pieces, self.dtype)
        self.run.num_knots = knots.size
        t0 = np.asarray(self.run.t0, self.dtype)
        self.run.first_piece = int(np.searchsorted(knots, t0 + _same_time(t0), side="right"))


def _same_time(t: Any) -> Any:
    return np.asarray(same_time(t, jnp.asarray(t)))


def clip_of(t1: Any) -> Any:
    """100 numbers before: from there on diffrax steps onto the end."""
    before = t1
    for _ in range(100):
        before = np.nextafter(before, np.asarray(-np.inf, t1.dtype))
    return before


def ends_of(model: DickeModel, times: Any, least: float | None, max_time: Any, dtype: Any) -> np.ndarray:
    """t1, what is clipped to it, and the residual that is none: one of each, or of each row."""
    if times is not None:
        t1 = np.asarray(times[-1], dtype)
        return np.stack([t1, clip_of(t1), np.zeros_like(t1)], axis=-1)
    rate = slowest_of(model).astype(dtype)
    with np.errstate(divide="ignore"):  # of a mode without loss, which nothing makes rest
        t1 = (LONGEST / rate if max_time is None else np.full_like(rate, max_time)).astype(dtype)
    return np.stack([t1, clip_of(t1), np.asarray(least, dtype) * rate], axis=-1)


def slowest_of(model: DickeModel) -> np.ndarray:
    """As `slowest_rate`, of every row."""
    kappa, flip = np.min(np.asarray(model.kappa), axis=-1), 2 * np.abs(np.asarray(model.omega_spin))
    return np.where(flip > 0, np.minimum(kappa, flip), kappa)


def slowness_of(model: DickeModel) -> np.ndarray:
    """The share of a mode's dy/dt that counts as motion: 1 / `pace_of_modes`, of every row."""
    turns = np.hypot(np.asarray(model.kappa) / 2, np.asarray(model.omega_mode))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 / np.maximum(1, turns / (FAST * slowest_of(model)[..., None]))
