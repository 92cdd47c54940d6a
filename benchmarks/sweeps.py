"""What a sweep costs beside its numbers: `python -m benchmarks.sweeps --rows 100000`, from the root of the repository.

It prints, each after everything has been compiled,

- bare      `solve_ensemble` of so many runs, their models and cues given
- sweep     the same rows as a `Sweep` that goes to a store: models and cues made, labels, checksums, files
- cheap     a sweep of as many rows that hardly compute: what a row costs, and by how much the resident size grows
- workers   with `--workers n`: the sweep in n processes of Dask, against `solve_ensemble` on as many devices; with
            `--workers n --only` nothing else

Seconds are those of a clock and of this process's cores: where others compute beside, the second number counts.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

import dicke_jax as dj
from dicke_jax import examples
from dicke_jax.studies.sweeps import rows as of_rows
from dicke_jax.studies.sweeps import starts

from .memory import most_held

SEEDS = 100
MOST_MORE = 15  # per cent that workers of Dask may take more than as many devices


def clocked(what: Callable[[], Any]) -> tuple[float, float]:
    wall, cores = time.perf_counter(), time.process_time()
    what()
    return time.perf_counter() - wall, time.process_time() - cores


def in_turns(named: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """The least seconds of several, one after the other and again: a busy minute meets all alike."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in named}
    for _ in range(rounds):
        for name, what in named.items():
            found[name].append(clocked(what))
    return {name: tuple(map(min, zip(*times, strict=True))) for name, times in found.items()}


def cheap(model: dj.DickeModel, state: dj.MeanFieldState) -> dict[str, Any]:
    return {"xi": dj.overlaps(model, state.m)}


def sweep_of(num_rows: int, compute: Any = "final_overlap", time: float | None = None) -> dj.Sweep:
    model = examples.paper_model(num_patterns=2)
    axes = {"g0": np.linspace(0.5, 1.5, max(1, num_rows // SEEDS)), "flip": [0.1], "seed": np.arange(SEEDS)}
    return dj.Sweep(model, axes, compute, options=time and {"time": time})


def bare(sweep: dj.Sweep, chunk: int, devices: Any = None) -> Callable[[], Any]:
    """`solve_ensemble` as a user would call it, of the models and cues of the sweep."""
    (model,), (rows,) = sweep._models
    cues, rates = starts.of_cues_and_rates(sweep._values(rows), model)
    arrays, states = jax.tree.map(np.asarray, of_rows._of_rows(of_rows._model_and_state, model, cues, rates, sweep.cue))
    models = eqx.combine(arrays, eqx.filter(model, eqx.is_array, inverse=True))
    how = {name: option for name, option in sweep._how[0].items() if name != "time"} | dict(devices=devices)
    times = np.array([0.0, sweep.options["time"]])
    return lambda: dj.solve_ensemble(models, states, times, save=of_rows._last, chunk=chunk, **how)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweeps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--time", type=float, default=100.0, help="of the runs, in 1 / kappa")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--rounds", type=int, default=3, help="the least time of so many is told")
    parser.add_argument("--cheap", action="store_true", help="nothing else")
    parser.add_argument("--only", action="store_true", help="of --workers, and nothing else")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if options.workers and len(jax.devices()) < options.workers:  # imports have asked for devices already
        more = os.environ | {"JAX_NUM_CPU_DEVICES": str(options.workers)}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.sweeps", *sys.argv[1:]], more)
    with tempfile.TemporaryDirectory() as folder:
        names = iter(range(1000))
        store = lambda: Path(folder) / str(next(names))  # noqa: E731
        chunk = sweep_of(options.rows, cheap).layout().chunk
        if not (options.workers and options.only):
            in_one_process(options, chunk, store)
        if options.workers and not options.cheap:
            with_workers(options, chunk, store)


def in_one_process(options: argparse.Namespace, chunk: int, store: Callable[[], Path]) -> None:
    """What a row costs, and what labels and store cost beside runs."""
    many = sweep_of(options.rows, cheap)
    sweep_of(4 * chunk, cheap).fill(store(), chunk=chunk)
    before = most_held() or 0.0
    told("cheap", clocked(lambda: many.fill(store())), options.rows)
    print(f"         resident size grew by {(most_held() or 0.0) - before:.1f} MB from {before:.0f} MB")
    print(f"         planned: {many.plan()}")
    if options.cheap:
        return
    sweep, small = (sweep_of(rows, time=options.time) for rows in (options.rows, 4 * chunk))
    small.fill(store(), chunk=chunk)
    runs = bare(sweep, chunk, jax.devices()[:1])
    bare(small, chunk, jax.devices()[:1])()
    both = {"bare": runs, "sweep": lambda: sweep.fill(store())}
    seconds = in_turns(both, options.rounds)
    for name in both:
        told(name, seconds[name], options.rows)
    more = [100 * (swept / alone - 1) for alone, swept in zip(seconds["bare"], seconds["sweep"], strict=True)]
    print(f"         labels and store take {more[0]:.1f} % more by the clock, {more[1]:.1f} % more of the cores")


def with_workers(options: argparse.Namespace, chunk: int, store: Callable[[], Path]) -> None:
    """Dask's processes, which make models and cues, label and keep, against as many devices that only run."""
    from distributed import LocalCluster

    sweep, small = (sweep_of(rows, time=options.time) for rows in (options.rows, 4 * chunk))
    devices, number = jax.devices()[: options.workers], options.workers
    on_all = bare(sweep, chunk, devices)
    bare(small, chunk, devices)()
    how = dict(threads_per_worker=1, memory_limit=0, silence_logs=50, env={"JAX_NUM_CPU_DEVICES": "1"})
    with LocalCluster(n_workers=number, **how) as dask:
        for _ in range(3):  # until each of them has compiled
            small.fill(store(), chunk=chunk, cluster=dask)
        both = {f"{number} devices": on_all, f"{number} workers": lambda: sweep.fill(store(), cluster=dask)}
        seconds = in_turns(both, options.rounds)
    for name in both:
        told(name, seconds[name], options.rows)
    print("         of which the cores' seconds of workers are not told")
    bare_time, swept = (seconds[name][0] for name in both)
    more = 100 * (swept / bare_time - 1)
    verdict = "within" if more <= MOST_MORE else "NOT within"
    print(f"         {number} workers take {more:+.1f} % against {number} devices: {verdict} {MOST_MORE} %")


def told(name: str, seconds: tuple[float, float], num_rows: int) -> None:
    wall, cores = seconds
    print(f"{name:9} {wall:8.2f} s, {cores:8.2f} s of cores, {1e6 * cores / num_rows:8.1f} us a row", flush=True)


if __name__ == "__main__":
    main()
