"""What the machine is, whether the kernel finds what others find, and which block it runs fastest in."""

import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator

import numpy as np

import dicke_jax as dj

from ..gpu import driver
from ..machine import machine
from ..sizes import Size
from ..timing import difference
from . import cases
from .ensemble import defines_of, solve
from .work import ORDER, TOL, Row, Work, exact_rows, failed, paper, random_rows


def about(work: Work) -> Iterator[Row]:
    yield machine(Size()) | dict(nvidia_smi=driver()) | work.place.about()
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
