"""Rates for thresholds: the model whose critical couplings are what one wants."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import optimistix as optx
from jaxtyping import Array, Float, Int

from .._checks import as_array, as_pattern_index, check_all, check_choice, check_finite, check_shape, known, refuse
from .._door import checked
from .._status import Status
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike
from ..mean_field import DickeModel, check_constant_rates
from ..phases.critical_couplings import by_root_finding, normal_threshold
from ..phases.retrieval_states import closed_form, closed_form_obstacle
from .free_parameters import Bounds, FreeRates, RateName, Vector, free_rates
from .optimise import least_squares, outcome, start, steps

DESCENT_STEPS, DESCENT_RATE = 60, 0.05  # in the logarithm of a rate
PULL = 1e4  # of a threshold's target against the pull of the rates to where they were
MOST_STEPS = 100


class Inversion(AbstractResult):
    """Rates whose thresholds meet their targets.

    - `model`: the model with these rates.
    - `rates`: (F,), the free ones; `names` says which.
    - `log_changes`: (F,), log(p / p_0), how far each went.
    - `thresholds`: (P,), of the patterns asked for.
    - `error`: the largest relative error of a threshold.
    - `losses`: (steps,), of the descent.
    - `status`: a `Status`, successful where `error` is below the tolerance.
    """

    model: DickeModel
    rates: Vector
    log_changes: Vector
    thresholds: Float[Array, " P"]
    error: Float[Array, ""]
    losses: Float[Array, " steps"]
    status: Status
    names: tuple[str, ...] = eqx.field(static=True)

    def _heading(self) -> str:
        return "Inversion: thresholds " + np.array2string(np.asarray(self.thresholds), precision=8)

    def _rows(self) -> Rows:
        yield "error", self.error
        rates, changes = np.asarray(self.rates), 100 * np.expm1(np.asarray(self.log_changes))
        for i, name in enumerate(self.names):
            yield name, f"{rates[..., i]:.8g}  ({changes[..., i]:+.3g} %)" if rates.ndim == 1 else rates[..., i]


@checked
def invert_critical_coupling(
    model: DickeModel,
    pattern: int | Sequence[int] = 0,
    target: ArrayLike | str = "equal",
    *,
    kind: str = "existence",
    free: Sequence[RateName] = ("omega_spin", "omega_mode", "kappa"),
    bounds: Bounds | None = None,
    stay: Mapping[RateName, float] | None = None,
    gap: float = 0.02,
    tol: float | None = None,
) -> Inversion:
    """The nearest rates for which thresholds are what they should be.

        min_p  sum_i (stay_i log(p_i / p_i0))^2   such that   g_nu(p) = target_nu

    By Adam's descent, then Levenberg and Marquardt's method with a strong pull to the targets, then Gauss and Newton's,
    whose least step meets them. "Nearest" is meant locally: the first solution that the descent comes to.

    **Main arguments**

    - `model`: the `DickeModel` to start from, and to stay near to.
    - `pattern`: nu, or several. The normal state has none: any one.
    - `target`: the threshold, or one for each pattern; or "equal", all the same, wherever that is; or "increasing",
      in the order in which the patterns are named.

    **Other arguments**

    - `kind`: "existence", "stability" or "normal", as in `critical_coupling`.
    - `free`, `bounds`: which rates may change and how far, as in `free_rates`.
    - `stay`: how reluctantly a free rate changes, by name, 1 by default.
    - `gap`: the least relative distance of "increasing" thresholds.
    - `tol`: the relative error that counts as met, 1e-9 in float64, 1e-5 in float32.

    **Returns** an `Inversion`; a target that the free rates do not reach is told by its status.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> nearest = dj.invert_critical_coupling(model, (0, 1), (0.75, 0.6))
        >>> print(nearest.thresholds.round(6), bool(nearest.successful))
        [0.75 0.6 ] True
    """
    parameters = free_rates(model, free, bounds)
    check_constant_rates(model)
    check_choice("kind", kind, ("existence", "stability", "normal"))
    patterns = np.atleast_1d(np.asarray(pattern, dtype=int))
    for nu in patterns:
        as_pattern_index(nu, model.num_modes)
    if np.unique(patterns).size < patterns.size:
        refuse("pattern", "patterns that are all different", repr(pattern))
    rule, numbers = _rule(target, patterns.size, model)
    if rule == "equal" and kind == "stability" and patterns.size == model.num_modes:
        refuse("kind", "'existence' where all are to be equal: at equal ease stability has no slope", "'stability'")
    if kind == "normal" and rule != "value":
        refuse("target", "a number for the normal state, of which there is one", repr(target))
    if not known(gap) or not gap >= 0:
        refuse("gap", "a number, not negative", gap)
    tol = check_reachable(tol, 1e-9, 1e-5, model)
    if kind == "normal":
        patterns = patterns[:1]
        normal_threshold(model, jnp.ones(model.num_subsets, model.dtype))  # refuses a model without a normal state
    first = parameters.to_vector(model)
    weights, home, step = _weights(parameters, stay), parameters.log_rates(first), as_array(np.log1p(gap), model.dtype)
    wanted = ThresholdTarget(parameters, as_array(patterns), numbers, weights, home, step, kind, rule)
    return _invert(wanted, first, tol)


def check_reachable(tol: float | None, double: float, single: float, model: Any) -> float:
    """A relative tolerance that the model's precision reaches, or its default."""
    default, least = (double, 1e-13) if model.dtype == jnp.float64 else (single, single)
    if tol is None:
        return default
    if not known(tol) or not least <= tol < 1:
        refuse("tol", f"from {least:g}, the least that {model.dtype} can reach, to 1", tol)
    return float(tol)


def _rule(target: Any, number: int, model: DickeModel) -> tuple[str, Float[Array, " P"]]:
    if isinstance(target, str):
        check_choice("target", target, ("equal", "increasing"))
        if number < 2:
            refuse("target", "a number for one pattern", repr(target))
        return target, as_array(np.ones(number), model.dtype)
    numbers = np.asarray(target, model.dtype) if np.ndim(target) else np.full(number, target, model.dtype)
    check_shape("target", numbers, (number,), "one number for each pattern")
    check_finite("target", numbers)
    check_all("target", numbers, lambda g: g > 0, "positive")
    return "value", as_array(numbers)


def _weights(parameters: FreeRates, stay: Mapping[RateName, float] | None) -> Vector:
    weights = np.ones(len(parameters), parameters.model.dtype)
    for name, weight in (stay or {}).items():
        if not weight > 0:
            refuse("stay", "positive", f"{weight} for {name!r}")
        named = free_rates(parameters.model, (name,)).places
        numbers = [i for i, place in enumerate(parameters.places) if place in named]
        if not numbers:
            refuse("stay", "given for rates that are free", repr(name))
        weights[numbers] = weight
    return as_array(weights)


class ThresholdTarget(eqx.Module):
    """What thresholds should be, and how much rates would rather stay: the loss of an inversion."""

    parameters: FreeRates
    patterns: Int[Array, " P"]
    targets: Float[Array, " P"]
    stay: Vector
    home: Vector  # log rates at the start
    step: Float[Array, ""]  # the least log of two thresholds' ratio
    kind: str = eqx.field(static=True)
    rule: str = eqx.field(static=True)

    def thresholds(self, vector: Vector) -> Float[Array, " P"]:
        return thresholds_of(self.parameters.to_model(vector), self.patterns, self.kind)

    def misses(self, vector: Vector) -> Array:
        """Logarithmic, 0 where the target is met."""
        found = jnp.log(self.thresholds(vector))
        if self.rule == "value":
            return found - jnp.log(self.targets)
        if self.rule == "equal":
            return jnp.diff(found)
        return jnp.minimum(jnp.diff(found) - self.step, 0)

    def pulled(self, vector: Vector, pull: float) -> Array:
        return jnp.concatenate([pull * self.misses(vector), self.stay * self.changes(vector)])

    def changes(self, vector: Vector) -> Vector:
        return self.parameters.log_rates(vector) - self.home

    def loss(self, vector: Vector) -> Float[Array, ""]:
        """Sum (10 miss)^2 + sum (stay log(p / p_0))^2."""
        return jnp.sum(self.pulled(vector, 10.0) ** 2)

    def error(self, vector: Vector) -> Float[Array, ""]:
        size = jnp.max(jnp.abs(self.misses(vector)))
        return jnp.where(jnp.isfinite(size), size, jnp.inf)


@eqx.filter_jit
def _invert(target: ThresholdTarget, first: Vector, tol: Any) -> Inversion:
    parameters = target.parameters
    optimizer = optax.adam(optax.cosine_decay_schedule(DESCENT_RATE, DESCENT_STEPS))
    descent, losses = steps(optimizer, target.loss, start(optimizer, first), DESCENT_STEPS)
    fine = 10 * float(jnp.finfo(first.dtype).eps)
    damped = optx.LevenbergMarquardt(rtol=fine, atol=fine)
    near = least_squares(lambda v: target.pulled(v, PULL), damped, descent.best, MOST_STEPS)
    near = jnp.where(jnp.all(jnp.isfinite(near)), near, descent.best)
    exact = optx.GaussNewton(rtol=fine, atol=fine, linear_solver=lx.SVD())  # from afar, the step of least size
    vector = least_squares(target.misses, exact, near, MOST_STEPS)
    vector = jnp.where(target.error(vector) <= target.error(near), vector, near)
    error = target.error(vector)
    return Inversion(
        model=parameters.to_model(vector),
        rates=parameters.rates(vector),
        log_changes=target.changes(vector),
        thresholds=target.thresholds(vector),
        error=error,
        losses=losses,
        status=outcome(error < tol, jnp.isfinite(error)),
        names=parameters.names,
    )


def thresholds_of(model: DickeModel, patterns: Int[Array, " P"], kind: str) -> Float[Array, " P"]:
    """`critical_coupling` of several patterns, of spins of length 1, for a model that is traced."""
    lengths = jnp.ones(model.num_subsets, model.dtype)
    if kind == "normal":
        return normal_threshold(model, lengths)[None]
    if closed_form_obstacle(model, 0, all_pairs=True) is None:
        return jax.vmap(lambda nu: closed_form(model, nu, lengths[0], kind))(patterns)
    return jax.vmap(lambda nu: by_root_finding(model, nu, lengths, kind))(patterns)
