"""The critical couplings of a model.

For every stored pattern: the coupling above which its retrieval state exists,
and the one above which no other pattern grows on it. Existing is not being
stable. And the coupling above which the normal state, which remembers
nothing, is not stable any more.
"""

import argparse
import math

from .. import LocalDissipation, critical_coupling
from .options import add_model, model_of, real
from .output import print_table

HELP = "critical couplings of every pattern, and of the normal state"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command)
    command.add_argument("--decay", type=real, default=0.0, metavar="RATE", help="of spins towards -x (default 0)")


def run(options: argparse.Namespace) -> None:
    model = model_of(options)
    if options.decay:
        model = model.replace(dissipation=LocalDissipation([("decay_x", options.decay)]))
    rows = []
    for nu in range(model.num_modes):
        values = [float(critical_coupling(model, nu, kind=kind)) for kind in ("existence", "stability")]
        rows.append((str(nu + 1), *("never" if value == math.inf else f"{value:.8f}" for value in values)))
    print_table("Critical couplings g0", ("pattern", "exists above", "stable above"), rows)
    print(f"The normal state is stable below {float(critical_coupling(model, kind='normal')):.8f}.")
