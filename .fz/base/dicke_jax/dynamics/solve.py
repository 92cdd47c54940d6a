"""`mfsolve`: the mean-field equations integrated from one state."""

import dataclasses
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import as_float, check_finite, known, refuse
from .._typing import ArrayLike, RealState
from ..model import DickeModel, check_model
from ..observables import occupations, overlaps, spin_lengths
from ..state import MeanFieldState
from .replay import ReplayAdjoint, integrate, replayed
from .taylor import BilinearTaylor, has_series

ORDERS = (1e-5, 8), (1e-8, 13)  # of the series, and the tolerance down to which each is the fastest


class MFSolution(eqx.Module):
    """A trajectory at the saved times; under `jax.vmap` every array has leading batch axes.

    - `t`: (T,), the times `tsave`.
    - `m`: (T, 3, K), Bloch vectors of the subsets.
    - `alpha`: (T, M), complex mode amplitudes <a_mu> / sqrt(N_sp).
    - `overlaps`: (T, M), xi_mu.
    - `occupations`: (T, M), photons per spin, |alpha_mu|^2.
    - `status`: a `diffrax.RESULTS`; `diffrax.RESULTS.successful` where all is well. `diffrax.RESULTS[status]` is its
      text. Times that a failed run did not reach hold inf.
    - `stats`: numbers of accepted and rejected steps.
    """

    t: Float[Array, "*batch T"]
    m: Float[Array, "*batch T 3 K"]
    alpha: Complex[Array, "*batch T M"]
    overlaps: Float[Array, "*batch T M"]
    occupations: Float[Array, "*batch T M"]
    status: dfx.RESULTS
    stats: dict[str, Any]

    @property
    def spin_lengths(self) -> Float[Array, "*batch T K"]:
        """|m_k| at the saved times."""
        return spin_lengths(self.m)

    @property
    def final_state(self) -> MeanFieldState:
        """The state at the last saved time."""
        return MeanFieldState(self.m[..., -1, :, :], self.alpha[..., -1, :])

    @property
    def successful(self) -> Array:
        """Whether the run reached its last time with finite numbers; one for each row of a batch."""
        return jnp.asarray(self.status == dfx.RESULTS.successful)

    def __repr__(self) -> str:
        if not known(self.m):
            return eqx.tree_pformat(self)
        *batch, times, modes = self.overlaps.shape
        rows = [f"MFSolution: {modes} patterns, {self.m.shape[-1]} subsets, {times} times"]
        rows[0] += f" from t = {np.min(self.t):g} to {np.max(self.t):g}, {self.m.dtype}"
        steps = np.asarray(self.stats["num_steps"])
        if batch:
            rows.append(
                f"  batch     {tuple(batch)}, successful {int(np.sum(self.successful))} of {self.successful.size}"
            )
            rows.append(f"  steps     {steps.min()} to {steps.max()}")
        else:
            rows.append(f"  status    {'successful' if self.successful else dfx.RESULTS[self.status]}")
            rows.append(f"  steps     {int(steps)} ({int(self.stats['num_rejected_steps'])} rejected)")
            for name, values in (("overlaps", self.overlaps), ("photons", self.occupations)):
                rows.append(f"  {name:9} {_short(values[0])} -> {_short(values[-1])}")
        return "\n".join(rows)


def _short(values: ArrayLike, most: int = 6) -> str:
    numbers = np.asarray(values)
    dots = ", ..." if numbers.size > most else ""
    return "[" + ", ".join(f"{v:.4f}" for v in numbers[:most]) + dots + "]"


def default_tolerance(dtype: jnp.dtype) -> float:
    """1e-10 in float64, 1e-6 in float32: what an adaptive solver reaches with some room to round-off."""
    return 1e-10 if dtype == jnp.float64 else 1e-6


def default_solver(
    model: DickeModel, tolerance: Any, adjoint: dfx.AbstractAdjoint | ReplayAdjoint | None = None, dense: bool = True
) -> dfx.AbstractSolver:
    """The Taylor series, of an order that suits tolerance and precision.

    Dopri8 for rates that depend on time in other ways than `PiecewiseLinear`, for an adjoint that solves other
    equations too, and for couplings so large and dense that matrix products cost most, where the series loses.
    """
    if isinstance(adjoint, dfx.BacksolveAdjoint) or not has_series(model) or not model.spins.operator.elementwise:
        return dfx.Dopri8()
    if model.dtype != jnp.float64:
        return BilinearTaylor(8, dense)
    return BilinearTaylor(
        next((order for least, order in ORDERS if known(tolerance) and float(tolerance) >= least), 18)
    )


def check_tolerance(name: str, value: float | None, dtype: jnp.dtype) -> float:
    """A local error tolerance that the precision can reach, or the default for that precision."""
    if value is None:
        return default_tolerance(dtype)
    least = 4 * float(jnp.finfo(dtype).eps)
    if not known(value) or least <= float(value) < 1:
        return value
    refuse(name, f"from {least:.1e}, the least that {dtype} can reach, to 1", value)


def mfsolve(
    model: DickeModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    *,
    solver: dfx.AbstractSolver | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    max_steps: int | None = 2**20,
    adjoint: dfx.AbstractAdjoint | ReplayAdjoint | None = None,
    throw: bool = True,
) -> MFSolution:
    """Integrate the mean-field equations from `state` at `tsave[0]`.

        x'_k = -2 g0 h_k y_k,   y'_k = -2 Omega z_k + 2 g0 h_k x_k,   z'_k = 2 Omega y_k
        alpha'_mu = -(i Omega_mu + kappa_mu / 2) alpha_mu - i g0 xi_mu

    (Paper, Eq. 7.) A pure function of one trajectory: `jax.vmap` it over states, models or both.

    **Main arguments**

    - `model`: a `DickeModel`; its precision is the precision of the run.
    - `state`: the `MeanFieldState` at `tsave[0]`.
    - `tsave`: at least two increasing times, in the inverse unit of the rates.

    **Other arguments**

    - `solver`: any diffrax solver of ordinary differential equations; `BilinearTaylor` by default.
    - `rtol`, `atol`: local error tolerances, 1e-10 in float64 and 1e-6 in float32 by default.
    - `stepsize_controller`, `dt0`: as in diffrax, in place of a `PIDController` with these tolerances. Any that adapts
      is made to step onto the kinks of the rates.
    - `max_steps`: more steps end the run with a status; None for no bound, which excludes reverse mode.
    - `adjoint`: how derivatives are taken. The default, `diffrax.RecursiveCheckpointAdjoint()`, serves `jax.grad`;
      `diffrax.ForwardMode()` serves `jax.jvp` and `jax.jacfwd` at less cost; `diffrax.BacksolveAdjoint()` serves
      `jax.grad` in constant memory with an error of its own.
    - `throw`: raise where a run fails. With False the failure is only in `status`, and the good rows of a batch live.

    **Returns** an `MFSolution`.

    **Raises** ValueError for arguments that do not fit; an Equinox runtime error for a failed run if `throw`.
    """
    check_model_and_state(model, state)
    times = as_float(tsave).astype(model.dtype)
    if times.ndim != 1 or times.size < 2:
        refuse("tsave", "a one-dimensional array of at least two times", f"shape {times.shape}")
    check_finite("tsave", times)
    if known(times) and not np.all(np.diff(np.asarray(times)) > 0):
        refuse("tsave", f"strictly increasing in {times.dtype}", "times that are not")
    tolerance = default_tolerance(model.dtype)
    if stepsize_controller is None:
        tolerances = check_tolerance("rtol", rtol, model.dtype), check_tolerance("atol", atol, model.dtype)
        tolerance = tolerances[0]
        stepsize_controller = dfx.PIDController(*tolerances)
    elif rtol is not None or atol is not None:
        refuse("rtol and atol", "left out where stepsize_controller is given, which has its own", f"{rtol} and {atol}")
    adaptive = isinstance(stepsize_controller, dfx.AbstractAdaptiveStepSizeController)
    if model.kinks and adaptive:
        # no derivatives: a kink that moves acts through the rate, and steps that move with it would add their error
        at = jax.lax.stop_gradient(jnp.sort(jnp.concatenate([kinks.astype(model.dtype) for kinks in model.kinks])))
        stepsize_controller = dfx.ClipStepSizeController(stepsize_controller, step_ts=at)
    if solver is None:
        solver = (
            dfx.Dopri8() if model.kinks and not adaptive else default_solver(model, tolerance, adjoint, times.size > 2)
        )
    elif model.kinks and not adaptive and isinstance(solver, BilinearTaylor):
        must_be = "an adaptive one, which steps onto the kinks of the rates, for BilinearTaylor"
        refuse("stepsize_controller", must_be, type(stepsize_controller).__name__)

    sol = _integrate(
        model,
        state.to_real(model),
        times,
        dt0,
        solver,
        stepsize_controller,
        max_steps,
        dfx.RecursiveCheckpointAdjoint() if adjoint is None else adjoint,
    )
    if not throw:
        return sol
    m = sol.status.error_if(sol.m, ~sol.successful)
    return dataclasses.replace(sol, m=m)


@eqx.filter_jit
def _integrate(
    model: DickeModel,
    y0: RealState,
    times: Float[Array, " T"],
    dt0: float | None,
    solver: dfx.AbstractSolver,
    stepsize_controller: dfx.AbstractStepSizeController,
    max_steps: int | None,
    adjoint: dfx.AbstractAdjoint | ReplayAdjoint,
) -> MFSolution:
    finite, model, y0 = without_nan(model, y0)
    ordered = jnp.all(jnp.diff(times) > 0)  # false for NaN, too
    finite &= ordered
    span = jnp.where(ordered, times, jnp.arange(times.size, dtype=times.dtype))
    if isinstance(adjoint, ReplayAdjoint):
        most = adjoint.max_steps if max_steps is None else min(max_steps, adjoint.max_steps)
        how = jax.tree.map(  # steps are held as they were
            lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, (dt0, solver, stepsize_controller)
        )
        ys, result, stats = replayed((model, y0, span), *how, most)
    else:
        ys, result, stats = integrate((model, y0, span), dt0, solver, stepsize_controller, max_steps, adjoint)
    m, quadratures = jax.tree.map(lambda saved: jnp.where(finite, saved, jnp.nan), ys)
    alpha = jax.lax.complex(quadratures[:, 0], quadratures[:, 1])
    status = _with_nonfinite(result, m, alpha)
    return MFSolution(times, m, alpha, overlaps(model, m), occupations(alpha), status, stats)


def check_model_and_state(model: DickeModel, state: MeanFieldState) -> None:
    check_model(model)
    if not isinstance(state, MeanFieldState):
        refuse("state", "a MeanFieldState", type(state).__name__)


def without_nan(model: DickeModel, y0: RealState) -> tuple[Array, DickeModel, RealState]:
    """Whether all numbers are finite; where they are not, a model and a state at rest in their place.

    A traced NaN cannot be refused at the door, and an adaptive solver never gets past it: without this one bad row
    would keep its batch from ever ending.
    """
    numbers = jax.tree.leaves(eqx.filter((model, y0), eqx.is_inexact_array))
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in numbers]))

    def at_rest(x: Any) -> Any:
        return jnp.where(finite, x, jnp.zeros_like(x)) if eqx.is_inexact_array(x) else x

    return finite, *jax.tree.map(at_rest, (model, y0))


def _with_nonfinite(result: dfx.RESULTS, *values: Array) -> dfx.RESULTS:
    """A run that says it succeeded but holds NaN or inf did not."""
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(v)) for v in values]))
    bad = (result == dfx.RESULTS.successful) & ~finite
    return dfx.RESULTS.where(bad, dfx.RESULTS.nonfinite, result)  # pyright: ignore[reportArgumentType]
