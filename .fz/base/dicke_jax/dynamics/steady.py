"""`steadystate`: where a state goes, and what kind of end that is."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import check_all, check_count, known, refuse
from .._typing import ModeReals, RealState
from ..equations import mean_field_equations
from ..model import DickeModel
from ..observables import occupations, overlaps, spin_lengths
from ..self_consistency import follow, signed_lengths, state_of_overlaps
from ..state import MeanFieldState
from .solve import check_model_and_state, check_tolerance, default_solver, without_nan
from .taylor import in_one_kernel

NUM_BLOCKS = 8  # into which the last half of a run is cut, to see a trend
SAMPLES_PER_BLOCK = 32
RELAXING = 1e-8  # whatever its tolerance, a run that relaxes ends with steps that stability limits: order 13 is enough
TREND_ERRORS = 4.0  # a slope of more standard errors than this is a trend
TREND_SIZE = 1e-2  # and it must change an overlap, or the residual relatively, by more than this over the last half


class SteadyStatus(eqx.Enumeration):
    """How a run of `steadystate` ended."""

    converged = "converged: the right-hand side vanishes within the tolerance"
    oscillating = "oscillating: still moving at the end, without a trend over the last half of the run"
    not_converged = "not converged: still relaxing or growing at the end of the run; use a longer max_time"
    failed = "failed: the integration broke down or met numbers that are not finite"


class SteadyState(eqx.Module):
    """The end of a run, classified; under `jax.vmap` every array has leading batch axes.

    - `state`: the last `MeanFieldState`.
    - `overlaps`: (M,), xi_mu. Of the last state where converged, else the average over the last half of the run.
    - `occupations`: (M,), photons per spin |alpha_mu|^2, likewise.
    - `fluctuations`: (M,), the standard deviation of xi_mu over the last half; 0 where converged. These three are NaN
      where the run failed.
    - `status`: a `SteadyStatus`; `SteadyStatus[status]` is its text.
    - `residual`: max |dy/dt| over all components of the last state, in units of the smallest kappa.
    - `time`: when the run ended.
    - `num_steps`: the number of integration steps.
    """

    state: MeanFieldState
    overlaps: Float[Array, "*batch M"]
    occupations: Float[Array, "*batch M"]
    fluctuations: Float[Array, "*batch M"]
    status: SteadyStatus
    residual: Float[Array, "*batch"]
    time: Float[Array, "*batch"]
    num_steps: Int[Array, "*batch"]

    @property
    def converged(self) -> Array:
        """Whether the last state is stationary; one for each row of a batch."""
        return jnp.asarray(self.status == SteadyStatus.converged)

    def __repr__(self) -> str:
        if not known(self.residual):
            return eqx.tree_pformat(self)
        modes = self.overlaps.shape[-1]
        rows = [f"SteadyState: {modes} patterns, {self.state.m.shape[-1]} subsets, {self.state.m.dtype}"]
        if self.residual.ndim:
            for name in ("converged", "oscillating", "not_converged", "failed"):
                count = int(np.sum(np.asarray(self.status == getattr(SteadyStatus, name))))
                rows.append(f"  {name:13} {count} of {self.residual.size}")
            return "\n".join(rows)
        rows.append(f"  status       {SteadyStatus[self.status]}")
        rows.append(f"  residual     {float(self.residual):.1e} (in kappa) at t = {float(self.time):.6g}")
        for name in ("overlaps", "fluctuations", "occupations"):
            values = np.asarray(getattr(self, name))
            rows.append(f"  {name:12} " + np.array2string(values, precision=4, suppress_small=True, threshold=8))
        return "\n".join(rows)


def steadystate(
    model: DickeModel,
    state: MeanFieldState,
    *,
    tol: float | None = None,
    max_time: float | Float[Array, ""] | None = None,
    solver: dfx.AbstractSolver | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int | None = None,
) -> SteadyState:
    """Integrate from `state` until dy/dt = 0 within a tolerance, or say what the run does instead.

        max |dy/dt| < tol * min kappa

    Relaxation can be slow: from a stored pattern the slowest rate falls like g0^-8 far above threshold. And it need
    not end: spin waves that no mode sees never decay, and with mixed signs of Omega_mu no state may be stable. Such
    runs are told apart by the trend of residual and overlaps over the last half of the run, eight block means each.

    A state that is stationary need not be stable: that is another question.

    **Main arguments**

    - `model`: a `DickeModel` with kappa > 0 in every mode.
    - `state`: the `MeanFieldState` to start from.

    **Other arguments**

    - `tol`: the residual that counts as stationary, in units of the smallest kappa. 1e-9 in float64, 1e-4 in float32.
    - `max_time`: the longest run, in the inverse unit of the rates; 5000 / min kappa by default.
    - `solver`, `rtol`, `atol`: as in `mfsolve`. By default tolerances are a thousand times below `tol`: once an
      oscillation has decayed, an explicit solver lengthens its steps up to its limit of stability and holds it there,
      at some hundred times its tolerance.
    - `max_steps`: a bound on the number of steps; reaching it is a failure.

    **Returns** a `SteadyState`. State, overlaps and occupations of a converged run are differentiable in every rate,
    and in the state through its conserved spin lengths, in forward and reverse mode: by implicit differentiation of
    the M self-consistent equations, not through the integration. The derivatives of a run that has not converged are
    NaN. The other attributes have none.

    **Raises** ValueError for arguments that do not fit. A run that fails is told by its status, not raised, so that
    the good rows of a batch live.
    """
    check_model_and_state(model, state)
    check_reaches_steady(model)
    single = model.dtype != jnp.float64
    if tol is None:
        tol = 1e-4 if single else 1e-9
    if not known(tol) or not 0 < tol < 1:
        refuse("tol", "a number between 0 and 1", tol)
    finest = max(tol / 1000, 1e-6 if single else 1e-13)
    rtol = check_tolerance("rtol", finest if rtol is None else rtol, model.dtype)
    atol = check_tolerance("atol", finest if atol is None else atol, model.dtype)
    if max_steps is not None:
        check_count("max_steps", max_steps)
    rate = jax.lax.stop_gradient(jnp.min(model.kappa))
    end = 5000 / rate if max_time is None else jax.lax.stop_gradient(jnp.asarray(max_time, model.dtype))
    check_all("max_time", end, lambda t: (t > 0) & np.isfinite(t), "positive and finite")

    return _relax(
        model,
        state.to_real(model),
        end,
        jnp.asarray(tol, model.dtype) * rate,
        default_solver(model, max(rtol, RELAXING) if known(rtol) else RELAXING) if solver is None else solver,
        dfx.PIDController(rtol, atol, dtmin=1e-3 * jnp.finfo(model.dtype).eps * end),
        max_steps,
    )


def check_reaches_steady(model: DickeModel) -> None:
    """Refuse a model whose rates change in time, or with a mode that loses no photons: nothing makes it relax."""
    if model.is_time_dependent:
        refuse("model", "one with constant rates for a stationary state to be reached", "one with rates that change")
    check_all("kappa", model.kappa, lambda k: k > 0, "positive in every mode for a stationary state to be reached")


@eqx.filter_jit
def _relax(
    model: DickeModel,
    y0: RealState,
    end: Float[Array, ""],
    threshold: Float[Array, ""],
    solver: dfx.AbstractSolver,
    stepsize_controller: dfx.AbstractStepSizeController,
    max_steps: int | None,
) -> SteadyState:
    given, start = model, y0
    model, y0 = jax.lax.stop_gradient((model, y0))
    kappa = jnp.min(model.kappa)
    valid, model, y0 = without_nan(model, y0)
    valid &= jnp.isfinite(end) & (end > 0) & (threshold > 0)  # a traced kappa <= 0 shows here
    end, threshold = (jnp.where(valid, x, jnp.ones_like(x)) for x in (end, threshold))
    window = end * jnp.linspace(0.5, 1.0, NUM_BLOCKS * SAMPLES_PER_BLOCK, dtype=model.dtype)
    saveat = dfx.SaveAt(subs=[dfx.SubSaveAt(t1=True), dfx.SubSaveAt(ts=window, fn=_observe)])
    sol = dfx.diffeqsolve(
        dfx.ODETerm(mean_field_equations),
        solver,
        jnp.zeros_like(end),
        end,
        None,
        y0,
        args=model,
        saveat=saveat,
        stepsize_controller=stepsize_controller,
        event=dfx.Event(_IsStationary(threshold)),
        max_steps=max_steps,
        adjoint=in_one_kernel(dfx.ForwardMode(), model, solver, stepsize_controller, saveat),
        throw=False,
    )
    assert sol.ys is not None and sol.ts is not None  # both are there, being asked for in saveat
    last, (residuals, xi, photons) = sol.ys
    y = jax.tree.map(lambda saved: jnp.where(valid, saved[0], jnp.nan), last)
    final = MeanFieldState.from_real(y)
    residual = _residual(y, model)
    status = _classify(sol.result, residual, threshold, residuals, xi)
    converged, failed = status == SteadyStatus.converged, status == SteadyStatus.failed

    # the same numbers, with the derivatives of the stationary state
    lengths = jnp.sign(signed_lengths(model, final)) * spin_lengths(start[0])
    stationary = state_of_overlaps(given, follow(overlaps(model, final.m), converged, given, lengths), lengths)
    change = jax.tree.map(lambda x: x - jax.lax.stop_gradient(x), stationary)
    final = jax.tree.map(lambda x, dx: x + jnp.where(failed, 0, dx), final, change)

    def at_end(last: Array, average: Array) -> Array:
        average = average + (last - jax.lax.stop_gradient(last))
        return jnp.where(failed, jnp.nan, jnp.where(converged, last, average))

    return SteadyState(
        final,
        at_end(overlaps(model, final.m), jnp.mean(xi, axis=0)),
        at_end(occupations(final.alpha), jnp.mean(photons, axis=0)),
        at_end(jnp.zeros_like(kappa), jnp.std(xi, axis=0)),
        status,
        residual / kappa,
        sol.ts[0][0],
        sol.stats["num_steps"],
    )


class _IsStationary(eqx.Module):
    """A module, not a closure: `threshold` may be traced, and the compiled run is found again."""

    threshold: Float[Array, ""]

    def __call__(self, t: Array, y: RealState, args: DickeModel, **_: Any) -> Array:
        return _residual(y, args) < self.threshold


def _observe(t: Array, y: RealState, args: DickeModel) -> tuple[Array, ModeReals, ModeReals]:
    m, quadratures = y
    return _residual(y, args), overlaps(args, m), jnp.sum(quadratures**2, axis=0)


def _residual(y: RealState, model: DickeModel) -> Array:
    return jnp.max(jnp.array([jnp.max(jnp.abs(rate)) for rate in mean_field_equations(0.0, y, model)]))


def _classify(
    result: dfx.RESULTS, residual: Array, threshold: Array, residuals: Float[Array, " S"], xi: Float[Array, "S M"]
) -> SteadyStatus:
    log_residuals = jnp.log(jnp.maximum(residuals, jnp.finfo(residuals.dtype).tiny))
    moving = _has_trend(log_residuals[:, None]) | _has_trend(xi)
    ran = (result == dfx.RESULTS.successful) | (result == dfx.RESULTS.event_occurred)
    status = SteadyStatus.where(moving, SteadyStatus.not_converged, SteadyStatus.oscillating)
    status = SteadyStatus.where(residual < threshold, SteadyStatus.converged, status)
    return SteadyStatus.where(ran & jnp.isfinite(residual), status, SteadyStatus.failed)


def _has_trend(samples: Float[Array, "S Q"]) -> Array:
    """Whether a straight line through the block means of any quantity has a slope beyond its own error."""
    means = jnp.mean(samples.reshape(NUM_BLOCKS, SAMPLES_PER_BLOCK, -1), axis=1)
    x = jnp.linspace(-0.5, 0.5, NUM_BLOCKS, dtype=samples.dtype)[:, None]
    slope = jnp.sum(x * means, axis=0, keepdims=True) / jnp.sum(x**2)
    rest = means - jnp.mean(means, axis=0, keepdims=True) - slope * x
    error = jnp.sqrt(jnp.sum(rest**2, axis=0, keepdims=True) / (NUM_BLOCKS - 2) / jnp.sum(x**2))
    return jnp.any(jnp.abs(slope) > jnp.maximum(TREND_ERRORS * error, TREND_SIZE))
