"""Ensembles on an NVIDIA GPU, with the kernel and without, in one run that nobody watches.

`python -m benchmarks.gpu_kernel --out FOLDER --seconds S`; `--stages ... --add` adds to what FOLDER holds. Stages run
in a process of their own, which is started anew for the next stage where one breaks, hangs or takes too long. Each row
is in FOLDER/gpu_kernel.jsonl as soon as it is there, and FOLDER/gpu_kernel.md is written anew with it. `--quick` is the
same with few rows, on whatever machine, to see that it runs. `--page FILE` prints a page anew, as
benchmarks/RESULTS-GPU.md holds it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .page import page, rows_of

LIMITS = {  # seconds after which a stage is ended from outside; what matters most comes first
    "about": 60.0,
    "million": 130.0,
    "ceilings": 50.0,
    "by_diffrax": 130.0,
    "steady": 130.0,
    "single": 60.0,
    "saved": 60.0,
    "couplings": 130.0,
    "profile": 60.0,
}
PATIENCE = 20  # times as long for a look at whether it runs, on whatever machine
PROGRAM = "-m", "benchmarks.gpu_kernel"
START, SLACK = 60.0, 10.0  # seconds to import and to find the device, and to end by oneself


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu_kernel"))
    parser.add_argument("--seconds", type=float, default=460.0, help="for all stages together")
    parser.add_argument("--stages", nargs="+", help="only these, in this order")
    parser.add_argument("--quick", action="store_true", help="few rows, to see that it runs")
    parser.add_argument("--add", action="store_true", help="to the rows that are there")
    parser.add_argument("--here", action="store_true", help="in this process: what the others are started with")
    parser.add_argument("--one-launch", action="store_true", help="for a profiler")
    parser.add_argument("--page", type=Path, nargs="+", help="print the rows of these files, and measure nothing")
    options = parser.parse_args()
    if options.page:
        print(page([row for file in options.page for row in rows_of(file)]))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    if options.here or options.one_launch:
        return in_this_process(options)
    file = results(options.out)
    if not options.add:
        file.unlink(missing_ok=True)
    supervise(options, file)
    print(file.with_suffix(".md").read_text())
    return 0


def results(folder: Path) -> Path:
    return folder / "gpu_kernel.jsonl"


def note(file: Path, **row: Any) -> None:
    with file.open("a") as out:
        print(json.dumps(row, default=float), file=out, flush=True)
    try:
        text = page(rows_of(file))
    except Exception:  # a page that cannot be made must not end a run
        text = traceback.format_exc()
    file.with_suffix(".md").write_text(text)
    print({key: value for key, value in row.items() if key != "log"}, flush=True)


def supervise(
    options: argparse.Namespace, file: Path, program: Sequence[str] = ("-m", "benchmarks.gpu_kernel")
) -> None:
    """Start stages, one after the other in one process, and end it where a stage does not end by itself.

    Nothing of JAX is imported here: it would take the device's memory.
    """
    until = time.monotonic() + options.seconds
    left = list(options.stages or LIMITS)
    while left and time.monotonic() < until - 1:
        command = [sys.executable, "-u", *program, "--here", "--out", str(options.out)]
        command += ["--quick"] if options.quick else []
        command += ["--seconds", str(until - time.monotonic()), "--stages", *left]
        known = len(rows_of(file))
        child = subprocess.Popen(command)
        stage, why = _wait_for(child, file, known, left[0], until, PATIENCE if options.quick else 1)
        new = rows_of(file)[known:]
        done = {row["stage"] for row in new if row.get("mark") == "ended" or "failed" in row}
        if child.returncode == 0 and not why and not done:
            break  # it found that no time was left
        if stage not in done and (why or child.returncode or not done):
            note(file, stage=stage, failed=why or f"the process ended with {child.returncode}")
            done.add(stage)
        left = [name for name in left if name not in done]
    for name in left:
        note(file, stage=name, skipped="no time left for it")


def _wait_for(child: Any, file: Path, known: int, stage: str, until: float, patience: int) -> tuple[str, str]:
    """The last stage that has begun, and why the process was ended, if it was."""
    begun, slack = time.monotonic(), START
    while child.poll() is None:
        time.sleep(0.05)
        marks = [row["stage"] for row in rows_of(file)[known:] if row.get("mark") == "begins"]
        if marks and (marks[-1] != stage or slack == START):
            stage, begun, slack = marks[-1], time.monotonic(), SLACK
        if time.monotonic() > min(begun + patience * (LIMITS[stage] + slack), until + SLACK):
            child.kill()
            with suppress(subprocess.TimeoutExpired):
                child.wait(20)
            return stage, "ended from outside: it took too long"
    return stage, ""


def in_this_process(options: argparse.Namespace) -> int:
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_compilation_cache_dir", str(Path(tempfile.gettempdir()) / "gpu_kernel_compiled"))
    from . import speed
    from .work import Work

    file = results(options.out)
    until = time.monotonic() + options.seconds

    def work_of(limit: float) -> Work:
        ends = min(time.monotonic() + limit, until)
        return Work(options.out, options.quick, lambda: ends - time.monotonic())

    if options.one_launch:
        print(speed.one_launch(work_of(60.0)))
        return 0
    for name in options.stages or LIMITS:
        work = work_of(LIMITS[name] * (PATIENCE if options.quick else 1))
        if work.left() < 5 and not options.quick:
            return 0
        note(file, stage=name, mark="begins")
        begin = time.monotonic()
        try:
            for row in getattr(speed, name)(work):
                note(file, stage=name, **row)
        except Exception as error:  # the next stage begins in a new process: a device's errors stay
            text = traceback.format_exc().splitlines()
            note(file, stage=name, failed=f"{type(error).__name__}: {error}"[:1000], where=text[-6:])
            return 1
        note(file, stage=name, mark="ended", seconds=time.monotonic() - begin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
