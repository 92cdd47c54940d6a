"""Measurements: stationary curves and time traces, with their noise and what is missing."""

import dataclasses
from abc import abstractmethod
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._checks import as_pattern_index, check_all, check_choice, check_shape, refuse
from .._typing import ArrayLike
from ..dynamics.solve import check_model_and_state, mfsolve
from ..model import DickeModel
from ..observables import occupations, overlaps
from ..phases.retrieval import closed_form_obstacle, threshold_squared
from ..phases.stationary import stationary_state
from ..state import MeanFieldState

QUANTITIES = ("overlap", "photons")
MOST_STEPS = 1024  # of an integration; rates that ask for more are far off
BLURRED = 10.0  # |xi|^2 in units of the noise's square, below which a point's slope tells little of what it determines


class Measurements(eqx.Module):
    """Values with Gaussian noise, and what a model predicts for them."""

    values: eqx.AbstractVar[Array]
    noise: eqx.AbstractVar[Array]
    present: eqx.AbstractVar[Array]

    @abstractmethod
    def check(self, model: DickeModel) -> "Measurements":
        """Itself, in the model's precision; refused where it does not fit the model."""

    @abstractmethod
    def predict(self, model: DickeModel) -> Array:
        """What a noiseless measurement would give, of the shape of `values`."""

    @abstractmethod
    def resolved(self, model: DickeModel) -> Bool[Array, "..."]:
        """Whether the slope of the prediction at a point says what the point determines, of the shape of `values`."""


class StationaryCurve(Measurements):
    """Pattern nu's stationary overlap, or the photons of its mode, measured at couplings g0.

        overlap   |xi_nu|
        photons   |alpha_nu|^2 = g0^2 |xi_nu|^2 / (Omega_nu^2 + kappa_nu^2 / 4), per spin

    d|xi| / dg0 diverges at threshold, and no slope comes from below it: a likelihood with a cusp. In closed form, with
    e = 1 - (g_nu / g0)^4 of either sign, a fit therefore rounds what the noise does not resolve,

        |xi|^2 = (e + sqrt(e^2 + d^2)) / 2,   d = noise^2, or for photons their noise in units of |xi|^2

    which is within 0.7 standard deviations at threshold and within 0.01 of |xi| from 3 of them on. A point at which |e|
    is below 10 noise^2 takes part in the fit of an overlap, but not in the uncertainties.

    **Arguments**

    - `g0`, `values`: (n,), couplings and what was measured at each.
    - `noise`: standard deviations, one number or (n,).
    - `pattern`: nu, from 0.
    - `quantity`: "overlap" or "photons".
    - `missing`: (n,), true where a value is missing; only there may it be NaN.
    """

    g0: Float[Array, " n"]
    values: Float[Array, " n"]
    noise: Float[Array, " n"]
    present: Bool[Array, " n"]
    pattern: int = eqx.field(static=True)
    quantity: str = eqx.field(static=True)
    closed: bool

    def __init__(
        self,
        g0: ArrayLike,
        values: ArrayLike,
        noise: ArrayLike,
        *,
        pattern: int = 0,
        quantity: str = "overlap",
        missing: ArrayLike | None = None,
    ) -> None:
        self.g0 = jnp.asarray(g0, float)
        if self.g0.ndim != 1 or self.g0.size < 1:
            refuse("g0", "a one-dimensional array of couplings", f"shape {self.g0.shape}")
        check_all("g0", self.g0, lambda g: (g > 0) & np.isfinite(g), "positive and finite")
        check_choice("quantity", quantity, QUANTITIES)
        self.values, self.noise, self.present = _measured(values, noise, missing, self.g0.shape)
        self.pattern, self.quantity, self.closed = pattern, quantity, False

    def check(self, model: DickeModel) -> "StationaryCurve":
        as_pattern_index(self.pattern, model.num_modes)
        if model.is_time_dependent:
            refuse("model", "one with constant rates for a stationary curve", "one with rates that change")
        closed = closed_form_obstacle(model, self.pattern) is None
        return eqx.tree_at(lambda c: c.closed, _in_precision(self, model), closed)

    def predict(self, model: DickeModel) -> Array:
        weakness = model.omega_mode[self.pattern] ** 2 + model.kappa[self.pattern] ** 2 / 4
        per_square = self.g0**2 / weakness  # photons
        if self.closed:
            e, d = self._distance(model), self.noise**2 if self.quantity == "overlap" else self.noise / per_square
            size = jnp.where(e >= 0, e, -e)  # not abs, whose slope at 0 is not this side's
            rounded = (size + jnp.sqrt(e**2 + d**2)) / 2
            square = jnp.where(e >= 0, rounded, (d / 2) ** 2 / rounded)
            return jnp.sqrt(square) if self.quantity == "overlap" else per_square * square
        own = (jnp.arange(model.num_modes) == self.pattern).astype(model.dtype)

        def at(g0: Float[Array, ""]) -> Array:
            now = dataclasses.replace(model, g0=g0)
            state, _ = stationary_state(now, own)  # from a full overlap Newton's method comes to the largest one
            return jnp.abs(jnp.sum(overlaps(now, state.m) * own))

        xi = jax.vmap(at)(self.g0)
        return xi if self.quantity == "overlap" else per_square * xi**2

    def resolved(self, model: DickeModel) -> Bool[Array, "..."]:
        if not self.closed or self.quantity == "photons":
            return jnp.ones(self.values.shape, bool)
        return jnp.abs(self._distance(model)) > BLURRED * self.noise**2

    def _distance(self, model: DickeModel) -> Float[Array, " n"]:
        """|xi|^2 above the threshold, negative below it."""
        return 1 - (threshold_squared(model, self.pattern) / self.g0**2) ** 2


class TimeTrace(Measurements):
    """Overlaps xi_mu, or photons |alpha_mu|^2 of every mode, at times after a known initial state.

    **Arguments**

    - `t`: (T,), increasing and not negative; the state is that at time 0.
    - `values`: (T, M), what was measured.
    - `noise`: standard deviations, one number or (T, M).
    - `state`: the `MeanFieldState` at time 0.
    - `quantity`: "overlap", with its sign, or "photons".
    - `g0`: the coupling of this run, or None for the model's own.
    - `missing`: (T, M), true where a value is missing; only there may it be NaN.
    """

    t: Float[Array, " T"]
    values: Float[Array, "T M"]
    noise: Float[Array, "T M"]
    present: Bool[Array, "T M"]
    state: MeanFieldState
    g0: Float[Array, ""] | None
    quantity: str = eqx.field(static=True)
    from_start: bool = eqx.field(static=True)

    def __init__(
        self,
        t: ArrayLike,
        values: ArrayLike,
        noise: ArrayLike,
        state: MeanFieldState,
        *,
        quantity: str = "overlap",
        g0: ArrayLike | None = None,
        missing: ArrayLike | None = None,
    ) -> None:
        if not isinstance(state, MeanFieldState):
            refuse("state", "a MeanFieldState", type(state).__name__)
        times = np.asarray(t, float)
        if times.ndim != 1 or times.size < 2 or not (np.all(np.diff(times) > 0) and times[0] >= 0):
            refuse("t", "at least two increasing times, none negative", f"{times.tolist()}")
        check_choice("quantity", quantity, QUANTITIES)
        self.t, self.from_start = jnp.asarray(times), bool(times[0] == 0)
        shape = (times.size, state.alpha.shape[-1])
        self.values, self.noise, self.present = _measured(values, noise, missing, shape)
        self.state, self.quantity = state, quantity
        self.g0 = None if g0 is None else jnp.asarray(g0, float)

    def check(self, model: DickeModel) -> "TimeTrace":
        check_model_and_state(model, self.state)
        self.state.to_real(model)
        return _in_precision(self, model)

    def predict(self, model: DickeModel) -> Array:
        if self.g0 is not None:
            model = dataclasses.replace(model, g0=self.g0)
        times = self.t if self.from_start else jnp.concatenate([jnp.zeros_like(self.t[:1]), self.t])
        tol = 1e-9 if model.dtype == jnp.float64 else None
        options: dict[str, Any] = {"adjoint": dfx.ForwardMode(), "max_steps": MOST_STEPS, "throw": False}
        run = mfsolve(model, self.state, times, rtol=tol, atol=tol, **options)
        seen = run.overlaps if self.quantity == "overlap" else occupations(run.alpha)
        return seen if self.from_start else seen[1:]

    def resolved(self, model: DickeModel) -> Bool[Array, "..."]:
        return jnp.ones(self.values.shape, bool)


def as_measurements(data: Any, model: DickeModel) -> tuple[Measurements, ...]:
    """One or several, each fit for the model."""
    sets = data if isinstance(data, list | tuple) else (data,)
    for each in sets:
        if not isinstance(each, Measurements):
            refuse("data", "StationaryCurve or TimeTrace, or a list of them", type(each).__name__)
    if not sets:
        refuse("data", "at least one StationaryCurve or TimeTrace", "none")
    return tuple(each.check(model) for each in sets)


def _measured(values: Any, noise: Any, missing: Any, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    given = np.asarray(values, float)
    check_shape("values", given, shape, "one for each point")
    present = np.ones(shape, bool) if missing is None else ~np.asarray(missing, bool)
    check_shape("missing", present, shape, "one for each point")
    check_all("values", np.where(present, given, 0), np.isfinite, "finite where not marked as missing")
    deviation = np.asarray(noise, float)
    if deviation.shape not in ((), shape):
        refuse("noise", f"one number or of shape {shape}", f"shape {deviation.shape}")
    check_all("noise", deviation, lambda s: (s > 0) & np.isfinite(s), "positive and finite")
    deviation = np.broadcast_to(deviation, shape)
    return jnp.asarray(np.where(present, given, 0)), jnp.asarray(deviation), jnp.asarray(present)


def _in_precision(data: Any, model: DickeModel) -> Any:
    return jax.tree.map(lambda x: x.astype(model.dtype) if eqx.is_inexact_array(x) and x.dtype.kind == "f" else x, data)
