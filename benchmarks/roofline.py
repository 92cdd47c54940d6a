"""One step of the series against what the machine can do: operations and bytes counted, ceilings measured.

Bytes are those of the arrays of one step, each written once and read once: what a step that keeps nothing in a cache
cannot avoid. Ceilings are a large matrix product, and the sum of two arrays as large as those of the step.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax import examples

from .sizes import Size
from .timing import in_turn, spread, timed

ORDER = dj.BilinearTaylor().series_order


def step_flops(modes: int, subsets: int, order: int = ORDER) -> int:
    """Cauchy products of x and y with the field, both maps of the hypercube, linear terms, and the sum at the end."""
    products = 4 * subsets * order * (order + 1) // 2
    maps = order * (3 + 4) * subsets
    linear = order * (6 * subsets + 10 * modes)
    horner = 2 * order * (3 * subsets + 2 * modes)
    return products + maps + linear + horner


def step_bytes(modes: int, subsets: int, order: int = ORDER) -> int:
    """x, y, z, both quadratures and the field: float64 coefficients, written once and read once."""
    return 2 * 8 * ((order + 1) * (3 * subsets + 2 * modes) + order * subsets)


def bandwidth(num_bytes: int) -> float:
    """Bytes per second of c = a + b, where the three arrays together hold as many."""
    size = max(num_bytes // 24, 1024)
    repeat = max(1, 2**24 // size)
    if jax.default_backend() == "cpu":
        a, b, c = np.ones(size), np.ones(size), np.zeros(size)

        def add() -> None:
            for _ in range(repeat):
                np.add(a, b, out=c)
    else:
        x, plus, repeat = jnp.ones(size), jax.jit(lambda a, b: a + b), 1

        def add() -> jax.Array:
            return plus(x, x)

    add()
    return 24 * size * repeat / min(timed(add)[0] for _ in range(7))


def peak_flops(size: int = 768) -> float:
    """Operations per second of a product of float64 matrices."""
    if jax.default_backend() == "cpu":
        a, b, product = np.ones((size, size)), np.ones((size, size)), np.matmul
    else:
        size, product = 8192, jax.jit(jnp.matmul)
        a = b = jnp.ones((size, size))
    product(a, b)
    return 2 * size**3 / min(timed(lambda: product(a, b))[0] for _ in range(7))


def measure(size: Size) -> dict[str, Any]:
    """A row for each number of patterns M: one trajectory through `mfsolve`; for the smallest M a batch, too."""
    flops, stream = peak_flops(), bandwidth(24 * size.stream)
    rows = [single(patterns, size) for patterns in size.patterns]
    rows.insert(0, batched(size.patterns[0], size))
    for row in rows:
        modes, subsets, seconds = row["modes"], row["subsets"], 1e-3 * row["ms"]["median"]
        row["flops"], row["bytes"] = step_flops(modes, subsets), step_bytes(modes, subsets)
        row["of_flops"] = row["flops"] / seconds / flops
        row["stream_ms"] = 1e3 * row["bytes"] / bandwidth(row["bytes"])
        row["memory_ms"] = 1e3 * row["bytes"] / stream
    return dict(peak_gflops=flops / 1e9, memory_gb_per_s=stream / 1e9, order=ORDER, rows=rows)


def single(patterns: int, size: Size) -> dict[str, Any]:
    """A run so long that what is done once hardly counts."""
    model = examples.paper_model(num_patterns=patterns)
    state = jax.tree.map(lambda x: x[0], examples.random_states(jax.random.key(0), model, 1))
    times = jnp.array([0.0, 20.0 if patterns > 8 else 100.0])

    @jax.jit
    def solve() -> tuple[jax.Array, jax.Array]:
        sol = dj.mfsolve(model, state, times, throw=False)
        return sol.overlaps[-1], sol.stats["num_steps"]

    first, (_, steps) = timed(solve)
    ms = spread(in_turn({"": solve}, size.rounds)[""], int(steps))
    return _row(f"M = {patterns}, one trajectory", model, ms, first)


def batched(patterns: int, size: Size) -> dict[str, Any]:
    model = examples.paper_model(num_patterns=patterns)
    states = examples.random_states(jax.random.key(0), model, size.batch)
    device = jax.local_devices()[:1]

    def solve() -> int:
        return int(dj.solve_ensemble(model, states, [0.0, size.end], save="final", devices=device).num_steps.sum())

    first, steps = timed(solve)
    ms = spread(in_turn({"": solve}, size.rounds)[""], steps)
    return _row(f"M = {patterns}, of {size.batch} in solve_ensemble", model, ms, first)


def _row(name: str, model: dj.DickeModel, ms: dict[str, float], first: float) -> dict[str, Any]:
    return dict(mode=name, modes=model.num_modes, subsets=model.num_subsets, ms=ms, first_s=first)
