"""From a sweep to its numbers: the store that is made, goes on or is read, and every chunk that is missing in it."""

import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..._door import checked
from ..._progress import Loop
from ..results import Progress, check_path
from .axes import Layout
from .store import InMemory, Store
from .workers import Crew, crew_of
from .writer import only_writer


def fill_store(
    sweep: Any,
    path: str | os.PathLike[str],
    resume: bool,
    chunk: int | None,
    workers: tuple[int | None, Any],
    progress: Progress | None,
) -> Store:
    """The store with all rows of the sweep, written by one process at a time and those that it asks."""
    resume = resume and Path(path).exists()
    with ExitStack() as opened:
        if resume:
            Store(path, "r")  # what is no store is left alone
            opened.enter_context(only_writer(path))
        crew = opened.enter_context(crew_of(*workers))
        identity = sweep.identity(crew.software())
        if resume:
            kept = Store.resumed(path, identity)
            layout = sweep.layout(kept.chunk)
            kept.mend_rows(layout.slots)
        else:
            layout = sweep.layout(chunk)
            kept = Store.created(path, layout, sweep.variables, identity, sweep.labels())
            opened.enter_context(only_writer(path))
        compute_missing(sweep, crew, kept, layout, progress)
    return kept


def compute_missing(sweep: Any, crew: Crew, kept: Store | InMemory, layout: Layout, progress: Progress | None) -> None:
    """Every chunk that is not whole."""
    sizes, whole = [layout.rows_of(number)[1].size for number in range(layout.num_chunks)], kept.whole
    done, all_rows = sum(size for size, there in zip(sizes, whole, strict=True) if there), sum(sizes)
    report = Loop(all_rows, "rows", progress)
    report(done)
    with closing(crew.compute(sweep, layout.chunk, np.flatnonzero(~whole).tolist(), kept.path)) as found:
        for number, chunk in found:
            if chunk is not None:
                kept.write(number, chunk)
            done += sizes[number]
            report(done)


@checked
def open_store(path: str | os.PathLike[str]) -> xr.Dataset:
    """What a sweep has kept so far in its store, as a dataset; rows that are missing are NaN, `complete` says which.

    It can be read while the sweep runs, by as many as like to.

    - `path`: of the folder that `sweep.fill` or `dicke-jax sweep --out` writes.

    **Returns** the dataset that `sweep.run()` would return, with the dimensions of the sweep's axes; where rows are
    missing also `complete`, true where they are there.

    **Raises** ValueError for a folder that is no such store, or whose description is damaged; ImportError where Zarr is
    not installed (`pip install "dicke-jax[studies]"`).

    **Example**

        >>> import tempfile
        >>> store = tempfile.mkdtemp() + "/store"
        >>> sweep = dj.Sweep(dj.examples.paper_model(), {"pattern": range(4)}, "critical_coupling")
        >>> _ = sweep.fill(store)
        >>> print(dj.studies.open_store(store).g_crit.values.round(4))
        [0.6455 0.7289 0.8062 0.878 ]
    """
    check_path(path)
    return Store(path, "r").dataset()
