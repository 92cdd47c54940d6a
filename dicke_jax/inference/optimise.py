"""Descent: a loop of short pure steps, each compiled whole."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optimistix as optx
from jaxtyping import Array, Bool, Float

from .._status import Status, where
from .free_parameters import Vector

Loss: TypeAlias = Callable[[Vector], Float[Array, ""]]
POLYAK = optax.polyak_sgd(max_learning_rate=jnp.inf)  # steps of loss / |slope|^2, for a least loss of 0


class Descent(eqx.Module):
    """Where a descent is: the point, the best point so far with its loss, and the state of the optimiser.

    A loss or a slope that is not finite stops it: the point stays, `finite` says so. `at_best` is what else was
    computed at the best point.
    """

    vector: Vector
    best: Vector
    best_loss: Float[Array, ""]
    finite: Bool[Array, ""]
    optimizer_state: Any
    at_best: Any = None

    def after(self, loss: Array, finite: Array, vector: Vector, optimizer_state: Any, here: Any = None) -> "Descent":
        """After a step to `vector` from where the loss was this, and `here` computed."""
        finite &= self.finite
        better = (loss < self.best_loss) | jnp.isnan(self.best_loss)  # also where there is no slope, as at a kink
        old = self.best, self.best_loss, self.at_best
        best, best_loss, at_best = select(better & self.finite, (self.vector, loss, here), old)
        vector, optimizer_state = select(finite, (vector, optimizer_state), (self.vector, self.optimizer_state))
        return Descent(vector, best, best_loss, finite, optimizer_state, at_best)


def outcome(good: Any, finite: Any) -> Status:
    """Of a search: whether it found what it looked for, or broke down."""
    if not isinstance(finite, jax.Array):  # nothing to compile
        return (Status.successful if good else Status.not_converged) if finite else Status.failed
    return where(finite, where(good, Status.successful, Status.not_converged), Status.failed)


def select(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def start(optimizer: optax.GradientTransformation, vector: Vector) -> Descent:
    return Descent(vector, vector, jnp.full((), jnp.inf, vector.dtype), jnp.array(True), optimizer.init(vector))


def step(optimizer: optax.GradientTransformation, loss: Loss, at: Descent) -> tuple[Descent, Float[Array, ""], Vector]:
    """One step, and the loss and its slope before it. Slopes are taken in forward mode: there are few rates."""
    value, slope = value_and_slope(loss, at.vector)
    finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
    return at.after(value, finite, *moved(optimizer, loss, at.vector, value, slope, at.optimizer_state)), value, slope


def moved(
    optimizer: optax.GradientTransformation, loss: Loss | None, vector: Array, value: Array, slope: Array, state: Any
) -> tuple[Array, Any]:
    """Where an optimiser goes from `vector`, with the loss and its slope there."""
    optimizer = optax.with_extra_args_support(optimizer)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax mixes types
        change, state = optimizer.update(slope, state, vector, value=value, grad=slope, value_fn=loss)
    return cast(Array, optax.apply_updates(vector, change)), state


def steps(optimizer: optax.GradientTransformation, loss: Loss, at: Descent, number: int) -> tuple[Descent, Array]:
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
