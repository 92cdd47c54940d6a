"""How well a memory retrieves: against coupling and cue quality, and against its load with patterns."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Int, PRNGKeyArray

from .._checks import check_all, check_count, refuse
from .._typing import ArrayLike
from ..couplings import LargeSpins, random_patterns
from ..dissipation import LocalDissipation
from ..dynamics import check_reaches_steady
from ..model import DickeModel, check_model
from ..phases import RetrievalEnds, retrieval_probability
from ..phases.basins import StoredCues, as_strength, run_cues
from ..phases.ends import ENDS
from ..state import MeanFieldState
from .results import provenance


def retrieval_basins(
    model: DickeModel | Callable[[float], DickeModel],
    key: PRNGKeyArray,
    *,
    g0: ArrayLike,
    strength: Sequence[float],
    pattern: int = 0,
    cue: str = "tilt",
    num_samples: int = 64,
    max_time: float | None = None,
    tol: float | None = None,
    chunk: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """The chance of retrieval against the coupling, for cues of several qualities.

    Every point of the grid is one `retrieval_probability` with the same key: couplings are compared with the same cues,
    and neighbours on a curve are not independent of each other. The intervals are those of each point by itself.

    **Main arguments**

    - `model`: rates and couplings, its own g0 not used; or a function of g0 that makes the model.
    - `key`: decides the cues.
    - `g0`: (G,), the couplings.
    - `strength`: the angles of tilts, or the probabilities of flips.

    **Other arguments**: as in `retrieval_probability`, with `cue` "tilt" or "flip".

    **Returns** a dataset with dimensions g0, strength (and end, sample, pattern): `counts` of each end, `probability`
    with `lower` and `upper` of its 95 % Wilson interval, and `end_code`, `overlap`, `fluctuation` of every single cue.
    """
    couplings, strengths = _grid("g0", g0), _grid("strength", strength)
    if cue not in ("tilt", "flip"):
        refuse("cue", "'tilt' or 'flip', which have a strength", repr(cue))
    check_count("num_samples", num_samples)
    make = model if callable(model) else lambda g: dataclasses.replace(model, g0=g)
    if not callable(model):
        check_model(model)
    first = make(float(couplings[0]))
    check_model(first, "model(g0)")
    total, done, grid = couplings.size * strengths.size * num_samples, 0, []
    for g in couplings:
        at_coupling = make(float(g))
        for quality in strengths:
            ends = retrieval_probability(
                at_coupling,
                key,
                pattern,
                cue=cue,
                strength=float(quality),
                num_samples=num_samples,
                max_time=max_time,
                tol=tol,
                chunk=chunk,
                progress=_shifted(progress, done, total),
            )
            grid.append(ends)
            done += num_samples
    shape = (couplings.size, strengths.size)

    def gather(values: Callable[[RetrievalEnds], Any]) -> np.ndarray:
        rows = np.stack([np.asarray(values(ends)) for ends in grid])
        return rows.reshape(shape + rows.shape[1:])

    what = "angle of the tilt (radians)" if cue == "tilt" else "probability of a flip"
    return xr.Dataset(
        {
            **_shares(("g0", "strength"), gather),
            "overlap": (("g0", "strength", "sample", "pattern"), gather(lambda e: e.overlaps)),
            "fluctuation": (("g0", "strength", "sample", "pattern"), gather(lambda e: e.fluctuations)),
        },
        coords={
            "g0": ("g0", couplings, {"long_name": "coupling strength", "units": "unit of the rates"}),
            "strength": ("strength", strengths, {"long_name": what}),
            "end": list(ENDS),
            "pattern": np.arange(first.num_modes),
        },
        attrs={
            "title": "Retrieval against coupling and cue",
            "cue": cue,
            "cued_pattern": int(pattern),
            **_origin(first, key, max_time),
        },
    )


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
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """The chance of retrieval against the load M / N_sp, with random patterns.

    Every spin is a subset of its own, since 2^(M-1) columns are more than there are spins. Every cue has random
    patterns of its own, so that the samples are independent and the intervals hold for patterns and cues together.
    Retrieved is pattern 1, which is no different from the others.

    **Main arguments**

    - `key`: sample i at every load is made with `jax.random.fold_in(jax.random.fold_in(key, M), i)`.
    - `num_spins`: N_sp.
    - `num_patterns`: the numbers M of patterns.
    - `omega_spin`, `omega_mode`, `kappa`, `g0`, `dissipation`: as in `DickeModel`, the same for all modes.

    **Other arguments**: as in `retrieval_probability`; cues have 10 % flips by default.

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
        check_reaches_steady(model)
    limit = 1000 / float(jnp.min(models[0].kappa)) if max_time is None else max_time
    total, done, runs = len(models) * num_samples, 0, []
    for model in models:
        draw = _RandomPatterns(num_spins, model.num_modes, model.rates, dissipation, cue, quality)
        folded, counted = jax.random.fold_in(key, model.num_modes), _shifted(progress, done, total)
        runs.append(run_cues(draw, folded, jnp.asarray(0), num_samples, limit, tol, chunk, counted))
        done += num_samples
    numbers = np.array([model.num_modes for model in models])

    def gather(values: Callable[[RetrievalEnds], Any]) -> np.ndarray:
        return np.stack([np.asarray(values(ends)) for ends in runs])

    return xr.Dataset(
        {
            **_shares(("num_patterns",), gather),
            "overlap": (("num_patterns", "sample"), gather(lambda ends: ends.overlaps[:, 0])),
        },
        coords={
            "num_patterns": ("num_patterns", numbers, {"long_name": "stored patterns M"}),
            "load": ("num_patterns", numbers / num_spins, {"long_name": "load M / N_sp"}),
            "end": list(ENDS),
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
        return StoredCues(model, self.cue, self.strength)(cue, pattern)


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


def _shares(dims: tuple[str, ...], gather: Callable[[Callable[[RetrievalEnds], Any]], np.ndarray]) -> dict[str, Any]:
    """What both studies say of each point: counts, the probability and its interval, the end of every sample."""
    interval = gather(lambda ends: ends.interval())
    codes = {"flag_values": np.arange(len(ENDS), dtype=np.int8), "flag_meanings": " ".join(ENDS)}
    return {
        "counts": ((*dims, "end"), gather(lambda ends: list(ends.counts().values())), {"long_name": "cues"}),
        "probability": (dims, gather(lambda ends: ends.probability), {"long_name": "retrieved, with either sign"}),
        "lower": (dims, interval[..., 0], {"long_name": "95 % Wilson interval of probability, lower end"}),
        "upper": (dims, interval[..., 1], {"long_name": "95 % Wilson interval of probability, upper end"}),
        "end_code": ((*dims, "sample"), gather(lambda ends: ends.codes), codes),
    }


def _origin(model: DickeModel, key: PRNGKeyArray, max_time: float | None) -> dict[str, Any]:
    jumps = () if model.dissipation is None else model.dissipation.rates
    return {
        "key": np.asarray(jax.random.key_data(key)),
        "max_time": "1000 / min kappa" if max_time is None else float(max_time),
        "rates_of_jumps": "none" if not jumps else str([np.asarray(rate).tolist() for rate in jumps]),
        **provenance(model),
    }


def _shifted(progress: Callable[[int, int], None] | None, done: int, total: int) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda here, _: progress(done + here, total)
