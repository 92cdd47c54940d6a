"""The critical couplings of a model.

For every stored pattern: the coupling above which its retrieval state exists,
and the one above which no other pattern grows on it. Existing is not being
stable. And the coupling above which the normal state, which remembers
nothing, is not stable any more.
"""

import argparse
import math
from typing import Any

from .. import LocalDissipation, critical_coupling
from .options import add_model, model_of, real
from .output import print_table

HELP = "critical couplings of every pattern, and of the normal state"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command)
    command.add_argument("--decay", type=real, default=0.0, metavar="RATE", help="of spins towards -x (default 0)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    model = model_of(options)
    if options.decay:
        model = model.replace(dissipation=LocalDissipation([("decay_x", options.decay)]))
    patterns = range(model.num_modes)
    found: dict[str, Any] = {
        kind: [float(critical_coupling(model, nu, kind=kind)) for nu in patterns] for kind in ("existence", "stability")
    }
    rows = [(str(nu + 1), *(_told(values[nu]) for values in found.values())) for nu in patterns]
    print_table("Critical couplings g0", ("pattern", "exists above", "stable above"), rows)
    found["normal"] = float(critical_coupling(model, kind="normal"))
    print(f"The normal state is stable below {found['normal']:.8f}.")
    return found


def _told(coupling: float) -> str:
    return "never" if coupling == math.inf else f"{coupling:.8f}"
