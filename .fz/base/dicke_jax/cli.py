"""The command `dicke-jax`: its arguments."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .commands import run_critical, run_exactness, run_phases, run_transition

TRANSITION = """\
The retrieval transition of Carollo and Lesanovsky (2021), Fig. 3.

For every stored pattern and every coupling g0 the mean-field equations are
integrated from the perfectly stored pattern until nothing moves any more.
Below the pattern's critical coupling its overlap dies out; above, a finite
overlap stays, with a macroscopic number of photons in the pattern's mode.

All rates are in one unit; the paper's, and the default, is kappa = 1."""

EXAMPLES = """\
examples:
  dicke-jax transition                           the paper's figure
  dicke-jax transition --patterns 6 --points 80  more patterns, a finer grid
  dicke-jax transition --num-spins 100000        random patterns of that many
        spins, mapped with the subset sizes that they really have

It prints a table: for each pattern g_crit of Eq. 12, the threshold that the
simulated points show by themselves, the largest |simulation - theory| of the
overlap, and how many rows did not converge. It writes OUT/transition.png and
OUT/transition.nc (read it with xarray.open_dataset)."""


CRITICAL = """\
The critical couplings of a model.

For every stored pattern: the coupling above which its retrieval state exists,
and the one above which no other pattern grows on it. Existing is not being
stable. And the coupling above which the normal state, which remembers
nothing, is not stable any more."""

PHASES = """\
Which patterns are stable, over the coupling g0 and one mode's frequency.

At every point all stationary states are searched for, and their stability
computed. It writes OUT/phases.png and OUT/phases.nc."""


EXACTNESS = """\
How exact mean field is: the error E_N(t) of the paper's Eq. 9 against the
number of spins, from three routes that know nothing of each other.

The master equation for small N, truncated Wigner samples for any N, and the
Gaussian limit. E_N falls like 1/N; the theorem's bound stands in a corner.
It writes OUT/exactness.png and OUT/exactness.nc."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dicke-jax",
        description="Open multimode Dicke models as associative memories.",
        epilog="dicke-jax COMMAND --help teaches a command.",
    )
    parser.add_argument("--version", action="version", version=f"dicke-jax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = commands.add_parser(
        "transition",
        help="overlaps and photons against the coupling: the paper's Fig. 3",
        description=TRANSITION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run_transition)
    _add_model(command)
    scan = command.add_argument_group("scan")
    scan.add_argument("--g0-min", type=float, default=0.3, metavar="RATE", help="smallest coupling (default 0.3)")
    scan.add_argument("--g0-max", type=float, default=2.0, metavar="RATE", help="largest coupling (default 2.0)")
    scan.add_argument("--points", type=int, default=40, help="couplings for each pattern (default 40)")
    scan.add_argument(
        "--tol", type=float, help="residual that counts as stationary, in kappa (default 1e-9; float32 1e-4)"
    )
    scan.add_argument(
        "--max-time", type=float, metavar="TIME", help="longest run (default 1e6 / kappa; with --num-spins 1e4 / kappa)"
    )
    scan.add_argument(
        "--reduce",
        action="store_true",
        help="run the exact smaller model of each start: sooner, blind to instabilities",
    )
    _add_output(command)

    command = commands.add_parser(
        "critical",
        help="critical couplings of every pattern, and of the normal state",
        description=CRITICAL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run_critical)
    _add_model(command)
    command.add_argument(
        "--decay", type=float, default=0.0, metavar="RATE", help="of single spins, towards -x (default 0)"
    )

    command = commands.add_parser(
        "phases",
        help="a picture of stable patterns over coupling and mode frequency",
        description=PHASES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run_phases)
    _add_model(command)
    scan = command.add_argument_group("scan")
    scan.add_argument("--g0-min", type=float, default=0.4, metavar="RATE", help="smallest coupling (default 0.4)")
    scan.add_argument("--g0-max", type=float, default=3.0, metavar="RATE", help="largest coupling (default 3.0)")
    scan.add_argument("--mode", type=int, default=1, metavar="MU", help="whose frequency varies, from 1 (default 1)")
    scan.add_argument("--omega-min", type=float, default=0.3, metavar="RATE", help="its smallest value (default 0.3)")
    scan.add_argument("--omega-max", type=float, default=4.0, metavar="RATE", help="its largest value (default 4.0)")
    scan.add_argument("--points", type=int, default=24, help="values of each (default 24)")
    _add_output(command)

    command = commands.add_parser(
        "exactness",
        help="the paper's theorem tested: E_N(t) against N",
        description=EXACTNESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run_exactness)
    _add_model(command, num_patterns=1)
    scan = command.add_argument_group("run")
    scan.add_argument("--g0", type=float, default=0.4, metavar="RATE", help="the coupling (default 0.4)")
    scan.add_argument("--angle", type=float, default=0.4, help="of the tilted cue, in radians (default 0.4)")
    scan.add_argument("--end", type=float, default=4.0, metavar="TIME", help="of the run (default 4)")
    scan.add_argument(
        "--exact", type=int, nargs="+", default=[4, 8, 16, 32], metavar="N", help="for the master equation"
    )
    scan.add_argument("--samples", type=int, default=20_000, help="of the Wigner ensembles (default 20,000)")
    scan.add_argument("--levels", type=int, default=None, help="photon levels kept (default: as many as it takes)")
    _add_output(command)
    return parser


def _add_model(command: argparse.ArgumentParser, num_patterns: int | None = None) -> None:
    physics = command.add_argument_group("model")
    physics.add_argument(
        "--patterns",
        type=int,
        default=num_patterns,
        metavar="M",
        help=f"stored patterns, one mode each (default {num_patterns or 4})",
    )
    physics.add_argument("--omega-spin", type=float, default=0.5, metavar="RATE", help="Omega (default 0.5)")
    physics.add_argument(
        "--omega-mode", type=float, nargs="+", metavar="RATE", help="Omega_mu, one a pattern (default Omega * (mu + 2))"
    )
    physics.add_argument(
        "--kappa",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="RATE",
        help="photon loss, one or one a pattern (default 1)",
    )
    physics.add_argument(
        "--num-spins", type=int, metavar="N", help="draw random patterns of N spins (default: infinitely many spins)"
    )
    physics.add_argument("--seed", type=int, default=0, help="of the random patterns (default 0)")
    physics.add_argument("--precision", choices=("float64", "float32"), default="float64")


def _add_output(command: argparse.ArgumentParser) -> None:
    output = command.add_argument_group("output")
    output.add_argument(
        "--out", type=Path, default=Path("."), metavar="FOLDER", help="where the files go (default here)"
    )
    output.add_argument("--quiet", action="store_true", help="no progress bar")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all went well, 2 for arguments that do not fit, 130 if interrupted."""
    options = build_parser().parse_args(arguments)
    options.own_process = arguments is None
    try:
        return options.run(options)
    except ValueError as error:
        print(f"dicke-jax: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dicke-jax: interrupted; nothing was written", file=sys.stderr)
        return 130
