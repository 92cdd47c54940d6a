"""Steps against the speed of the modes, a table for docs/sharp-bits.md: `python -m benchmarks.stiff`."""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj


def bad_cavity(kappa: float) -> tuple[dj.DickeModel, dj.MeanFieldState]:
    """Two patterns, modes as fast as their loss, 1.5 times above the thresholds; and a cue."""
    omega, modes = 0.5, kappa * np.array([1.0, 1.4])
    threshold = np.sqrt(omega * (modes**2 + kappa**2 / 4) / (2 * modes)).max()
    model = dj.DickeModel(dj.LargeSpins.hypercube(2), omega, modes, kappa, 1.5 * threshold)
    return model, dj.tilted_pattern(jax.random.key(1), model, pattern=0, angle=0.3)


def row(kappa: float) -> str:
    """Steps to rest where spins decay, to t = 50 where they do not, and the time that rest would need there."""
    model, cue = bad_cavity(kappa)
    rest = dj.steadystate(model.replace(dissipation=dj.LocalDissipation([("decay_x", 0.1)])), cue)
    run, early = dj.mfsolve(model, cue, jnp.array([0.0, 50.0])), dj.steadystate(model, cue, max_time=50.0)
    steps = f"{int(rest.num_steps)}" if rest.successful else "not at rest"
    return f"| {kappa:.0e} | {steps} | {int(run.stats['num_steps'])} | {float(early.time_needed):.2g} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stiff", description=__doc__)
    parser.add_argument("kappas", type=float, nargs="*", default=[1e2, 1e3, 1e4, 1e5, 1e6], help="losses of the modes")
    jax.config.update("jax_enable_x64", True)
    for kappa in parser.parse_args().kappas:
        print(row(kappa), flush=True)


if __name__ == "__main__":
    main()
