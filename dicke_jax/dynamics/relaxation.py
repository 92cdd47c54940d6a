"""A run until nothing moves, what kind of end it has, and that of a model without equations for its overlaps alone."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import known, refuse
from .._implicit import implicit, smallest_solution
from .._status import Status, where
from .._typing import RealState
from ..mean_field import (
    AbstractMeanFieldModel,
    CollectiveModel,
    MeanFieldState,
    mean_field_equations,
    occupations,
    overlaps,
)
from ..mean_field.at_rest import AtRest, flat, kept_of
from .finite_numbers import without_nan
from .integrate import FIRST_STEP, integrate

LONGEST = 50_000.0  # runs by default, in the time that the fastest of all motions takes
NUM_BLOCKS = 8  # into which the last half of a run is cut, to see a trend
SAMPLES_PER_BLOCK = 32
SAMPLES = NUM_BLOCKS * SAMPLES_PER_BLOCK
NEAR, NEAR_SINGLE = 1e-3, 1e-2  # from a state at rest, in float64 and float32: what relaxes so slowly is not there yet
LEAST_TURNS = 2.0  # around a state at rest, from which on a motion is told from a slow way to it
TREND_ERRORS = 4.0  # a slope of more standard errors than this is a trend
TREND_SIZE = 1e-2  # and it must change an overlap, or the residual relatively, by more than this over the last half
FEW = 64  # components of which every sample is kept
SINGULAR = 1e3  # times round-off of the largest singular value, below which a direction is free


class IsAtRest(eqx.Module):
    """max |dy/dt| < threshold, over all that something depends on."""

    threshold: Float[Array, ""]

    def __call__(self, t: Array, y: RealState, args: AbstractMeanFieldModel, **_: Any) -> Array:
        return change(y, args) < self.threshold


def change(y: RealState, model: AbstractMeanFieldModel) -> Float[Array, ""]:
    """The largest |dy/dt|; ensembles without spins do not count."""
    return _largest(mean_field_equations(0.0, y, model), model)


def _largest(rates: RealState, model: AbstractMeanFieldModel) -> Float[Array, ""]:
    m_dot, quadratures_dot = rates
    m_dot = jnp.where(model.weights[None] > 0, m_dot, 0)
    return jnp.max(jnp.abs(m_dot), initial=jnp.max(jnp.abs(quadratures_dot), initial=0.0))


def check_relaxes(model: CollectiveModel) -> None:
    """Refuse a model without any loss: nothing makes it relax."""
    rates = [jump.rate for jump in model.jumps]
    rates += [] if model.dissipation is None else list(model.dissipation.rates)
    if all(known(rate) and not np.any(np.asarray(rate)) for rate in rates):
        refuse("model", "one with jumps for a stationary state to be reached", "one without")


def default_residual(model: AbstractMeanFieldModel) -> float:
    """What counts as no change, in units of a rate."""
    return 1e-9 if model.dtype == jnp.float64 else 1e-4


def last_half(dtype: Any) -> Float[np.ndarray, " times"]:
    """The times at which a run is looked at, to see a trend, as shares of its end."""
    return np.linspace(0.5, 1.0, SAMPLES, dtype=dtype)


def run_to_rest(
    model: AbstractMeanFieldModel,
    y0: RealState,
    end: Array,
    at_rest: Any,
    saveat: dfx.SaveAt,
    tolerances: tuple[Any, Any],
    solver: dfx.AbstractSolver,
    max_steps: int | None,
    **others: Any,
) -> dfx.Solution:
    """A run that ends with `at_rest`, or at `end`, and what `saveat` asks for; `others` are for `integrate`."""
    controller = dfx.PIDController(*tolerances)
    how: dict[str, Any] = dict(solver=solver, stepsize_controller=controller, max_steps=max_steps)
    sol = integrate(model, y0, jnp.zeros_like(end), end, saveat, event=dfx.Event(at_rest), **how, **others)
    assert sol.ys is not None and sol.ts is not None  # both are there, being asked for in saveat
    return sol


@eqx.filter_jit
def relax(
    model: CollectiveModel,
    state: MeanFieldState,
    max_time: Array | None,
    tol: Any,
    tolerances: tuple[Any, Any],
    solver: dfx.AbstractSolver,
    max_steps: int | None,
    rows: bool,
) -> tuple[dict[str, Any], RealState]:
    """The fields of a `SteadyState`, a run until dy/dt = 0 with the derivatives of the state at rest; and its end."""
    given, start = model, state.to_real(model)
    model, y0 = jax.lax.stop_gradient((model, start))
    valid, model, y0 = without_nan(model, y0)
    unit = model.fastest_rate(jnp.zeros((), model.dtype), y0)
    end = LONGEST / unit if max_time is None else max_time
    valid &= jnp.isfinite(end) & (end > 0)
    end = jnp.where(valid, end, jnp.ones_like(end))
    threshold = tol * unit
    # of one run all states may be kept and looked at later, in the loop that is compiled thrice; rows would take room
    few = not rows and model.num_components <= FEW
    samples = dfx.SubSaveAt(ts=jnp.asarray(last_half(model.dtype)[:-1]), t1=True, fn=_same if few else _observe)
    saveat, how = dfx.SaveAt(subs=[dfx.SubSaveAt(t1=True), samples]), (tolerances, solver, max_steps)
    first = FIRST_STEP / (unit * end)
    one = jnp.ones((), model.dtype)
    sol: Any = run_to_rest(model, y0, one, IsAtRest(threshold), saveat, *how, first_step=first, rows=rows, span=end)
    last, seen = sol.ys
    y = jax.tree.map(lambda saved: jnp.where(valid, saved[0], jnp.nan), last)
    seen = jax.vmap(lambda y: _observe(0.0, y, model))(seen) if few else seen
    reached = jnp.sum(jnp.isfinite(sol.ts[1]))  # of a run that ended earlier the rest is its end
    seen = jnp.where(np.arange(SAMPLES)[:, None] < reached, seen, seen[reached - 1][None])
    residual, distance = near_rest(model, y)
    told = model.num_modes + overlaps(model, y[0]).size
    crossing = distance * 2 / end
    status = classify(sol.result, residual, threshold, seen[:, 0], seen[:, 1 + told :], distance, crossing)
    converged, failed = status == Status.successful, status == Status.failed

    equations = AtRest(model.num_subsets, model.levels)
    args = given, kept_of(start[0]), jnp.ones_like(unit)
    ended = equations.state(implicit(equations, flat(y), args, converged, smallest_solution))
    final = MeanFieldState.from_real(ended)

    here = overlaps(model, final.m)
    last = jnp.concatenate([here, occupations(final.alpha), jnp.zeros_like(here)])
    average = jnp.concatenate([jnp.mean(seen[:, 1 : 1 + told], axis=0), jnp.std(seen[:, 1 : 1 + here.size], axis=0)])
    average = average + (last - jax.lax.stop_gradient(last))
    at_end = jnp.where(failed, jnp.nan, jnp.where(converged, last, average))
    fields = dict(
        state=final,
        overlaps=at_end[: here.size],
        occupations=at_end[here.size : told],
        fluctuations=at_end[told:],
        status=status,
        residual=residual / unit,
        time=sol.ts[0][0] * end,
        num_steps=sol.stats["num_steps"],
        time_needed=jnp.full_like(unit, jnp.nan),
    )
    return fields, ended


def _same(t: Any, y: RealState, args: CollectiveModel) -> RealState:
    return y


def _observe(t: Any, y: RealState, args: CollectiveModel) -> Float[Array, " seen"]:
    """The largest change, overlaps, photons; mean spins and quadratures, which show a trend."""
    spins = jnp.sum(args.weights.astype(y[0].dtype)[None] * y[0], axis=1)
    photons = jnp.sum(y[1] ** 2, axis=0)
    return jnp.concatenate([change(y, args)[None], overlaps(args, y[0]), photons, spins, y[1].ravel()])


def near_rest(model: AbstractMeanFieldModel, y: RealState) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The largest |dy/dt|, as `change` has it, and the largest component of A^+ dy/dt, A being the Jacobian.

    The latter is about how far a state is from one at rest.
    """
    equations, components = AtRest(model.num_subsets, model.levels), flat(y)
    args = model, kept_of(y[0]), jnp.ones((), model.dtype)
    matrix, rates = jax.jacfwd(lambda c: (equations(c, args),) * 2, has_aux=True)(components)
    residual = _largest(equations.state(rates), model)
    good = jnp.all(jnp.isfinite(matrix)) & jnp.all(jnp.isfinite(rates))
    matrix = jnp.where(good, matrix, jnp.eye(components.size, dtype=components.dtype))
    free = SINGULAR * float(jnp.finfo(components.dtype).eps)
    step = jnp.matmul(jnp.linalg.pinv(matrix, rtol=free), jnp.where(good, rates, 0), precision="highest")
    return residual, jnp.where(good, jnp.max(jnp.abs(step)), jnp.inf)


def classify(
    result: dfx.RESULTS,
    residual: Array,
    threshold: Array,
    residuals: Float[Array, " S"],
    xi: Float[Array, "S M"],
    distance: Array,
    crossing: Array,
) -> Status:
    """Undecided where no trend shows.

    `distance` to the state at rest; `crossing`, the rate of change that would go all that way in the last half.
    """
    log_residuals = jnp.log(jnp.maximum(residuals, jnp.finfo(residuals.dtype).tiny))
    moving = _has_trend(jnp.concatenate([log_residuals[:, None], xi], axis=1))
    moving |= jnp.mean(residuals) < LEAST_TURNS * 2 * jnp.pi * crossing  # slow, and perhaps only on its way
    ran = (result == dfx.RESULTS.successful) | (result == dfx.RESULTS.event_occurred)
    status = where(moving, Status.not_converged, Status.undecided)
    near = distance < (NEAR if residual.dtype == jnp.float64 else NEAR_SINGLE)
    at_end = where(near, Status.successful, Status.not_converged)
    status = where(residual < threshold, at_end, status)
    return where(ran & jnp.isfinite(residual), status, Status.failed)


def _has_trend(samples: Float[Array, "S Q"]) -> Array:
    """Whether a straight line through the block means of any quantity has a slope beyond its own error."""
    means = jnp.mean(samples.reshape(NUM_BLOCKS, SAMPLES_PER_BLOCK, -1), axis=1)
    x = np.linspace(-0.5, 0.5, NUM_BLOCKS, dtype=samples.dtype)[:, None]
    slope = jnp.sum(x * means, axis=0, keepdims=True) / np.sum(x**2)
    rest = means - jnp.mean(means, axis=0, keepdims=True) - slope * x
    error = jnp.sqrt(jnp.sum(rest**2, axis=0, keepdims=True) / (NUM_BLOCKS - 2) / np.sum(x**2))
    return jnp.any(jnp.abs(slope) > jnp.maximum(TREND_ERRORS * error, TREND_SIZE))
