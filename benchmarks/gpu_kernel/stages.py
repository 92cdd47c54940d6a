"""What is measured, stage by stage: each yields rows as soon as it has them."""

import ctypes
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax import examples

from ..gpu import driver, in_precision
from ..machine import machine
from ..modes import vmapped
from ..peers import reference
from ..roofline import step_flops
from ..sizes import Size
from ..timing import difference, in_turn
from . import cases
from .ensemble import BLOCK, BLOCKS_EACH, Ends, defines_of, solve
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


# what the machine is


def about(work: Work) -> Iterator[Row]:
    yield machine(Size()) | dict(driver=driver()) | work.place.about()
    query = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu", "--format=csv"]
    if shutil.which(query[0]):
        yield dict(clocks=subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip())


# whether it finds what JAX finds on the same device


def correct(work: Work) -> Iterator[Row]:
    rows, end = work.size((512, 20.0), (8, 1.0))
    chosen = cases.all_cases(rows, end)
    for case in work.size(chosen, chosen[:1] + chosen[-2:]):
        if work.left() < work.size(12, 0):
            yield dict(case=case.name, skipped="no time left for it")
            continue
        tolerances = dict(rtol=case.tol, atol=case.tol) | case.options
        begin = time.perf_counter()
        times = [0.0, case.end]
        found = solve(case.model, case.states, (0.0, case.end), poison=True, **tolerances, **work.how)
        middle = time.perf_counter()
        exact = dj.solve_ensemble(case.model, case.states, times, save="final", **tolerances)
        told = cases.compared(found, exact)
        fine = told["statuses_alike"] and told["difference"] <= case.close
        seconds = dict(kernel_s=middle - begin, jax_s=time.perf_counter() - middle)
        yield dict(case=case.name, fine=fine, allowed=case.close) | told | seconds


def against_scipy(work: Work) -> Iterator[Row]:
    """The main case's own rows, by a program that shares nothing with either."""
    model, exact = paper(), exact_rows(work)
    states = random_rows(work, model, work.size(4096, 64))
    for tol in work.size((1e-10, 1e-11, 1e-9), (1e-10,)):
        found = solve(model, states, (0.0, work.end), rtol=tol, atol=tol, poison=True, **work.how)
        yield dict(tol=tol, error=difference(found.m, exact), steps=float(found.num_steps.mean()), failed=failed(found))
    one = random_rows(work, paper(dtype=np.float32), work.size(4096, 64))
    found = solve(paper(dtype=np.float32), one, (0.0, work.end), rtol=1e-6, atol=1e-6, poison=True, **work.how)
    error = difference(found.m, exact)
    yield dict(tol=1e-6, precision="float32", error=error, steps=float(found.num_steps.mean()), failed=failed(found))


def failed(found: Ends) -> int:
    return int((~found.successful).sum())


# how large blocks are to be, and how many registers a thread has

SHAPES = {  # a block's threads, and blocks that a processor is to hold: 65,536 registers for all of them
    "float64": ((128, 2), (64, 4), (64, 5), (128, 3), (64, 7), (128, 4)),
    "float32": ((128, 2), (128, 4), (128, 5), (128, 6)),
}


def blocks(work: Work) -> Iterator[Row]:
    rows = work.size(262_144, 64)
    chosen = {name: work.size(shapes, shapes[:1]) for name, shapes in SHAPES.items()}
    orders, tolerances = dict(float64=ORDER, float32=8), dict(float64=TOL, float32=1e-6)
    models = {name: paper(dtype=np.dtype(name)) for name in chosen}
    begin = time.perf_counter()
    work.place.prepare(
        [defines_of(models[name], orders[name], False, *shape) for name, shapes in chosen.items() for shape in shapes]
    )
    yield dict(compile_all_s=time.perf_counter() - begin)
    for name, shapes in chosen.items():
        states, tol = random_rows(work, models[name], rows), tolerances[name]
        for block, each in shapes:
            shape = dict(precision=name, block=block, blocks_each=each)
            if work.left() < work.size(5, 0):
                yield shape | dict(skipped="no time left for it")
                continue
            how = dict(place=work.place, block=block, blocks_each=each, rtol=tol, atol=tol)
            try:
                runs = [solve(models[name], states, (0.0, work.end), **how).seconds["kernel"] for _ in range(4)][1:]
            except RuntimeError as error:  # more registers than there are
                yield shape | dict(skipped=str(error)[:300])
                continue
            kernel = work.place.kernel(defines_of(models[name], orders[name], False, block, each))
            if (block, each) == shapes[0]:
                (work.folder / f"{name}.cubin").write_bytes(kernel.code)
            yield shape | dict(kernel_s=statistics.median(runs), rows=rows) | told(kernel.about(block))


def told(kernel: Row) -> Row:
    return {("held_each" if key == "blocks_each" else key): value for key, value in kernel.items()}


# the numbers that issue 17 asks for


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
    first = {name: seconds[0] for name, seconds in in_turn(calls, 1).items()}
    yield dict(first_calls_s=first)
    taken = in_turn(calls, work.size(5, 1))
    for name, seconds in taken.items():
        found = last[name]
        row = dict(way=name) | spread(seconds, work.rows)
        row |= dict(error=difference(found.m, exact), steps=float(np.mean(found.num_steps)), failed=failed(found))
        for part in ("kernel", "before", "after") if name in parts else ():
            row[f"{part}_s"] = statistics.median([one[part] for one in parts[name][1:]])
        yield row
    found, jax_found = last["kernel"], last["solve_ensemble"]
    yield dict(way="both", **cases.compared(found, jax_found))


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
    first = {name: seconds[0] for name, seconds in in_turn(calls, 1).items()}
    yield dict(first_calls_s=first)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(work.size(5, 1)):
        if work.left() < 2 * sum(first.values()) and min(map(len, taken.values())):
            break
        for name, seconds in in_turn(calls, 1).items():
            taken[name] += seconds
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
    in_turn(calls, 1)
    for name, seconds in in_turn(calls, work.size(5, 1)).items():
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
    tol, longest = work.size((1e-9, None), (1e-4, 60.0))
    exact = dj.solve_ensemble(model, few, tol=tol, max_time=longest)
    found = solve(model, few, None, tol=tol, max_time=longest, poison=True, **work.how)
    at_rest = found.status == np.asarray(dj.Status.event_occurred._value)
    alike = bool(np.array_equal(at_rest, np.asarray(exact.successful)))
    apart = np.abs(found.overlaps - exact.overlaps)[at_rest & np.asarray(exact.successful)]
    row = dict(rows=len(at_rest), at_rest=int(at_rest.sum()), statuses_alike=alike)
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
        in_turn(calls, 1)
        for name, seconds in in_turn(calls, work.size(3, 1)).items():
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(work.left() - 5, 5))
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
