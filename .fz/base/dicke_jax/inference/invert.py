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

from .._checks import as_pattern_index, check_all, check_choice, check_finite, check_shape, known, refuse
from .._typing import ArrayLike
from ..model import DickeModel
from ..phases.critical import by_root_finding, closed_form
from ..phases.normal import normal_threshold
from ..phases.retrieval import closed_form_obstacle
from .descent import InferenceStatus, least_squares, start, steps
from .parameters import Bounds, FreeRates, RateName, Vector, free_rates

DESCENT_STEPS, DESCENT_RATE = 60, 0.05  # in the logarithm of a rate
PULL = 1e4  # of a threshold's target against the pull of the rates to where they were
MOST_STEPS = 100


class Inversion(eqx.Module):
    """Rates whose thresholds meet their targets.

    - `model`: the model with these rates.
    - `rates`: (F,), the free ones; `names` says which.
    - `log_changes`: (F,), log(p / p_0), how far each went.
    - `thresholds`: (P,), of the patterns asked for.
    - `error`: the largest relative error of a threshold.
    - `losses`: of the descent's steps.
    - `status`: an `InferenceStatus`; converged where `error` is below the tolerance.
    """

    model: DickeModel
    rates: Vector
    log_changes: Vector
    thresholds: Float[Array, " P"]
    error: Float[Array, ""]
    losses: Float[Array, " steps"]
    status: InferenceStatus
    names: tuple[str, ...] = eqx.field(static=True)

    @property
    def converged(self) -> Array:
        """Whether the thresholds meet their targets."""
        return jnp.asarray(self.status == InferenceStatus.converged)

    def __repr__(self) -> str:
        if not known(self.error):
            return eqx.tree_pformat(self)
        found = np.array2string(np.asarray(self.thresholds), precision=8)
        rows = [f"Inversion: {InferenceStatus[self.status]}, thresholds {found}, error {float(self.error):.1e}"]
        for name, rate, change in zip(self.names, self.rates, self.log_changes, strict=True):
            rows.append(f"  {name:14} {float(rate):.8g}  ({100 * np.expm1(float(change)):+.3g} %)")
        return "\n".join(rows)


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

    By gradient descent (Adam), then Levenberg and Marquardt's method with a strong pull to the targets, then Gauss and
    Newton's, whose least step meets them. "Nearest" is meant locally: the first solution that the descent comes to.

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
    """
    parameters = free_rates(model, free, bounds)
    if model.is_time_dependent:
        refuse("model", "one with constant rates (model.at(t) has those of time t)", "one with rates that change")
    check_choice("kind", kind, ("existence", "stability", "normal"))
    wanted = np.atleast_1d(np.asarray(pattern, dtype=int))
    for nu in wanted:
        as_pattern_index(int(nu), model.num_modes)
    if np.unique(wanted).size < wanted.size:
        refuse("pattern", "patterns that are all different", repr(pattern))
    rule, numbers = _rule(target, wanted.size, model)
    if rule == "equal" and kind == "stability" and wanted.size == model.num_modes:
        refuse("kind", "'existence' where all are to be equal: at equal ease stability has no slope", "'stability'")
    if kind == "normal" and rule != "value":
        refuse("target", "a number for the normal state, of which there is one", repr(target))
    if not known(gap) or not gap >= 0:
        refuse("gap", "a number, not negative", gap)
    tol = check_reachable(tol, 1e-9, 1e-5, model)
    closed = kind != "normal" and all(
        closed_form_obstacle(model, int(nu), all_pairs=kind == "stability") is None for nu in wanted
    )
    if kind == "normal":
        wanted = wanted[:1]
        normal_threshold(model, jnp.ones(model.num_subsets, model.dtype))  # refuses a model without a normal state
    first = parameters.to_vector(model)
    step = jnp.log1p(jnp.asarray(gap, model.dtype))
    weights, home = _weights(parameters, stay), parameters.log_rates(first)
    wish = Wish(parameters, jnp.asarray(wanted), numbers, weights, home, step, kind, rule, closed)
    return _invert(wish, first, tol)


def check_reachable(tol: float | None, double: float, single: float, model: DickeModel) -> float:
    """A relative tolerance that the model's precision reaches, or its default."""
    default = double if model.dtype == jnp.float64 else single
    least = 1e-13 if model.dtype == jnp.float64 else single
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
        return target, jnp.ones(number, model.dtype)
    numbers = jnp.asarray(target, model.dtype)
    if numbers.ndim == 0:
        numbers = jnp.broadcast_to(numbers, (number,))
    check_shape("target", numbers, (number,), "one number for each pattern")
    check_finite("target", numbers)
    check_all("target", numbers, lambda g: g > 0, "positive")
    return "value", numbers


def _weights(parameters: FreeRates, stay: Mapping[RateName, float] | None) -> Vector:
    weights = jnp.ones(len(parameters), parameters.model.dtype)
    for name, weight in (stay or {}).items():
        if not weight > 0:
            refuse("stay", "positive", f"{weight} for {name!r}")
        named = free_rates(parameters.model, (name,)).places
        own = [i for i, place in enumerate(parameters.places) if place in named]
        if not own:
            refuse("stay", "given for rates that are free", repr(name))
        weights = weights.at[np.array(own)].set(weight)
    return weights


class Wish(eqx.Module):
    """What thresholds should be, and how much rates would rather stay: the loss of an inversion."""

    parameters: FreeRates
    patterns: Int[Array, " P"]
    targets: Float[Array, " P"]
    stay: Vector
    home: Vector  # log rates at the start
    step: Float[Array, ""]  # the least log of two thresholds' ratio
    kind: str
    rule: str
    closed: bool

    def thresholds(self, vector: Vector) -> Float[Array, " P"]:
        return thresholds_of(self.parameters.to_model(vector), self.patterns, self.kind, self.closed)

    def misses(self, vector: Vector) -> Array:
        """Logarithmic, 0 where the wish is met."""
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
def _invert(wish: Wish, first: Vector, tol: Any) -> Inversion:
    parameters = wish.parameters
    optimizer = optax.adam(optax.cosine_decay_schedule(DESCENT_RATE, DESCENT_STEPS))
    descent, losses = steps(optimizer, wish.loss, start(optimizer, first), DESCENT_STEPS)

    fine = 10 * float(jnp.finfo(first.dtype).eps)
    damped = optx.LevenbergMarquardt(rtol=fine, atol=fine)
    near = least_squares(lambda v: wish.pulled(v, PULL), damped, descent.best, MOST_STEPS)
    near = jnp.where(jnp.all(jnp.isfinite(near)), near, descent.best)
    exact = optx.GaussNewton(rtol=fine, atol=fine, linear_solver=lx.SVD())  # from afar, the step of least size
    vector = least_squares(wish.misses, exact, near, MOST_STEPS)

    vector = jnp.where(wish.error(vector) <= wish.error(near), vector, near)
    rest = wish.error(vector)
    status = InferenceStatus.where(rest < tol, InferenceStatus.converged, InferenceStatus.not_converged)
    status = InferenceStatus.where(jnp.isfinite(rest), status, InferenceStatus.failed)
    model = parameters.to_model(vector)
    found = {"thresholds": wish.thresholds(vector), "log_changes": wish.changes(vector), "error": rest}
    return Inversion(
        model=model,
        rates=parameters.rates(vector),
        losses=losses,
        status=status,
        names=parameters.names,
        **found,
    )


def thresholds_of(model: DickeModel, patterns: Int[Array, " P"], kind: str, closed: bool) -> Float[Array, " P"]:
    """`critical_coupling` of several patterns, of spins of length 1, for a model that is traced."""
    lengths = jnp.ones(model.num_subsets, model.dtype)
    if kind == "normal":
        return normal_threshold(model, lengths)[None]
    if closed:
        return jax.vmap(lambda nu: closed_form(model, nu, lengths[0], kind))(patterns)
    return jax.vmap(lambda nu: by_root_finding(model, nu, lengths, kind))(patterns)
