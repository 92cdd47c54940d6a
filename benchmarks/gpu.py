"""Ensembles on a GPU: what every way of running them takes, with the error that it reached beside it.

`python -m benchmarks.gpu --out FILE --seconds S` runs wherever JAX does; rows that would not fit into the time are said
to be left out. Every row is written to FILE as soon as it is there. `python -m benchmarks.gpu --page FILE [FILE ...]`
prints such files as a page, benchmarks/RESULTS-GPU.md.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax import examples

from . import peers
from .machine import machine
from .modes import ensemble, vmapped
from .sizes import Size
from .timing import Mode, Outcome, difference, timed

CHECKED = 24  # trajectories that SciPy integrates too
ROUNDS = 3


def in_precision(tree: Any, dtype: Any) -> Any:
    """Real numbers as `dtype`, complex ones as their counterpart."""
    complex_of = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}[np.dtype(dtype)]

    def cast(x: Any) -> Any:
        if not isinstance(x, jax.Array):
            return x
        kinds = (jnp.complexfloating, complex_of), (jnp.floating, dtype)
        return next((x.astype(to) for kind, to in kinds if jnp.issubdtype(x.dtype, kind)), x)

    return jax.tree.map(cast, tree)


def gradients(model: dj.DickeModel, states: dj.MeanFieldState, end: float) -> Mode:
    """The slope d xi_1(end) / d g0 of every row, by `jax.grad`."""
    times = jnp.array([0.0, end], model.dtype)

    def overlap(g0: Any, state: Any) -> Any:
        return dj.mfsolve(model.replace(g0=g0), state, times, throw=False).overlaps[-1, 0]

    every = jax.jit(jax.vmap(jax.grad(overlap), (None, 0)))

    def run() -> Outcome:
        slopes = every(model.g0, states)
        return Outcome(slopes, np.nan, int(jnp.sum(~jnp.isfinite(slopes))))

    return Mode("vmap(grad(mfsolve)), T = 20", lambda: run)


def steady(model: dj.DickeModel, states: dj.MeanFieldState) -> Mode:
    """Runs until nothing moves."""

    def run() -> Outcome:
        sol = dj.solve_ensemble(model, states, max_time=2000.0, tol=1e-6 if model.dtype == jnp.float64 else 1e-4)
        return Outcome(sol.overlaps, sol.num_steps.mean(), (~sol.successful).sum())

    return Mode("solve_ensemble until stationary", lambda: run)


def modes(model: dj.DickeModel, states: dj.MeanFieldState, end: float, tol: float) -> list[Mode]:
    work = model, states, end
    tolerances = dict(rtol=tol, atol=tol)
    return [
        ensemble(f"solve_ensemble, {tol:g}", *work, **tolerances),
        vmapped(f"vmap(mfsolve), {tol:g}", *work, **tolerances),
        vmapped(f"vmap(mfsolve), Dopri8 {tol:g}", *work, solver=dfx.Dopri8(), **tolerances),
        steady(model, states),
        gradients(model, states, 20.0),
    ]


def rows(batches: list[int], seconds: float) -> Iterator[dict[str, Any]]:
    begin, each = time.perf_counter(), {}
    model = examples.paper_model(num_patterns=4)
    states = examples.random_states(jax.random.key(0), model, max(batches))
    exact = peers.reference(model, states, 100.0, CHECKED)
    for batch in batches:
        for dtype, tol in ((np.float64, 1e-10), (np.float32, 1e-6)):
            work = in_precision((model, jax.tree.map(lambda x, batch=batch: x[:batch], states)), dtype)
            work = work[0].replace(**{name: jnp.asarray(rate, dtype) for name, rate in model.rates.items()}), work[1]
            for mode in modes(*work, 100.0, tol):
                key = mode.name, np.dtype(dtype).name
                row: dict[str, Any] = dict(mode=mode.name, precision=key[1], batch=batch)
                left = seconds - (time.perf_counter() - begin)
                if left < 4 * each.get(key, 0.0) * batch + 5:
                    yield row | dict(skipped="no time left for it")
                    continue
                try:
                    run = mode.prepare()
                    row["first_s"], outcome = timed(run)
                    taken = [timed(run)[0] for _ in range(ROUNDS if row["first_s"] < 30 else 1)]
                except Exception as error:  # what fails on a device is what is looked for here
                    yield row | dict(skipped=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
                    continue
                each[key] = min(taken) / batch
                row |= dict(
                    s=statistics.median(taken), least_s=min(taken), most_s=max(taken), failed=int(outcome.failed)
                )
                row |= dict(per_second=batch / statistics.median(taken), steps=float(outcome.steps))
                if np.ndim(outcome.m) == 3:
                    row["error"] = difference(outcome.m, exact)
                stats = jax.local_devices()[0].memory_stats() or {}
                row["peak_bytes"] = stats.get("peak_bytes_in_use")
                yield row


def driver() -> str:
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "none"


def page(files: list[Path]) -> str:
    """What was measured, in tables: one for each file."""
    lines = [
        "# Ensembles on a GPU",
        "",
        "M = 4, K = 8, random states, T = 100 unless said; errors of the final spins",
        "",
    ]
    lines[2] += f" against SciPy's DOP853 at 1e-13, {CHECKED} rows. `python -m benchmarks.gpu`, medians of {ROUNDS}."
    for file in files:
        about, *found = [json.loads(line) for line in file.read_text().splitlines()]
        kinds = ", ".join(f"{about['devices'].count(kind)} {kind}" for kind in sorted(set(about["devices"])))
        versions = ", ".join(f"{name} {about['versions'][name]}" for name in ("jax", "diffrax", "python"))
        driver = f"; {about['driver']}" if about["platform"] == "gpu" else f"; {about['cpu']}"
        lines += [f"## {kinds}", "", f"{versions}{driver}", ""]
        lines += ["| rows | precision | | s | rows a second | first call, s | steps | median error | failed |"]
        lines += ["| --: | --- | --- | --: | --: | --: | --: | --: | --: |"]
        for row in found:
            head = f"| {row['batch']:,} | {row['precision']} | {row['mode']} |"
            if "skipped" in row:
                lines.append(f"{head} {row['skipped'].split(' with allocator')[0]} | | | | | |")
                continue
            error = f"{row['error']['median']:.1e}" if "error" in row else ""
            steps = "" if np.isnan(row["steps"]) else f"{row['steps']:.0f}"
            times = f"{row['s']:.3f} | {row['per_second']:,.0f} | {row['first_s']:.1f}"
            lines.append(f"{head} {times} | {steps} | {error} | {row['failed']} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu.jsonl"))
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 10_000, 100_000, 1_000_000])
    parser.add_argument("--page", type=Path, nargs="+", help="print these files and measure nothing")
    options = parser.parse_args()
    if options.page:
        print(page(options.page))
        return
    jax.config.update("jax_enable_x64", True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w") as file:
        for row in (machine(Size()) | dict(driver=driver()),):
            print(json.dumps(row), file=file, flush=True)
        for row in rows(options.batches, options.seconds):
            print(json.dumps(row), file=file, flush=True)
            print(row, flush=True)


if __name__ == "__main__":
    main()
