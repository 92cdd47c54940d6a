"""How well a memory retrieves: against coupling and cue quality, and against its load with patterns."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, PRNGKeyArray

from .._checks import as_pattern_index, check_all, check_count, refuse, told
from .._door import checked
from .._typing import ArrayLike
from ..couplings import LargeSpins, random_patterns
from ..mean_field import DickeModel, LocalDissipation, MeanFieldState, check_model
from ..phases.basins import StoredCues, as_strength, check_cue_runs
from ..phases.cue_outcome import OUTCOMES, wilson_interval
from .results import Progress, origin_of
from .sweeps import Sweep
from .sweeps.axes import BATCH
from .sweeps.labels import RETRIEVED


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
    """The chance of retrieval against the coupling, for cues of several qualities,

        P(g0, strength) = number of cues that end at the pattern, with either sign / number of all

    Every point of the grid is one `retrieval_probability` with the same key: couplings are compared with the same cues,
    and neighbours on a curve are not independent of each other. The intervals are those of each point by itself.

    **Arguments**

    - `key`: decides the cues.
    - `model`: rates and couplings, its own g0 not used; or a function of g0 that makes the model.
    - `g0`: (G,), the couplings.
    - `strength`: (S,), the angles of tilts in radians, or the probabilities of flips.
    - `pattern`: from 0.
    - `cue`: "tilt" or "flip", which have a strength.
    - `num_samples`: cues at every point.
    - `max_time`, `tol`: as in `retrieval_probability`, the same defaults.
    - `chunk`: about how many cues run between two calls of `progress`; it changes no bit of the results.
    - `progress`: called with the numbers of finished cues and of all cues.

    **Returns** a dataset with dimensions g0, strength (and end, sample, pattern): `counts` of each end, `probability`
    with `lower` and `upper` of its 95 % Wilson interval, and `end_code`, `overlap`, `fluctuation` of every single cue.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> found = dj.studies.retrieval_basins(jax.random.key(0), model, g0=[0.5, 1.0], strength=[0.4], num_samples=16)
        >>> print(found.probability.values.ravel())
        [0.   0.75]
    """
    couplings, strengths = _grid("g0", g0), _grid("strength", strength)
    if not isinstance(cue, str) or cue not in ("tilt", "flip"):
        refuse("cue", "'tilt' or 'flip', which have a strength", told(cue))
    check_count("num_samples", num_samples)

    def make(g0: float) -> DickeModel:
        made = model(g0) if callable(model) else model.replace(g0=g0)
        check_model(made, "model(g0)")
        return made

    if not callable(model):
        check_model(model)
    first, quality = make(float(couplings[0])), "angle" if cue == "tilt" else "flip"
    nu = int(as_pattern_index(pattern, first.num_modes))
    for extreme in (strengths.min(), strengths.max()):
        as_strength(cue, float(extreme))
    check_cue_runs(first, tol, max_time, chunk)
    axes = {"g0": couplings, quality: strengths, "seed": np.arange(num_samples)}
    sweep = Sweep(
        make if callable(model) else first,
        axes,
        "retrieval",
        fixed={"pattern": nu},
        cue=_Cues(key, cue, quality),
        options={"tol": tol, "max_time": max_time},
        title="Retrieval against coupling and cue",
    )
    found = _with_shares(sweep, key, chunk, progress).rename({quality: "strength", "mode": "pattern"})
    found["strength"].attrs = {"long_name": "angle of the tilt (radians)" if cue == "tilt" else "probability of a flip"}
    return found.assign_attrs(cue=cue, cued_pattern=nu)


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
    """The chance of retrieval against the load, with random patterns,

        P(M / N_sp) = number of cues that end at their pattern, with either sign / number of all

    Every spin is a subset of its own, since 2^(M-1) columns are more than there are spins. Every cue has random
    patterns of its own, so that the samples are independent and the intervals hold for patterns and cues together.
    Retrieved is pattern 1, which is no different from the others.

    **Arguments**

    - `key`: sample i at every load is made with `jax.random.fold_in(jax.random.fold_in(key, M), i)`.
    - `num_spins`: N_sp.
    - `num_patterns`: (L,), the numbers M of patterns.
    - `omega_spin`, `omega_mode`, `kappa`, `g0`, `dissipation`: as in `DickeModel`, one number each for all modes.
    - `cue`: "flip", "tilt", "random" or a function, as in `retrieval_probability`.
    - `strength`: the probability of a flip, 0.1 by default, or the angle of a tilt in radians, 0.3 by default.
    - `num_samples`: memories at every load, each with one cue.
    - `max_time`, `tol`: as in `retrieval_probability`, the same defaults.
    - `chunk`: about how many cues run between two calls of `progress`; it changes no bit of the results.
    - `progress`: called with the numbers of finished cues and of all cues.

    **Returns** a dataset with dimension num_patterns (and end, sample), its coordinate `load` = M / N_sp: `counts`,
    `probability`, `lower`, `upper`, `end_code` as in `retrieval_basins`; `overlap` of every sample with its pattern.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> rates = dict(omega_spin=0.5, omega_mode=1.0, kappa=1.0, g0=1.5)
        >>> found = dj.studies.retrieval_load(jax.random.key(0), 40, [1, 4], num_samples=16, **rates)
        >>> print(found.probability.values, found["load"].values)
        [1.     0.9375] [0.025 0.1  ]
    """
    check_count("num_spins", num_spins)
    check_count("num_samples", num_samples)
    if len(num_patterns) == 0:
        refuse("num_patterns", "at least one number of patterns", "none")
    for number in num_patterns:
        check_count("num_patterns", number)
    rates = {"omega_spin": omega_spin, "omega_mode": omega_mode, "kappa": kappa, "g0": g0}
    quality, numbers = as_strength(cue, strength), np.array([int(number) for number in num_patterns])

    def make(num_patterns: int) -> DickeModel:
        spins = LargeSpins.individual(random_patterns(key, num_patterns, num_spins))
        made = DickeModel(spins, **rates, dissipation=dissipation)
        check_cue_runs(made, tol, max_time, chunk)
        return made

    cues, options = _RandomPatterns(key, cue, quality), {"tol": tol, "max_time": max_time}
    axes = {"num_patterns": numbers, "seed": np.arange(num_samples)}
    sweep = Sweep(make, axes, "retrieval", cue=cues, options=options, title="Retrieval against load")
    found = _with_shares(sweep, key, chunk, progress).drop_vars("fluctuation").isel(mode=0, drop=True)
    found["num_patterns"].attrs = {"long_name": "stored patterns M"}
    found = found.assign_coords(load=("num_patterns", numbers / num_spins, {"long_name": "load M / N_sp"}))
    return found.assign_attrs(
        cue=cue if isinstance(cue, str) else "a function of the caller's",
        strength="none" if quality is None else float(quality),
        num_patterns=" ".join(map(str, numbers)),
    )


class _Cues(eqx.Module):
    """Cues as `retrieval_probability` draws them: number i is made with `fold_in(key, i)`."""

    key: PRNGKeyArray
    cue: str
    quality: str

    def __call__(self, model: DickeModel, row: Mapping[str, Array]) -> MeanFieldState:
        cue = StoredCues(model, self.cue, row[self.quality])
        return cue(jax.random.fold_in(self.key, row["seed"]), row["pattern"])


class _RandomPatterns(eqx.Module):
    """Cues that each have a memory of their own, with patterns drawn from the cue's key."""

    key: PRNGKeyArray
    cue: Any
    strength: Array | None

    def __call__(self, model: DickeModel, row: Mapping[str, Array]) -> tuple[DickeModel, MeanFieldState]:
        key = jax.random.fold_in(jax.random.fold_in(self.key, model.num_modes), row["seed"])
        patterns, cue = jax.random.split(key)
        spins = LargeSpins.individual(random_patterns(patterns, model.num_modes, model.num_subsets))
        model = model.replace(spins=spins)
        return model, StoredCues(model, self.cue, self.strength)(cue, row["pattern"])


def _grid(name: str, values: ArrayLike) -> np.ndarray:
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 1 or grid.size < 1:
        refuse(name, "a one-dimensional array of at least one value", f"shape {grid.shape}")
    check_all(name, grid, np.isfinite, "finite")
    return grid


def _with_shares(sweep: Sweep, key: PRNGKeyArray, chunk: int, progress: Progress | None) -> xr.Dataset:
    """What both studies say of each point: counts, the probability and its interval, the end of every sample."""
    found = sweep.run(chunk=BATCH * math.ceil(chunk / BATCH), progress=progress).rename(seed="sample")
    codes, samples = found["outcome"], found.sizes["sample"]
    points = codes.dims[:-1]
    counts = np.stack([np.sum(codes.values == code, axis=-1) for code in range(len(OUTCOMES))], axis=-1)
    retrieved = counts[..., [OUTCOMES.index(name) for name in RETRIEVED]].sum(axis=-1)
    intervals = [wilson_interval(number, samples) for number in retrieved.ravel().tolist()]
    lower, upper = np.reshape(intervals, (*retrieved.shape, 2)).transpose(-1, *range(retrieved.ndim))
    # all that there are: studies can be joined, and keep the flags of the first
    flags = {"flag_values": np.arange(len(OUTCOMES), dtype=np.int8), "flag_meanings": " ".join(OUTCOMES)}
    shares = {
        "counts": ((*points, "end"), counts, {"long_name": "cues"}),
        "probability": (points, retrieved / samples, {"long_name": "retrieved, with either sign"}),
        "lower": (points, lower, {"long_name": "95 % Wilson interval of probability, lower end"}),
        "upper": (points, upper, {"long_name": "95 % Wilson interval of probability, upper end"}),
        "end_code": (codes.dims, codes.values, flags),
    }
    kept = found[["overlap", "fluctuation"]].drop_vars("sample").assign(shares).assign_coords(end=list(OUTCOMES))
    kept.attrs = origin_of(found) | {"key": np.asarray(jax.random.key_data(key))}
    return kept
