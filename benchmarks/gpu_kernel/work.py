"""What is run, how much of it, and how times are taken."""

import statistics
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax import examples
from dicke_jax.dynamics._gpu.device import gpu_of

from ..gpu import in_precision
from ..peers import reference
from ..timing import timed

Row = dict[str, Any]
TOL = 1e-10
KERNEL, JAX = "solve_ensemble", "solve_ensemble without the kernel"


class Work(NamedTuple):
    """How much, and until when."""

    folder: Path
    quick: bool
    left: Callable[[], float]  # seconds until this stage is ended from outside

    def size(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full

    @property
    def rows(self) -> int:
        return self.size(1_000_000, 64)

    @property
    def end(self) -> float:
        return self.size(100.0, 3.0)


def paper(g0: float = 1.0, num_patterns: int = 4, dtype: Any = np.float64) -> dj.DickeModel:
    model = examples.paper_model(g0=g0, num_patterns=num_patterns)
    return model.replace(**{name: jnp.asarray(rate, dtype) for name, rate in model.rates.items()})


def random_rows(work: Work, model: dj.DickeModel, rows: int) -> dj.MeanFieldState:
    """The first of the same rows, whatever the stage and the precision."""
    states = jax.tree.map(lambda x: x[:rows], examples.random_states(jax.random.key(0), paper(), work.rows))
    return jax.block_until_ready(in_precision(states, model.dtype))


def others(rows: int) -> dict[str, tuple[dj.DickeModel, dj.MeanFieldState]]:
    """Models of other kinds that the kernel serves, with states."""
    G = np.random.default_rng(3).normal(size=(8, 32)) / 3
    decay = dj.LocalDissipation([("decay_x", 0.05), ("dephasing_x", np.linspace(0.01, 0.08, 8))])
    dense = dj.map_to_large_spins(dj.random_patterns(jax.random.key(5), 4, 40)).spins
    wide = dj.LargeSpins(dj.DenseCouplings(G), np.full(32, 1 / 32))
    models = {
        "hypercube, M = 6, K = 32": examples.uneven_model(6),
        "random patterns, dense": examples.uneven_model(spins=dense),
        "dense, M = 8, K = 32": examples.uneven_model(spins=wide),
        "dissipation": paper().replace(dissipation=decay),
        "a ramp of g0": paper().replace(g0=dj.PiecewiseLinear([0.0, 50.0], [0.3, 1.5])),
    }
    keys = jax.random.split(jax.random.key(1), rows)
    states = {name: jax.vmap(lambda key, m=model: dj.random_state(key, m))(keys) for name, model in models.items()}
    return {name: (model, states[name]) for name, model in models.items()}


def exact_rows(work: Work) -> np.ndarray:
    """Last spins of the first of these rows by SciPy, which takes a while: they are kept in a file."""
    file, rows = work.folder / "exact.npy", work.size(24, 2)
    if not file.exists():
        np.save(file, reference(paper(), random_rows(work, paper(), rows), work.end, rows))
    return np.load(file)


class Ensemble:
    """A call of `solve_ensemble`, its last result, and how long the kernel itself took in each call."""

    def __init__(self, name: str, *arguments: Any, **options: Any) -> None:
        self.name, self.arguments, self.options = name, arguments, options
        self.kernel: list[float] = []
        self.last: Any = None

    def __call__(self) -> None:
        gpu = gpu_of(jax.local_devices()[0])
        before = getattr(gpu, "seconds", 0.0)
        dj.use_gpu_kernel(self.name != JAX)
        try:
            self.last = dj.solve_ensemble(*self.arguments, **self.options)
        finally:
            dj.use_gpu_kernel(True)
        self.kernel.append(getattr(gpu, "seconds", 0.0) - before)

    def told(self, seconds: list[float]) -> Row:
        found = self.last
        row = dict(way=self.name, route=found.route) | spread(seconds, len(found.num_steps))
        row |= dict(steps=float(np.mean(found.num_steps)), failed=int((~found.successful).sum()))
        return row | dict(kernel_s=statistics.median(self.kernel[1:] or self.kernel))


def spread(seconds: list[float], rows: int) -> Row:
    middle = statistics.median(seconds)
    how = dict(s=middle, least_s=min(seconds), most_s=max(seconds), rounds=len(seconds))
    return how | dict(rows=rows, rows_per_s=rows / middle, us_a_row=1e6 * middle / rows)


def interleaved(work: Work, calls: dict[str, Callable[[], Any]], rounds: int) -> Generator[Row, None, dict[str, Any]]:
    """Seconds of each call, turn by turn, after one call of each that counts for nothing."""
    first: dict[str, float] = {}
    for name, call in calls.items():
        try:
            first[name], _ = timed(call)
        except Exception as error:  # the others are worth having
            yield dict(way=name, skipped=f"{type(error).__name__}: {error}"[:300])
    yield dict(first_calls_s=first)
    taken: dict[str, list[float]] = {name: [] for name in first}
    for turn in range(rounds):
        if turn and work.left() < 1.5 * sum(map(max, taken.values())):
            break
        for name in first:
            taken[name].append(timed(calls[name])[0])
    return taken
