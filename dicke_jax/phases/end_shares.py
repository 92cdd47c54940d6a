"""Basins of attraction of any model: at which states random starts come to rest, and how many of them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, Int, PRNGKeyArray

from .._door import checked
from .._labelled import Labelled
from .._status import counts
from .._summary import summary
from ..dynamics import SteadyState, check_reaches_steady, solve_ensemble
from ..dynamics.steady_state import check_ends
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, random_state
from .basins import draw_cues
from .cue_outcome import wilson_interval

APART = 1e-3  # the least distance of two ends: runs end within their tolerance over the slowest rate


class BasinShares(Labelled):
    """Where S runs ended, and how many of them in each place.

    - `m` (E, 3, K), `alpha` (E, M): the different states at which runs came to rest, the most frequent first;
      `state(i)` is the i-th. `overlaps`: (E, P).
    - `hits`: (E,), the runs that each had; `shares`: (E,), these over S.
    - `end`: (S,), which of them each run came to, -1 for those that came to rest at none.
    - `status`: (S,), a `Status` of each run, which tells what those do instead.
    """

    m: Float[np.ndarray, "E B K"]
    alpha: Complex[np.ndarray, "E M"]
    overlaps: Float[np.ndarray, "E P"]
    hits: Int[np.ndarray, " E"]
    end: Int[np.ndarray, " S"]
    status: Any

    @property
    def shares(self) -> Float[np.ndarray, " E"]:
        """Of all runs, those that failed included."""
        return self.hits / self.end.size

    def interval(self, i: int, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's confidence interval of the i-th share."""
        return wilson_interval(int(self.hits[i]), self.end.size, confidence)

    def state(self, i: int) -> MeanFieldState:
        """The i-th end."""
        return MeanFieldState(self.m[i], self.alpha[i])

    @property
    def successful(self) -> np.ndarray:
        """(S,), whether each run came to rest."""
        return self.end >= 0

    def __repr__(self) -> str:
        rows = []
        for i, share in enumerate(self.shares[:8]):
            low, high = self.interval(i)
            overlaps = (self.overlaps[i].round(4) + 0.0).tolist()
            rows.append((f"{share:.3f}", f"{low:.3f} to {high:.3f}, overlaps {overlaps}"))
        others = [(name, str(number)) for name, number in counts(self.status).items() if name != "successful"]
        return summary(f"BasinShares: {self.hits.size} ends of {self.end.size} runs", [*rows, *others])


@checked
def basin_shares(
    key: PRNGKeyArray,
    model: DickeModel | CollectiveModel,
    *,
    draw: Callable[[PRNGKeyArray, Any], MeanFieldState] | None = None,
    num_samples: int = 256,
    max_time: float | None = None,
    tol: float | None = None,
    chunk: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> BasinShares:
    """The shares of random starts that come to rest at each state, from runs of `steadystate`.

        share_e = |{i : y_i(t) -> y_e}| / S,   f(y_e) = 0

    No pattern has to be named, and nothing searched for beforehand. Ends within 1e-3 of each other in all components
    are one. Where a symmetry is continuous every run has an end of its own.

    **Arguments**

    - `key`: start i is made with `jax.random.fold_in(key, i)`.
    - `model`: as in `steadystate`.
    - `draw`: makes a start of a key and the model; by default `random_state` without photons.
    - `num_samples`: S.
    - `max_time`, `tol`: as in `steadystate`, but `tol` is 1e-6 by default in float64.
    - `chunk`, `progress`: as in `solve_ensemble`.

    **Returns** `BasinShares`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.gallery.dissipative_xyz([1.2, 0.3, 0.8], 0.8)  # a ferromagnet, along x or -x
        >>> print(dj.basin_shares(jax.random.key(0), model, num_samples=32).hits.sum())
        32
    """
    check_reaches_steady(model)
    check_ends(model, tol, max_time)
    starts = draw_cues(_Starts(model, random_state if draw is None else draw), key, jnp.zeros((), int), num_samples)
    options: dict[str, Any] = {} if max_time is None else {"max_time": max_time}
    options["tol"] = (1e-6 if model.dtype == np.float64 else 1e-4) if tol is None else tol
    runs = solve_ensemble(model, starts, save=_kept, chunk=chunk, progress=progress, **options)
    m, alpha, overlaps = runs.reduced
    parts = m.reshape(num_samples, -1), alpha.real.reshape(num_samples, -1), alpha.imag.reshape(num_samples, -1)
    components = np.concatenate(parts, axis=1)
    end, first = np.full(num_samples, -1), list[int]()
    for run in np.flatnonzero(runs.successful):
        apart = np.max(np.abs(components[first] - components[run]), axis=1, initial=0.0)
        near = np.flatnonzero(apart < APART)
        end[run] = near[0] if near.size else len(first)
        first += [] if near.size else [int(run)]
    hits = np.bincount(end[end >= 0], minlength=len(first))
    order = np.argsort(-hits, kind="stable")
    place = np.append(np.argsort(order), -1)  # the last is where -1 points
    rows = np.array(first, int)[order]
    return BasinShares(m[rows], alpha[rows], overlaps[rows], hits[order], place[end], runs.status)


class _Starts(eqx.Module):
    model: DickeModel | CollectiveModel
    draw: Callable[[PRNGKeyArray, Any], MeanFieldState]

    def __call__(self, key: PRNGKeyArray, _: Any) -> MeanFieldState:
        return self.draw(key, self.model)


def _kept(end: SteadyState) -> tuple[Any, ...]:
    return end.state.m, end.state.alpha, end.overlaps
