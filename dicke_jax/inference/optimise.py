"""Descent: a loop of short pure steps, each compiled whole."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optimistix as optx
from jaxtyping import Array, Bool, Float

from .free_parameters import Vector

Loss: TypeAlias = Callable[[Vector], Float[Array, ""]]
POLYAK = optax.polyak_sgd(max_learning_rate=jnp.inf)  # steps of loss / |slope|^2, for a least loss of 0


class Descent(eqx.Module):
    """Where a descent is: the point, the best point so far with its loss, and the state of the optimiser.

    A loss or a slope that is not finite stops it: the point stays, `finite` says so.
    """

    vector: Vector
    best: Vector
    best_loss: Float[Array, ""]
    finite: Bool[Array, ""]
    optimizer_state: optax.OptState


def start(optimizer: optax.GradientTransformation, vector: Vector) -> Descent:
    return Descent(vector, vector, jnp.full((), jnp.inf, vector.dtype), jnp.array(True), optimizer.init(vector))


def step(optimizer: optax.GradientTransformation, loss: Loss, at: Descent) -> tuple[Descent, Float[Array, ""], Vector]:
    """One step, and the loss and its slope before it. Slopes are taken in forward mode: there are few rates."""
    value, slope = value_and_slope(loss, at.vector)
    finite = at.finite & jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
    better = at.finite & (value < at.best_loss)  # also where there is no slope, as at a kink
    vector, state = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old),
        moved(optimizer, loss, at.vector, value, slope, at.optimizer_state),
        (at.vector, at.optimizer_state),
    )
    best = jnp.where(better, at.vector, at.best)
    return Descent(vector, best, jnp.where(better, value, at.best_loss), finite, state), value, slope


def moved(
    optimizer: optax.GradientTransformation,
    loss: Loss | None,
    vector: Array,
    value: Float[Array, ""],
    slope: Array,
    state: optax.OptState,
) -> tuple[Array, optax.OptState]:
    """Where an optimiser goes from `vector`, with the loss and its slope there."""
    optimizer = optax.with_extra_args_support(optimizer)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax mixes types
        change, state = optimizer.update(slope, state, vector, value=value, grad=slope, value_fn=loss)
    return cast(Array, optax.apply_updates(vector, change)), state


def steps(
    optimizer: optax.GradientTransformation, loss: Loss, at: Descent, number: int
) -> tuple[Descent, Float[Array, " steps"]]:
    """Several steps, and the losses before each."""
    return jax.lax.scan(lambda now, _: step(optimizer, loss, now)[:2], at, None, number)


def value_and_slope(function: Callable[[Vector], Array], vector: Vector) -> tuple[Array, Array]:
    """A function's value and derivative, by one forward derivative for each rate."""
    slope, value = jax.jacfwd(lambda v: (function(v),) * 2, has_aux=True)(vector)
    return value, slope


def least_squares(
    residuals: Callable[[Vector], Array], solver: optx.AbstractLeastSquaresSolver, vector: Vector, max_steps: int
) -> Vector:
    """Where the sum of squares is least, near `vector`; run in the precision that solvers know, JAX's own."""

    def widened(v: Array, _: Any) -> Array:
        return residuals(v.astype(vector.dtype)).astype(float)

    options = {"throw": False, "options": {"jac": "fwd"}, "max_steps": max_steps}
    return optx.least_squares(widened, solver, vector.astype(float), **options).value.astype(vector.dtype)
