"""`dicke-jax exactness`: the error E_N(t) of mean field against the number of spins."""

import argparse

from .jax_setup import set_up_jax
from .options import add_model, model_of, positive, real, whole
from .output import add_output, progress_bar

HELP = "the paper's theorem tested: E_N(t) against N"
DESCRIPTION = """\
How exact mean field is: the error E_N(t) of the paper's Eq. 9 against the
number of spins, from three routes that know nothing of each other.

The master equation for small N, truncated Wigner samples for any N, and the
Gaussian limit. E_N falls like 1/N; the theorem's bound stands in a corner.
It writes OUT/exactness.png and OUT/exactness.nc."""
EPILOG = None


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command, num_patterns=1)
    group = command.add_argument_group("run")
    group.add_argument("--g0", type=real, default=0.4, metavar="RATE", help="the coupling (default 0.4)")
    group.add_argument("--angle", type=real, default=0.4, help="of the tilted cue, in radians (default 0.4)")
    group.add_argument("--end", type=positive, default=4.0, metavar="TIME", help="of the run (default 4)")
    group.add_argument(
        "--exact", type=whole(1, 256), nargs="+", default=[4, 8, 16, 32], metavar="N", help="for the master equation"
    )
    group.add_argument(
        "--samples", type=whole(1, 10**7), default=20_000, help="of the Wigner ensembles (default 20,000)"
    )
    group.add_argument(
        "--levels", type=whole(1, 1000), default=None, help="photon levels kept (default: as many as it takes)"
    )
    add_output(command)


def run(options: argparse.Namespace) -> None:
    options.output.prepare(options.out, "exactness")
    set_up_jax(options.precision, options.own_process)
    import jax
    import jax.numpy as jnp

    from .. import tilted_pattern
    from ..studies import mean_field_exactness

    model = model_of(options).replace(g0=options.g0)
    state = tilted_pattern(jax.random.key(options.seed), model, 0, angle=options.angle)
    with progress_bar(options.quiet) as progress:
        results = mean_field_exactness(
            model,
            state,
            jnp.linspace(0.0, options.end, 41),
            exact_sizes=options.exact,
            levels=options.levels,
            num_samples=options.samples,
            key=jax.random.key(options.seed),
            progress=progress,
        )
    from ..plotting import plot_exactness

    options.output.save(results, plot_exactness)
    end = results.isel(time=-1)
    for route in ("exact", "sampled"):
        power, error = float(end[f"exponent_{route}"]), float(end[f"exponent_{route}_se"])
        print(f"E_N(t = {options.end:g}) falls like N^({power:.3f} +- {error:.3f}), {route}")
    untrusted = [int(n) for n in results.N_exact.values[results.status.values != 0]]
    if untrusted:
        print(f"not to be trusted, for lack of photon levels or a failed run: N = {untrusted}")
    options.output.tell()
