"""The command `dicke-jax`: arguments in, tables and files out. The work is done in `studies` and `plotting`."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__

if TYPE_CHECKING:
    import xarray as xr

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
    physics = command.add_argument_group("model")
    physics.add_argument("--patterns", type=int, metavar="M", help="stored patterns, one mode each (default 4)")
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
    scan.add_argument("--precision", choices=("float64", "float32"), default="float64")
    output = command.add_argument_group("output")
    output.add_argument(
        "--out", type=Path, default=Path("."), metavar="FOLDER", help="where the files go (default here)"
    )
    output.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all went well, 2 for arguments that do not fit, 130 if interrupted."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except ValueError as error:
        print(f"dicke-jax: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dicke-jax: interrupted; nothing was written", file=sys.stderr)
        return 130


def run_transition(options: argparse.Namespace) -> int:
    out = _writable_folder(options.out)

    import jax

    jax.config.update("jax_enable_x64", options.precision == "float64")
    import jax.numpy as jnp
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from . import DickeModel, LargeSpins, map_to_large_spins, random_patterns
    from .plotting import plot_transition
    from .studies import retrieval_transition, save_results

    if options.points < 1:
        raise ValueError(f"--points must be at least 1; got {options.points}.")
    if not options.g0_min < options.g0_max:
        raise ValueError(f"--g0-min must be below --g0-max; got {options.g0_min} and {options.g0_max}.")
    if options.patterns is None:
        options.patterns = len(options.omega_mode) if options.omega_mode else 4
    num_patterns = options.patterns
    omega_mode = options.omega_mode or [options.omega_spin * (mu + 3) for mu in range(num_patterns)]
    if options.num_spins is None:
        spins = LargeSpins.hypercube(num_patterns)
    else:
        spins = map_to_large_spins(random_patterns(jax.random.key(options.seed), num_patterns, options.num_spins)).spins
    kappa = options.kappa[0] if len(options.kappa) == 1 else jnp.array(options.kappa)
    model = DickeModel(spins, options.omega_spin, jnp.array(omega_mode), kappa, g0=1.0)

    with _Progress(options.quiet) as progress:
        results = retrieval_transition(
            model,
            jnp.linspace(options.g0_min, options.g0_max, options.points),
            tol=options.tol,
            max_time=options.max_time,
            progress=progress,
        )
    _print_table(results)
    data = save_results(results, out / "transition.nc")
    plot_transition(results)
    picture = out / "transition.png"
    plt.savefig(picture, dpi=160)
    plt.close("all")
    print(f"wrote {picture} and {data}")
    return 0


def _writable_folder(folder: Path) -> Path:
    """Make the folder and write to it, before any work is done for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ValueError(
            f"--out must be a folder that can be written; got {folder} ({os.strerror(error.errno or 0)})."
        ) from None


class _Progress:
    """A bar on stderr with the time left."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(*columns, *times, console=Console(stderr=True), disable=quiet)
        self.task = self.bar.add_task("compiling", total=None)

    def __enter__(self) -> "_Progress":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self.bar.update(self.task, completed=done, total=total, description="runs" if done else "compiling")


def _print_table(results: "xr.Dataset") -> None:
    import numpy as np
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title="Thresholds, and |simulation - theory| of the overlap", title_justify="left"
    )
    for heading in ("pattern", "g_crit", "estimate", "enclosed by", "max error", "not converged"):
        table.add_column(heading, justify="right", no_wrap=True)
    for nu in range(results.sizes["pattern"]):
        row = results.isel(pattern=nu)
        seen = bool(np.isfinite(row.g_lower))
        table.add_row(
            str(nu + 1),
            f"{float(row.g_crit):.6f}",
            f"{float(row.g_estimate):.6f}" if np.isfinite(row.g_estimate) else "-",
            f"{float(row.g_lower):.4f} .. {float(row.g_upper):.4f}" if seen else "outside",
            f"{float(abs(row.overlap - row.overlap_theory).max()):.1e}",
            f"{int((row.status != 0).sum())} of {row.sizes['g0']}",
        )
    Console().print(table)
