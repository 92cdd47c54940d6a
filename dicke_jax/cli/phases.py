"""`dicke-jax phases`: which patterns are stable, over the coupling and one mode's frequency."""

import argparse

from .jax_setup import set_up_jax
from .options import MOST_PATTERNS, add_model, add_scan, check_scan, model_of, whole
from .output import add_output, progress_bar

HELP = "a picture of stable patterns over coupling and mode frequency"
DESCRIPTION = """\
Which patterns are stable, over the coupling g0 and one mode's frequency.

At every point all stationary states are searched for, and their stability
computed. It writes OUT/phases.png and OUT/phases.nc."""
EPILOG = None


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command)
    scan = command.add_argument_group("scan")
    add_scan(scan, "g0", 0.4, 3.0, "coupling")
    scan.add_argument(
        "--mode",
        type=whole(1, MOST_PATTERNS),
        default=1,
        metavar="MU",
        help="whose frequency varies, from 1 (default 1)",
    )
    add_scan(scan, "omega", 0.3, 4.0, "frequency of that mode")
    scan.add_argument("--points", type=whole(1, 1000), default=24, help="values of each (default 24)")
    add_output(command)


def run(options: argparse.Namespace) -> None:
    check_scan("g0", options.g0_min, options.g0_max)
    check_scan("omega", options.omega_min, options.omega_max)
    options.output.prepare(options.out, "phases")
    set_up_jax(options.precision, options.own_process)
    import jax
    import numpy as np

    from ..studies import phase_diagram

    model = model_of(options)
    if options.mode > model.num_modes:
        raise ValueError(f"--mode must be from 1 to {model.num_modes}; got {options.mode}.")
    x = "g0", np.linspace(options.g0_min, options.g0_max, options.points)
    y = ("omega_mode", options.mode - 1), np.linspace(options.omega_min, options.omega_max, options.points)
    with progress_bar(options.quiet) as progress:
        results = phase_diagram(key=jax.random.key(options.seed), model=model, x=x, y=y, progress=progress)
    from ..plotting import plot_phases

    options.output.save(results, plot_phases)
    missing = int((~results.complete).sum())
    print(f"{results.complete.size} points, {missing} of them with searches that may have missed states")
    options.output.tell()
