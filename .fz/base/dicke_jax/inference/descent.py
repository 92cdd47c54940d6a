"""Descent: a loop of short pure steps, each compiled whole."""

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optimistix as optx
from jaxtyping import Array, Float

from .parameters import Vector

Loss: TypeAlias = Callable[[Vector], Float[Array, ""]]


class InferenceStatus(eqx.Enumeration):
    """How an inference ended."""

    converged = "converged"
    not_converged = "not converged: the tolerance was not met"
    failed = "failed: no finite value was found"
    interrupted = "interrupted: the best so far"


class Descent(eqx.Module):
    """Where a descent is: the point, the best point so far with its loss, and the state of the optimiser.

    A loss or a slope that is not finite stops it: the point stays, `alive` says so.
    """

    vector: Vector
    best: Vector
    least: Float[Array, ""]
    alive: Array
    memory: Any


def start(optimizer: optax.GradientTransformation, vector: Vector) -> Descent:
    return Descent(vector, vector, jnp.full((), jnp.inf, vector.dtype), jnp.array(True), optimizer.init(vector))


def step(optimizer: optax.GradientTransformation, loss: Loss, at: Descent) -> tuple[Descent, Float[Array, ""], Vector]:
    """One step, and the loss and its slope before it. Slopes are taken in forward mode: there are few rates."""
    value, slope = value_and_slope(loss, at.vector)
    alive = at.alive & jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
    better = at.alive & (value < at.least)  # also where there is no slope, as at a kink
    given = optax.with_extra_args_support(optimizer)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax mixes types
        change, memory = given.update(slope, at.memory, at.vector, value=value, grad=slope, value_fn=loss)
    moved = optax.apply_updates(at.vector, change)
    vector, memory = jax.tree.map(lambda new, old: jnp.where(alive, new, old), (moved, memory), (at.vector, at.memory))
    best = jnp.where(better, at.vector, at.best)
    return Descent(vector, best, jnp.where(better, value, at.least), alive, memory), value, slope


def steps(
    optimizer: optax.GradientTransformation, loss: Loss, at: Descent, number: int
) -> tuple[Descent, Float[Array, " steps"]]:
    """Several steps, and the losses before each."""
    return jax.lax.scan(lambda now, _: step(optimizer, loss, now)[:2], at, None, number)


def value_and_slope(loss: Loss, vector: Vector) -> tuple[Float[Array, ""], Vector]:
    """The loss and its gradient, by one forward derivative for each rate."""

    def both(v: Vector) -> tuple[Array, Array]:
        value = loss(v)
        return value, value

    slope, value = jax.jacfwd(both, has_aux=True)(vector)
    return value, slope


def least_squares(
    residuals: Callable[[Vector], Array], solver: optx.AbstractLeastSquaresSolver, vector: Vector, max_steps: int
) -> Vector:
    """Where the sum of squares is least, near `vector`; run in the precision that solvers know, JAX's own."""

    def widened(v: Array, _: Any) -> Array:
        return residuals(v.astype(vector.dtype)).astype(float)

    options = {"throw": False, "options": {"jac": "fwd"}, "max_steps": max_steps}
    return optx.least_squares(widened, solver, vector.astype(float), **options).value.astype(vector.dtype)
