"""The work that is timed, its reference, and how times are taken."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj

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


def paper(num_patterns: int = 4) -> dj.DickeModel:
    """The paper's rates."""
    spins = dj.LargeSpins.hypercube(num_patterns)
    omega_mode = 0.5 * (jnp.arange(float(num_patterns)) + 3)
    return dj.DickeModel(spins, omega_spin=0.5, omega_mode=omega_mode, kappa=1.0, g0=1.0)


def random_states(model: dj.DickeModel, batch: int) -> dj.MeanFieldState:
    return jax.vmap(lambda key: dj.random_state(key, model))(jax.random.split(jax.random.key(0), batch))


def reference(model: dj.DickeModel, states: dj.MeanFieldState, end: float) -> np.ndarray:
    """Final spins by Dopri8 at 1e-13."""
    options = dict(solver=dfx.Dopri8(), rtol=1e-13, atol=1e-13, max_steps=None)
    sol = dj.solve_ensemble(model, states, [0.0, end], save="final", **options)
    assert sol.successful.all()
    return sol.m


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


def start(modes: list[Mode]) -> tuple[dict[str, Callable[[], Any]], dict[str, dict[str, Any]]]:
    """The runs, and a row for each mode: seconds until its first result and that result, or why it is skipped."""
    runs, rows = {}, {}
    for name, prepare in modes:
        begin = time.perf_counter()
        try:
            run = prepare()
        except ImportError as absent:
            rows[name] = dict(mode=name, skipped=f"not installed: {absent.name}")
            continue
        outcome = jax.block_until_ready(run())
        runs[name], rows[name] = run, dict(mode=name, first_s=time.perf_counter() - begin, outcome=outcome)
    return runs, rows


def compare(modes: list[Mode], exact: np.ndarray, rounds: int) -> list[dict[str, Any]]:
    """A row for each mode: milliseconds for one trajectory, error of the final spins, steps, seconds to compile."""
    runs, rows = start(modes)
    for name, seconds in in_turn(runs, rounds).items():
        row = rows[name]
        final, steps, failed = row.pop("outcome")
        error = np.abs(np.asarray(final) - exact[: len(final)]).max(axis=(1, 2))
        row["ms"] = spread(seconds, len(final))
        row["error"] = dict(median=float(np.median(error)), max=float(error.max()))
        row["steps"], row["failed"], row["batch"] = float(steps), int(failed), len(final)
        row["compile_s"] = max(0.0, row.pop("first_s") - statistics.median(seconds))
    return list(rows.values())
