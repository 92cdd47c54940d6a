"""Seconds for thresholds, stationary states and stability: the first call in a process, and calls after it.

Run `python benchmarks/phases.py`. Times of a first call include compilation.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import dicke_jax as dj


def paper(num_patterns: int, g0: float, spins: dj.LargeSpins | None = None) -> dj.DickeModel:
    """The paper's rates."""
    spins = dj.LargeSpins.hypercube(num_patterns) if spins is None else spins
    omega_mode = 0.5 * (jnp.arange(float(num_patterns)) + 3)
    return dj.DickeModel(spins, omega_spin=0.5, omega_mode=omega_mode, kappa=1.0, g0=g0)


def sampled(num_patterns: int, num_spins: int, g0: float) -> dj.DickeModel:
    """Random patterns, with the subset sizes that they have."""
    patterns = dj.random_patterns(jax.random.key(0), num_patterns, num_spins)
    return paper(num_patterns, g0, dj.map_to_large_spins(patterns).spins)


def jobs(largest: int) -> dict[str, Callable[[], Any]]:
    """Name and call; each call makes all that it needs from rates."""
    damped = dj.LocalDissipation([("decay_x", 0.2)])
    four, few = paper(4, 1.0), sampled(4, 1000, 1.0)
    decaying = dj.DickeModel(four.spins, 0.5, four.omega_mode, 1.0, 1.0, dissipation=damped)
    many, uneven = paper(largest, 2.0), sampled(largest, 100_000, 2.0)
    found = [dj.stationary_state(uneven, jnp.eye(largest)[2])[0]]
    rows = {
        f"threshold, {kind}, {name}": lambda kind=kind, model=model: dj.critical_coupling(model, 2, kind=kind)
        for name, model in (("closed form", four), ("1000 spins", few), ("with decay", decaying))
        for kind in ("normal", "existence", "stability")
    }
    rows["all stationary states, M = 4"] = lambda: dj.stationary_states(jax.random.key(0), paper(4, 1.2))
    rows[f"stability, M = {largest}"] = lambda: dj.stability(many, dj.retrieval_state(many, 2))
    rows[f"stability, M = {largest}, 100,000 spins"] = lambda: dj.stability(uneven, found[0])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", type=int, default=12, help="of the largest model")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, float64")
    print(f"{'':<46}{'first call s':>14}{'later ms':>12}")
    for name, job in jobs(options.modes).items():
        seconds = []
        for _ in range(options.rounds + 1):
            start = time.perf_counter()
            jax.block_until_ready(jax.tree.leaves(job()))
            seconds.append(time.perf_counter() - start)
        print(f"{name:<46}{seconds[0]:>14.2f}{1e3 * statistics.median(seconds[1:]):>12.2f}")


if __name__ == "__main__":
    main()
