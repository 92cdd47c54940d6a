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

from .._checks import refuse, told
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
    """Write a dataset to a netCDF file, whole or not at all: readers find the older file, or the new one.

    `dj.save` does the same, and keeps any other result of this package, too.

    - `results`: a dataset, as every study returns.
    - `path`: of the file, over an older one if there is one.

    **Returns** the path.

    **Raises** OSError where the file cannot be written.

    **Example**

        >>> import tempfile
        >>> found = dj.Sweep(dj.examples.paper_model(), {"pattern": range(4)}, "critical_coupling").run()
        >>> path = dj.studies.save_results(found, tempfile.mkdtemp() + "/thresholds.nc")
        >>> print(dj.studies.open_results(path).g_crit.values.round(4))
        [0.6455 0.7289 0.8062 0.878 ]
    """
    check_path(path)
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
    """Read a dataset that `save_results` wrote.

    - `path`: of the file. It is read whole and closed.

    **Returns** the dataset.

    **Raises** FileNotFoundError where there is no file, OSError for another than a netCDF file.

    An example is in `save_results`.
    """
    check_path(path)
    return xr.load_dataset(path, engine=NETCDF)


def check_path(path: Any) -> None:
    if not isinstance(path, str | os.PathLike):
        refuse("path", "that of a file", told(path))
