"""What studies share: their progress, and labelled results that say where they come from."""

import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import xarray as xr

from .._door import checked
from .._labelled import software
from ..mean_field.model import DickeModel

NETCDF: Final = "h5netcdf"
Progress = Callable[[int, int], None]  # called with the numbers of what is done and of all


def origin_of(found: xr.Dataset) -> dict[str, Any]:
    """What a sweep says of its origin, but for the rates of the model that its axes have replaced."""
    return {name: x for name, x in found.attrs.items() if name not in found.coords}


def provenance(model: DickeModel) -> dict[str, Any]:
    """What a result has to say of its origin: the rates, the precision, the device, the versions."""
    return told_of(model) | software()


def told_of(model: DickeModel) -> dict[str, Any]:
    """The rates and sizes of a model, and its precision."""
    return {
        "omega_spin": float(model.omega_spin),
        "omega_mode": np.asarray(model.omega_mode, dtype=float),
        "kappa": np.asarray(model.kappa, dtype=float),
        "units": "one unit for all rates (the paper's is kappa), times in its inverse",
        "num_patterns": model.num_modes,
        "num_subsets": model.num_subsets,
        "num_spins": "infinite" if model.spins.num_spins is None else model.spins.num_spins,
        "precision": str(model.dtype),
    }


@checked
def save_results(results: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write results to a netCDF file, whole or not at all."""
    data = io.BytesIO()  # HDF5 itself ends the process where a disk is full
    results.to_netcdf(data, engine=NETCDF)
    with whole_file(path) as file:
        file.write(data.getbuffer())
    return Path(path)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when it is whole, and is gone where something goes wrong before."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # nobody else's, and made anew
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@checked
def open_results(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read results that `save_results` wrote."""
    return xr.load_dataset(path, engine=NETCDF)
