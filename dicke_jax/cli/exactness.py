"""How exact mean field is: the error E_N(t) of Eq. 9 against the number of spins.

Three routes know nothing of each other: the master equation for small N,
truncated Wigner samples for any N, and the Gaussian limit. E_N falls like
1/N; the theorem's bound stands in a corner.
It writes OUT/exactness.png and OUT/exactness.nc.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp

from .. import tilted_pattern
from .options import add_model, model_of, positive, real, whole
from .output import add_output, watched

HELP = "the paper's theorem tested: E_N(t) against N"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command, num_patterns=1)
    add, sizes = command.add_argument_group("run").add_argument, [4, 8, 16, 32]
    add("--g0", type=real, default=0.4, metavar="RATE", help="the coupling (default 0.4)")
    add("--angle", type=real, default=0.4, help="of the tilted cue, in radians (default 0.4)")
    add("--end", type=positive, default=4.0, metavar="TIME", help="of the run (default 4)")
    add("--exact", type=whole(1, 256), nargs="+", default=sizes, metavar="N", help="for the master equation")
    add("--samples", type=whole(1, 10**7), default=20_000, help="of the Wigner ensembles (default 20,000)")
    add("--levels", type=whole(1, 1000), help="photon levels kept (default: as many as it takes)")
    add_output(command)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..plotting import plot_exactness
    from ..studies import mean_field_exactness

    model, key = model_of(options).replace(g0=options.g0), jax.random.key(options.seed)
    state = tilted_pattern(key, model, 0, angle=options.angle)
    sizes = dict(exact_sizes=options.exact, levels=options.levels, num_samples=options.samples)
    times = jnp.linspace(0.0, options.end, 41)
    results = watched(options.quiet, mean_field_exactness, model, state, times, key=key, **sizes)
    options.output.save(results, plot_exactness)
    end, found = results.isel(time=-1), dict[str, Any](time=options.end)
    for route in ("exact", "sampled"):
        power, error = float(end[f"exponent_{route}"]), float(end[f"exponent_{route}_se"])
        found[route] = {"exponent": power, "standard_error": error}
        print(f"E_N(t = {options.end:g}) falls like N^({power:.3f} +- {error:.3f}), {route}")
    untrusted = [int(n) for n in results.N_exact.values[results.status.values != 0]]
    if untrusted:
        print(f"not to be trusted, for lack of photon levels or a failed run: N = {untrusted}")
    return found | {"untrusted": untrusted}
