"""Basins of attraction: the chance that a cue ends at its pattern."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import (
    as_array,
    as_float,
    as_pattern_index,
    as_probability,
    check_choice,
    check_count,
    check_finite,
    check_shape,
    refuse,
)
from .._door import checked
from ..dynamics import SteadyState, check_reaches_steady, solve_ensemble
from ..dynamics.steady_state import check_ends
from ..mean_field import DickeModel, MeanFieldState, corrupted_pattern, overlaps, random_state, tilted_pattern
from .cue_outcome import CueOutcomes, name_outcome, overlap_reach


@checked
def retrieval_probability(
    key: PRNGKeyArray,
    model: DickeModel,
    pattern: int = 0,
    *,
    cue: str | Callable[[PRNGKeyArray, DickeModel, Array], MeanFieldState] = "tilt",
    strength: float | None = None,
    num_samples: int = 256,
    max_time: float | None = None,
    tol: float | None = None,
    chunk: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> CueOutcomes:
    """The chance that a cue of pattern nu ends at pattern nu, from runs of `steadystate`.

    With r_mu = |average of xi_mu| / sum_k w_k |G[mu, k]| |m_k|, the share of what the spins' lengths at the end allow:

        forgotten    max r < 0.1
        involved     every pattern with r_mu >= 0.1 and r_mu >= 0.3 max r: one is a pattern, several are a mixture
        unsteady     fluctuations in time, as shares alike, above 0.25 max(max r, 0.1): oscillating, or not converged

    An average and not the last state, because spin waves that no mode sees make a retrieved pattern tremble for ever.
    A share and not the overlap, because without single-spin decay flips of probability p leave |m_k| = 1 - 2p and no
    overlap above that. (Where every spin is a subset of its own all |m_k| are 1, and flips bound overlaps unseen; then
    0.1 of 1 is the mark.) A run that `steadystate` calls not converged but whose overlaps are steady counts where it
    is. Where the last overlap lies more than 5 standard deviations from its average a deviation still grows, and the
    run counts as not converged. What shows neither within `max_time` counts as retrieved.

    **Arguments**

    - `key`: cue i is made with `jax.random.fold_in(key, i)`, so that a longer study begins with a shorter one's cues.
    - `model`: a `DickeModel` with constant rates and kappa > 0.
    - `pattern`: nu, from 0.
    - `cue`: "tilt" (`tilted_pattern`), "flip" (`corrupted_pattern`), "random" (`random_state`), or a function
      (key, model, pattern) -> `MeanFieldState`, which is compiled once for each function object.
    - `strength`: the tilt's angle in radians, 0.3 by default, or the probability of a flip, 0.1 by default.
    - `num_samples`: S.
    - `max_time`: the longest run, 1000 / min kappa by default.
    - `tol`: as in `steadystate`, but 1e-6 by default in float64: an end is named long before its last digits.
    - `chunk`: about how many cues run between two calls of `progress`, as in `solve_ensemble`. It changes no bit of the
      results.
    - `progress`: called with the numbers of finished cues and of all cues.

    **Returns** a `CueOutcomes`: `.probability`, `.interval()`, `.counts()`, and all ends.

    Retrieval and its basins: paper, Eq. 12 and Fig. 3; that a state which exists need not attract is not in the paper.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0, num_patterns=2)
        >>> cues = dj.retrieval_probability(jax.random.key(0), model, 0, strength=0.4, num_samples=32)
        >>> print(float(cues.probability))
        0.65625
    """
    check_cue_runs(model, tol, max_time, chunk)
    nu = as_pattern_index(pattern, model.num_modes)
    if max_time is None:
        max_time = 1000 / float(np.min(np.asarray(model.kappa)))
    states = draw_cues(StoredCues(model, cue, as_strength(cue, strength)), key, nu, num_samples)
    return run_cues(model, states, nu, max_time, tol, chunk, progress)


CUES: dict[str, tuple[Callable[..., MeanFieldState], float | None]] = {
    "tilt": (tilted_pattern, 0.3),
    "flip": (corrupted_pattern, 0.1),
    "random": (lambda key, model, pattern: random_state(key, model), None),
}


def as_strength(cue: Any, strength: float | None) -> Float[Array, ""] | None:
    """A tilt's angle or a flip's probability; None for cues that have none."""
    named = isinstance(cue, str)
    if named:
        check_choice("cue", cue, tuple(CUES))
    default = CUES[cue][1] if named else None
    if default is None:
        if strength is not None:
            refuse("strength", "left out for random cues and where cue is a function", strength)
        return None
    value = as_float(default if strength is None else strength)
    if cue == "flip":
        value = as_probability("strength", value)
    check_finite("strength", value)
    check_shape("strength", value, (), "one number")
    return value


class StoredCues(eqx.Module):
    """Cues of one model's patterns."""

    model: DickeModel
    cue: Any
    strength: Float[Array, ""] | None

    def __call__(self, key: PRNGKeyArray, pattern: Int[Array, ""]) -> MeanFieldState:
        make = CUES[self.cue][0] if isinstance(self.cue, str) else self.cue
        return make(key, self.model, pattern, *(() if self.strength is None else (self.strength,)))


def draw_cues(draw: Callable[[PRNGKeyArray, Array], Any], key: PRNGKeyArray, pattern: Array, num_samples: int) -> Any:
    """What `draw` makes of the keys `fold_in(key, i)`, as one batch."""
    check_count("num_samples", num_samples)
    return _draw(draw, key, pattern, num_samples)


@eqx.filter_jit
def _draw(draw: Any, key: PRNGKeyArray, pattern: Array, num_samples: int) -> Any:
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i), pattern))(jnp.arange(num_samples))


def check_cue_runs(model: DickeModel, tol: float | None, max_time: float | None, chunk: int) -> None:
    """Refuse what `run_cues` cannot be asked for."""
    check_reaches_steady(model)
    check_ends(model, tol, max_time)
    check_count("chunk", chunk)


def run_cues(
    model: DickeModel,
    states: MeanFieldState,
    pattern: Int[Array, ""],
    max_time: float,
    tol: float | None,
    chunk: int,
    progress: Callable[[int, int], None] | None,
) -> CueOutcomes:
    """Integrate cues and name their outcomes. The model may be a batch as well, one for each cue."""
    if tol is None:
        tol = 1e-6 if model.dtype == np.float64 else 1e-4
    options = {"max_time": as_array(max_time, model.dtype), "tol": tol}
    runs = solve_ensemble(model, states, save=_kept, chunk=chunk, progress=progress, **options)
    return CueOutcomes(pattern, *named_outcomes(model, pattern, runs.status, runs.reduced))


def _kept(end: SteadyState) -> tuple[Array, ...]:
    return end.overlaps, end.fluctuations, end.state.m, end.time


@eqx.filter_jit
def named_outcomes(model: DickeModel, pattern: Array, status: Any, ends: tuple[Array, ...]) -> tuple[Any, ...]:
    """All fields of `CueOutcomes` but the first. Cues may have a pattern and a model each, or one for all."""

    def name(model: DickeModel, pattern: Array, status: Any, end: tuple[Array, ...]) -> tuple[Any, ...]:
        average, fluctuation, m, time = end
        reach = overlap_reach(model, m)
        named = name_outcome(pattern, status, average, fluctuation, overlaps(model, m), reach)
        return *named, average, fluctuation, reach, status, time

    batched = eqx.if_array(0)
    of_cue, of_pattern = (batched if own else None for own in (model.spins.weights.ndim > 1, pattern.ndim > 0))
    return eqx.filter_vmap(name, in_axes=(of_cue, of_pattern, batched, batched))(model, pattern, status, ends)
