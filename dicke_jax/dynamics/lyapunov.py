"""Order and chaos: the largest Lyapunov exponent of a run."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_all, check_count, refuse
from .._door import checked
from .._status import Status, where
from .._summary import AbstractResult, Rows
from .._typing import RealState, SpinVectors
from ..mean_field import (
    AbstractMeanFieldModel,
    CollectiveModel,
    DickeModel,
    MeanFieldState,
    check_constant_rates,
    check_spin_lengths,
    mean_field_equations,
)
from ..mean_field.site_levels import turning_part
from .finite_numbers import without_nan
from .integrate import integrate
from .steady_state import check_reaches_steady
from .trajectory import check_tolerance

NUM_BLOCKS = 10  # of windows, whose means give the standard error, as do those of fewer and longer ones
FEWER = 5, 2
ERRORS = 4.0  # standard errors by which the halves of a run may differ
E_FOLDINGS = 2.0  # by which the growth in them may differ whatever the errors: a neutral shear has less
DRIFT = 0.01  # the same of spin lengths and overlaps, which are of order 1
RELAXATIONS = 10.0  # times in which jumps make spins forget, which a run of growing deviations must cover


class LyapunovExponent(AbstractResult):
    """The largest Lyapunov exponent of a run; under `jax.vmap` every array has leading batch axes.

    - `exponent`: in the unit of the rates; NaN where the run failed, which `status` tells.
    - `error`: its standard error, the largest of those from the means of 10, of 5 and of 2 blocks of windows, of which
      the last sees a drift; not below 1 / time, since the length of a deviation has a meaning to a factor e only. A
      neutral shear, under which deviations grow like t, has an exponent of order log(t) / t at any finite time t.
    - `growth`: (W,), the logarithm of the deviation's growth in each window.
    - `time`: the time that the windows cover.
    - `status`: a `Status`: not_converged where the run is too short for its error, and has the exponent of a transient:
      growth, spin lengths or overlaps differ between its halves by more than 4 standard errors, or deviations grow and
      jumps, by which spins forget at a mean rate r, have had less than 10 / r.
    - `final_state`: the `MeanFieldState` after the last window.
    """

    exponent: Float[Array, "*batch"]
    error: Float[Array, "*batch"]
    growth: Float[Array, "*batch W"]
    time: Float[Array, "*batch"]
    status: Status
    final_state: MeanFieldState

    @property
    def num_windows(self) -> int:
        """W, the number of windows after the transient."""
        return self.growth.shape[-1]

    def _heading(self) -> str:
        return f"LyapunovExponent: {self.num_windows} windows over t = {np.max(self.time):g}, {self.exponent.dtype}"

    def _rows(self) -> Rows:
        if not self.exponent.ndim:
            yield "exponent", f"{self.exponent:.4g} +- {self.error:.2g}"
        elif (good := np.asarray(self.exponent)[np.isfinite(self.exponent)]).size:
            yield "exponent", f"{good.min():.4g} to {good.max():.4g}"


@checked
def lyapunov_exponent(
    model: DickeModel | CollectiveModel,
    state: MeanFieldState,
    *,
    key: PRNGKeyArray | None = None,
    window: float | None = None,
    num_windows: int = 400,
    num_transient: int = 100,
    rtol: float | None = None,
    atol: float | None = None,
) -> LyapunovExponent:
    """The mean rate at which a small deviation from a run grows.

        lambda = (1 / t) log(|v(t)| / |v(0)|),   v' = (df/dy) v,   y' = f(y)

    The run and its tangent v are integrated together, v is set back to length 1 after every window, and the first
    windows are left out. Without single-spin dissipation |m_k| is conserved, and v is taken orthogonal to every m_k.
    0 on a periodic orbit or a torus, negative only where the run ends in a fixed point that attracts from all sides.

    Weak dissipation makes chaos a transient, or lets it come and go. For M = 2, Omega = 0.5, Omega_mu = (1, -1),
    kappa = 1, g0 = 0.8 and decay towards -x at r = 0.001 the exponent is 0.26 up to t = 250, 0.13 in the 1000 that
    follow, and 0 after 2000. Leave out some 10 / r by `num_transient`, and let windows cover several times that.

    **Main arguments**

    - `model`: a `DickeModel` with kappa > 0, or a `CollectiveModel`; with constant rates.
    - `state`: the `MeanFieldState` to start from.

    **Other arguments**

    - `key`: draws the first v; `jax.random.key(0)` by default. It has no say in a long run.
    - `window`: the time between two normalisations, 2.5 / min kappa by default; of a `CollectiveModel` 5 over the
      `fastest_rate` at the start, in which no deviation decays below the tolerances.
    - `num_windows`, `num_transient`: how many windows count, a multiple of 10, and how many are left out before.
    - `rtol`, `atol`: as in `mfsolve`, for y and v alike.

    **Returns** a `LyapunovExponent`. **Raises** ValueError for arguments that do not fit; not for a run that fails.

    G. Benettin, L. Galgani, A. Giorgilli and J.-M. Strelcyn, Meccanica 15, 9 (1980); equations: Eq. 7 of the paper.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0, num_patterns=2)
        >>> found = dj.lyapunov_exponent(model, dj.random_state(jax.random.key(0), model))
        >>> print(f"{found.exponent:.2f}")  # it comes to rest, where the slowest deviation decays at this rate
        -0.16
    """
    length = check_windows(model, state, window, num_windows)
    check_count("num_transient", num_transient, 0)
    tolerances = check_tolerance("rtol", rtol, model.dtype), check_tolerance("atol", atol, model.dtype)
    key = jax.random.key(0) if key is None else key
    return _tangent_run(model, state.to_real(model), key, length, num_windows, num_transient, *tolerances)


def check_windows(
    model: DickeModel | CollectiveModel, state: MeanFieldState, window: float | None, num_windows: int
) -> Float[Array, ""]:
    """The time between two normalisations, of a run that can be made."""
    if isinstance(model, DickeModel):
        check_reaches_steady(model)
    else:
        check_constant_rates(model, "for a Lyapunov exponent")
    check_spin_lengths(state.m)
    check_count("num_windows", num_windows, NUM_BLOCKS)
    if num_windows % NUM_BLOCKS:
        refuse("num_windows", f"a multiple of {NUM_BLOCKS}", num_windows)
    length = 2.5 / pace(model, state.to_real(model)) if window is None else jnp.asarray(window, model.dtype)
    check_all("window", length, lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    return length


def pace(model: DickeModel | CollectiveModel, y: RealState) -> Float[Array, ""]:
    """The rate that sets how long runs are by default: min kappa, or half of the fastest at the start."""
    return jnp.min(model.kappa) if isinstance(model, DickeModel) else _half_of_fastest(model, y)


@eqx.filter_jit
def _half_of_fastest(model: CollectiveModel, y: RealState) -> Float[Array, ""]:
    return model.fastest_rate(jnp.zeros((), model.dtype), y) / 2


@eqx.filter_jit
def _tangent_run(
    model: DickeModel | CollectiveModel,
    y0: RealState,
    key: PRNGKeyArray,
    window: Float[Array, ""],
    num_windows: int,
    num_transient: int,
    rtol: float,
    atol: float,
) -> LyapunovExponent:
    valid, model, y0 = without_nan(model, y0)
    valid &= jnp.isfinite(window) & (window > 0)
    window = jnp.where(valid, window, jnp.ones_like(window))

    def advance(carry: Any, _: None) -> tuple[Any, tuple[Array, ...]]:
        y, v, status = carry
        controller = dfx.PIDController(rtol, atol)
        how: dict[str, Any] = dict(solver=dfx.Dopri8(), stepsize_controller=controller, term=TANGENT)
        sol = integrate(model, (y, v), jnp.zeros_like(window), window, dfx.SaveAt(t1=True), **how)
        end, moved = jax.tree.map(lambda saved: saved[0], sol.ys)
        moved = _tangential(model, end[0], moved)
        size = _norm(moved)
        result: Any = Status.promote(sol.result)
        fine = (result == Status.successful) & jnp.isfinite(size) & jnp.isfinite(_norm(end)) & (size > 0)
        broken = where(result == Status.successful, Status.nonfinite, result)
        status = where((status == Status.successful) & ~fine, broken, status)
        # a broken run stands still: an adaptive solver would never get past NaN
        y = jax.tree.map(lambda new, old: jnp.where(fine, new, old), end, y)
        v = jax.tree.map(lambda new, old: jnp.where(fine, new / size, old), moved, v)
        lengths = jnp.sum(model.weights.astype(y[0].dtype)[None] * y[0] ** 2)
        overlaps = model.project(y[0][2])
        return (y, v, status), (jnp.where(fine, jnp.log(size), jnp.nan), lengths, jnp.sum(overlaps**2))

    start = y0, _first_tangent(key, model, y0), jax.tree.map(jnp.asarray, Status.successful)
    (y, _, status), seen = jax.lax.scan(advance, start, None, num_transient + num_windows)
    growth, lengths, overlaps = (values[num_transient:] for values in seen)
    status = where(valid, status, Status.nonfinite)
    good = status == Status.successful
    growth, time = jnp.where(good, growth, jnp.nan), num_windows * window
    mean, error = mean_and_error(growth)
    exponent, error = mean / window, error / window
    still = drifts(growth, 2 * E_FOLDINGS / num_windows) | drifts(lengths, DRIFT) | drifts(overlaps, DRIFT)
    still |= (exponent * time > 2 * E_FOLDINGS) & (time < RELAXATIONS * _memory(model))
    status = where(good & still, Status.not_converged, status)
    final = MeanFieldState.from_real(jax.tree.map(lambda leaf: jnp.where(good, leaf, jnp.nan), y))
    return LyapunovExponent(exponent, error, growth, time, status, final)


def mean_and_error(growth: Float[Array, " W"]) -> tuple[Array, Array]:
    """The mean of a series and its standard error, as its longest memory and drift have it."""

    def of_blocks(number: int) -> Array:
        return jnp.std(jnp.mean(growth.reshape(number, -1), axis=1), ddof=1) / number**0.5

    errors = [of_blocks(number) for number in (NUM_BLOCKS, *FEWER)]
    return jnp.mean(growth), jnp.max(jnp.stack([*errors, jnp.full_like(errors[0], 1 / growth.size)]))


def drifts(values: Float[Array, " W"], least: float) -> Array:
    """Whether the halves of a series differ by more than their scatter, and by more than what may be."""
    blocks = jnp.mean(values.reshape(2, NUM_BLOCKS // 2, -1), axis=2)
    change = jnp.abs(jnp.diff(jnp.mean(blocks, axis=1))[0])
    error = jnp.sqrt(jnp.sum(jnp.var(blocks, axis=1, ddof=1)) / (NUM_BLOCKS // 2))
    return (change > ERRORS * error) & (change > least)


def _memory(model: DickeModel | CollectiveModel) -> Array:
    """The time in which jumps make spins forget, of those spins that forget last; 0 without jumps."""
    if model.dissipation is None:
        return jnp.zeros((), model.dtype)
    linear, _ = model.dissipation.terms(model.dtype)
    rates = -jnp.trace(linear) / len(linear)
    return jnp.max(jnp.where(rates > 0, 1 / jnp.where(rates > 0, rates, 1), 0))


def _with_tangent(
    t: Any, pair: tuple[RealState, RealState], model: AbstractMeanFieldModel
) -> tuple[RealState, RealState]:
    y, v = pair
    return jax.jvp(lambda at: mean_field_equations(t, at, model), (y,), (v,))


TANGENT = dfx.ODETerm(_with_tangent)


def _first_tangent(key: PRNGKeyArray, model: AbstractMeanFieldModel, y: RealState) -> RealState:
    m, quadratures = y
    spins, modes = jax.random.split(key)
    v = jax.random.normal(spins, m.shape, m.dtype), jax.random.normal(modes, quadratures.shape, m.dtype)
    tangent = _tangential(model, m, v)
    size = _norm(tangent)
    return jax.tree.map(lambda leaf: leaf / size, tangent)


def _tangential(model: AbstractMeanFieldModel, m: SpinVectors, v: RealState) -> RealState:
    """The part of a deviation that changes nothing conserved; round-off is all that is left where it decays."""
    if model.dissipation is not None:
        return v
    if model.levels > 2:
        return turning_part(m, v[0]), v[1]
    squared = jnp.sum(m**2, axis=0, keepdims=True)
    along = jnp.sum(m * v[0], axis=0, keepdims=True) / jnp.where(squared > 0, squared, 1.0)
    return v[0] - along * m, v[1]


def _norm(y: RealState) -> Array:
    return jnp.sqrt(sum((jnp.sum(leaf**2) for leaf in y), jnp.zeros((), y[0].dtype)))
