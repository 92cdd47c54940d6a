"""Couplings at which runs end with a given overlap: a safeguarded descent, each step a run."""

import dataclasses
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from ..dynamics.solve import mfsolve
from ..dynamics.steady import steadystate
from ..model import DickeModel
from ..state import stored_pattern

STRIDE = 0.4  # in log g0, where the overlap has no slope
MOST_STEPS = 2**14  # of a run that is gone through backwards


def couplings_of_runs(
    model: DickeModel,
    nu: Int[Array, ""],
    first: Array,
    held: Float[Array, " S"],
    num_steps: int,
    adjoint: dfx.AbstractAdjoint | None,
) -> tuple[Array, Array]:
    """g0 at overlaps seen at the end of runs from the stored pattern, all at once, until none moves; and the losses."""
    far = jnp.full_like(held, jnp.inf)
    at = _Search(jnp.full_like(held, jnp.log(first)), -far, far, held > far)
    losses = []
    for _ in range(num_steps):
        at, loss = _search_step(model, nu, held, at, adjoint)
        losses.append(loss)
        if bool(jnp.all(at.done | jnp.isnan(at.log_g0))):
            break
    return jnp.where(at.done, jnp.exp(at.log_g0), jnp.nan), jnp.stack(losses)


def end_of_run(
    log_g0: Float[Array, ""], model: DickeModel, nu: Int[Array, ""], adjoint: dfx.AbstractAdjoint | None
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Log(1 - |xi_nu|^2) at the end of a run from the stored pattern, and whether it is at rest at this pattern."""
    own = jnp.arange(model.num_modes) == nu
    now = dataclasses.replace(model, g0=jnp.exp(log_g0))
    end = steadystate(now, stored_pattern(now, nu), tol=1e-11 if model.dtype == jnp.float64 else None)
    xi = jnp.sum(jnp.where(own, end.overlaps, 0))
    loyal = jnp.argmax(jnp.abs(end.overlaps)) == nu
    good = end.converged & (loyal | (xi**2 < 1e-6))
    if adjoint is not None:  # the same run once more, of known length
        times = jnp.stack([jnp.zeros_like(end.time), jax.lax.stop_gradient(end.time)])
        run = mfsolve(now, stored_pattern(now, nu), times, adjoint=adjoint, max_steps=MOST_STEPS, throw=False)
        xi = jnp.sum(jnp.where(own, run.overlaps[-1], 0))
    return jnp.log1p(-(xi**2)), good


class _Search(eqx.Module):
    log_g0: Float[Array, " S"]
    below: Float[Array, " S"]  # the largest log g0 whose overlap was too small, and the smallest one of the others
    above: Float[Array, " S"]
    done: Bool[Array, " S"]


@eqx.filter_jit
def _search_step(
    model: DickeModel, nu: Int[Array, ""], held: Float[Array, " S"], at: _Search, adjoint: dfx.AbstractAdjoint | None
) -> tuple[_Search, Float[Array, " S"]]:
    def seen(log_g0: Float[Array, ""]) -> tuple[Array, tuple[Array, Array]]:
        value, good = end_of_run(log_g0, model, nu, adjoint)
        return value, (value, good)

    forwards = adjoint is None or isinstance(adjoint, dfx.ForwardMode)
    derivative = jax.jacfwd if forwards else jax.grad
    slope, (value, good) = jax.vmap(derivative(seen, has_aux=True))(at.log_g0)
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
