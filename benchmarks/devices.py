"""One and all local devices of this package, against as many heyoka.py processes as there are cores, in turn.

The heyoka processes are pinned to a core each, share the batch, and start every round together at a barrier.
"""

import multiprocessing
import os
from typing import Any

import jax
import numpy as np

import dicke_jax as dj
from dicke_jax import examples

from . import peers
from .modes import ensemble, traced
from .runner import all_cores
from .sizes import Size
from .timing import Mode, Outcome, compare


def measure(size: Size) -> list[dict[str, Any]]:
    cores = all_cores() or list(range(os.cpu_count() or 1))
    jax.config.update("jax_num_cpu_devices", len(cores))
    model = examples.paper_model(num_patterns=size.patterns[0])
    states = examples.random_states(jax.random.key(0), model, size.batch)
    exact = peers.reference(model, states, size.end, size.checked)
    work = model, states, size.end
    one = jax.local_devices()[:1]
    team = Team(*work, cores)
    every = f"{len(cores)} devices"
    modes = [
        ensemble("solve_ensemble, 1e-10, 1 device", *work, devices=one),
        ensemble(f"solve_ensemble, 1e-10, {every}", *work),
        *(ensemble(f"solve_ensemble, {tol:g}, {every}", *work, **traced(tol)) for tol in (1e-11, 5e-12, 1e-12)),
        Mode(f"heyoka.py, 1e-9, {len(cores)} processes", team.prepare),
    ]
    try:
        return compare(modes, exact, size)
    finally:
        team.end()


class Team:
    """A heyoka process on each core, and its share of the trajectories."""

    def __init__(self, model: dj.DickeModel, states: dj.MeanFieldState, end: float, cores: list[int]) -> None:
        self.model, self.states, self.end_time, self.cores, self.members = model, states, end, cores, []

    def prepare(self) -> Any:
        import heyoka  # noqa: F401 - the absence of a peer shows here, not in its processes

        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(len(self.cores) + 1)
        shares = np.array_split(np.arange(len(self.states.m)), len(self.cores))
        for core, share in zip(self.cores, shares, strict=True):
            here, there = context.Pipe()
            arrays = np.asarray(self.states.m)[share], np.asarray(self.states.alpha)[share]
            member = context.Process(target=_member, args=(there, barrier, core, *arrays, self.end_time), daemon=True)
            member.start()
            self.members.append((here, member))
        for pipe, _ in self.members:
            pipe.recv()  # built

        def run() -> Outcome:
            barrier.wait()
            parts = [pipe.recv() for pipe, _ in self.members]
            return Outcome(
                np.concatenate([p[0] for p in parts]), np.mean([p[1] for p in parts]), sum(p[2] for p in parts)
            )

        return run

    def end(self) -> None:
        for _, member in self.members:
            member.terminate()


def _member(pipe: Any, barrier: Any, core: int, m: np.ndarray, alpha: np.ndarray, end: float) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [core])
    jax.config.update("jax_enable_x64", True)
    model = examples.paper_model(num_patterns=alpha.shape[1])
    run = peers.heyoka("", model, dj.MeanFieldState(m, alpha), end, 1e-9).prepare()
    pipe.send("built")
    while True:
        barrier.wait()
        pipe.send(tuple(run()))
