"""The rows of a sweep as one netCDF file, which xarray.open_dataset reads.

Rows that are not there yet are NaN or -1, and a variable `complete` tells them.
"""

import argparse
from pathlib import Path
from typing import Any

HELP = "the store of a sweep as one netCDF file"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("store", type=Path, help="the folder that keeps a sweep's rows")
    command.add_argument("file", type=Path, help="the file to write, such as study.nc")


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..studies import open_store, save_results

    try:
        found = open_store(options.store)
    except ImportError as error:
        raise ValueError(str(error)) from None
    options.output.written.append(save_results(found, options.file))
    missing = int((found.complete == 0).sum()) if "complete" in found else 0
    dims = ", ".join(f"{name}: {size}" for name, size in found.sizes.items())
    print(f"{', '.join(map(str, found.data_vars))} over {dims}; {missing:,} rows missing")
    return {"variables": [str(name) for name in found.data_vars], "sizes": found.sizes, "missing": missing}
