"""How far a sweep is, from its store alone; also while it runs."""

import argparse
import shlex
from pathlib import Path
from typing import Any

HELP = "how far the store of a sweep is"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("store", type=Path, help="the folder that keeps a sweep's rows")


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..studies.sweeps import Store

    try:
        store = Store(options.store, "r")
    except ImportError as error:
        raise ValueError(str(error)) from None
    axes, summary, folder = store.labels.axes, store.summary(), shlex.quote(str(options.store))
    dims = ", ".join(f"{'+'.join(names)}: {axes.values[dim].size}" for dim, names in axes.dims.items())
    print(f"{store.labels.attrs['title']}: {store.labels.attrs['compute']} over {dims}")
    then = (
        f"dicke-jax export {folder} study.nc" if summary.complete else f"dicke-jax sweep STUDY --out {folder} --resume"
    )
    print(f"{summary}; next: {then}")
    return vars(summary) | {"complete": summary.complete}
