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
    from ..studies.sweeps.identity import compiler_flags
    from ..studies.sweeps.labels import STUDY_FILE, of_pattern

    try:
        store = Store(options.store, "r")
    except ImportError as error:
        raise ValueError(str(error)) from None
    told, summary, folder = store.labels.attrs, store.summary(), shlex.quote(str(options.store))
    print(f"{told['title']}: {told['compute']} over {store.labels.axes.told}{of_pattern(told.get('pattern'))}")
    then = f"dicke-jax sweep STUDY --out {folder} --resume"
    if summary.complete:
        then = f"dicke-jax export {folder} study.nc"
    elif told["described_in"] != STUDY_FILE or store.identity["software"]["XLA_FLAGS"] != compiler_flags():
        then = f"in Python sweep.run(store={str(options.store)!r}, resume=True)"
    print(f"{summary}; next: {then}")
    return vars(summary) | {"complete": summary.complete}
