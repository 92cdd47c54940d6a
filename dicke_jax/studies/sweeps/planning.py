"""What a sweep comes to before anything is computed: rows, programs, bytes."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...finite_size.master_equation import COPIES
from ...finite_size.photon_cutoff import FIRST_LEVELS
from ...mean_field import DickeModel
from .asked import MASTER, on_host
from .axes import BATCH

MOST_ROWS = 4096  # of a chunk
PROGRAMS = {"retrieval": 3, "steadystate": 2, "final_overlap": 2}
ATTEMPTS = 4  # with more and more photon levels, each a program of its own
SHARE = 8  # part of the memory that a chunk may take is one in so many


@dataclass(frozen=True)
class Plan:
    """What a sweep comes to: rows, programs, bytes."""

    num_rows: int
    num_chunks: int
    chunk: int
    num_programs: int
    bytes_on_disk: int
    bytes_of_chunk: int

    def __str__(self) -> str:
        rows = f"{self.num_rows:,} rows in {self.num_chunks:,} chunks of {self.chunk:,}"
        programs = f"at most {self.num_programs} programs to compile"
        disk, memory, there = self.bytes_on_disk / 1e6, self.bytes_of_chunk / 1e6, memory_here() / 1e9
        memories = f"{memory:.3g} MB a chunk in memory, of {there:.3g} GB"
        return f"{rows}; {programs}; at most {disk:.3g} MB on disk; {memories}"


def programs_of_a_model(compute: Any, options: Mapping[str, Any], axes: Mapping[str, np.ndarray]) -> int:
    """Programs that are compiled for each shape of a model."""
    if not on_host(compute, options):
        return PROGRAMS.get(str(compute), 1)
    attempts = ATTEMPTS if options.get("method") == MASTER and "levels" not in options else 1
    return attempts * np.unique(axes.get("subset_size", 0)).size


def bytes_in_memory(
    models: Sequence[DickeModel],
    has_rates: bool,
    compute: Any,
    options: Mapping[str, Any],
    given: Mapping[str, np.ndarray],
) -> int:
    """About what a row takes: its model, with couplings where rates vary, and its states; or its density matrices."""
    itemsize = models[0].dtype.itemsize
    if compute == "exactness" and options.get("method") == MASTER:
        levels, sizes = options.get("levels", FIRST_LEVELS), given.get("subset_size")

        def dimension(m: DickeModel) -> int:
            spins = (m.spins.num_spins or 0) // m.num_subsets if sizes is None else int(np.max(sizes))
            return (spins + 1) ** m.num_subsets * levels**m.num_modes

        return COPIES * itemsize * max(map(dimension, models)) ** 2
    return 4 * itemsize * max(m.num_subsets * (m.num_modes if has_rates else 3) for m in models)


def memory_here() -> int:
    """Bytes of the device's memory, or of this machine's where it has none of its own."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 * 10**9


def default_chunk(num_rows: int, largest_group: int, bytes_of_row: int) -> int:
    """Some thirty chunks, so that little is lost where one is, of at most 4,096 rows and an eighth of the memory."""
    unit = 2 * BATCH
    wanted = min(unit * math.ceil(num_rows / (32 * unit)), MOST_ROWS, BATCH * math.ceil(largest_group / BATCH))
    return max(BATCH, min(wanted, memory_here() // (SHARE * bytes_of_row) // BATCH * BATCH))
