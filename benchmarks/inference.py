"""Seconds for thresholds located through the overlap, and for a fit with many restarts against one with one.

Run `python benchmarks/inference.py`. Warm times are the least of some rounds, on the machine as it is.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import dicke_jax as dj


def paper(num_patterns: int, g0: float, **rates: Any) -> dj.DickeModel:
    """The paper's rates, or others."""
    values = dict(omega_spin=0.5, omega_mode=0.5 * (jnp.arange(float(num_patterns)) + 3), kappa=1.0, g0=g0) | rates
    return dj.DickeModel(dj.LargeSpins.hypercube(num_patterns), **values)


def trace(noise: float = 0.01) -> dj.TimeTrace:
    """Both overlaps of a run with other rates than the paper's, at 25 times, with noise."""
    truth = paper(2, 1.2, omega_spin=0.55, omega_mode=jnp.array([1.4, 2.1]), kappa=jnp.array([0.9, 1.1]))
    state, times = dj.tilted_pattern(jax.random.key(1), truth, 0, 0.6), jnp.linspace(0.0, 12.0, 25)
    clean = dj.mfsolve(truth, state, times).overlaps
    return dj.TimeTrace(times, clean + noise * jax.random.normal(jax.random.key(2), clean.shape), noise, state)


def timed(job: Callable[[], Any], rounds: int) -> tuple[float, float, Any]:
    """Of the first call, the least of later ones, and the result."""
    seconds = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        result = job()
        jax.block_until_ready(jax.tree.leaves(result))
        seconds.append(time.perf_counter() - begin)
    return seconds[0], min(seconds[1:]), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--restarts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, float64")

    first, warm, found = timed(
        lambda: [dj.locate_critical_coupling(paper(4, 3.0), nu) for nu in range(4)], options.rounds
    )
    exact = [float(dj.critical_coupling(paper(4, 3.0), nu)) for nu in range(4)]
    error = max(abs(float(each.g0) / g - 1) for each, g in zip(found, exact, strict=True))
    print(f"four thresholds from g0 = 3: {warm:.3f} s warm, {first:.1f} s at first, largest relative error {error:.0e}")

    data, start, key = trace(), paper(2, 1.05), jax.random.key(0)
    times = []
    for restarts in (1, options.restarts):
        first, warm, found = timed(
            lambda restarts=restarts: dj.fit(start, data, num_restarts=restarts, key=key), options.rounds
        )
        chi = float(found.reduced_chi_square)
        print(f"fit, {restarts} restarts: {warm:.3f} s warm, {first:.1f} s at first, reduced chi-square {chi:.3g}")
        times.append(warm)
    print(f"{options.restarts} restarts cost {times[1] / times[0]:.1f} times one")


if __name__ == "__main__":
    main()
