"""Where a stage runs, how much of it, its rows of an ensemble, and how times are taken."""

import statistics
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax import examples

from ..gpu import in_precision
from ..peers import reference
from ..timing import timed
from .ensemble import BLOCK, BLOCKS_EACH, Ends
from .places import Emulator, Gpu

Row = dict[str, Any]
ORDER = 18
TOL = 1e-10


class Work(NamedTuple):
    """Where, how much, and what earlier stages found."""

    place: Gpu | Emulator
    folder: Path
    quick: bool
    left: Callable[[], float]  # seconds until this stage is ended from outside
    block: int = BLOCK
    blocks_each: int = BLOCKS_EACH

    def size(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full

    @property
    def rows(self) -> int:
        return self.size(1_000_000, 64)

    @property
    def end(self) -> float:
        return self.size(100.0, 3.0)

    @property
    def how(self) -> dict[str, Any]:
        return dict(place=self.place, block=self.block, blocks_each=self.blocks_each)


def paper(g0: float = 1.0, num_patterns: int = 4, dtype: Any = np.float64) -> dj.DickeModel:
    model = examples.paper_model(g0=g0, num_patterns=num_patterns)
    return model.replace(**{name: jnp.asarray(rate, dtype) for name, rate in model.rates.items()})


def random_rows(work: "Work", model: dj.DickeModel, rows: int) -> dj.MeanFieldState:
    """The first of the same rows, whatever the stage and the precision."""
    states = jax.tree.map(lambda x: x[:rows], examples.random_states(jax.random.key(0), paper(), work.rows))
    return jax.block_until_ready(in_precision(states, model.dtype))


def exact_rows(work: "Work") -> np.ndarray:
    """Last spins of the first of these rows by SciPy, which takes a while: they are kept in a file."""
    file, rows = work.folder / "exact.npy", work.size(24, 2)
    if not file.exists():
        np.save(file, reference(paper(), random_rows(work, paper(), rows), work.end, rows))
    return np.load(file)


def spread(seconds: list[float], rows: int) -> Row:
    middle = statistics.median(seconds)
    how = dict(s=middle, least_s=min(seconds), most_s=max(seconds), rounds=len(seconds))
    return how | dict(rows=rows, rows_per_s=rows / middle, us_a_row=1e6 * middle / rows)


def interleaved(work: Work, calls: dict[str, Callable[[], Any]], rounds: int) -> Generator[Row, None, dict[str, Any]]:
    """Seconds of every call that works, A B C A B C; what was taken in each round is told at once."""
    first: dict[str, float] = {}
    for name, call in calls.items():
        try:
            first[name], _ = timed(call)
        except Exception as error:  # the others are worth having
            yield dict(way=name, skipped=f"{type(error).__name__}: {error}"[:300])
    yield dict(first_calls_s=first)
    taken: dict[str, list[float]] = {name: [] for name in first}
    for turn in range(rounds):
        if turn and work.left() < 1.5 * sum(map(max, taken.values())):
            break
        now = {name: timed(calls[name])[0] for name in first}
        for name, seconds in now.items():
            taken[name].append(seconds)
        yield dict(turn=turn, seconds=now)
    return taken


def failed(found: Ends) -> int:
    return int((~found.successful).sum())
