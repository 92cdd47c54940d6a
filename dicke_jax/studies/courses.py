"""Courses in time: quenches, ramps through the critical coupling and back, and the mending of flipped pixels."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from .._checks import as_pattern_index, as_times, check_all, check_count, refuse
from .._door import checked
from .._status import Status
from .._typing import ArrayLike
from ..couplings import flip_spins, map_to_large_spins
from ..dynamics import mfsolve
from ..mean_field import DickeModel, LocalDissipation, MeanFieldState
from ..phases import critical_coupling, retrieval_overlap
from .ramps import turned
from .results import provenance
from .sweeps import Sweep


@checked
def quench(
    model: DickeModel, g0_before: float, g0_after: float, tsave: ArrayLike, *, pattern: int = 0, seed: float = 1e-3
) -> xr.Dataset:
    """The course of all overlaps after the coupling has jumped,

        g0(t) = g0_before for t < 0,   g0_after for t >= 0

    from the stationary state of a pattern at the old coupling. Below threshold that is the normal one, all spins at -x
    and no photons. It is symmetric between a pattern and its negative, and would stay so for ever: every spin is turned
    towards the pattern by a small angle.

    **Arguments**

    - `model`: a `DickeModel` with constant rates; its own g0 is not used.
    - `g0_before`, `g0_after`: the couplings, in the unit of the rates.
    - `tsave`: (T,), increasing times, the first of which is the jump.
    - `pattern`: from 0.
    - `seed`: the angle in radians.

    **Returns** a dataset with dimensions time and pattern: `overlap` and `occupation` (photons per spin).

    Mean-field equations: paper, Eq. 7.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> after = dj.studies.quench(model, 0.3, 1.2, jnp.linspace(0.0, 100.0, 3))
        >>> print(np.abs(after.overlap.sel(pattern=0).values.round(3)))
        [0.001 0.993 0.918]
    """
    as_times(tsave)
    start = turned(model.replace(g0=g0_before), pattern, seed)
    after = model.replace(g0=g0_after)
    sol = mfsolve(after, start, tsave)
    attrs = {"title": "Quench of the coupling", "g0_before": g0_before, "g0_after": g0_after}
    return xr.Dataset(
        {
            "overlap": (("time", "pattern"), np.asarray(sol.overlaps)),
            "occupation": (("time", "pattern"), np.asarray(sol.occupations), {"units": "photons per spin"}),
        },
        coords={"time": np.asarray(sol.t), "pattern": np.arange(model.num_modes)},
        attrs=attrs | {"quenched_pattern": pattern} | provenance(after),
    )


@checked
def ramp_hysteresis(
    model: DickeModel,
    g0_low: float,
    g0_high: float,
    duration: float,
    *,
    pattern: int = 0,
    points: int = 200,
    seed: float = 1e-3,
) -> xr.Dataset:
    """The coupling ramped up through a pattern's threshold and down again, each at a constant pace,

        up: g0(t) = g0_low + (g0_high - g0_low) t / duration,   down: g0(t) = g0_high - (g0_high - g0_low) t / duration

    From the stationary state at `g0_low`, the normal one below threshold, every spin turned towards the pattern by a
    small angle: the overlap appears late on the way up, since it has to grow out of that seed, and vanishes at the
    threshold on the way down. The loop closes as the ramp gets slower.

    **Arguments**

    - `model`: a `DickeModel` with constant rates; its own g0 is not used.
    - `g0_low`, `g0_high`: the ends of the ramp, in the unit of the rates.
    - `duration`: of each of the two ways, in the inverse unit of the rates.
    - `pattern`: from 0.
    - `points`: couplings at which the overlap is kept, on each way.
    - `seed`: the angle in radians.

    **Returns** a dataset with dimensions direction ("up", "down") and g0: `overlap`, |xi_nu| of the pattern, its
    `theory` (paper, Eq. 12) at rest at every coupling, and `g_crit`, where that begins.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> loop = dj.studies.ramp_hysteresis(model, 0.3, 1.2, 100.0, points=4)
        >>> print(loop.overlap.values.round(2))
        [[0.   0.   0.36 0.95]
         [0.   0.1  0.86 0.95]]
    """
    check_all("duration", np.asarray(duration), lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    check_count("points", points, 2)
    if not g0_low < g0_high:
        refuse("g0_low and g0_high", "increasing", f"{g0_low} and {g0_high}")
    nu = int(as_pattern_index(pattern, model.num_modes))
    fixed, options = {"g0_low": g0_low, "g0_high": g0_high, "turn": seed, "pattern": nu}, {"points": points}
    sweep = Sweep(model.replace(g0=g0_low), {"duration": [duration]}, "ramp", fixed=fixed, options=options)
    found = sweep.run().isel(duration=0)
    if (ended := found.status.attrs["flag_meanings"]) != "successful":
        raise eqx.EquinoxRuntimeError(f"mfsolve failed: {Status[Status._name_to_item[ended]]}")  # pyright: ignore
    couplings = np.linspace(g0_low, g0_high, points)
    theory = jax.vmap(lambda g: retrieval_overlap(model.replace(g0=g), pattern))(jnp.asarray(couplings))
    constant = model.replace(g0=g0_high)
    return xr.Dataset(
        {
            "overlap": (("direction", "g0"), np.stack([found.overlap_up.values, found.overlap_down.values])),
            "theory": ("g0", np.asarray(theory), {"long_name": "|xi| of Eq. 12"}),
            "g_crit": ((), float(critical_coupling(constant, pattern))),
        },
        coords={"direction": ["up", "down"], "g0": couplings},
        attrs={"title": "Ramps", "duration": duration, "seed": seed, "ramped_pattern": pattern, **provenance(constant)},
    )


@checked
def picture_mending(
    key: PRNGKeyArray,
    pictures: ArrayLike,
    rates: DickeModel,
    tsave: ArrayLike,
    *,
    pattern: int = 0,
    flip: float = 0.1,
    decays: Sequence[float] = (0.0, 0.1),
) -> xr.Dataset:
    """A stored picture with a share of its pixels flipped, and what every single spin shows at given times:

        sigma_z,i(0) = -G[nu, i] with probability `flip`, else G[nu, i]
        share_right(t) = the share of spins with sigma_z,i(t) G[nu, i] > 0

    Spins of one subset turn alike, so that without decay a flipped pixel stays flipped. With weak decay towards the -x
    state every spin forgets its start and follows the field of its subset: all pixels end right, up to a common sign,
    where the cue lies in the pattern's basin.

    **Arguments**

    - `key`: decides which pixels are flipped; the same in every run.
    - `pictures`: (M, rows, columns) of +-1, as from `image_patterns`: each is stored in one mode.
    - `rates`: a `DickeModel` of M modes whose rates, g0 among them, are used; its spins are not.
    - `tsave`: times of the pictures, the first of which shows the cue.
    - `pattern`: the picture that is spoilt, from 0.
    - `flip`: the probability of a flip.
    - `decays`: rates of decay towards -x, one run for each.

    **Returns** a dataset with dimensions decay, time, row, column (and pattern): `sigma_z` of every spin, `share_right`
    (the share of pixels that agree with the picture, up to a common sign), `overlap`, and the `stored` pictures.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> halves = jnp.where(jnp.stack([jnp.arange(64) % 8 < 4, jnp.arange(64) < 32]), 1, -1).reshape(2, 8, 8)
        >>> rates = dj.examples.paper_model(g0=1.5, num_patterns=2)
        >>> found = dj.studies.picture_mending(jax.random.key(0), halves, rates, [0.0, 200.0], flip=0.2)
        >>> print(found.share_right.values.round(2))
        [[0.77 0.77]
         [0.77 1.  ]]
    """
    as_times(tsave)
    if len(decays) == 0:
        refuse("decays", "at least one rate", "none")
    images = np.asarray(pictures)
    if images.ndim != 3 or images.shape[0] != rates.num_modes:
        refuse("pictures", f"of shape ({rates.num_modes}, rows, columns), one for each mode", f"shape {images.shape}")
    num_modes, *size = images.shape
    nu = int(as_pattern_index(pattern, num_modes))
    G = images.reshape(num_modes, -1)
    cue = np.asarray(flip_spins(key, G[nu], flip), dtype=float)
    bloch = np.stack([np.zeros_like(cue), np.zeros_like(cue), cue])
    mapped = map_to_large_spins(G, bloch=bloch)  # spins that start differently are kept apart: each can be read out

    shown, overlap, model = [], [], rates
    for decay in decays:
        dissipation = LocalDissipation([("decay_x", decay)]) if decay else None
        model = rates.replace(spins=mapped.spins, dissipation=dissipation)
        sol = mfsolve(model, MeanFieldState(mapped.to_large(bloch), np.zeros(num_modes)), tsave)
        shown.append(np.stack([np.asarray(mapped.to_spins(m))[2].reshape(size) for m in sol.m]))
        overlap.append(np.asarray(sol.overlaps))
    sigma_z = np.stack(shown)
    agree = np.mean(sigma_z * images[nu] > 0, axis=(2, 3))
    return xr.Dataset(
        {
            "sigma_z": (("decay", "time", "row", "column"), sigma_z),
            "share_right": (("decay", "time"), np.maximum(agree, 1 - agree)),
            "overlap": (("decay", "time", "pattern"), np.stack(overlap)),
            "stored": (("pattern", "row", "column"), images.astype(np.int8)),
        },
        coords={"decay": np.asarray(decays, float), "time": np.asarray(tsave, float), "pattern": np.arange(num_modes)},
        attrs={"title": "Mending of flipped pixels", "flip": flip, "picture": nu, **provenance(model)},
    )
