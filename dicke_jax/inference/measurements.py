"""Measurements: stationary curves and time traces, with their noise and what is missing."""

from abc import abstractmethod
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._checks import as_array, as_pattern_index, check_all, check_choice, check_shape, known, refuse
from .._door import checked
from .._typing import ArrayLike
from ..dynamics.trajectory import mfsolve
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, check_constant_rates, occupations, overlaps
from ..phases.retrieval_states import closed_form_obstacle, threshold_squared
from ..phases.stationary_search import stationary_state

QUANTITIES = ("overlap", "photons")
MOST_STEPS = 1024  # of an integration; rates that ask for more are far off
BLURRED = 10.0  # |xi|^2 in units of the noise's square, below which a point's slope tells little of what it determines


class Measurements(eqx.Module):
    """Values with Gaussian noise, and what a model predicts for them.

        r_i = (predicted_i - values_i) / noise_i,   0 where nothing is present

    What `StationaryCurve` and `TimeTrace` have in common, and any measurement of one's own, which has `predict(model)`.

    - `values`, `noise`: what was measured, and its standard deviations, of one shape, (n,) or (T, M).
    - `present`: of that `shape`, as (n,) or (T, M), false where a value is `missing`.
    - `quantity`: "overlap" or "photons".

    **Example**

        >>> curve = dj.StationaryCurve([0.7, 1.0], [0.5, np.nan], noise=0.01, missing=[False, True])
        >>> print(isinstance(curve, dj.Measurements), curve.quantity, curve.present)
        True overlap [ True False]
    """

    values: Float[Array, "..."]
    noise: Float[Array, "..."]
    present: Bool[Array, "..."]
    quantity: str = eqx.field(static=True)

    def __init__(
        self, values: ArrayLike, noise: ArrayLike, missing: ArrayLike | None, quantity: str, shape: tuple[int, ...]
    ) -> None:
        check_choice("quantity", quantity, QUANTITIES)
        given = _numbers(values)
        check_shape("values", given, shape, "one for each point")
        present = np.ones(shape, bool) if missing is None else ~_numbers(missing, bool)
        check_shape("missing", present, shape, "one for each point")
        given = (np if known(given) and known(present) else jnp).where(present, given, 0)
        check_all("values", given, np.isfinite, "finite where not marked as missing")
        deviation = _numbers(noise)
        if deviation.shape not in ((), shape):
            refuse("noise", f"one number or of shape {shape}", f"shape {deviation.shape}")
        check_all("noise", deviation, lambda s: (s > 0) & np.isfinite(s), "positive and finite")
        self.values, self.noise, self.present = map(as_array, (given, _broadcast(deviation, shape), present))
        self.quantity = quantity

    @abstractmethod
    def _check_fits(self, model: DickeModel | CollectiveModel) -> None:
        """Refuse a model that these are no measurements of."""

    def check(self, model: DickeModel | CollectiveModel) -> "Measurements":
        """Itself, in the model's precision; refused where it does not fit the model."""
        self._check_fits(model)

        def cast(x: Any) -> Any:
            other = eqx.is_inexact_array(x) and x.dtype.kind == "f" and x.dtype != model.dtype
            return x.astype(model.dtype) if other else x

        return jax.tree.map(cast, self)

    @abstractmethod
    def predict(self, model: Any) -> Array:
        """What a noiseless measurement would give, of the shape of `values`."""

    def resolved(self, model: Any) -> Bool[Array, "..."]:
        """Whether the slope of the prediction at a point says what the point determines, of the shape of `values`."""
        return jnp.ones(self.values.shape, bool)


def _numbers(values: ArrayLike, dtype: Any = float) -> Any:
    """An array of the host's, or one that is traced."""
    return jnp.asarray(values, dtype) if not all(map(known, jax.tree.leaves(values))) else np.asarray(values, dtype)


def _broadcast(values: Any, shape: tuple[int, ...]) -> Any:
    return (np if known(values) else jnp).broadcast_to(values, shape)


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
    - `missing`: (n,), true where a value is missing; only there may it be NaN. The result has `present` (n,) for it.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> curve = dj.StationaryCurve([0.7, 1.0], [0.5, 0.9], noise=0.01, pattern=0)
        >>> print(curve.values, curve.noise)
        [0.5 0.9] [0.01 0.01]
    """

    g0: Float[Array, " n"]
    pattern: int = eqx.field(static=True)

    @checked
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
        self.g0 = as_array(g0, float)
        if self.g0.ndim != 1 or self.g0.size < 1:
            refuse("g0", "a one-dimensional array of couplings", f"shape {self.g0.shape}")
        check_all("g0", self.g0, lambda g: (g > 0) & np.isfinite(g), "positive and finite")
        super().__init__(values, noise, missing, quantity, self.g0.shape)
        self.pattern = pattern

    def _check_fits(self, model: DickeModel | CollectiveModel) -> None:
        if not isinstance(model, DickeModel):
            refuse("data", "time traces for a CollectiveModel", "a StationaryCurve")
        as_pattern_index(self.pattern, model.num_modes)
        check_constant_rates(model, "for a stationary curve")

    def predict(self, model: DickeModel) -> Array:
        weakness = model.omega_mode[self.pattern] ** 2 + model.kappa[self.pattern] ** 2 / 4
        per_square = self.g0**2 / weakness  # photons
        if closed_form_obstacle(model, self.pattern) is None:
            e, d = self._distance(model), self.noise**2 if self.quantity == "overlap" else self.noise / per_square
            size = jnp.where(e >= 0, e, -e)  # not abs, whose slope at 0 is not this side's
            rounded = (size + jnp.sqrt(e**2 + d**2)) / 2
            square = jnp.where(e >= 0, rounded, (d / 2) ** 2 / rounded)
            return jnp.sqrt(square) if self.quantity == "overlap" else per_square * square
        full = (jnp.arange(model.num_modes) == self.pattern).astype(model.dtype)

        def at(g0: Float[Array, ""]) -> Array:
            now = model.replace(g0=g0)
            state, _ = stationary_state(now, full)  # from a full overlap Newton's method comes to the largest one
            return jnp.abs(jnp.sum(overlaps(now, state.m) * full))

        xi = jax.vmap(at)(self.g0)
        return xi if self.quantity == "overlap" else per_square * xi**2

    def resolved(self, model: DickeModel) -> Bool[Array, "..."]:
        if self.quantity == "photons" or closed_form_obstacle(model, self.pattern) is not None:
            return super().resolved(model)
        return jnp.abs(self._distance(model)) > BLURRED * self.noise**2

    def _distance(self, model: DickeModel) -> Float[Array, " n"]:
        """|xi|^2 above the threshold, negative below it."""
        return 1 - (threshold_squared(model, self.pattern) / self.g0**2) ** 2


class TimeTrace(Measurements):
    """Overlaps xi_mu, or photons |alpha_mu|^2 of every mode, at times after a known initial state.

    **Arguments**

    - `t`: (T,), increasing and not negative.
    - `values`, `noise`, `missing`: (T, M), as in `StationaryCurve`; overlaps of a `CollectiveModel` with P patterns
      (T, P), of one without patterns (T, 1).
    - `state`: the `MeanFieldState` at time 0.
    - `quantity`: "overlap", with its sign, or "photons".
    - `g0`: the coupling of this run, or None for the model's own.

    The result has `present` (T, M) for `missing`, and `from_start`, whether `t` begins at 0.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> trace = dj.TimeTrace([1.0, 2.0], [[0.9, 0.1], [0.8, 0.0]], noise=0.02, state=dj.stored_pattern(model))
        >>> print(trace.values.shape)
        (2, 2)
    """

    t: Float[Array, " T"]
    state: MeanFieldState
    g0: Float[Array, ""] | None
    from_start: bool = eqx.field(static=True)

    @checked
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
        if not all(map(known, jax.tree.leaves(t))):
            refuse("t", "known: times made by numpy, or outside of jax.jit", "traced ones")
        times = np.asarray(t, float)
        if times.ndim != 1 or times.size < 2 or not (np.all(np.diff(times) > 0) and times[0] >= 0):
            refuse("t", "at least two increasing times, none negative", f"{times.tolist()}")
        self.t, self.from_start = as_array(times), bool(times[0] == 0)
        seen = state.alpha.shape[-1]
        if quantity == "overlap" and np.ndim(values) == 2 and (seen == 0 or np.shape(values)[1] == 1):
            seen = np.shape(values)[1]  # of a model whose patterns are not its modes
        super().__init__(values, noise, missing, quantity, (times.size, seen))
        self.state = state
        self.g0 = None if g0 is None else as_array(g0, float)

    def _check_fits(self, model: DickeModel | CollectiveModel) -> None:
        jax.eval_shape(self.state.to_real, model)  # refuses shapes that do not fit
        if self.quantity == "overlap":
            seen = jax.eval_shape(model.project, jax.ShapeDtypeStruct((model.num_subsets,), model.dtype))
            check_shape("values", self.values, (self.t.size, *seen.shape), "an overlap for each pattern at each time")

    def predict(self, model: DickeModel | CollectiveModel) -> Array:
        if self.g0 is not None:
            model = model.replace(g0=self.g0)
        times = self.t if self.from_start else jnp.concatenate([jnp.zeros_like(self.t[:1]), self.t])
        tol = 1e-9 if model.dtype == jnp.float64 else None
        options: dict[str, Any] = {"adjoint": dfx.ForwardMode(), "max_steps": MOST_STEPS, "throw": False}
        run = mfsolve(model, self.state, times, rtol=tol, atol=tol, **options)
        seen = run.overlaps if self.quantity == "overlap" else occupations(run.alpha)
        return seen if self.from_start else seen[1:]
