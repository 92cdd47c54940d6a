"""Labelled results: arrays with named dimensions that say where they come from."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
import xarray as xr

from ..dynamics import SteadyStatus
from ..model import DickeModel

STATUSES = ("converged", "oscillating", "not_converged", "failed")  # the codes 0 to 3 in stored results
NETCDF: Final = "h5netcdf"


def status_codes(status: SteadyStatus) -> np.ndarray:
    """A `SteadyStatus` of any batch shape as small whole numbers, the positions in `STATUSES`."""
    matches = [np.asarray(status == getattr(SteadyStatus, name)) for name in STATUSES]
    return np.argmax(matches, axis=0).astype(np.int8)


def status_attributes() -> dict[str, Any]:
    """The meaning of the codes, in the words of the CF conventions."""
    return {"flag_values": np.arange(len(STATUSES), dtype=np.int8), "flag_meanings": " ".join(STATUSES)}


def provenance(model: DickeModel) -> dict[str, Any]:
    """What a result has to say of its origin: the rates, the precision, the device, the versions."""
    return {
        "omega_spin": float(model.omega_spin),
        "omega_mode": np.asarray(model.omega_mode, dtype=float),
        "kappa": np.asarray(model.kappa, dtype=float),
        "units": "one unit for all rates (the paper's is kappa), times in its inverse",
        "num_patterns": model.num_modes,
        "num_subsets": model.num_subsets,
        "num_spins": "infinite" if model.spins.num_spins is None else model.spins.num_spins,
        "precision": str(model.dtype),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        **{package: version(package) for package in ("dicke-jax", "jax", "diffrax", "equinox", "numpy")},
    }


def save_results(results: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write results to a netCDF file, whole or not at all."""
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    results.to_netcdf(unfinished, engine=NETCDF)
    return unfinished.replace(path)


def open_results(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read results that `save_results` wrote."""
    return xr.load_dataset(path, engine=NETCDF)
