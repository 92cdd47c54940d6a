"""How well a memory retrieves: against coupling and cue quality, and against its load with patterns."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Int, PRNGKeyArray

from .._checks import check_all, check_count, refuse, told
from .._door import checked
from .._typing import ArrayLike
from ..couplings import LargeSpins, random_patterns
from ..mean_field import DickeModel, LocalDissipation, MeanFieldState, check_model
from ..phases import CueOutcomes, retrieval_probability
from ..phases.basins import StoredCues, as_strength, check_cue_runs, draw_cues, run_cues
from ..phases.cue_outcome import OUTCOMES
from .results import Progress, part_of, provenance, stacked


@checked
def retrieval_basins(
    key: PRNGKeyArray,
    model: DickeModel | Callable[[float], DickeModel],
    *,
    g0: ArrayLike,
    strength: Sequence[float],
    pattern: int = 0,
    cue: str = "tilt",
    num_samples: int = 64,
    max_time: float | None = None,
    tol: float | None = None,
    chunk: int = 64,
    progress: Progress | None = None,
) -> xr.Dataset:
    """The chance of retrieval against the coupling, for cues of several qualities.

    Every point of the grid is one `retrieval_probability` with the same key: couplings are compared with the same cues,
    and neighbours on a curve are not independent of each other. The intervals are those of each point by itself.

    **Arguments**

    - `key`: decides the cues.
    - `model`: rates and couplings, its own g0 not used; or a function of g0 that makes the model.
    - `g0`: (G,), the couplings.
    - `strength`: the angles of tilts, or the probabilities of flips.
    - all others: as in `retrieval_probability`, with `cue` "tilt" or "flip".

    **Returns** a dataset with dimensions g0, strength (and end, sample, pattern): `counts` of each end, `probability`
    with `lower` and `upper` of its 95 % Wilson interval, and `end_code`, `overlap`, `fluctuation` of every single cue.
    """
    couplings, strengths = _grid("g0", g0), _grid("strength", strength)
    if not isinstance(cue, str) or cue not in ("tilt", "flip"):
        refuse("cue", "'tilt' or 'flip', which have a strength", told(cue))
    check_count("num_samples", num_samples)
    make = model if callable(model) else lambda g: model.replace(g0=g)
    if not callable(model):
        check_model(model)
    first = make(float(couplings[0]))
    check_model(first, "model(g0)")
    shape, grid = (couplings.size, strengths.size), []
    run = partial(retrieval_probability, cue=cue, num_samples=num_samples, max_time=max_time, tol=tol, chunk=chunk)
    for g, quality in itertools.product(couplings, strengths):
        counted = part_of(progress, len(grid) * num_samples, math.prod(shape) * num_samples)
        grid.append(run(key, make(float(g)), pattern, strength=float(quality), progress=counted))
    overlaps, fluctuations = stacked([(ends.overlaps, ends.fluctuations) for ends in grid], shape)
    what = "angle of the tilt (radians)" if cue == "tilt" else "probability of a flip"
    dims, of_cues = ("g0", "strength"), ("g0", "strength", "sample", "pattern")
    return xr.Dataset(
        _shares(dims, shape, grid) | {"overlap": (of_cues, overlaps), "fluctuation": (of_cues, fluctuations)},
        coords={
            "g0": ("g0", couplings, {"long_name": "coupling strength", "units": "unit of the rates"}),
            "strength": ("strength", strengths, {"long_name": what}),
            "end": list(OUTCOMES),
            "pattern": np.arange(first.num_modes),
        },
        attrs={"title": "Retrieval against coupling and cue", "cue": cue, "cued_pattern": int(pattern)}
        | _origin(first, key, max_time),
    )


@checked
def retrieval_load(
    key: PRNGKeyArray,
    num_spins: int,
    num_patterns: Sequence[int],
    *,
    omega_spin: float,
    omega_mode: float,
    kappa: float,
    g0: float,
    dissipation: LocalDissipation | None = None,
    cue: str | Callable[[PRNGKeyArray, DickeModel, Array], MeanFieldState] = "flip",
    strength: float | None = None,
    num_samples: int = 64,
    max_time: float | None = None,
    tol: float | None = None,
    chunk: int = 64,
    progress: Progress | None = None,
) -> xr.Dataset:
    """The chance of retrieval against the load M / N_sp, with random patterns.

    Every spin is a subset of its own, since 2^(M-1) columns are more than there are spins. Every cue has random
    patterns of its own, so that the samples are independent and the intervals hold for patterns and cues together.
    Retrieved is pattern 1, which is no different from the others.

    **Arguments**

    - `key`: sample i at every load is made with `jax.random.fold_in(jax.random.fold_in(key, M), i)`.
    - `num_spins`: N_sp.
    - `num_patterns`: the numbers M of patterns.
    - `omega_spin`, `omega_mode`, `kappa`, `g0`, `dissipation`: as in `DickeModel`, the same for all modes.
    - all others: as in `retrieval_probability`; cues have 10 % flips by default.

    **Returns** a dataset with dimension num_patterns (and end, sample), its coordinate `load` = M / N_sp: `counts`,
    `probability`, `lower`, `upper`, `end_code` as in `retrieval_basins`; `overlap` of every sample with its pattern.
    """
    check_count("num_spins", num_spins)
    check_count("num_samples", num_samples)
    if len(num_patterns) == 0:
        refuse("num_patterns", "at least one number of patterns", "none")
    for number in num_patterns:
        check_count("num_patterns", number)
    rates = {"omega_spin": omega_spin, "omega_mode": omega_mode, "kappa": kappa, "g0": g0}
    quality = as_strength(cue, strength)
    models = [_example(key, int(number), num_spins, rates, dissipation) for number in num_patterns]
    for model in models:
        check_cue_runs(model, tol, max_time, chunk)
    limit = 1000 / float(jnp.min(models[0].kappa)) if max_time is None else max_time
    first, runs = jnp.asarray(0), []
    for model in models:
        draw = _RandomPatterns(num_spins, model.num_modes, model.rates, dissipation, cue, quality)
        folded = jax.random.fold_in(key, model.num_modes)
        counted = part_of(progress, len(runs) * num_samples, len(models) * num_samples)
        memories, cues = draw_cues(draw, folded, first, num_samples)
        runs.append(run_cues(memories, cues, first, limit, tol, chunk, counted))
    numbers, overlaps = np.array([model.num_modes for model in models]), stacked([ends.overlaps[:, 0] for ends in runs])
    return xr.Dataset(
        _shares(("num_patterns",), (len(runs),), runs) | {"overlap": (("num_patterns", "sample"), overlaps)},
        coords={
            "num_patterns": ("num_patterns", numbers, {"long_name": "stored patterns M"}),
            "load": ("num_patterns", numbers / num_spins, {"long_name": "load M / N_sp"}),
            "end": list(OUTCOMES),
        },
        attrs={
            "title": "Retrieval against load",
            "cue": cue if isinstance(cue, str) else "a function of the caller's",
            "strength": "none" if quality is None else float(quality),
            **_origin(models[-1], key, limit),
            "g0": float(g0),
            "num_patterns": " ".join(map(str, numbers)),
        },
    )


class _RandomPatterns(eqx.Module):
    """Cues that each have a memory of their own, with patterns drawn from the cue's key."""

    num_spins: int = eqx.field(static=True)
    num_patterns: int = eqx.field(static=True)
    rates: dict[str, Any]
    dissipation: LocalDissipation | None
    cue: Any
    strength: Array | None

    def __call__(self, key: PRNGKeyArray, pattern: Int[Array, ""]) -> tuple[DickeModel, MeanFieldState]:
        patterns, cue = jax.random.split(key)
        model = _example(patterns, self.num_patterns, self.num_spins, self.rates, self.dissipation)
        return model, StoredCues(model, self.cue, self.strength)(cue, pattern)


def _example(
    key: PRNGKeyArray, num_patterns: int, num_spins: int, rates: dict[str, Any], dissipation: LocalDissipation | None
) -> DickeModel:
    spins = LargeSpins.individual(random_patterns(key, num_patterns, num_spins))
    return DickeModel(spins, **rates, dissipation=dissipation)


def _grid(name: str, values: ArrayLike) -> np.ndarray:
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 1 or grid.size < 1:
        refuse(name, "a one-dimensional array of at least one value", f"shape {grid.shape}")
    check_all(name, grid, np.isfinite, "finite")
    return grid


def _shares(dims: tuple[str, ...], shape: tuple[int, ...], grid: list[CueOutcomes]) -> dict[str, Any]:
    """What both studies say of each point: counts, the probability and its interval, the end of every sample."""
    counts = np.reshape([list(ends.counts().values()) for ends in grid], (*shape, -1))
    probability = np.reshape([ends.probability for ends in grid], shape)
    lower, upper = np.reshape([ends.interval() for ends in grid], (*shape, 2)).T
    # all that there are: studies can be joined, and keep the flags of the first
    flags = {"flag_values": np.arange(len(OUTCOMES), dtype=np.int8), "flag_meanings": " ".join(OUTCOMES)}
    return {
        "counts": ((*dims, "end"), counts, {"long_name": "cues"}),
        "probability": (dims, probability, {"long_name": "retrieved, with either sign"}),
        "lower": (dims, lower.T, {"long_name": "95 % Wilson interval of probability, lower end"}),
        "upper": (dims, upper.T, {"long_name": "95 % Wilson interval of probability, upper end"}),
        "end_code": ((*dims, "sample"), stacked([ends.codes for ends in grid], shape), flags),
    }


def _origin(model: DickeModel, key: PRNGKeyArray, max_time: float | None) -> dict[str, Any]:
    jumps = () if model.dissipation is None else model.dissipation.rates
    return {
        "key": np.asarray(jax.random.key_data(key)),
        "max_time": "1000 / min kappa" if max_time is None else float(max_time),
        "rates_of_jumps": "none" if not jumps else str([np.asarray(rate).tolist() for rate in jumps]),
        **provenance(model),
    }
