"""Basins of attraction: the chance that a cue ends at its pattern."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import (
    as_float,
    as_pattern_index,
    as_probability,
    check_all,
    check_choice,
    check_count,
    check_finite,
    check_shape,
    refuse,
)
from ..dynamics import check_reaches_steady, steadystate
from ..model import DickeModel, check_model
from ..observables import overlaps
from ..state import MeanFieldState, corrupted_pattern, random_state, tilted_pattern
from .ends import RetrievalEnds, name_end, overlap_reach

BATCH = 16  # cues of one compiled batch, whatever the chunk: so its size changes no bit of a result


def retrieval_probability(
    model: DickeModel,
    key: PRNGKeyArray,
    pattern: int = 0,
    *,
    cue: str | Callable[[PRNGKeyArray, DickeModel, Array], MeanFieldState] = "tilt",
    strength: float | None = None,
    num_samples: int = 256,
    max_time: float | None = None,
    tol: float | None = None,
    chunk: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> RetrievalEnds:
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

    **Main arguments**

    - `model`: a `DickeModel` with constant rates and kappa > 0.
    - `key`: cue i is made with `jax.random.fold_in(key, i)`, so that a longer study begins with a shorter one's cues.
    - `pattern`: nu, from 0.

    **Other arguments**

    - `cue`: "tilt" (`tilted_pattern`), "flip" (`corrupted_pattern`), "random" (`random_state`), or a function
      (key, model, pattern) -> `MeanFieldState`, which is compiled once for each function object.
    - `strength`: the tilt's angle in radians, 0.3 by default, or the probability of a flip, 0.1 by default.
    - `num_samples`: S.
    - `max_time`: the longest run, 1000 / min kappa by default.
    - `tol`: as in `steadystate`, but 1e-6 by default in float64: an end is named long before its last digits.
    - `chunk`: how many cues run between two calls of `progress`, a multiple of 16. It changes no bit of the results.
    - `progress`: called with the numbers of finished cues and of all cues.

    **Returns** a `RetrievalEnds`: `.probability`, `.interval()`, `.counts()`, and all ends.

    Retrieval and its basins: paper, Eq. 12 and Fig. 3; that a state which exists need not attract is not in the paper.
    """
    check_model(model)
    check_reaches_steady(model)
    nu = as_pattern_index(pattern, model.num_modes)
    draw = StoredCues(model, cue, as_strength(cue, strength))
    if max_time is None:
        max_time = 1000 / float(jnp.min(model.kappa))
    return run_cues(draw, key, nu, num_samples, max_time, tol, chunk, progress)


CUES: dict[str, tuple[Callable[..., MeanFieldState], float | None]] = {
    "tilt": (tilted_pattern, 0.3),
    "flip": (corrupted_pattern, 0.1),
    "random": (lambda key, model, pattern: random_state(key, model), None),
}


def as_strength(cue: Any, strength: float | None) -> Float[Array, ""] | None:
    """A tilt's angle or a flip's probability; None for cues that have none."""
    if not isinstance(cue, str):
        if not callable(cue):
            refuse("cue", "a name or a function (key, model, pattern) -> MeanFieldState", type(cue).__name__)
        if strength is not None:
            refuse("strength", "left out where cue is a function, which has its own", strength)
        return None
    check_choice("cue", cue, tuple(CUES))
    if strength is None:
        strength = CUES[cue][1]
    elif cue == "random":
        refuse("strength", "left out for random cues, which have none", strength)
    if strength is None:
        return None
    value = as_probability("strength", strength) if cue == "flip" else as_float(strength)
    check_finite("strength", value)
    check_shape("strength", value, (), "one number")
    return value


class StoredCues(eqx.Module):
    """Cues of one model's patterns."""

    model: DickeModel
    cue: Any
    strength: Float[Array, ""] | None

    def __call__(self, key: PRNGKeyArray, pattern: Int[Array, ""]) -> tuple[DickeModel, MeanFieldState]:
        make = CUES[self.cue][0] if isinstance(self.cue, str) else self.cue
        return self.model, make(key, self.model, pattern, *(() if self.strength is None else (self.strength,)))


def run_cues(
    draw: Callable[[PRNGKeyArray, Array], tuple[DickeModel, MeanFieldState]],
    key: PRNGKeyArray,
    pattern: Int[Array, ""],
    num_samples: int,
    max_time: float,
    tol: float | None,
    chunk: int,
    progress: Callable[[int, int], None] | None,
) -> RetrievalEnds:
    """Integrate and name the ends of cues that `draw` makes from keys, each with a model of its own if need be."""
    check_count("num_samples", num_samples)
    if not isinstance(chunk, int | np.integer) or isinstance(chunk, bool) or chunk < BATCH or chunk % BATCH:
        refuse("chunk", f"a positive multiple of {BATCH}", repr(chunk))
    chunk = min(chunk, BATCH * math.ceil(num_samples / BATCH))
    end_time = as_float(max_time)
    check_all("max_time", end_time, lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    chunks = []
    if progress is not None:
        progress(0, num_samples)
    for start in range(0, num_samples, chunk):
        indices = jnp.arange(start, start + chunk)  # the last chunk is filled with cues that are thrown away
        chunks.append(jax.block_until_ready(_run_chunk(draw, key, indices, pattern, end_time, tol)))
        if progress is not None:
            progress(min(start + chunk, num_samples), num_samples)
    return RetrievalEnds(pattern, *jax.tree.map(lambda *parts: jnp.concatenate(parts)[:num_samples], *chunks))


@eqx.filter_jit
def _run_chunk(
    draw: Any, key: PRNGKeyArray, indices: Int[Array, " S"], pattern: Array, max_time: Any, tol: float | None
) -> tuple[Any, ...]:
    """All fields of `RetrievalEnds` but the first."""

    def run(index: Array) -> tuple[Any, ...]:
        model, state = draw(jax.random.fold_in(key, index), pattern)
        finest = (1e-6 if model.dtype == jnp.float64 else 1e-4) if tol is None else tol
        end = steadystate(model, state, max_time=max_time, tol=finest)
        reach, last = overlap_reach(model, end.state.m), overlaps(model, end.state.m)
        named = name_end(pattern, end.status, end.overlaps, end.fluctuations, last, reach)
        return *named, end.overlaps, end.fluctuations, reach, end.status, end.time

    return jax.lax.map(run, indices, batch_size=BATCH)
