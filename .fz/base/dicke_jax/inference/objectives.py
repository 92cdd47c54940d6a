"""Objectives for `design`: how far all patterns are from losing stability, and how wide a basin is."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import as_pattern_index, check_all
from ..dynamics.solve import mfsolve
from ..model import DickeModel, check_model
from ..phases.retrieval import closed_form_obstacle
from ..state import MeanFieldState
from .invert import thresholds_of


def stability_margin(model: DickeModel) -> Float[Array, ""]:
    """The smallest g0 / g_stab,nu over all patterns nu: above 1 every one is retrieved stably.

    A minimum: where the best model has several patterns with the same margin, no slope vanishes there.
    """
    check_model(model)
    every = jnp.arange(model.num_modes)
    closed = all(closed_form_obstacle(model, nu, all_pairs=True) is None for nu in range(model.num_modes))
    return jnp.min(jnp.abs(model.g0) / thresholds_of(model, every, "stability", closed))


def basin_proxy(model: DickeModel, cues: MeanFieldState, pattern: int = 0, *, time: Any = 20.0) -> Float[Array, ""]:
    """The share of pattern nu in what cues recall, a smooth stand-in for the probability that they end there.

        < xi_nu(t)^2 / sum_mu xi_mu(t)^2 >   over all cues, and over t from time / 2 to time

    A probability has no slope: a cue ends at the pattern or not. This has one, since a cue that is going to be lost
    loses its share gradually. Choose `time` long enough for that, and short enough that the slopes of runs that go
    astray are still small numbers. Differentiable in forward mode.

    **Arguments**

    - `model`: a `DickeModel`.
    - `cues`: a `MeanFieldState` with a leading axis, as `jax.vmap(lambda k: tilted_pattern(k, model, nu, 0.8))(keys)`.
    - `pattern`: nu, from 0.
    - `time`: in the inverse unit of the rates.
    """
    check_model(model)
    nu = as_pattern_index(pattern, model.num_modes)
    end = jnp.asarray(time, model.dtype)
    check_all("time", end, lambda t: t > 0, "positive")
    times = end * jnp.concatenate([jnp.zeros(1, model.dtype), jnp.linspace(0.5, 1, 16, dtype=model.dtype)])
    tol = 1e-7 if model.dtype == jnp.float64 else None

    def share(cue: MeanFieldState) -> Float[Array, ""]:
        run = mfsolve(model, cue, times, rtol=tol, atol=tol, adjoint=dfx.ForwardMode(), throw=False)
        squares = run.overlaps[1:] ** 2
        return jnp.mean(squares[:, nu] / jnp.maximum(jnp.sum(squares, axis=1), jnp.finfo(model.dtype).tiny))

    return jnp.mean(eqx.filter_vmap(share)(cues))
