"""Pictures stored, one of them spoilt, and what comes back.

Every picture is a pattern with a mode of its own, every pixel a spin. Some
pixels of one picture are flipped, and the mean-field equations run. Without
decay of single spins a flipped pixel stays flipped; weak decay mends it.
It writes OUT/retrieve.png and OUT/retrieve.nc.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import DickeModel, LargeSpins, examples, image_patterns
from .options import MOST_PATTERNS, add_rates, add_seed, number, pattern_of, positive, rates_of, real, whole
from .output import add_output, print_table, reason_of

HELP = "store pictures, spoil one, and see it come back"
EPILOG = """\
examples:
  dicke-jax retrieve                             three pictures of its own
  dicke-jax retrieve a.png b.png c.png --pattern 2 --flip 0.3

Pictures are of one size; a pixel is +1 where it is brighter than the middle
of its picture's range. Pictures that are alike compete with each other."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    share = number(float, lambda x: 0 <= x <= 1, "from 0 to 1")
    not_negative = number(float, lambda x: 0 <= x < np.inf, "finite and not negative")
    command.add_argument("pictures", type=Path, nargs="*", metavar="FILE", help="pictures to store (default three own)")
    cue = command.add_argument_group("cue").add_argument
    cue("--pattern", type=whole(1, MOST_PATTERNS), default=1, metavar="NU", help="the spoilt one, from 1 (default 1)")
    cue("--flip", type=share, default=0.2, metavar="SHARE", help="of its pixels that are flipped (default 0.2)")
    add = command.add_argument_group("model").add_argument
    add("--g0", type=real, default=1.5, metavar="RATE", help="the coupling (default 1.5)")
    add_rates(add, "picture")
    add("--decay", type=not_negative, default=0.1, metavar="RATE", help="of spins towards -x (default 0.1)")
    add("--end", type=positive, default=200.0, metavar="TIME", help="of the runs (default 200)")
    add_seed(add, "of the flips (default 0)")
    add_output(command)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..plotting import plot_mending
    from ..studies import picture_mending

    pictures = _stored(options.pictures)
    num_pictures = len(pictures)
    if num_pictures > MOST_PATTERNS:
        raise ValueError(f"FILE must be at most {MOST_PATTERNS} pictures; got {num_pictures}.")
    spins, rates = LargeSpins.hypercube(num_pictures), rates_of(options, num_pictures)
    model, nu = DickeModel(spins, **rates, g0=options.g0), pattern_of(options, num_pictures)
    times = options.end * np.array([0.0, 0.025, 0.1, 0.3, 1.0])
    decays = (0.0, options.decay) if options.decay else (0.0,)
    how: dict[str, Any] = dict(pattern=nu, flip=options.flip, decays=decays)
    results = picture_mending(jax.random.key(options.seed), pictures, model, times, **how)
    options.output.save(results, plot_mending)
    right, overlap = results.share_right.values, results.overlap.isel(pattern=nu).values
    headings = "time", *(text for rate in decays for text in (f"right, decay {rate:g}", "overlap"))
    rows = []
    for j, t in enumerate(times):
        told = [text for i in range(len(decays)) for text in (f"{100 * right[i, j]:.1f} %", f"{overlap[i, j]:+.4f}")]
        rows.append((f"{t:g}", *told))
    print_table(f"Pixels of picture {options.pattern} that are right, and its overlap", headings, rows)
    return {"picture": nu, "time": times, "decay": decays, "share_right": right, "overlap": overlap}


def _stored(paths: list[Path]) -> Any:
    """Pictures from files, or three that are nearly orthogonal."""
    if not paths:
        return examples.pictures()
    for path in paths:
        try:
            image_patterns([path])
        except Exception as error:  # whatever a damaged file makes of a reader
            must_be = "FILE must be a picture that can be read, of more than one brightness"
            raise ValueError(f"{must_be}; got {path} ({reason_of(error)}).") from None
    return image_patterns(paths)
