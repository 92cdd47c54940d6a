"""Couplings at which runs end with a given overlap: a safeguarded descent, each step a run."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from ..dynamics.steady import steadystate
from ..model import DickeModel
from ..state import stored_pattern

STRIDE = 0.4  # in log g0, where the overlap has no slope


def couplings_of_runs(
    model: DickeModel, nu: Int[Array, ""], first: Array, held: Float[Array, " S"], num_steps: int
) -> tuple[Array, Array]:
    """g0 at overlaps seen at the end of runs from the stored pattern, all at once, until none moves; and the losses."""
    far = jnp.full_like(held, jnp.inf)
    at = _Search(jnp.full_like(held, jnp.log(first)), -far, far, held > far)
    losses = []
    for _ in range(num_steps):
        at, loss = _search_step(model, nu, held, at)
        losses.append(loss)
        if bool(jnp.all(at.done | jnp.isnan(at.log_g0))):
            break
    return jnp.where(at.done, jnp.exp(at.log_g0), jnp.nan), jnp.stack(losses)


class _Search(eqx.Module):
    log_g0: Float[Array, " S"]
    below: Float[Array, " S"]  # the largest log g0 whose overlap was too small, and the smallest one of the others
    above: Float[Array, " S"]
    done: Bool[Array, " S"]


@eqx.filter_jit
def _search_step(
    model: DickeModel, nu: Int[Array, ""], held: Float[Array, " S"], at: _Search
) -> tuple[_Search, Float[Array, " S"]]:
    own = jnp.arange(model.num_modes) == nu

    def seen(log_g0: Float[Array, ""]) -> tuple[Array, tuple[Array, Array]]:
        now = dataclasses.replace(model, g0=jnp.exp(log_g0))
        end = steadystate(now, stored_pattern(now, nu), tol=1e-11 if model.dtype == jnp.float64 else None)
        xi = jnp.sum(jnp.where(own, end.overlaps, 0))
        value = jnp.log1p(-(xi**2))
        loyal = jnp.argmax(jnp.abs(end.overlaps)) == nu
        return value, (value, end.converged & (loyal | (xi**2 < 1e-6)))

    slope, (value, good) = jax.vmap(jax.jacfwd(seen, has_aux=True))(at.log_g0)
    miss = value - jnp.log1p(-(held**2))
    loss = jnp.abs(miss)
    below = jnp.where(miss > 0, jnp.maximum(at.below, at.log_g0), at.below)
    above = jnp.where(miss <= 0, jnp.minimum(at.above, at.log_g0), at.above)

    optimizer = optax.polyak_sgd(max_learning_rate=jnp.inf)  # loss / |slope|^2, for a least loss of 0
    moved = at.log_g0 + jax.vmap(lambda v, f, g: _update(optimizer, v, f, g))(at.log_g0, loss, jnp.sign(miss) * slope)
    inside = good & jnp.isfinite(moved) & (moved > below) & (moved < above)
    inside &= jnp.abs(moved - at.log_g0) < 2 * STRIDE
    bracketed = jnp.isfinite(below) & jnp.isfinite(above)
    other = jnp.where(bracketed, (below + above) / 2, jnp.where(miss > 0, at.log_g0 + STRIDE, at.log_g0 - STRIDE))
    other = jnp.where(jnp.isfinite(miss), other, jnp.nan)
    next_ = jnp.where(inside, moved, other)
    close = 1e-7 if model.dtype == jnp.float64 else 1e-4  # beyond it, what a run's end is uncertain by
    done = at.done | (good & (jnp.abs(miss) < 1e-3 * held**2) & (jnp.abs(moved - at.log_g0) < close))
    return _Search(jnp.where(at.done, at.log_g0, jnp.where(done, moved, next_)), below, above, done), loss


def _update(optimizer: optax.GradientTransformationExtraArgs, vector: Array, value: Array, slope: Array) -> Array:
    with jax.numpy_dtype_promotion("standard"):
        change: Any = optimizer.update(slope, optimizer.init(vector), vector, value=value)[0]
    return change
