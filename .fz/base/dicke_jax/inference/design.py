"""`design`: the rates under which a function of the model is largest."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from .._checks import check_count, known, refuse
from ..model import DickeModel
from .descent import Descent, InferenceStatus, start, step
from .parameters import FREE, Bounds, RateName, Vector, free_rates

CHUNK = 10  # steps between two looks at the progress


class DesignResult(eqx.Module):
    """The best model that was met on the way up.

    - `model`, `rates` (F,), `names`: its rates; `objective`: its value.
    - `history`: (steps,), the objective before each step; `rates_history`: (steps, F), the rates there.
    - `gradient_norm`: of the objective in the log rates, at the last step.
    - `status`: an `InferenceStatus`, converged where `gradient_norm` is below the tolerance. Where the smallest of
      several things is made large, the best point is a kink and no slope vanishes: look at the history.
    """

    model: DickeModel
    rates: Vector
    objective: Float[Array, ""]
    history: Float[Array, " steps"]
    rates_history: Float[Array, "steps F"]
    gradient_norm: Float[Array, ""]
    status: InferenceStatus
    names: tuple[str, ...] = eqx.field(static=True)

    @property
    def converged(self) -> Array:
        """Whether the objective has no slope any more."""
        return jnp.asarray(self.status == InferenceStatus.converged)

    def __repr__(self) -> str:
        if not known(self.objective):
            return eqx.tree_pformat(self)
        rows = [f"DesignResult: {InferenceStatus[self.status]}"]
        begin = float(self.history[0]) if self.history.size else float("nan")
        rows.append(f"  objective {begin:.6g} -> {float(self.objective):.6g} in {self.history.size} steps")
        rows.append(f"  slope     {float(self.gradient_norm):.1e} in the log rates")
        rows += [f"  {name:14} {float(rate):.6g}" for name, rate in zip(self.names, self.rates, strict=True)]
        return "\n".join(rows)


def design(
    objective: Callable[[DickeModel], Any],
    model: DickeModel,
    *,
    free: Sequence[RateName] = FREE,
    bounds: Bounds | None = None,
    optimizer: optax.GradientTransformation | None = None,
    num_steps: int = 200,
    tol: float = 1e-4,
    progress: Callable[[int, float], Any] | None = None,
) -> DesignResult:
    """Maximise a function of the model by gradient ascent.

        max_p  objective(model(p))

    **Main arguments**

    - `objective`: of a `DickeModel`, one number, differentiable in forward mode: all functions of this package are. It
      is compiled, free rates traced. Rates without bounds can run away with an objective that has none.
      `stability_margin` is one, `basin_proxy` with cues another.
    - `model`: the `DickeModel` to start from.

    **Other arguments**

    - `free`, `bounds`: which rates may change and how far, as in `free_rates`.
    - `optimizer`: an optax optimiser that makes its loss small, here -objective; Adam by default, with steps that
      shorten to 0 over `num_steps`.
    - `num_steps`: at most.
    - `tol`: the slope in the log rates below which the objective counts as largest.
    - `progress`: called every few steps with their number and the best objective so far.

    **Returns** a `DesignResult` with the best model met. KeyboardInterrupt ends with that; so does an objective that is
    not finite, which fails where it is so at the start.

    **Raises** ValueError for arguments that do not fit.
    """
    parameters = free_rates(model, free, bounds)
    if not callable(objective):
        refuse("objective", "a function of a DickeModel", type(objective).__name__)
    check_count("num_steps", num_steps)
    if not known(tol) or not tol > 0:
        refuse("tol", "positive", tol)
    if optimizer is None:
        optimizer = optax.adam(optax.cosine_decay_schedule(0.1, num_steps))
    at, interrupted = start(optimizer, parameters.to_vector(model)), False
    values, vectors, slope = [], [], jnp.inf

    def loss(vector: Vector) -> Float[Array, ""]:
        value = jnp.asarray(objective(parameters.to_model(vector)))
        if value.ndim:
            refuse("objective", "a function with one number for its value", f"shape {value.shape}")
        return -value.astype(vector.dtype)

    @eqx.filter_jit
    def ascend(at: Descent) -> tuple[Descent, Float[Array, ""], Float[Array, ""]]:
        """One step, the loss before it, and how steep it is. Couplings are constants, which closed forms look at."""
        further, value, slope = step(optimizer, loss, at)
        return further, value, jnp.linalg.norm(slope / parameters.stretches(at.vector))

    try:
        for done in range(num_steps):
            vectors.append(at.vector)
            at, value, slope = ascend(at)
            values.append(-value)
            if progress is not None and done % CHUNK == 0:
                progress(done, float(-at.least))
            if not at.alive or slope < tol:
                break
    except KeyboardInterrupt:
        interrupted = True
    values = values[: len(vectors)]
    best, kept = at.best, np.isfinite(at.least)
    status = InferenceStatus.converged if kept and slope < tol else InferenceStatus.not_converged
    status = status if kept else InferenceStatus.failed
    empty = jnp.zeros((0, best.size), best.dtype)
    rates = [parameters.rates(vector) for vector in vectors[: len(values)]]
    return DesignResult(
        parameters.to_model(best),
        parameters.rates(best),
        -at.least,
        jnp.asarray(np.array(values), best.dtype),
        jnp.stack(rates) if rates else empty,
        jnp.asarray(slope, best.dtype),
        InferenceStatus.interrupted if interrupted else status,
        parameters.names,
    )
