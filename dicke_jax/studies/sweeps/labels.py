"""From numbers, chunk after chunk, to a labelled dataset that says where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..._labelled import ATTRS, RATES
from ..._status import Status
from ...mean_field import DickeModel
from ...phases.cue_outcome import OUTCOMES
from ...phases.retrieval_states import closed_form_obstacle
from ..results import provenance
from .axes import LONG_NAMES, UNITS, Axes, split_name
from .identity import git_revision

OF_ROWS: dict[str, dict[str, str]] = {  # what only sweeps have; a row's overlap is one of a run's overlaps
    **{name: ATTRS[f"{name}s"] for name in ("overlap", "occupation", "fluctuation")},
    "g_crit": {"long_name": "critical coupling", "units": RATES},
    "scaled_error": {"long_name": "limit of N E_N(t), Eq. 9", "units": "1"},
    "is_stable": {"long_name": "whether nothing grows", "units": "1"},
    "outcome": {"long_name": "where the cue ended"},
}
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
        attrs = {name: x.tolist() if isinstance(x, np.ndarray) else x for name, x in self.attrs.items()}
        axes = {name: x.tolist() for name, x in self.axes.values.items()}
        zipped, shapes = [list(names) for names in self.axes.zipped], {n: list(s) for n, s in self.shapes.items()}
        return dict(axes=axes, zipped=zipped, shapes=shapes, num_modes=self.num_modes, attrs=attrs)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Labels":
        axes = Axes({n: np.asarray(x) for n, x in table["axes"].items()}, tuple(map(tuple, table["zipped"])))
        shapes = {name: tuple(shape) for name, shape in table["shapes"].items()}
        return cls(axes, shapes, table["num_modes"], dict(table["attrs"]))


def origin(model: DickeModel, how: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance: rates, precision, device, versions, solver and tolerances, commit. Axes take the rates' place."""
    known = model.at(0.0)
    jumps = () if known.dissipation is None else known.dissipation.rates
    return {
        **provenance(known),
        "g0": float(known.g0),
        **({"rates_in_time": "those given here are of t = 0"} if model.is_time_dependent else {}),
        **({"thresholds": "closed form"} if closed_form_obstacle(model, 0, all_pairs=True) is None else {}),
        **({"rates_of_jumps": str([np.asarray(rate).tolist() for rate in jumps])} if jumps else {}),
        **{name: x.item() for name, x in fixed.items()},
        **{name: x if isinstance(x, int | float | str) else repr(x) for name, x in how.items()},
        **({"git_revision": revision} if (revision := git_revision()) else {}),
    }


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
        variables[name] = ((*dims, *own), placed(values), _attrs_of(name, values))
    if not complete.all():
        variables["complete"] = (dims, placed(complete.astype(np.int8)), {"long_name": "whether the row is there"})
    coords: dict[str, Any] = {}
    for dim, names in axes.dims.items():
        for name in names:
            kind = split_name(name)[0]
            told = {"long_name": LONG_NAMES.get(kind, name), "units": UNITS.get(kind, "1")}
            if kind == "jump":
                told["units"] = "unit of the rates"
            coords[name] = (dim, axes.values[name], told)
    if any("mode" in variable[0] for variable in variables.values()):
        coords["mode"] = ("mode", np.arange(labels.num_modes), {"long_name": "mode, and its stored pattern, from 0"})
    attrs = {name: np.asarray(x) if isinstance(x, list) else x for name, x in labels.attrs.items()}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _attrs_of(name: str, values: np.ndarray) -> dict[str, Any]:
    attrs: dict[str, Any] = dict((ATTRS | OF_ROWS).get(name, {}))
    if name in MEANINGS and values.dtype == np.int8:
        codes = [code for code in np.unique(values).tolist() if code >= 0]
        attrs["flag_values"] = np.asarray(codes, np.int8)
        attrs["flag_meanings"] = " ".join(MEANINGS[name][code] for code in codes)
    return attrs
