"""`design`: the rates under which a function of the model is largest; and two such functions."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from .._checks import as_array, as_pattern_index, check_all, check_count, check_known, known, refuse
from .._door import checked
from .._progress import Loop
from .._status import Status
from .._summary import AbstractResult, Rows
from ..dynamics.trajectory import mfsolve
from ..mean_field import DickeModel, MeanFieldState
from .free_parameters import FREE, Bounds, FreeRates, RateName, Vector, free_rates
from .optimise import Descent, outcome, start, step
from .threshold_inversion import thresholds_of

CHUNK = 10  # steps between two looks at the progress


class DesignResult(AbstractResult):
    """The best model that was met on the way up.

    - `model`, `rates` (F,), `names`: its rates; `objective`: its value.
    - `history`: (steps,), the objective before each step; `rates_history`: (steps, F), the rates there.
    - `gradient_norm`: of the objective in the log rates, at the last step.
    - `status`: a `Status`, successful where `gradient_norm` is below the tolerance. Where the smallest of
      several things is made large, the best point is a kink and no slope vanishes: look at the history.
    """

    model: DickeModel
    rates: Vector
    objective: Float[Array, ""]
    history: Float[Array, " steps"]
    rates_history: Float[Array, "steps F"]
    gradient_norm: Float[Array, ""]
    status: Status
    names: tuple[str, ...] = eqx.field(static=True)

    def _heading(self) -> str:
        return f"DesignResult: {self.history.size} steps"

    def _rows(self) -> Rows:
        begin = float(self.history[0]) if self.history.size else float("nan")
        yield "objective", f"{begin:.6g} -> {float(self.objective):.6g}"
        yield "slope", f"{float(self.gradient_norm):.1e} in the log rates"
        yield from zip(self.names, np.asarray(self.rates), strict=True)


@checked
def design(
    objective: Callable[[DickeModel], Any],
    model: DickeModel,
    *,
    free: Sequence[RateName] = FREE,
    bounds: Bounds | None = None,
    optimizer: optax.GradientTransformation | None = None,
    num_steps: int = 200,
    tol: float = 1e-4,
    progress: Callable[[int, int], Any] | None = None,
) -> DesignResult:
    """Maximise a function of the model by gradient ascent.

        max_p  objective(model(p))

    **Main arguments**

    - `objective`: of a `DickeModel`, one number, differentiable in forward mode, as all functions of this package are:
      `stability_margin`, or `basin_proxy` with cues. It is compiled, the model traced. Rates without bounds can run
      away with an objective that has none.
    - `model`: the `DickeModel` to start from.

    **Other arguments**

    - `free`, `bounds`: which rates may change and how far, as in `free_rates`.
    - `optimizer`: an optax optimiser that makes its loss small, here -objective; Adam by default, with steps that
      shorten to 0 over `num_steps`.
    - `num_steps`: at most.
    - `tol`: the slope in the log rates below which the objective counts as largest.
    - `progress`: called every few steps with the numbers of steps done and of steps at most.

    **Returns** a `DesignResult` with the best model met. KeyboardInterrupt ends with that; so does an objective that is
    not finite, which fails where it is so at the start.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> def score(model):  # a threshold at 0.7
        ...     return -((dj.critical_coupling(model, 0) - 0.7) ** 2)
        >>> found = dj.design(score, model, free=["omega_spin"])
        >>> print(f"{dj.critical_coupling(found.model, 0):.2f}")
        0.70
    """
    parameters = free_rates(model, free, bounds)
    check_known("model", model, "for it is changed step by step; its objective can be traced")
    check_count("num_steps", num_steps)
    if not known(tol) or not tol > 0:
        refuse("tol", "positive", tol)
    optimizer = _adam(num_steps) if optimizer is None else optimizer
    at = eqx.filter_jit(start)(optimizer, parameters.to_vector(model))
    values, vectors = np.full(num_steps, np.nan), np.full((num_steps, len(parameters)), np.nan)
    done, slope, interrupted, report = 0, np.inf, False, Loop(num_steps, "steps", progress, at_most=True)
    try:
        while done < num_steps and at.finite and not slope < tol:
            vectors[done] = at.vector
            at, value, steepness = _ascend(objective, parameters, optimizer, at)
            values[done], slope, done = -np.asarray(value), float(steepness), done + 1
            if done % CHUNK == 1:
                report(done)
    except KeyboardInterrupt:
        interrupted = True
    dtype = at.best.dtype
    best, rates, rates_history = _described(parameters, at.best, as_array(vectors, dtype))
    return DesignResult(
        model=best,
        rates=rates,
        objective=as_array(-np.asarray(at.best_loss)),
        history=as_array(values[:done], dtype),
        rates_history=as_array(np.asarray(rates_history)[:done]),
        gradient_norm=as_array(slope, dtype),
        status=Status.interrupted if interrupted else outcome(slope < tol, np.isfinite(at.best_loss)),
        names=parameters.names,
    )


@functools.cache
def _adam(num_steps: int) -> optax.GradientTransformation:
    """The same one for every design with as many steps, which is compiled once."""
    return optax.adam(optax.cosine_decay_schedule(0.1, num_steps))


@eqx.filter_jit
def _ascend(
    objective: Callable[[DickeModel], Any], parameters: FreeRates, optimizer: optax.GradientTransformation, at: Descent
) -> tuple[Descent, Float[Array, ""], Float[Array, ""]]:
    """One step, the loss before it, and how steep it is."""

    def loss(vector: Vector) -> Float[Array, ""]:
        value = jnp.asarray(objective(parameters.to_model(vector)))
        if value.ndim:
            refuse("objective", "a function with one number for its value", f"shape {value.shape}")
        return -value.astype(vector.dtype)

    further, value, slope = step(optimizer, loss, at)
    return further, value, jnp.linalg.norm(slope / parameters.stretches(at.vector))


@eqx.filter_jit
def _described(parameters: FreeRates, best: Vector, vectors: Float[Array, "steps F"]) -> tuple[Any, ...]:
    return parameters.to_model(best), parameters.rates(best), jax.vmap(parameters.rates)(vectors)


@checked
def stability_margin(model: DickeModel) -> Float[Array, ""]:
    """min_nu g0 / g_stab,nu over all patterns nu: above 1 every one is retrieved stably.

    A minimum: where the best model has several patterns with the same margin, no slope vanishes there.

    - `model`: a `DickeModel` with constant rates.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0)
        >>> print(f"{dj.stability_margin(model):.4f}")
        0.9766
    """
    return jnp.min(jnp.abs(model.g0) / thresholds_of(model, jnp.arange(model.num_modes), "stability"))


@checked
def basin_proxy(model: DickeModel, cues: MeanFieldState, pattern: int = 0, *, time: float = 20.0) -> Float[Array, ""]:
    """The share of pattern nu in what cues recall, a smooth stand-in for the probability that they end there.

        < xi_nu(t)^2 / sum_mu xi_mu(t)^2 >   over all cues, and over t from time / 2 to time

    A probability has no slope: a cue ends at the pattern or not. Differentiable in forward mode.

    **Arguments**

    - `model`: a `DickeModel`.
    - `cues`: a `MeanFieldState` with a leading axis, as `jax.vmap(lambda k: tilted_pattern(k, model, nu, 0.8))(keys)`.
    - `pattern`: nu, from 0.
    - `time`: in the inverse unit of the rates; long enough that a cue that is going to be lost loses its share, and
      short enough that the slopes of runs that go astray are still small numbers.

    **Returns** the share, from 0 to 1. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.5, num_patterns=2)
        >>> keys = jax.random.split(jax.random.key(0), 4)
        >>> cues = jax.vmap(lambda key: dj.tilted_pattern(key, model, 0, 0.5))(keys)
        >>> print(f"{dj.basin_proxy(model, cues, 0):.3f}")
        0.980
    """
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
