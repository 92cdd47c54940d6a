"""The coupling changed in time: quenches, and ramps through the critical coupling, up and down."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from .._checks import check_all, check_count, refuse
from .._typing import ArrayLike
from ..dynamics import mfsolve
from ..model import DickeModel, check_model
from ..phases import critical_coupling, retrieval_overlap, retrieval_state
from ..schedules import PiecewiseLinear
from ..state import MeanFieldState, pattern_signs
from .results import provenance


def quench(
    model: DickeModel, g0_before: float, g0_after: float, tsave: ArrayLike, *, pattern: int = 0, seed: float = 1e-3
) -> xr.Dataset:
    """The course of all overlaps after g0 has jumped, from the stationary state of a pattern at the old coupling.

    That state is the normal one below threshold. It is symmetric between a pattern and its negative, and would stay so
    for ever: every spin is turned towards the pattern by the small angle `seed` (radians).
    """
    check_model(model)
    start = _seeded(dataclasses.replace(model, g0=g0_before), pattern, seed)
    after = dataclasses.replace(model, g0=g0_after)
    sol = mfsolve(after, start, tsave)
    return xr.Dataset(
        {
            "overlap": (("time", "pattern"), np.asarray(sol.overlaps)),
            "occupation": (("time", "pattern"), np.asarray(sol.occupations), {"units": "photons per spin"}),
        },
        coords={"time": np.asarray(sol.t), "pattern": np.arange(model.num_modes)},
        attrs={
            "title": "Quench of the coupling",
            "g0_before": g0_before,
            "g0_after": g0_after,
            "quenched_pattern": pattern,
            **provenance(after),
        },
    )


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
    """The coupling ramped up through a pattern's threshold and down again, each at a constant pace.

    From the normal state, every spin turned towards the pattern by the small angle `seed`: the overlap appears late on
    the way up, since it has to grow out of the seed, and vanishes at the threshold on the way down. The loop closes as
    the ramp gets slower.

    **Returns** a dataset with dimensions direction ("up", "down") and g0: `overlap` |xi_nu|, and `theory` (Eq. 12).
    """
    check_model(model)
    check_all("duration", np.asarray(duration), lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    check_count("points", points, 2)
    if not g0_low < g0_high:
        refuse("g0_low and g0_high", "increasing", f"{g0_low} and {g0_high}")
    times = jnp.linspace(0.0, duration, points)
    couplings = np.linspace(g0_low, g0_high, points)
    state, branches = _seeded(dataclasses.replace(model, g0=g0_low), pattern, seed), []
    for ends in ((g0_low, g0_high), (g0_high, g0_low)):
        ramp = PiecewiseLinear(jnp.array([0.0, duration]), jnp.array(ends))
        sol = mfsolve(dataclasses.replace(model, g0=ramp), state, times)
        state = sol.final_state
        branches.append(np.abs(np.asarray(sol.overlaps[:, pattern])))
    theory = jax.vmap(lambda g: retrieval_overlap(dataclasses.replace(model, g0=g), pattern))(jnp.asarray(couplings))
    constant = dataclasses.replace(model, g0=g0_high)
    return xr.Dataset(
        {
            "overlap": (("direction", "g0"), np.stack([branches[0], branches[1][::-1]])),
            "theory": ("g0", np.asarray(theory), {"long_name": "|xi| of Eq. 12"}),
            "g_crit": ((), float(critical_coupling(constant, pattern))),
        },
        coords={"direction": ["up", "down"], "g0": couplings},
        attrs={"title": "Ramps", "duration": duration, "seed": seed, "ramped_pattern": pattern, **provenance(constant)},
    )


def _seeded(model: DickeModel, pattern: int, seed: float) -> MeanFieldState:
    """The stationary state of a pattern, every spin turned by `seed` about y, towards the pattern."""
    state, row = retrieval_state(model, pattern), pattern_signs(model, pattern)
    (x, y, z), c, s = state.m, np.cos(seed), np.sin(seed)
    return MeanFieldState(jnp.stack([c * x + s * row * z, y, c * z - s * row * x]), state.alpha)
