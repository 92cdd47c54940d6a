"""The photon cut-off: how many levels are kept, whether they were enough, and whether their space fits."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from .._checks import check_count, known, refuse
from .large_spin_space import LargeSpinSpace

FIRST_LEVELS = 10  # of each mode, where none are asked for
MOST_GIGABYTES = 8


class MasterStatus(eqx.Enumeration):
    """How a run of `mesolve` or `mcsolve` ended."""

    successful = "successful: the highest photon levels kept are empty within the tolerance"
    cut_off = "cut off: the highest photon level kept is populated; use more levels"
    failed = "failed: the integration broke down or met numbers that are not finite"


def as_levels(levels: int | Sequence[int], num_modes: int) -> tuple[int, ...]:
    """Photon levels of each mode, from one number or one for each."""
    each = (levels,) * num_modes if isinstance(levels, int | np.integer) else tuple(levels)
    if len(each) != num_modes:
        refuse("levels", f"one number or {num_modes}, one for each mode", f"{len(each)}")
    for n in each:
        check_count("levels", n, least=2)
    return tuple(int(n) for n in each)


def with_enough_levels(
    attempt: Callable[[tuple[int, ...]], Any],
    fits: Callable[[tuple[int, ...]], bool],
    num_modes: int,
    cutoff_tol: float,
) -> Any:
    """The first run whose highest levels are empty within the tolerance; else the last that fits, which says so.

    The population falls about like a power of the level's number n: p at n tells where it is below the tolerance.
    """
    levels = (FIRST_LEVELS,) * num_modes
    run = attempt(levels)
    if not known(run.top_population):
        refuse("levels", "given where arguments are traced", "None")
    while run.status == MasterStatus.cut_off:
        top = np.max(np.asarray(run.top_population, float), axis=0)
        levels = tuple(n if p < cutoff_tol else _more(n, p, cutoff_tol) for n, p in zip(levels, top, strict=True))
        if not fits(levels):
            break
        run = attempt(levels)
    return run


def _more(n: int, population: float, tol: float) -> int:
    share = math.log(tol) / math.log(population) if population < 1 else 2.0
    return math.ceil(n * min(max(1.1 * share, 1.25), 2.0))


def fits(space: LargeSpinSpace, bytes_each: float, power: int) -> bool:
    return _log_gigabytes(space, bytes_each, power) <= math.log10(MOST_GIGABYTES)


def check_fits(space: LargeSpinSpace, bytes_each: float, power: int, must_be: str) -> None:
    """Refuse a space where bytes_each dimension^power are more than fit."""
    if not fits(space, bytes_each, power):
        dimension, magnitude = math.prod(space.sites), _log_gigabytes(space, bytes_each, power)
        size = f"{dimension}" if dimension < 10**15 else f"about 10^{math.log10(dimension):.0f}"
        needed = f"{10**magnitude:.3g}" if magnitude < 300 else f"10^{magnitude:.0f}"
        refuse("subset_size and levels", must_be, f"dimension {size}, {needed} GB")


def _log_gigabytes(space: LargeSpinSpace, bytes_each: float, power: int) -> float:
    """To base 10, for the number itself may be enormous."""
    return math.log10(bytes_each / 1e9) + power * math.log10(math.prod(space.sites))
