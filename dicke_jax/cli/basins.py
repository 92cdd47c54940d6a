"""How far a cue may be off: the chance that a spoilt pattern comes back.

Cues are drawn at random, each run until nothing moves, and counted as
retrieved where it ends at its pattern; the bands are 95 % intervals.
It writes OUT/basins.png and OUT/basins.nc.
"""

import argparse
from typing import Any

import jax

from .options import MOST_PATTERNS, add_model, add_scan, model_of, pattern_of, positive, scan_of, whole
from .output import add_output, print_table, watched

HELP = "the chance of retrieval against coupling and cue"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_model(command, seed="patterns and cues")
    scan = command.add_argument_group("scan")
    add, kinds, strength = scan.add_argument, ("tilt", "flip"), "angles of tilts, or shares of flips (default 0.5 1)"
    add("--pattern", type=whole(1, MOST_PATTERNS), default=1, metavar="NU", help="the one cued, from 1 (default 1)")
    add("--cue", choices=kinds, default="tilt", help="subsets turned, or single spins flipped (default tilt)")
    add("--strength", type=positive, nargs="+", default=[0.5, 1.0], metavar="X", help=strength)
    add_scan(scan, "g0", 0.4, 1.6, "coupling")
    add("--points", type=whole(1, 1000), default=7, help="couplings (default 7)")
    add("--samples", type=whole(1, 10**6), default=64, help="cues at each point (default 64)")
    add_output(command)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..plotting import plot_basins
    from ..studies import retrieval_basins

    model, key = model_of(options), jax.random.key(options.seed)
    how = dict(pattern=pattern_of(options, model.num_modes), cue=options.cue, num_samples=options.samples)
    how |= dict(g0=scan_of(options, "g0"), strength=options.strength)
    results = watched(options.quiet, retrieval_basins, key, model, **how)
    options.output.save(results, plot_basins)
    shares = results.probability.transpose("g0", "strength").values
    lines = [(f"{g:.4g}", *(f"{share:.3f}" for share in row)) for g, row in zip(results.g0.values, shares, strict=True)]
    headings = "g0", *(f"{options.cue} {x:g}" for x in options.strength)
    print_table(f"Chance that pattern {options.pattern} comes back", headings, lines)
    names = "g0", "strength", "probability", "lower", "upper"
    return {name: results[name].transpose("g0", "strength", missing_dims="ignore").values for name in names}
