"""Time and error of `mfsolve` with several solvers: generic states of the paper's model, T = 100.

Run `python benchmarks/trajectories.py`. Every solver takes its turn in every round of one process, so that a machine
whose speed drifts treats all alike; medians are printed, compile time apart. The error is that of the final spins
against a run of Dopri8 at 1e-13, the median and the largest over the batch.
"""

import argparse
import statistics
import time

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj

SOLVERS = {
    "Taylor, 1e-10": (dj.BilinearTaylor(), 1e-10),
    "Taylor, 1e-12": (dj.BilinearTaylor(), 1e-12),
    "Dopri8, 1e-10": (dfx.Dopri8(), 1e-10),
    "Tsit5, 1e-8": (dfx.Tsit5(), 1e-8),
}
CHUNK = 16  # trajectories in lock step; their series then fit into the cache


def measure(batch: int, end_time: float, rounds: int) -> list[dict[str, float | str]]:
    """One row for each solver: milliseconds for a trajectory, steps, errors, seconds to compile."""
    spins = dj.LargeSpins.hypercube(4)
    model = dj.DickeModel(spins, omega_spin=0.5, omega_mode=0.5 * (jnp.arange(4.0) + 3), kappa=1.0, g0=1.0)
    states = jax.vmap(lambda key: dj.random_state(key, model))(jax.random.split(jax.random.key(0), batch))
    times = jnp.array([0.0, end_time])

    def runner(solver, tol):
        def one(state):
            options = dict(solver=solver, rtol=tol, atol=tol, max_steps=None, adjoint=dfx.ForwardMode(), throw=False)
            sol = dj.mfsolve(model, state, times, **options)
            return sol.m[-1], sol.stats["num_steps"], sol.successful

        return jax.jit(lambda s: jax.lax.map(one, s, batch_size=CHUNK))

    reference, _, good = runner(dfx.Dopri8(), 1e-13)(states)
    assert bool(good.all())
    runners, rows, seconds = {}, [], {name: [] for name in SOLVERS}
    for name, (solver, tol) in SOLVERS.items():
        start = time.perf_counter()
        runners[name] = runner(solver, tol).lower(states).compile()
        rows.append({"solver": name, "compile_s": time.perf_counter() - start})
    for _ in range(rounds + 1):
        for name, run in runners.items():
            start = time.perf_counter()
            jax.block_until_ready(run(states))
            seconds[name].append(time.perf_counter() - start)
    for row in rows:
        final, steps, good = runners[row["solver"]](states)
        error = np.abs(np.asarray(final - reference)).max(axis=(1, 2))
        row["ms"] = 1e3 * statistics.median(seconds[row["solver"]][1:]) / batch
        row["steps"] = float(np.mean(steps))
        row["median_error"], row["largest_error"] = float(np.median(error)), float(error.max())
        row["failed"] = int(np.sum(~np.asarray(good)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--time", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}, float64, batch {options.batch}, T = {options.time:g}"
    )
    print(
        f"{'solver':<15}{'ms each':>9}{'steps':>8}{'median err':>12}{'largest err':>12}{'failed':>8}{'compile s':>11}"
    )
    for row in measure(options.batch, options.time, options.rounds):
        print(
            f"{row['solver']:<15}{row['ms']:>9.3f}{row['steps']:>8.0f}{row['median_error']:>12.1e}"
            f"{row['largest_error']:>12.1e}{row['failed']:>8}{row['compile_s']:>11.2f}"
        )


if __name__ == "__main__":
    main()
