"""From numbers, chunk after chunk, to a labelled dataset that says where it comes from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..._labelled import ATTRS, RATES, software
from ..._status import Status
from ...mean_field import DickeModel
from ...phases.cue_outcome import OUTCOMES
from ...phases.retrieval_states import closed_form_obstacle
from ..results import told_of
from .axes import LONG_NAMES, UNITS, Axes, split_name
from .identity import git_revision, named
from .model_table import ModelTable

OF_ROWS: dict[str, dict[str, str]] = {  # what only sweeps have; a row's overlap is one of a run's overlaps
    **{name: ATTRS[f"{name}s"] for name in ("overlap", "occupation", "fluctuation")},
    "g_crit": {"long_name": "critical coupling", "units": RATES},
    "scaled_error": {"long_name": "N E_N(t), Eq. 9", "units": "1"},
    "scaled_error_sem": {"long_name": "standard error of N E_N(t)", "units": "1"},
    "top_population": {"long_name": "largest population of a highest photon level", "units": "1"},
    "overlap_up": {"long_name": "overlap |xi| on the way up", "units": "1"},
    "overlap_down": {"long_name": "overlap |xi| on the way down, against rising g0", "units": "1"},
    "loop_area": {"long_name": "area between ways up and down", "units": RATES},
    "is_stable": {"long_name": "whether nothing grows", "units": "1"},
    "outcome": {"long_name": "where the cue ended"},
    "retrieved": {"long_name": "whether the cue ended at its pattern, with either sign", "units": "1"},
}
RETRIEVED = ("retrieved", "retrieved_negative")  # both signs are the same memory
OF_RAMPS, ALONG = ("overlap_up", "overlap_down"), "share_of_ramp"
STUDY_FILE = "a study file"
STATUSES = tuple(Status._name_to_item)  # pyright: ignore[reportAttributeAccessIssue]
MEANINGS = {"status": STATUSES, "outcome": OUTCOMES}


@dataclass(frozen=True)
class Labels:
    """What a dataset has besides its numbers; the same as a table that a store can keep."""

    axes: Axes
    shapes: dict[str, tuple[int, ...]]
    num_modes: int
    attrs: dict[str, Any]

    def to_table(self) -> dict[str, Any]:
        lists = {name: x.tolist() for name, x in self.attrs.items() if isinstance(x, np.ndarray)}
        no_nan = {name: [None if x != x else x for x in own] for name, own in lists.items()}  # which JSON has not
        attrs = self.attrs | no_nan
        axes = {name: x.tolist() for name, x in self.axes.values.items()}
        zipped, shapes = [list(names) for names in self.axes.zipped], {n: list(s) for n, s in self.shapes.items()}
        return dict(axes=axes, zipped=zipped, shapes=shapes, num_modes=self.num_modes, attrs=attrs)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Labels":
        axes = Axes({n: np.asarray(x) for n, x in table["axes"].items()}, tuple(map(tuple, table["zipped"])))
        shapes = {name: tuple(shape) for name, shape in table["shapes"].items()}
        return cls(axes, shapes, table["num_modes"], dict(table["attrs"]))


def labels_of(sweep: Any) -> Labels:
    """The labels of a sweep. What an axis varies is no attribute; of modes that differ, one mode's number is NaN."""
    models, axes = sweep._models[0], sweep.axes
    told = _common(_about(*each, sweep.fixed, axes) for each in zip(models, sweep._how, strict=True))
    for kind, mode in map(split_name, axes.values):
        if mode is None:
            told.pop(kind, None)
        elif isinstance(told.get(kind), np.ndarray):
            told[kind] = np.where(np.arange(told[kind].size) == mode, np.nan, told[kind])
    if {"omega_spin", "omega_mode", "kappa"} - told.keys() - axes.values.keys():
        told.pop("thresholds", None)  # rates that sizes decide: no attribute and no axis tells them
    told |= {"git_revision": revision} if (revision := git_revision()) else {}
    told |= {} if sweep.pattern is None else {"pattern": sweep.pattern}
    told |= {"cue": named(sweep.cue), "compute": named(sweep.compute), "described_in": described_in(sweep.model)}
    shapes, modes = {name: shape for name, (shape, _) in sweep.variables.items()}, max(m.num_modes for m in models)
    return Labels(axes, shapes, modes, {"title": sweep.title, **told, **software()})


def of_pattern(number: int | None) -> str:
    """Which one it is, counted from 1 as in pictures; nothing where there is none."""
    return "" if number is None else f", pattern {number + 1}"


def described_in(model: Any) -> str:
    return STUDY_FILE if isinstance(model, ModelTable) else "Python"


def _about(model: DickeModel, how: Mapping[str, Any], fixed: Mapping[str, Any], axes: Axes) -> dict[str, Any]:
    """Provenance: rates, sizes, precision, solver and tolerances."""
    known = model.at(0.0)
    rates = () if known.dissipation is None else known.dissipation.rates
    jumps = ["an axis" if f"jump[{i}]" in axes.values else np.asarray(rate).tolist() for i, rate in enumerate(rates)]
    return {
        **told_of(known),
        "g0": float(known.g0),
        **({"rates_in_time": "those given here are of t = 0"} if model.is_time_dependent else {}),
        **({"thresholds": "closed form"} if closed_form_obstacle(model, 0, all_pairs=True) is None else {}),
        **({"rates_of_jumps": str(jumps)} if jumps else {}),
        **{name: x.item() for name, x in fixed.items()},
        **{name: x if isinstance(x, int | float | str) else repr(x) for name, x in how.items()},
    }


def _common(told: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is the same for all models; of the modes' numbers those of the modes for which it is."""
    first, *others = told
    common = {}
    for name, value in first.items():
        values = [value, *(other.get(name) for other in others)]
        if isinstance(value, np.ndarray):
            modes = [_same([x[mu] for x in values if x.size > mu]) for mu in range(max(x.size for x in values))]
            if modes != [None] * len(modes):
                common[name] = np.array([np.nan if x is None else x for x in modes])
        elif _same(values) is not None:
            common[name] = value
    return common


def _same(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def dataset(labels: Labels, slots: np.ndarray, complete: np.ndarray, flat: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Every number in its place. Rows that are not there yet are NaN or -1, and `complete` tells them."""
    axes, there = labels.axes, slots >= 0
    dims, variables = tuple(axes.dims), {}

    def placed(values: np.ndarray) -> np.ndarray:
        rows = np.empty((axes.num_rows, *values.shape[1:]), values.dtype)
        rows[slots[there]] = values[there]
        return rows.reshape(*axes.shape, *values.shape[1:])

    for name, values in flat.items():
        shape = labels.shapes[name]
        own = ("mode",) if shape == (labels.num_modes,) else tuple(f"{name}_{i}" for i in range(len(shape)))
        own = (ALONG,) if name in OF_RAMPS and len(shape) == 1 else own
        variables[name] = ((*dims, *own), placed(values), _attrs_of(name, values))
    if "outcome" in variables and (codes := variables["outcome"][1]).dtype == np.int8:
        found = np.isin(codes, [OUTCOMES.index(name) for name in RETRIEVED])
        found = found if complete.all() else np.where(codes >= 0, found, np.nan)
        variables.setdefault("retrieved", (dims, found, OF_ROWS["retrieved"]))
    if not complete.all():
        variables["complete"] = (dims, placed(complete.astype(np.int8)), {"long_name": "whether the row is there"})
    coords: dict[str, Any] = {}
    for dim, names in axes.dims.items():
        for name in names:
            kind = split_name(name)[0]
            coords[name] = (
                dim,
                axes.values[name],
                {"long_name": LONG_NAMES.get(kind, name), "units": UNITS.get(kind, "1")},
            )
    if any("mode" in variable[0] for variable in variables.values()):
        coords["mode"] = ("mode", np.arange(labels.num_modes), {"long_name": "mode, and its stored pattern, from 0"})
    if points := next((values.shape[-1] for of, values, _ in variables.values() if ALONG in of), 0):
        told = {"long_name": "share s of a ramp, g0 = g0_low + s (g0_high - g0_low)", "units": "1"}
        coords[ALONG] = (ALONG, np.linspace(0.0, 1.0, points), told)
    attrs = {name: np.asarray(x, float) if isinstance(x, list) else x for name, x in labels.attrs.items()}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _attrs_of(name: str, values: np.ndarray) -> dict[str, Any]:
    attrs: dict[str, Any] = dict((ATTRS | OF_ROWS).get(name, {}))
    if name in MEANINGS and values.dtype == np.int8:
        codes = [code for code in np.unique(values).tolist() if code >= 0]
        attrs["flag_values"] = np.asarray(codes, np.int8)
        attrs["flag_meanings"] = " ".join(MEANINGS[name][code] for code in codes)
    return attrs
