"""`dicke-jax transition`: the retrieval transition, Fig. 3 of the paper."""

import argparse
import math
from typing import TYPE_CHECKING

from .jax_setup import set_up_jax
from .options import add_model, add_scan, check_scan, model_of, points, positive
from .output import add_output, print_table, progress_bar

if TYPE_CHECKING:
    import xarray as xr

HELP = "overlaps and photons against the coupling: the paper's Fig. 3"
DESCRIPTION = """\
The retrieval transition of Carollo and Lesanovsky (2021), Fig. 3.

For every stored pattern and every coupling g0 the mean-field equations are
integrated from the perfectly stored pattern until nothing moves any more.
Below the pattern's critical coupling its overlap dies out; above, a finite
overlap stays, with a macroscopic number of photons in the pattern's mode.

All rates are in one unit; the paper's, and the default, is kappa = 1."""
EPILOG = """\
examples:
  dicke-jax transition                           the paper's figure
  dicke-jax transition --patterns 6 --points 80  more patterns, a finer grid
  dicke-jax transition --num-spins 100000        random patterns of that many
        spins, mapped with the subset sizes that they really have

It prints a table: for each pattern g_crit of Eq. 12, the threshold that the
simulated points show by themselves, the largest |simulation - theory| of the
overlap, and how many rows did not converge. It writes OUT/transition.png and
OUT/transition.nc (read it with xarray.open_dataset)."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command)
    scan = command.add_argument_group("scan")
    add_scan(scan, "g0", 0.3, 2.0, "coupling")
    scan.add_argument("--points", type=points, default=40, help="couplings for each pattern (default 40)")
    scan.add_argument(
        "--tol", type=positive, help="residual that counts as stationary, in kappa (default 1e-9; float32 1e-4)"
    )
    scan.add_argument(
        "--max-time",
        type=positive,
        metavar="TIME",
        help="longest run (default 1e6 / kappa; with --num-spins 1e4 / kappa)",
    )
    scan.add_argument(
        "--reduce",
        action="store_true",
        help="run the exact smaller model of each start: sooner, blind to instabilities",
    )
    add_output(command)


def run(options: argparse.Namespace) -> None:
    check_scan("g0", options.g0_min, options.g0_max)
    options.output.prepare(options.out, "transition")
    set_up_jax(options.precision, options.own_process)
    import jax.numpy as jnp

    from ..studies import retrieval_transition

    model = model_of(options)
    with progress_bar(options.quiet) as progress:
        results = retrieval_transition(
            model,
            jnp.linspace(options.g0_min, options.g0_max, options.points),
            tol=options.tol,
            max_time=options.max_time,
            reduce=options.reduce,
            progress=progress,
        )
    from ..plotting import plot_transition

    try:
        options.output.save(results, plot_transition)
    finally:  # the work is not lost on a full disk
        headings = "pattern", "g_crit", "estimate", "enclosed by", "max error", "not converged"
        rows = [_row(results.isel(pattern=nu)) for nu in range(results.sizes["pattern"])]
        print_table("Thresholds, and |simulation - theory| of the overlap", headings, rows)
    if options.reduce:
        print(results.attrs["symmetry_reduction"])
    options.output.tell()


def _row(row: "xr.Dataset") -> tuple[str, ...]:
    estimate, lower, upper = (float(row[name]) for name in ("g_estimate", "g_lower", "g_upper"))
    return (
        str(int(row.pattern) + 1),
        f"{float(row.g_crit):.6f}",
        f"{estimate:.6f}" if math.isfinite(estimate) else "-",
        f"{lower:.4f} .. {upper:.4f}" if math.isfinite(lower) else "outside",
        f"{float(abs(row.overlap - row.overlap_theory).max()):.1e}",
        f"{int((row.status != 0).sum())} of {row.sizes['g0']}",
    )
