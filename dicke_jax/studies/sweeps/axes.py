"""The axes of a sweep: which row of a study has which values, and which rows make a chunk."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._checks import check_all, check_real, refuse, told
from ...dynamics.ensemble import TOGETHER
from ...mean_field import DickeModel
from ...mean_field.rates import is_schedule

RATES = ("omega_spin", "omega_mode", "kappa", "g0")
OF_CUES = ("pattern", "angle", "flip", "seed")
WHOLE = ("pattern", "seed", "subset_size")
BATCH = TOGETHER["cpu"]  # rows that are computed side by side: a row has the same neighbours in every chunk
UNITS = dict.fromkeys((*RATES, "jump", "g0_low", "g0_high"), "unit of the rates")
UNITS |= {"angle": "radians", "turn": "radians", "duration": "inverse unit of the rates"}
LONG_NAMES = {
    "omega_spin": "frequency Omega of the spins",
    "omega_mode": "frequencies Omega_mu of the modes",
    "kappa": "loss rates kappa_mu of the modes",
    "g0": "coupling strength",
    "jump": "rate of a jump of single spins",
    "pattern": "pattern of the cue, from 0",
    "angle": "angle of the tilt",
    "flip": "probability of a flip",
    "seed": "the cue's key is jax.random.key(seed)",
    "subset_size": "spins per subset N",
    "duration": "duration of each ramp",
    "g0_low": "coupling where a ramp begins",
    "g0_high": "coupling where a ramp turns back",
    "turn": "angle by which spins are turned before a ramp",
}


def split_name(name: str) -> tuple[str, int | None]:
    """Which rate an axis varies and, for "kappa[1]", of which mode."""
    match = re.fullmatch(r"(omega_mode|kappa|jump)\[(\d{1,6})\]", name)
    return (match[1], int(match[2])) if match else (name, None)


@dataclass(frozen=True)
class Axes:
    """Named values, each a dimension of its own but for those that are `zipped`, which go together."""

    values: dict[str, np.ndarray]
    zipped: tuple[tuple[str, ...], ...]

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """The dimensions in order, each called as the first of its axes, and all its axes."""
        groups = {name: names for names in self.zipped for name in names}
        return {name: groups.get(name, (name,)) for name in self.values if groups.get(name, (name,))[0] == name}

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values[dim].size for dim in self.dims)

    @property
    def told(self) -> str:
        """The dimensions and their lengths in words."""
        return ", ".join(f"{'+'.join(names)}: {self.values[dim].size}" for dim, names in self.dims.items()) or "nothing"

    @property
    def num_rows(self) -> int:
        return math.prod(self.shape)

    def at(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The values of every axis in these rows, the last dimension varying fastest."""
        if not self.values:
            return {}
        where = np.unravel_index(rows, self.shape)
        return {
            name: self.values[name][i] for i, names in zip(where, self.dims.values(), strict=True) for name in names
        }


def as_axes(axes: Mapping[Any, Any], zipped: Any) -> Axes:
    """Axes of finite numbers, whole ones where an axis counts."""
    values = {}
    for name, given in axes.items():
        if not isinstance(name, str):
            refuse("names of axes", "texts", told(name))
        values[name] = as_values(f"axes, {name},", given, name)
        if values[name].ndim != 1 or values[name].size < 1:
            refuse(f"axes, {name},", "a list of at least one number", f"shape {values[name].shape}")
    groups = []
    if not isinstance(zipped, Sequence) or isinstance(zipped, str):
        refuse("zipped", "lists of names of axes", told(zipped))
    for names in zipped:
        if not isinstance(names, Sequence) or isinstance(names, str) or len(names) < 2:
            refuse("zipped", "lists of at least two names of axes", told(names))
        for name in names:
            if name not in values or any(name in group for group in groups) or names.count(name) > 1:
                refuse("zipped", f"lists of different axes, of {', '.join(values)}", told(name))
        if len(sizes := {values[name].size for name in names}) > 1:
            refuse("zipped", f"axes of one length, {', '.join(names)}", f"lengths {sorted(sizes)}")
        groups.append(tuple(sorted(names, key=list(values).index)))
    return Axes(values, tuple(groups))


def as_values(what: str, given: Any, name: str) -> np.ndarray:
    """Numbers that an axis of this name may have, in any shape."""
    if isinstance(given, str | bytes | Mapping | set):
        refuse(what, "numbers", told(given))
    check_real(what, given, "numbers")
    values = np.asarray(given)
    if values.dtype == bool:
        refuse(what, "numbers", "true or false")
    if name in WHOLE:
        if not np.issubdtype(values.dtype, np.integer):
            refuse(what, "whole numbers", told(given))
        least, most = (1, 2**53) if name == "subset_size" else (0, 2**32 - 1)
        check_all(what, values, lambda x: (x >= least) & (x <= most), f"from {least} to {most}")
        return values.astype(np.int64)
    if not np.issubdtype(values.dtype, np.integer):
        check_all(what, values, np.isfinite, "finite")
        values = values.astype(float)
    if name == "flip":
        check_all(what, values, lambda p: (p >= 0) & (p <= 1), "a probability, from 0 to 1")
    if split_name(name)[0] in ("kappa", "jump"):
        check_all(what, values, lambda k: k >= 0, "not negative")
    return values


def check_fits(model: DickeModel, what: str, name: str, values: np.ndarray) -> None:
    """Refuse an axis that this model does not have."""
    kind, index = split_name(name)
    if kind == "jump":
        number = 0 if model.dissipation is None else len(model.dissipation.rates)
        if model.dissipation is None or index is None or index >= number:
            refuse(what, f"that of one of the model's {number} jumps, counted from jump[0]", name)
        gauge = np.diag([1.0, -1.0, -1.0])
        linear, constant = (np.asarray(part, float) for part in (model.dissipation.linear, model.dissipation.constant))
        same = np.allclose(gauge @ linear @ gauge, linear) and np.allclose(constant @ gauge, constant)
        if model.spins.gauged and not same:
            refuse(what, "the rate of a jump that the gauge leaves unchanged, for spins mapped with it", name)
    elif kind in RATES and index is not None and is_schedule(getattr(model, kind)):
        refuse(what, "of a model whose rates of this kind are constant", "one that changes in time")
    elif index is not None and index >= model.num_modes:
        refuse(what, f"of a mode from 0 to {model.num_modes - 1}", name)
    elif kind == "pattern":
        check_all(what, values, lambda nu: nu < model.num_modes, f"a pattern number from 0 to {model.num_modes - 1}")
    elif kind not in (*RATES, *OF_CUES):
        known = ", ".join((*RATES, "omega_mode[0]", "kappa[0]", "jump[0]", *OF_CUES))
        refuse(what, f"one of {known}, or an argument of what makes the model or computes", name)


@dataclass(frozen=True)
class Layout:
    """Which rows make up which chunk. Rows of different models are never in one, so that a chunk is one program's."""

    groups: tuple[np.ndarray, ...]  # rows of each model
    chunk: int

    @property
    def chunks_of(self) -> list[int]:
        """The number of chunks of each group."""
        return [math.ceil(rows.size / self.chunk) for rows in self.groups]

    @property
    def num_chunks(self) -> int:
        return sum(self.chunks_of)

    def rows_of(self, number: int) -> tuple[int, np.ndarray]:
        """The group of a chunk, and its rows: no more than fit, fewer at the end of a group."""
        for group, chunks in enumerate(self.chunks_of):
            if number < chunks:
                return group, self.groups[group][number * self.chunk : (number + 1) * self.chunk]
            number -= chunks
        raise IndexError(number)

    @property
    def slots(self) -> np.ndarray:
        """For every place in the store, chunk after chunk, the row that stands there; -1 where none does."""
        places = [np.pad(rows, (0, -rows.size % self.chunk), constant_values=-1) for rows in self.groups if rows.size]
        return np.concatenate(places)
