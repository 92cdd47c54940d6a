"""The stages: how fast ensembles are on a GPU, beside what each is compared with, and the errors of both."""

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
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax._status import counts
from dicke_jax.dynamics._gpu.cuda import CLOCK_KHZ, LOCAL_BYTES, REGISTERS
from dicke_jax.dynamics._gpu.device import Gpu, gpu_of

from ..gpu import driver
from ..machine import machine
from ..modes import vmapped
from ..roofline import step_flops
from ..sizes import Size
from ..timing import difference
from .work import JAX, KERNEL, TOL, Ensemble, Row, Work, exact_rows, interleaved, others, paper, random_rows, spread

ORDER = 18


def about(work: Work) -> Iterator[Row]:
    """The machine."""
    gpu = gpu_of(jax.local_devices()[0])
    yield machine(Size()) | dict(nvidia_smi=driver()) | (gpu.cuda.about() if isinstance(gpu, Gpu) else dict(none=gpu))
    query = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu", "--format=csv"]
    if shutil.which(query[0]):
        yield dict(clocks=subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip())


def both(*arguments: Any, **options: Any) -> dict[str, Ensemble]:
    return {name: Ensemble(name, *arguments, **options) for name in (KERNEL, JAX)}


def million(work: Work) -> Iterator[Row]:
    """10^6 rows with the kernel and without, in turn, from JAX's states to NumPy's."""
    exact, states, times = exact_rows(work), random_rows(work, paper(), work.rows), [0.0, work.end]
    calls = both(paper(), states, times, save="final", rtol=TOL, atol=TOL)
    taken = yield from interleaved(work, calls, work.size(7, 1))
    for name, seconds in taken.items():
        yield calls[name].told(seconds) | dict(error=difference(calls[name].last.m, exact))
    ours, theirs = (calls[name].last for name in (KERNEL, JAX))
    apart = np.abs(ours.m - theirs.m).reshape(len(ours.m), -1).max(axis=1)
    alike = bool(np.array_equal(ours.status._value, theirs.status._value))
    steps = ours.num_steps - theirs.num_steps
    row = dict(apart_median=float(np.median(apart)), apart_most=float(apart.max()), statuses_alike=alike)
    yield row | dict(steps_alike=float(np.mean(steps == 0)), steps_apart=int(np.abs(steps).max()))
    for tol in work.size((1e-9, 1e-11), ()):
        run = Ensemble(KERNEL, paper(), states, times, save="final", rtol=tol, atol=tol)
        run()
        begin = time.perf_counter()
        run()
        row = run.told([time.perf_counter() - begin])
        yield dict(tol=tol) | row | dict(error=difference(run.last.m, exact))


def by_diffrax(work: Work) -> Iterator[Row]:
    """Against vmapped Tsit5 and Dopri8, whose last states stay on the device."""
    rows = work.size(100_000, 16)
    model, states, exact = paper(), random_rows(work, paper(), rows), exact_rows(work)
    args = model, states, work.end
    ways = [
        vmapped("Dopri8 1e-10", *args, solver=dfx.Dopri8(), rtol=1e-10, atol=1e-10),
        vmapped("Tsit5 1e-10", *args, solver=dfx.Tsit5(), rtol=1e-10, atol=1e-10),
    ]
    last: dict[str, Any] = {}

    def keep(name: str, run: Callable[[], Any]) -> Callable[[], None]:
        def call() -> None:
            last[name] = jax.block_until_ready(run())

        return call

    ours = Ensemble(KERNEL, model, states, [0.0, work.end], save="final", rtol=TOL, atol=TOL)
    calls: dict[str, Any] = {KERNEL: ours} | {name: keep(name, prepare()) for name, prepare in ways}
    taken = yield from interleaved(work, calls, work.size(5, 1))
    for name, seconds in taken.items():
        m, steps = (ours.last.m, ours.last.num_steps) if name == KERNEL else last[name][:2]
        row = dict(way=name, error=difference(m, exact), steps=float(np.mean(steps)))
        yield row | spread(seconds, rows) | dict(kernel_s=statistics.median(ours.kernel[1:]) if name == KERNEL else "")


def single(work: Work) -> Iterator[Row]:
    """The same in float32, at its default tolerance."""
    model = paper(dtype=np.float32)
    states, exact = random_rows(work, model, work.rows), exact_rows(work)
    calls = both(model, states, [0.0, work.end], save="final")
    taken = yield from interleaved(work, calls, work.size(5, 1))
    for name, seconds in taken.items():
        yield calls[name].told(seconds) | dict(error=difference(calls[name].last.m, exact))


def saved(work: Work) -> Iterator[Row]:
    """Overlaps at 101 times, 100,000 rows."""
    rows = work.size(100_000, 8)
    states = random_rows(work, paper(), rows)
    calls = both(paper(), states, np.linspace(0.0, work.end, 101), save="overlaps", rtol=TOL, atol=TOL)
    taken = yield from interleaved(work, calls, work.size(3, 1))
    for name, seconds in taken.items():
        yield calls[name].told(seconds)
    apart = np.abs(calls[KERNEL].last.overlaps - calls[JAX].last.overlaps)
    yield dict(apart_median=float(np.median(apart.max(axis=(1, 2)))), apart_most=float(apart.max()))


def couplings(work: Work) -> Iterator[Row]:
    """Other models, 100,000 rows of random states."""
    for kind, (model, states) in others(work.size(100_000, 8)).items():
        if work.left() < work.size(25, 0):
            yield dict(kind=kind, skipped="no time left for it")
            continue
        calls = both(model, states, [0.0, work.size(100.0, 1.0)], save="final", rtol=TOL, atol=TOL)
        taken = yield from interleaved(work, calls, work.size(3, 1))
        for name, seconds in taken.items():
            yield dict(kind=kind) | calls[name].told(seconds)
        apart = np.abs(calls[KERNEL].last.m - calls[JAX].last.m).reshape(len(states.m), -1).max(axis=1)
        yield dict(kind=kind, apart_median=float(np.median(apart)))


# runs until nothing moves


def steady(work: Work) -> Iterator[Row]:
    """Tilted cues, judged: beside a pattern spins go on turning with four patterns, and come to rest with two."""
    for num_patterns, few in ((4, 64), (2, 2000)):
        model, most = paper(1.2, num_patterns), {} if not work.quick else dict(max_time=60.0)

        def cues(rows: int, model: dj.DickeModel = model) -> dj.MeanFieldState:
            keys = jax.random.split(jax.random.key(2), rows)
            return jax.block_until_ready(jax.vmap(lambda key: dj.tilted_pattern(key, model, angle=0.3))(keys))

        alike = both(model, cues(work.size(few, 4)), **most)
        for run in alike.values():
            run()
        ours, theirs = (alike[name].last for name in (KERNEL, JAX))
        row = dict(num_patterns=num_patterns, rows=len(ours.num_steps), with_kernel=counts(ours.status))
        row |= dict(without=counts(theirs.status), apart=float(np.nanmax(np.abs(ours.overlaps - theirs.overlaps))))
        yield row
        for rows in work.size((100_000, 1_000_000), (16,)):
            run = Ensemble(KERNEL, model, cues(rows), **most)
            begin = time.perf_counter()
            run()
            first = time.perf_counter() - begin
            taken = []
            for _ in range(work.size(2 if first < 30 else 0, 1)):
                begin = time.perf_counter()
                run()
                taken.append(time.perf_counter() - begin)
            row = run.told(taken or [first])
            row.pop("failed")  # what is not at rest; `ends` says how
            yield dict(num_patterns=num_patterns, ends=counts(run.last.status)) | row | dict(first_s=first)


# ceilings

PEAK = """
extern "C" __global__ void peak(double *out, int rounds, double factor, double plus) {
  double a[8];
#pragma unroll
  for (int i = 0; i < 8; i++) a[i] = double(threadIdx.x + i);
  for (int round = 0; round < rounds; round++) {
#pragma unroll
    for (int i = 0; i < 64; i++) {
#pragma unroll
      for (int chain = 0; chain < 8; chain++) a[chain] = a[chain] * factor + plus;
    }
  }
  double sum = 0;
#pragma unroll
  for (int i = 0; i < 8; i++) sum += a[i];
  out[(long long)blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
"""  # multiplications with additions that wait for nothing: 2 * 8 * 64 operations a round and thread


def ceilings(work: Work) -> Iterator[Row]:
    """Operations and bytes of the 10^6 rows, beside what the device can do: measured in the same run."""
    model, gpu = paper(), gpu_of(jax.local_devices()[0])
    if not isinstance(gpu, Gpu):
        yield dict(skipped=f"no kernel: {gpu}")
        return
    states = random_rows(work, model, work.rows)
    run = Ensemble(KERNEL, model, states, [0.0, work.end], save="final", rtol=TOL, atol=TOL)
    for _ in range(4):
        run()
    kernel_s, found = statistics.median(run.kernel[1:]), run.last
    code, log = gpu.cuda.compile(PEAK, [f"--gpu-architecture={gpu.cuda.arch()}"])
    peak = gpu.cuda.load(code, "peak", log)
    block, rounds, grid = 256, 2000, 8 * gpu.processors
    room = jax.block_until_ready(jnp.zeros(grid * block))
    numbers = ctypes.c_int(rounds), ctypes.c_double(0.999), ctypes.c_double(1e-3)
    pointer = ctypes.c_uint64(room.unsafe_buffer_pointer())
    fastest = 2 * 8 * 64 * rounds * grid * block / min(peak.launch(grid, block, pointer, *numbers) for _ in range(5))
    assert np.isfinite(np.asarray(room)).all()
    each, steps = step_flops(model.num_modes, model.num_subsets, ORDER), float(found.num_steps.sum())
    rate = each * steps / kernel_s
    row = dict(operations_a_step=each, steps=steps, kernel_s=kernel_s, peak_gflops=fastest / 1e9, gflops=rate / 1e9)
    theory = gpu.processors * 64 * 2 * gpu.cuda.attribute(CLOCK_KHZ) * 1e3  # 64 units a processor, as of an H100
    row |= dict(share_of_peak=rate / fastest, theoretical_gflops=theory / 1e9)
    bytes_ = found.m.nbytes + found.alpha.nbytes + states.m.nbytes + states.alpha.nbytes
    yield row | dict(bytes_of_states=bytes_, gb_per_s=bytes_ / kernel_s / 1e9)
    add = jax.jit(lambda x: x + 1.0)
    x = jax.block_until_ready(jnp.ones(2**27))
    taken = []
    for _ in range(6):
        begin = time.perf_counter()
        jax.block_until_ready(add(x))
        taken.append(time.perf_counter() - begin)
    yield dict(memory_gb_per_s=2 * x.nbytes / min(taken) / 1e9)
    for options, kernel in gpu.kernels.items():
        named = {name: value for name, value in (option[2:].split("=") for option in options)}
        row = {name: named[name] for name in ("REAL", "ORDER", "SUBSETS", "SAVES", "STATIONARY")}
        (work.folder / "kernel.cubin").write_bytes(kernel.code)
        held = kernel.blocks_each(int(named["BLOCK"]))
        yield row | dict(
            registers=kernel.attribute(REGISTERS), spilled_bytes=kernel.attribute(LOCAL_BYTES), blocks_each=held
        )
    host = np.ones(2**25)
    taken = dict(to_device=[], to_host=[])
    for _ in range(4):
        begin = time.perf_counter()
        there = jax.block_until_ready(jax.device_put(host))
        taken["to_device"].append(time.perf_counter() - begin)
        there = jax.block_until_ready(there + 1.0)
        begin = time.perf_counter()
        np.asarray(there)
        taken["to_host"].append(time.perf_counter() - begin)
    yield {f"{name}_gb_per_s": host.nbytes / min(seconds) / 1e9 for name, seconds in taken.items()}


def profile(work: Work) -> Iterator[Row]:
    """Nsight Compute's own words, where it is installed, of one launch in a process of its own."""
    tool = shutil.which("ncu") or next(map(str, Path("/opt/nvidia").glob("nsight-compute/*/ncu")), None)
    if tool is None or work.quick:
        yield dict(skipped="ncu is not installed" if tool is None else "quick")
        return
    sections = "SpeedOfLight", "WarpStateStats", "Occupancy", "LaunchStats", "ComputeWorkloadAnalysis", "SchedulerStats"
    command = [tool, "--clock-control", "none", "--kernel-name", "ensemble", "--launch-count", "1"]
    command += [word for section in sections for word in ("--section", section)]
    command += [sys.executable, "-m", "benchmarks.gpu_kernel", "--one-launch", "--out", str(work.folder)]
    env = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # this process has most of the device's memory
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(work.left() - 5, 5), env=env)
    (work.folder / "profile.txt").write_text(done.stdout + done.stderr)
    wanted = "Duration", "Throughput", "Occupancy", "Registers", "No Eligible", "Warp Cycles", "Executed Ipc", "SM Busy"
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if any(name in line for name in wanted)]
    yield dict(returned=done.returncode, lines=lines[:40])


def one_launch(work: Work) -> str:
    """For a profiler."""
    model = paper()
    states = jax.tree.map(lambda x: x[:131_072], random_rows(work, model, work.size(131_072, 16)))
    found = dj.solve_ensemble(model, states, [0.0, work.end], save="final")
    return json.dumps(dict(route=found.route, failed=int((~found.successful).sum())))
