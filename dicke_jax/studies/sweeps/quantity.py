"""The one number of every row that a picture shows, or that a boundary is the level line of."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from ..._checks import refuse, told
from .labels import RETRIEVED, of_pattern

# what is meant where nobody says
FIRST = ("outcome", "overlap", "g_crit", "growth_rate", "is_stable", "scaled_error", "loop_area")
CHANCE = {"long_name": "chance of retrieval", "units": "1"}


def name_of(variables: Iterable[Any], variable: Any) -> str:
    """A variable of a sweep; by default the chance of retrieval, the overlap, or the first that there is."""
    known = [str(name) for name in variables if name not in ("status", "num_steps", "complete")]
    if variable is None and known:
        return next((name for name in FIRST if name in known), known[0])
    if not isinstance(variable, str) or variable not in known:
        refuse("variable", f"one of {', '.join(known) or 'a sweep that has some'}", told(variable))
    return variable


def quantity_of(results: xr.Dataset, name: str) -> xr.DataArray:
    """A variable as one number for every row, NaN where the row is not there.

    Where the cue ended is 1 for its pattern, with either sign, and 0 for another end; overlaps are without sign; what
    every mode has is that of the cue's own pattern, if it has one. Seeds are averaged over. The label says which
    pattern it is, where it is one for all rows.
    """
    values = results[name]
    if name == "outcome":
        codes, said = np.atleast_1d(values.attrs["flag_values"]), values.attrs["flag_meanings"].split()
        retrieved = [code for code, meaning in zip(codes, said, strict=True) if meaning in RETRIEVED]
        values = values.isin(retrieved).where(values >= 0).assign_attrs(CHANCE)
    if "complete" in results:
        values = values.where(results["complete"] == 1)
    of = results["pattern"] if "pattern" in results.coords else results.attrs.get("pattern")
    if "mode" in values.dims and results.attrs.get("cue") != "random":
        values = values.isel(mode=0 if of is None else of)
    if name == "overlap":
        values = abs(values).assign_attrs(results[name].attrs)
    if of is not None and not np.ndim(of) and "mode" not in values.dims and "long_name" in values.attrs:
        values = values.assign_attrs(long_name=values.attrs["long_name"] + of_pattern(int(of)))
    if "seed" in values.dims:
        values = values.mean("seed", keep_attrs=True)
    if more := [str(dim) for dim in values.dims if dim not in results.coords]:
        refuse("variable", "one with a number for every row, or for every mode", f"{name}, over {', '.join(more)}")
    return values
