"""Which patterns are stable, over the coupling g0 and one mode's frequency.

At every point all stationary states are searched for, and their stability
computed. It writes OUT/phases.png and OUT/phases.nc.
"""

import argparse
from typing import Any

import jax

from .options import MOST_PATTERNS, add_model, add_scan, model_of, scan_of, whole
from .output import add_output, watched

HELP = "a picture of stable patterns over coupling and mode frequency"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command)
    scan, text = command.add_argument_group("scan"), "whose frequency varies, from 1 (default 1)"
    add_scan(scan, "g0", 0.4, 3.0, "coupling")
    scan.add_argument("--mode", type=whole(1, MOST_PATTERNS), default=1, metavar="MU", help=text)
    add_scan(scan, "omega", 0.3, 4.0, "frequency of that mode")
    scan.add_argument("--points", type=whole(1, 1000), default=24, help="values of each (default 24)")
    add_output(command)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..plotting import plot_phases
    from ..studies import phase_diagram

    x, y = ("g0", scan_of(options, "g0")), (("omega_mode", options.mode - 1), scan_of(options, "omega"))
    model = model_of(options)
    if options.mode > model.num_modes:
        raise ValueError(f"--mode must be from 1 to {model.num_modes}; got {options.mode}.")
    results = watched(options.quiet, phase_diagram, jax.random.key(options.seed), model, x=x, y=y)
    options.output.save(results, plot_phases)
    missing = int((~results.complete).sum())
    print(f"{results.complete.size} points, {missing} of them with searches that may have missed states")
    return {"points": results.complete.size, "incomplete": missing}
