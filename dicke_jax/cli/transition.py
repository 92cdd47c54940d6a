"""The retrieval transition of Carollo and Lesanovsky (2021), Fig. 3.

For every stored pattern and every coupling g0 the mean-field equations are
integrated from the perfectly stored pattern until nothing moves any more.
Below the pattern's critical coupling its overlap dies out; above, a finite
overlap stays, with a macroscopic number of photons in the pattern's mode.

All rates are in one unit; the paper's, and the default, is kappa = 1.
"""

import argparse
import math
from typing import Any

from .options import add_model, add_scan, model_of, positive, scan_of, whole
from .output import add_output, print_table, watched

HELP = "overlaps and photons against the coupling: the paper's Fig. 3"
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
    tol = "residual that counts as stationary, in kappa (default 1e-9; float32 1e-4)"
    longest = "longest run (default 1e6 / kappa; with --num-spins 1e4 / kappa)"
    reduce = "run the exact smaller model of each start: sooner, blind to instabilities"
    scan.add_argument("--points", type=whole(1, 100_000), default=40, help="couplings for each pattern (default 40)")
    scan.add_argument("--tol", type=positive, help=tol)
    scan.add_argument("--max-time", type=positive, metavar="TIME", help=longest)
    scan.add_argument("--reduce", action="store_true", help=reduce)
    add_output(command)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..plotting import plot_transition
    from ..studies import retrieval_transition

    g0, how = scan_of(options, "g0"), dict(tol=options.tol, max_time=options.max_time, reduce=options.reduce)
    results = watched(options.quiet, retrieval_transition, model_of(options), g0, **how)
    try:
        options.output.save(results, plot_transition)
    finally:  # the work is not lost on a full disk
        headings = "pattern", "g_crit", "estimate", "enclosed by", "max error", "not converged"
        found = [_of_pattern(results.isel(pattern=nu)) for nu in range(results.sizes["pattern"])]
        rows = [_row(nu, results.sizes["g0"], values) for nu, values in enumerate(found)]
        print_table("Thresholds, and |simulation - theory| of the overlap", headings, rows)
    if options.reduce:
        print(results.attrs["symmetry_reduction"])
    return {"couplings": results.sizes["g0"], "patterns": found}


def _of_pattern(row: Any) -> dict[str, Any]:
    found = {name: float(row[name]) for name in ("g_crit", "g_estimate", "g_lower", "g_upper")}
    error = float(abs(row.overlap - row.overlap_theory).max())
    return found | {"max_error": error, "not_converged": int((row.status != 0).sum())}


def _row(nu: int, num_couplings: int, found: dict[str, Any]) -> tuple[str, ...]:
    is_seen, is_enclosed = (math.isfinite(found[name]) for name in ("g_estimate", "g_lower"))
    return (
        str(nu + 1),
        f"{found['g_crit']:.6f}",
        f"{found['g_estimate']:.6f}" if is_seen else "-",
        f"{found['g_lower']:.4f} .. {found['g_upper']:.4f}" if is_enclosed else "outside",
        f"{found['max_error']:.1e}",
        f"{found['not_converged']} of {num_couplings}",
    )
