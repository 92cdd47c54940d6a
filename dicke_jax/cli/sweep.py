"""A parameter study that is described in a file.

All rows are computed chunk by chunk, and every chunk is kept in the folder
STORE as soon as it is there. Whatever stops the command, the same line with
--resume goes on: what is whole stays, what is missing or damaged is computed.
"""

import argparse
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from .options import whole
from .output import watched

HELP = "a parameter study from a file, saved chunk by chunk"
EPILOG = """\
examples:
  dicke-jax sweep study.toml --dry-run           rows, programs, disk, memory
  dicke-jax sweep study.toml --out store         all rows
  dicke-jax sweep study.toml --out store --resume   what is not there yet
  dicke-jax sweep study.toml --out store --workers 8   in eight processes
  dicke-jax status store                         how far it is
  dicke-jax plot store                           a picture
  dicke-jax export store study.nc                for xarray.open_dataset

Study files to start from are in studies/examples of the repository."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    add, rows = command.add_argument, "rows on their way at a time, a multiple of 32 (of exact rows any)"
    add("study", type=Path, help="a study file, in TOML")
    add("--out", dest="store", type=Path, metavar="STORE", help="the folder that keeps the rows, a new one")
    add("--resume", action="store_true", help="go on with a store of the same study")
    add("--dry-run", action="store_true", help="say what there is to do, and do nothing")
    add("--chunk", type=whole(1, 10**6), metavar="ROWS", help=rows)
    add("--workers", type=whole(1, 10**4), metavar="N", help="processes of this machine that compute side by side")
    add("--cluster", metavar="ADDRESS", help="a Dask scheduler, tcp://host:port, whose workers compute")
    add("--quiet", action="store_true", help="no progress bar")


def precision(options: argparse.Namespace) -> str:
    """The precision that the study asks for, known before JAX is used."""
    from ..studies.sweeps.study_file import parsed, study_of

    return parsed(study_of(options.study)).get("precision", "float64")


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..studies.sweeps import Sweep

    for folder in (str(options.study.resolve().parent), os.getcwd()):  # where a "module:function" of the study may be
        if folder not in sys.path:
            sys.path.append(folder)
    sweep = Sweep.from_toml(options.study)
    if options.dry_run:
        plan = sweep.plan(options.chunk)
        print(f"{sweep!r}\n{plan}")
        return vars(plan)
    if options.store is None:
        raise ValueError("--out must be given, the folder that keeps the rows, or --dry-run; got neither.")
    by = [word for name in ("workers", "cluster") if (n := getattr(options, name)) for word in (f"--{name}", str(n))]
    again = shlex.join(["dicke-jax", "sweep", str(options.study), "--out", str(options.store), *by])
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    options.output.advice = f"; to go on: {again} --resume"
    how: dict[str, Any] = dict(resume=options.resume, chunk=options.chunk)
    how |= dict(workers=options.workers, cluster=options.cluster)
    try:
        store = watched(options.quiet, sweep.fill, os.fspath(options.store), **how)
    except ImportError as error:
        options.output.advice = ""
        raise ValueError(str(error)) from None
    except ValueError:
        options.output.advice = ""
        raise
    summary = store.summary()
    failed = sum(number for name, number in summary.ends.items() if name == "failed")
    options.output.advice = ""
    print(f"{summary}; {failed:,} rows failed; next: dicke-jax export {shlex.quote(str(options.store))} study.nc")
    return vars(summary) | {"complete": summary.complete}


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
