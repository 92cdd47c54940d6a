"""Steps of a fit: residuals, losses and their slopes, computed once, and what an optimiser makes of them."""

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int

from ..mean_field import CollectiveModel, DickeModel
from .fit_parameters import FitParameters
from .free_parameters import Vector
from .measurements import Measurements
from .optimise import Descent, moved, select, value_and_slope

Residuals: TypeAlias = Float[Array, " D"]
Loss: TypeAlias = Callable[[Residuals], Float[Array, ""]]
JACOBIAN = {"jac": "fwd"}
Step: TypeAlias = tuple[Vector, Any, Float[Array, ""], Bool[Array, ""]]
LIGHT = 0.03  # the slopes' size at which a damping of 1 is light


def residuals(model: DickeModel | CollectiveModel, data: tuple[Measurements, ...]) -> Residuals:
    """(predicted - measured) / noise of all points, 0 where one is missing."""
    return jnp.concatenate([jnp.where(d.present, (d.predict(model) - d.values) / d.noise, 0).ravel() for d in data])


def chi_square(r: Residuals) -> Float[Array, ""]:
    """sum_i r_i^2 / 2, the negative log-likelihood of Gaussian noise."""
    return jnp.sum(r**2) / 2


def huber(r: Residuals) -> Float[Array, ""]:
    """Quadratic up to two standard deviations, linear beyond: outliers pull less."""
    return jnp.sum(optax.huber_loss(r, jnp.zeros_like(r), delta=2.0))


LOSSES: dict[str, Loss] = {"chi-square": chi_square, "huber": huber}


class Linearized(eqx.Module):
    """Residuals, their slopes in the vector of a fit, and the gradient of the loss."""

    loss: Float[Array, ""]
    residuals: Residuals
    slopes: Float[Array, "D F"]
    gradient: Vector
    stretches: Vector  # d log |p| / dv

    @classmethod
    def unknown(cls, vector: Vector, num_residuals: int) -> "Linearized":
        """Before any are computed."""
        none, slopes = (jnp.zeros((num_residuals, *rest), vector.dtype) for rest in ((), vector.shape))
        return cls(jnp.full((), jnp.nan, vector.dtype), none, slopes, jnp.zeros_like(vector), jnp.zeros_like(vector))


class FitProblem(eqx.Module):
    """What a fit makes small: a loss of the residuals."""

    parameters: FitParameters
    measure: Loss

    def residuals(self, vector: Vector) -> Residuals:
        return residuals(*self.parameters.at(vector))

    def loss(self, vector: Vector) -> Float[Array, ""]:
        return self.measure(self.residuals(vector))

    def linearized(self, vector: Vector) -> Linearized:
        """By one forward derivative for each rate."""
        r, slopes = value_and_slope(self.residuals, vector)
        loss, pull = jax.value_and_grad(self.measure)(r)
        return Linearized(loss, r, slopes, pull @ slopes, self.parameters.stretches(vector))


class GradientSteps(eqx.Module):
    """By an optax optimiser.

    It sees the residuals at one point after the other; `step` gives the next vector, the optimiser's state, the loss to
    go down in history, and whether to go on.
    """

    chunk, most = 50, 2000  # steps between two looks at the progress; as many where nothing else is asked for
    optimizer: optax.GradientTransformation

    def init(self, vector: Vector, num_residuals: int) -> Any:
        return self.optimizer.init(vector)

    def step(self, problem: FitProblem, vector: Vector, here: Linearized, state: Any) -> Step:
        further, state = moved(self.optimizer, problem.loss, vector, here.loss, here.gradient, state)
        return further, state, here.loss, jnp.isfinite(here.loss) & jnp.all(jnp.isfinite(here.gradient))


class LeastSquaresSteps(eqx.Module):
    """By an optimistix solver: in its precision, and in units in which the first slopes are all alike.

    Levenberg's damping begins at 1: in these units it is light, and soon heavy where steps are rejected. The solver
    differentiates what it is given, which has the slopes that are known already: no second run, and none to compile.
    """

    chunk, most = 8, 80
    solver: optx.AbstractGaussNewton

    def init(self, vector: Vector, num_residuals: int) -> Any:
        units, y = jnp.ones_like(vector), vector.astype(float)
        return units, y, self._begin(_Known(Linearized.unknown(vector, num_residuals), units), y)[0]

    def step(self, problem: FitProblem, vector: Vector, here: Linearized, state: Any) -> Step:
        units, y, arrays = state
        sizes = jnp.linalg.norm(here.slopes, axis=0)
        alike = jnp.maximum(LIGHT * sizes, 1e-4 * LIGHT * jnp.max(sizes))
        alike = jnp.where(jnp.isfinite(alike) & (alike > 0), alike, 1)
        units = jnp.where(arrays.first_step, alike, units)
        known, start = _Known(here, units), (units * vector).astype(float)
        begin, static = self._begin(known, start)
        y, arrays = select(arrays.first_step, (start, begin), (y, arrays))
        y, new, loss = self.solver.step(known, y, None, JACOBIAN, eqx.combine(arrays, static), frozenset())
        finite = jnp.isfinite(new.aux) & jnp.all(jnp.isfinite(y))
        state = units, y, eqx.filter(new, eqx.is_array)
        return new.y_eval.astype(vector.dtype) / units, state, loss.astype(vector.dtype), finite

    def _begin(self, known: "_Known", y: Array) -> tuple[Any, Any]:
        """The solver's state at a start: its arrays, and the rest."""
        residuals, loss = jax.eval_shape(known, y, None)
        state = self.solver.init(known, y, None, JACOBIAN, residuals, loss, frozenset())
        return eqx.partition(state, eqx.is_array)


class _Known(eqx.Module):
    """Residuals at one point as a function that a solver can differentiate there."""

    here: Linearized
    units: Vector

    def __call__(self, y: Array, _: None) -> tuple[Array, Array]:
        r, slopes = self.here.residuals.astype(float), (self.here.slopes / self.units[None, :]).astype(float)
        return r + slopes @ (y - jax.lax.stop_gradient(y)), jnp.sum(r**2) / 2


Stepper: TypeAlias = GradientSteps | LeastSquaresSteps


@eqx.filter_jit
def begin(stepper: Stepper, vectors: Float[Array, "R F"], num_residuals: int) -> Descent:
    """At the starts, before any step."""

    def at(vector: Vector) -> Descent:
        none = Linearized.unknown(vector, num_residuals)
        return Descent(vector, vector, none.loss, jnp.array(True), stepper.init(vector, num_residuals), none)

    # of no weak type, as after a step: one compilation of the steps serves both
    return jax.tree.map(lambda x: x.astype(x.dtype), jax.vmap(at)(vectors))


@eqx.filter_jit
def advance(
    problem: FitProblem, stepper: Stepper, restarts: Descent, number: Int[Array, ""], most: int
) -> tuple[Descent, Float[Array, "most R"]]:
    """`number` steps of each restart, at most `most`, and the losses before each; NaN where none was made."""

    def one(at: Descent) -> tuple[Descent, Float[Array, ""]]:
        here = problem.linearized(at.vector)
        vector, state, loss, finite = stepper.step(problem, at.vector, here, at.optimizer_state)
        return at.after(here.loss, finite, vector, state, here), loss

    def step(i: Array, carry: tuple[Descent, Array]) -> tuple[Descent, Array]:
        restarts, losses = carry
        if len(restarts.vector) > 1:
            restarts, loss = jax.vmap(one)(restarts)
        else:  # `jax.vmap` would only add to what is to be traced and compiled
            alone = one(jax.tree.map(lambda x: x[0], restarts))
            restarts, loss = jax.tree.map(lambda x: x[None], alone)
        return restarts, losses.at[i].set(loss)

    losses = jnp.full((most, len(restarts.vector)), jnp.nan, restarts.vector.dtype)
    return jax.lax.fori_loop(jnp.zeros_like(number), number, step, (restarts, losses))
