"""What a sweep comes to before anything is computed: rows, programs, bytes."""

import math
import os
from dataclasses import dataclass

import jax

from .axes import BATCH

MOST_ROWS = 2048  # of a chunk
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


def memory_here() -> int:
    """Bytes of the device's memory, or of this machine's where it has none of its own."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 * 10**9


def default_chunk(num_rows: int, largest_group: int, bytes_of_row: int) -> int:
    """Some sixty chunks, so that little is lost where one is, of at most 2,048 rows and an eighth of the memory."""
    unit = 2 * BATCH
    wanted = min(unit * math.ceil(num_rows / (64 * unit)), MOST_ROWS, BATCH * math.ceil(largest_group / BATCH))
    return max(BATCH, min(wanted, memory_here() // (SHARE * bytes_of_row) // BATCH * BATCH))
