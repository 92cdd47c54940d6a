"""Which deviations a memory mends: flipped pixels, without and with single-spin decay, shown spin by spin."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from .._checks import as_pattern_index, refuse
from .._typing import ArrayLike
from ..couplings import flip_spins, map_to_large_spins
from ..dissipation import LocalDissipation
from ..dynamics import mfsolve
from ..model import DickeModel, check_model
from ..state import MeanFieldState
from .results import provenance


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
    """A stored picture with a share of its pixels flipped, and what every single spin shows at given times.

    Spins of one subset turn alike, so that without decay a flipped pixel stays flipped. With weak decay towards the -x
    state every spin forgets its start and follows the field of its subset: all pixels end right, up to a common sign,
    where the cue lies in the pattern's basin.

    **Main arguments**

    - `key`: decides which pixels are flipped; the same in every run.
    - `pictures`: (M, rows, columns) of +-1, as from `image_patterns`: each is stored in one mode.
    - `rates`: a `DickeModel` of M modes whose rates, g0 among them, are used; its spins are not.
    - `tsave`: times of the pictures, the first of which shows the cue.

    **Other arguments**

    - `pattern`: the picture that is spoilt, from 0.
    - `flip`: the probability of a flip.
    - `decays`: rates of decay towards -x, one run for each.

    **Returns** a dataset with dimensions decay, time, row, column (and pattern): `sigma_z` of every spin, `share_right`
    (the share of pixels that agree with the picture, up to a common sign), `overlap`.
    """
    check_model(rates, "rates")
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
        model = dataclasses.replace(
            rates, spins=mapped.spins, dissipation=LocalDissipation([("decay_x", decay)]) if decay else None
        )
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
        },
        coords={"decay": np.asarray(decays, float), "time": np.asarray(tsave, float), "pattern": np.arange(num_modes)},
        attrs={"title": "Mending of flipped pixels", "flip": flip, "picture": nu, **provenance(model)},
    )
