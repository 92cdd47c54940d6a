"""How times are taken: in turn, whatever the machine does meanwhile, with the error beside them."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from .sizes import Size

LONG = 3.0  # seconds; what takes longer has its turn in the first three rounds only


class Outcome(NamedTuple):
    """What a run gives back: final spins of shape (B, 3, K), mean number of steps, number of failed rows."""

    m: Any
    steps: float
    failed: int


class Mode(NamedTuple):
    """A way to do the work. `prepare` imports, builds and compiles what it can, and returns the run."""

    name: str
    prepare: Callable[[], Callable[[], Outcome]]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def spread(seconds: list[float], each: float = 1.0) -> dict[str, float]:
    """Median, least and most, in milliseconds for one of `each`."""
    ms = [1e3 * s / each for s in seconds]
    return dict(median=statistics.median(ms), min=min(ms), max=max(ms), rounds=len(ms))


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call; A B C A B C, so that a machine whose speed drifts treats all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            if turn < 3 or min(seconds[name]) < LONG:
                seconds[name].append(timed(call)[0])
    return seconds


def start(modes: list[Mode], size: Size) -> tuple[dict[str, Callable[[], Any]], dict[str, dict[str, Any]]]:
    """The runs, and a row for each mode: seconds until its first result and that result, or why it is skipped."""
    runs, rows = {}, {}
    for name, prepare in modes:
        if any(part in name for part in size.leave_out):
            rows[name] = dict(mode=name, skipped="left out by --quick")
            continue
        begin = time.perf_counter()
        try:
            run = prepare()
        except ImportError as absent:
            rows[name] = dict(mode=name, skipped=f"not installed: {absent.name}")
            continue
        outcome = jax.block_until_ready(run())
        runs[name], rows[name] = run, dict(mode=name, first_s=time.perf_counter() - begin, outcome=outcome)
    return runs, rows


def difference(found: Any, exact: np.ndarray) -> dict[str, float]:
    """The largest of every trajectory that both have: of these the median and the largest."""
    rows = min(len(found), len(exact))
    error = np.abs(np.asarray(found)[:rows] - exact[:rows]).reshape(rows, -1).max(axis=1)
    return dict(median=float(np.median(error)), max=float(error.max()))


def compare(modes: list[Mode], exact: np.ndarray, size: Size) -> list[dict[str, Any]]:
    """A row for each mode: milliseconds for one trajectory, error of the final spins, steps, seconds to compile."""
    runs, rows = start(modes, size)
    for name, seconds in in_turn(runs, size.rounds).items():
        row = rows[name]
        final, steps, failed = row.pop("outcome")
        row["ms"] = spread(seconds, len(final))
        row["error"] = difference(final, exact)
        row["steps"], row["failed"], row["batch"] = float(steps), int(failed), len(final)
        row["compile_s"] = max(0.0, row.pop("first_s") - statistics.median(seconds))
    return list(rows.values())


def called(name: str, job: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """A row for a call: seconds of the first, and milliseconds of later ones."""
    first, _ = timed(job)
    return dict(mode=name, first_s=first, ms=spread(in_turn({"": job}, rounds)[""]))
