"""How fast it is: the numbers that issue 17 asks for, each beside what it is compared with."""

import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffrax as dfx
import jax
import numpy as np

import dicke_jax as dj

from ..modes import vmapped
from ..roofline import step_flops
from ..timing import difference
from . import cases
from .ensemble import defines_of, solve
from .work import ORDER, TOL, Row, Work, exact_rows, failed, interleaved, paper, random_rows, spread


def million(work: Work) -> Iterator[Row]:
    """10^6 rows through the kernel and through JAX, in turn, until the last states are NumPy's."""
    model, states, exact = paper(), random_rows(work, paper(), work.rows), exact_rows(work)
    on_host = jax.tree.map(np.asarray, states)
    times, tolerances = (0.0, work.end), dict(rtol=TOL, atol=TOL)
    last: dict[str, Any] = {}

    def kernel(name: str, given: dj.MeanFieldState) -> Callable[[], None]:
        def run() -> None:
            last[name] = solve(model, given, times, **tolerances, **work.how)
            parts.setdefault(name, []).append(last[name].seconds)

        return run

    def by_jax() -> None:
        last["solve_ensemble"] = dj.solve_ensemble(model, states, list(times), save="final", **tolerances)

    parts: dict[str, list[Row]] = {}
    calls = {
        "kernel": kernel("kernel", states),
        "kernel, states from the host": kernel("kernel, states from the host", on_host),
        "solve_ensemble": by_jax,
    }
    taken = yield from interleaved(work, calls, work.size(5, 1))
    for name, seconds in taken.items():
        found = last[name]
        row = dict(way=name) | spread(seconds, work.rows)
        row |= dict(error=difference(found.m, exact), steps=float(np.mean(found.num_steps)), failed=failed(found))
        for part in ("kernel", "before", "after") if name in parts else ():
            row[f"{part}_s"] = statistics.median([one[part] for one in parts[name][1:]])
        yield row
    if last.keys() >= {"kernel", "solve_ensemble"}:
        yield dict(way="both", **cases.compared(last["kernel"], last["solve_ensemble"]))


def by_diffrax(work: Work) -> Iterator[Row]:
    """The kernel against vmapped Tsit5 and Dopri8, whose last states stay on the device."""
    rows = work.size(100_000, 16)
    model, states, exact = paper(), random_rows(work, paper(), rows), exact_rows(work)
    args = model, states, work.end
    ways = [
        vmapped("Dopri8 1e-10", *args, solver=dfx.Dopri8(), rtol=1e-10, atol=1e-10),
        vmapped("Tsit5 1e-10", *args, solver=dfx.Tsit5(), rtol=1e-10, atol=1e-10),
    ]
    last: dict[str, Any] = {}

    def kernel() -> None:
        last["kernel"] = solve(model, states, (0.0, work.end), rtol=TOL, atol=TOL, **work.how)

    def keep(name: str, run: Callable[[], Any]) -> Callable[[], None]:
        def call() -> None:
            last[name] = jax.block_until_ready(run())

        return call

    calls = {"kernel": kernel} | {name: keep(name, prepare()) for name, prepare in ways}
    taken = yield from interleaved(work, calls, work.size(5, 1))
    for name, seconds in taken.items():
        m, steps = (last[name].m, last[name].num_steps) if name == "kernel" else last[name][:2]
        yield dict(way=name, error=difference(m, exact), steps=float(np.mean(steps))) | spread(seconds, rows)


def single(work: Work) -> Iterator[Row]:
    """The same in float32."""
    model = paper(dtype=np.float32)
    states, exact = random_rows(work, model, work.rows), exact_rows(work)
    last: dict[str, Any] = {}

    def kernel() -> None:
        last["kernel, float32"] = solve(model, states, (0.0, work.end), rtol=1e-6, atol=1e-6, **work.how)

    def by_jax() -> None:
        last["solve_ensemble, float32"] = dj.solve_ensemble(model, states, [0.0, work.end], save="final")

    calls = {"kernel, float32": kernel, "solve_ensemble, float32": by_jax}
    taken = yield from interleaved(work, calls, work.size(5, 1))
    for name, seconds in taken.items():
        found = last[name]
        row = dict(way=name, error=difference(found.m, exact), steps=float(np.mean(found.num_steps)))
        yield row | dict(failed=failed(found)) | spread(seconds, work.rows)


# ceilings


def ceilings(work: Work) -> Iterator[Row]:
    """What the device can do by a kernel of multiplications with additions alone, and the share of it that is used."""
    model, rows = paper(), work.size(1_000_000, 64)
    states = random_rows(work, model, rows)
    found = [solve(model, states, (0.0, work.end), rtol=TOL, atol=TOL, **work.how) for _ in range(work.size(4, 1))]
    kernel_s = statistics.median([one.seconds["kernel"] for one in found])
    kernel = work.place.kernel(defines_of(model, ORDER, False, work.block, work.blocks_each), "peak")
    block, rounds = work.size((256, 2000), (32, 2))
    processors = work.place.about()["processors"]
    grid = processors * work.size(8, 1)
    room = kernel.cuda.empty(8 * grid * block)
    numbers = ctypes.c_int(rounds), ctypes.c_double(0.999), ctypes.c_double(1e-3)
    pointer = ctypes.c_uint64(room.pointer.value)
    runs = [kernel.function.launch(grid, block, pointer, *numbers) for _ in range(5)]
    assert np.isfinite(room.as_array((grid * block,), np.float64)).all()
    room.close()
    peak = 2 * 8 * 64 * rounds * grid * block / min(runs)
    each = step_flops(model.num_modes, model.num_subsets, ORDER)
    steps = float(found[-1].num_steps.sum())
    row = dict(operations_a_step=each, steps=steps, kernel_s=kernel_s, peak_gflops=peak / 1e9)
    row |= dict(gflops=each * steps / kernel_s / 1e9, share_of_peak=each * steps / kernel_s / peak)
    theory = processors * 64 * 2 * work.place.about()["clock_khz"] * 1e3  # 64 units a processor, as of an H100
    bytes_ = found[-1].m.nbytes + found[-1].alpha.nbytes + states.m.nbytes + states.alpha.nbytes
    yield row | dict(theoretical_gflops=theory / 1e9, bytes_of_states=bytes_, gb_per_s=bytes_ / kernel_s / 1e9)
    array = np.ones(work.size(2**25, 2**10))
    cuda, seconds = kernel.cuda, {"to_device": [], "to_host": []}
    for _ in range(4):
        begin = time.perf_counter()
        room = cuda.copied(array)
        middle = time.perf_counter()
        room.as_array(array.shape, array.dtype)
        seconds["to_device"].append(middle - begin)
        seconds["to_host"].append(time.perf_counter() - middle)
        room.close()
    yield {f"{name}_gb_per_s": array.nbytes / min(taken) / 1e9 for name, taken in seconds.items()}


# runs until nothing moves


def steady(work: Work) -> Iterator[Row]:
    """Tilted cues at g0 = 1.2; the kernel's part of it: last states and residuals, and no judgement of them."""
    model = paper(1.2)

    def cues(rows: int) -> dj.MeanFieldState:
        keys = jax.random.split(jax.random.key(2), rows)
        return jax.block_until_ready(jax.vmap(lambda key: dj.tilted_pattern(key, model, angle=0.3))(keys))

    few = cues(work.size(64, 4))
    tol, longest = work.size((1e-9, None), (3e-2, 60.0))
    exact = dj.solve_ensemble(model, few, tol=tol, max_time=longest)
    found = solve(model, few, None, tol=tol, max_time=longest, poison=True, **work.how)
    at_rest = found.status == np.asarray(dj.Status.event_occurred._value)
    apart = np.abs(found.overlaps - exact.overlaps)[at_rest & exact.successful]
    row = dict(rows=len(at_rest), at_rest=int(at_rest.sum()), at_rest_and_judged_so_by_jax=len(apart))
    row |= dict(difference=float(apart.max(initial=0.0)), steps=float(found.num_steps.mean()))
    yield row | dict(jax_steps=float(np.mean(exact.num_steps)), tol=tol)
    each = 0.0
    for rows in work.size((20_000, 200_000, 1_000_000), (16,)):
        if work.left() < 4 * each * rows + work.size(3, 0):
            yield dict(rows=rows, skipped="no time left for it")
            return
        states, taken = cues(rows), []
        for _ in range(work.size(3 if each * rows < 8 else 1, 1)):
            begin = time.perf_counter()
            found = solve(model, states, None, tol=tol, max_time=longest, **work.how)
            taken.append(time.perf_counter() - begin)
        each = statistics.median(taken) / rows
        at_rest = found.status == np.asarray(dj.Status.event_occurred._value)
        row = dict(at_rest=int(at_rest.sum()), steps=float(found.num_steps.mean()), kernel_s=found.seconds["kernel"])
        yield spread(taken, rows) | row | dict(largest_residual=float(found.residual[at_rest].max(initial=0.0)))


# other couplings


def couplings(work: Work) -> Iterator[Row]:
    """More lanes a trajectory, and dense couplings."""
    chosen = cases.all_cases(work.size(100_000, 8), work.size(100.0, 1.0))
    names = "cube, M = 6", "random patterns, dense", "dense, K = 32, M = 8", "dissipation, cube"
    for case in [case for case in chosen if case.name in names]:
        if work.left() < work.size(25, 0):
            yield dict(case=case.name, skipped="no time left for it")
            continue
        how = dict(rtol=case.tol, atol=case.tol)
        last: dict[str, Any] = {}

        def kernel(case: Any = case, how: Row = how, last: Row = last) -> None:
            last["kernel"] = solve(case.model, case.states, (0.0, case.end), **how, **work.how)

        def by_jax(case: Any = case, how: Row = how, last: Row = last) -> None:
            last["jax"] = dj.solve_ensemble(case.model, case.states, [0.0, case.end], save="final", **how)

        calls = {"kernel": kernel, "jax": by_jax}
        taken = yield from interleaved(work, calls, work.size(3, 1))
        for name, seconds in taken.items():
            steps = float(np.mean(last[name].num_steps))
            yield dict(case=case.name, way=name, steps=steps) | spread(seconds, len(case.states.m))


# what it waits for


def profile(work: Work) -> Iterator[Row]:
    """Nsight Compute's own words, where it is installed, of one launch in a process of its own."""
    tool = shutil.which("ncu") or next(map(str, Path("/opt/nvidia").glob("nsight-compute/*/ncu")), None)
    if tool is None:
        yield dict(skipped="ncu is not installed")
        return
    sections = "SpeedOfLight", "WarpStateStats", "Occupancy", "LaunchStats", "ComputeWorkloadAnalysis", "SchedulerStats"
    command = [tool, "--clock-control", "none", "--kernel-name", "ensemble", "--launch-count", "1"]
    command += [word for section in sections for word in ("--section", section)]
    command += [sys.executable, "-m", "benchmarks.gpu_kernel", "--one-launch", "--out", str(work.folder)]
    command += ["--quick", "--emulated"] if work.quick else []
    env = os.environ | {"JAX_PLATFORMS": "cpu"}  # this process has most of the device's memory
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(work.left() - 5, 5), env=env)
    (work.folder / "profile.txt").write_text(done.stdout + done.stderr)
    wanted = "Duration", "Throughput", "Occupancy", "Registers", "No Eligible", "Warp Cycles", "Executed Ipc", "SM Busy"
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if any(name in line for name in wanted)]
    yield dict(returned=done.returncode, lines=lines[:40])


def one_launch(work: Work) -> str:
    """For a profiler."""
    model = paper()
    states = random_rows(work, model, work.size(131_072, 16))
    found = solve(model, states, (0.0, work.end), **work.how)
    return json.dumps(dict(failed=failed(found), **found.seconds))
