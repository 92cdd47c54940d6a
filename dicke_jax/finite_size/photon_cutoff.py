"""The photon cut-off: how many levels are kept, whether they were enough, and whether their space fits."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._checks import check_count, known, refuse
from .._progress import say
from .._status import Status, where
from ..mean_field import DickeModel, MeanFieldState
from .spin_space import LargeSpinSpace

FIRST_LEVELS = 10  # of each mode, where none are asked for
MOST_GIGABYTES = 8


class LargestSeen(dfx.AbstractAdaptiveStepSizeController):
    """A controller that holds the largest numbers that the states after its steps had since the saved time before.

    A pulse between two saved times may fill levels that are empty again at the second. To save what every step had
    would take room for as many steps as there may be.
    """

    controller: dfx.AbstractAdaptiveStepSizeController
    times: Array
    numbers: Callable[[Any], Array]
    rtol: Any = None
    atol: Any = None
    norm: Any = None

    def __init__(self, controller: Any, times: Array, numbers: Callable[[Any], Array]) -> None:
        self.controller, self.times, self.numbers = controller, times, numbers
        self.rtol, self.atol, self.norm = controller.rtol, controller.atol, controller.norm

    def wrap(self, direction: Any) -> "LargestSeen":
        wrapped: Any = self.controller.wrap(direction)
        return LargestSeen(wrapped, self.times, self.numbers)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        end, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        first = self.numbers(y0)
        return end, (state, jnp.zeros((self.times.size, *first.shape), first.dtype).at[0].set(first))

    def adapt_step_size(
        self,
        t0: Any,
        t1: Any,
        y0: Any,
        y1_candidate: Any,
        args: Any,
        y_error: Any,
        error_order: Any,
        controller_state: Any,
    ) -> Any:
        state, seen = controller_state
        how = y0, y1_candidate, args, y_error, error_order, state
        kept, begin, end, jump, state, result = self.controller.adapt_step_size(t0, t1, *how)
        now = jnp.where(kept, self.numbers(y1_candidate), 0)
        seen = seen.at[jnp.searchsorted(self.times, t1)].max(now, mode="drop")
        return kept, begin, end, jump, (state, seen), result

    @staticmethod
    def found(state: Any) -> Array:
        """(T, ...), at the end of a run."""
        return state[1]


def as_levels(levels: int | Sequence[int], num_modes: int) -> tuple[int, ...]:
    """Photon levels of each mode, from one number or one for each."""
    numbers = (levels,) * num_modes if isinstance(levels, int | np.integer) else tuple(levels)
    if len(numbers) != num_modes:
        refuse("levels", f"one number or {num_modes}, one for each mode", f"{len(numbers)}")
    for n in numbers:
        check_count("levels", n, least=2)
    return tuple(int(n) for n in numbers)


def cutoff_status(top: Float[Array, "T M"], cutoff_tol: Any, ran: Bool[Array, ""]) -> Status:
    """How a run ended that `ran` to its end: successful where its highest levels are empty within the tolerance."""
    return where(ran, where(jnp.max(top) < cutoff_tol, Status.successful, Status.cut_off), Status.failed)


def with_enough_levels(
    attempt: Callable[[tuple[int, ...]], Any],
    fits: Callable[[tuple[int, ...]], bool],
    model: DickeModel,
    state: MeanFieldState,
    cutoff_tol: float,
) -> Any:
    """The first run whose highest levels are empty within the tolerance; else the last that fits, which says so.

    The population falls about like a power of the level's number n: p at n tells where it is below the tolerance.
    """
    if not all(known(leaf) for leaf in jax.tree.leaves((model, state))):
        refuse("levels", "given where arguments are traced", "None")
    levels = (FIRST_LEVELS,) * model.num_modes
    run = attempt(levels)
    while run.status == Status.cut_off:
        top = np.max(np.asarray(run.top_population, float), axis=0)
        levels = tuple(n if p < cutoff_tol else _more(n, p, cutoff_tol) for n, p in zip(levels, top, strict=True))
        if not fits(levels):
            break
        run = attempt(levels)
    return run


def _more(n: int, population: float, tol: float) -> int:
    share = math.log(tol) / math.log(population) if population < 1 else 2.0
    return math.ceil(n * min(max(1.1 * share, 1.25), 2.0))


def too_large(space: LargeSpinSpace, bytes_each: float, power: int) -> str:
    """Nothing where bytes_each dimension^power fit into memory; else how much they are, which may be enormous."""
    dimension = math.prod(space.sites)
    magnitude = math.log10(bytes_each / 1e9) + power * math.log10(dimension)
    if magnitude <= math.log10(MOST_GIGABYTES):
        return ""
    size = f"{dimension}" if dimension < 10**15 else f"about 10^{math.log10(dimension):.0f}"
    bytes_ = f"{10**magnitude:.3g}" if magnitude < 300 else f"10^{magnitude:.0f}"
    return f"dimension {size}, {bytes_} GB, for {space.num_spins} spins"


def run_with_levels(
    run: Callable[[LargeSpinSpace], Any],
    space: Callable[[tuple[int, ...]], LargeSpinSpace],
    memory: tuple[float, int],
    must_be: str,
    levels: int | Sequence[int] | None,
    model: DickeModel,
    state: MeanFieldState,
    cutoff_tol: float,
) -> Any:
    """A run with the levels that are asked for, or with enough. A space that is `too_large` for `memory` is refused."""

    def attempt(numbers: tuple[int, ...]) -> Any:
        if large := too_large(space(numbers), *memory):
            refuse("subset_size and levels", must_be, large)
        say(f"dimension {math.prod(space(numbers).sites)}")
        return run(space(numbers))

    if levels is not None:
        return attempt(as_levels(levels, model.num_modes))
    return with_enough_levels(attempt, lambda n: not too_large(space(n), *memory), model, state, cutoff_tol)
