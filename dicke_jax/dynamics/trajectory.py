"""`mfsolve`: the mean-field equations integrated from one state."""

import dataclasses
import math
from typing import Any, NoReturn

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import as_times, check_all, check_count, known, refuse
from .._door import checked
from .._status import Status, where, worst_text
from .._summary import AbstractResult, Rows, system
from .._typing import ArrayLike
from ..couplings.operators import SMALL_MATRIX
from ..mean_field import (
    AbstractMeanFieldModel,
    CollectiveModel,
    DickeModel,
    MeanFieldState,
    check_model,
    check_spin_lengths,
    occupations,
    overlaps,
    spin_lengths,
)
from ..mean_field.rates import is_schedule
from ._loop import ReplayAdjoint
from .finite_numbers import or_raise, where_good, with_nonfinite, without_nan
from .integrate import integrate
from .rate_resolution import functions_of_time, steps_that_see, unseen
from .reverse_once import in_reverse_once
from .stiffness import STIFF, or_too_stiff, stiffness
from .tangent_steps import steps_for_derivatives
from .taylor_series import has_series
from .taylor_solver import BilinearTaylor

MOST_TURNS = 1e15  # that a time can tell apart in float64; a thousandth of it takes a year
LARGE_RECORD = 2**25  # numbers that a record of steps may hold by default
NO_ERROR_ESTIMATE = "does not provide error estimates"  # diffrax
NO_DERIVATIVE = "to a custom_vjp function", "Linearization failed", "Reverse-mode differentiation does not work"  # JAX
ADJOINTS = (
    "one with the derivatives that are asked for: ReplayAdjoint() has all with a Runge-Kutta method or the series, "
    "diffrax.ForwardMode() those of jax.jvp and jax.jacfwd, diffrax.RecursiveCheckpointAdjoint() that of jax.grad, once"
)
ORDERS = (1e-5, 8), (1e-8, 13)  # of the series, and the tolerance down to which each is the fastest


class MFSolution(AbstractResult):
    """A trajectory at the saved times; under `jax.vmap` every array has leading batch axes.

    - `t`: (T,), the times `tsave`.
    - `m`, `alpha`: (T, 3, K), with d levels (T, d^2 - 1, K), and complex (T, M), as in `MeanFieldState`.
    - `overlaps`, `occupations`: (T, M), xi_mu and photons per spin, |alpha_mu|^2. Of a `CollectiveModel` overlaps are
      those with its `patterns`, (T, P).
    - `status`: a `Status`; `Status[status]` is its text. Times that a failed run did not reach hold inf.
    - `stats`: numbers of accepted and rejected steps.
    """

    t: Float[Array, "*batch T"]
    m: Float[Array, "*batch T B K"]
    alpha: Complex[Array, "*batch T M"]
    overlaps: Float[Array, "*batch T P"]
    occupations: Float[Array, "*batch T M"]
    status: Status
    stats: dict[str, Any]

    @property
    def spin_lengths(self) -> Float[Array, "*batch T K"]:
        """|m_k| at the saved times."""
        return spin_lengths(self.m)

    @property
    def final_state(self) -> MeanFieldState:
        """The state at the last saved time."""
        return MeanFieldState(self.m[..., -1, :, :], self.alpha[..., -1, :])

    def _heading(self) -> str:
        span = f"from t = {np.min(self.t):g} to {np.max(self.t):g}"
        return f"MFSolution: {system(self.overlaps, self.m)}, {self.t.shape[-1]} times {span}, {self.m.dtype}"

    def _rows(self) -> Rows:
        steps = np.asarray(self.stats["num_steps"])
        if steps.ndim:
            yield "steps", f"{steps.min()} to {steps.max()}"
            return
        yield "steps", f"{steps} ({int(self.stats['num_rejected_steps'])} rejected)"
        for name, values in (("overlaps", self.overlaps), ("photons", self.occupations)):
            if values.shape[-1]:  # a model need not have modes
                yield name, f"{_short(values[0])} -> {_short(values[-1])}"


def _short(values: ArrayLike, most: int = 6) -> str:
    numbers = np.asarray(values)
    dots = ", ..." if numbers.size > most else ""
    return "[" + ", ".join(f"{v:.4f}" for v in numbers[:most].round(4) + 0.0) + dots + "]"


def default_tolerance(dtype: jnp.dtype) -> float:
    """1e-10 in float64, 1e-6 in float32: what an adaptive solver reaches with some room to round-off."""
    return 1e-10 if dtype == jnp.float64 else 1e-6


def default_solver(model: AbstractMeanFieldModel, tolerance: Any = None, dense: bool = True) -> dfx.AbstractSolver:
    """The Taylor series, of an order that suits precision and tolerance, by default that of `default_tolerance`.

    An implicit solver where modes are STIFF times faster than spins and more, as far as that is known. Dopri8 for rates
    that depend on time in other ways than `PiecewiseLinear`, and for couplings so large and dense that matrix products
    cost most, where the series loses, and for a `CollectiveModel`.
    """
    if stiffness(model) >= STIFF:
        return dfx.Kvaerno5()
    matrix = getattr(model.spins.operator, "matrix", None) if isinstance(model, DickeModel) else None
    if not has_series(model) or (matrix is not None and matrix.size > SMALL_MATRIX):
        return dfx.Dopri8()
    if model.dtype != jnp.float64:
        return BilinearTaylor(8, dense)
    tolerance = default_tolerance(model.dtype) if tolerance is None else tolerance
    fitting = (order for least, order in ORDERS if known(tolerance) and float(tolerance) >= least)
    return BilinearTaylor(next(fitting, 18), dense)


def default_adjoint(model: AbstractMeanFieldModel, solver: dfx.AbstractSolver) -> dfx.AbstractAdjoint:
    """Steps replayed where each is computed from the state alone and the record is small; else checkpoints."""
    adjoint = ReplayAdjoint()
    record = adjoint.max_steps * (model.num_components + 1)
    if isinstance(solver, BilinearTaylor | dfx.AbstractRungeKutta) and record <= LARGE_RECORD:
        return adjoint
    return dfx.RecursiveCheckpointAdjoint()


def longest_run(model: AbstractMeanFieldModel) -> float:
    """The time in which the constant rates that are known turn by `MOST_TURNS`: no run gets that far."""
    rates = (rate for rate in model.rates.values() if known(rate) and not is_schedule(rate))
    fastest = max((float(np.max(np.abs(np.asarray(rate)))) for rate in rates), default=0.0)
    return MOST_TURNS / fastest if fastest > 0 else math.inf


def check_tolerance(name: str, value: float | None, dtype: jnp.dtype) -> float:
    """A local error tolerance that the precision can reach, or the default for that precision."""
    if value is None:
        return default_tolerance(dtype)
    least = 4 * float(jnp.finfo(dtype).eps)
    if not known(value) or least <= float(value) < 1:
        return value
    refuse(name, f"from {least:.1e}, the least that {dtype} can reach, to 1", value)


@checked
def mfsolve(
    model: DickeModel | CollectiveModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    *,
    solver: dfx.AbstractSolver | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    dt0: float | None = None,
    max_steps: int | None = 2**20,
    adjoint: dfx.AbstractAdjoint | None = None,
    throw: bool = True,
) -> MFSolution:
    """Integrate the mean-field equations from `state` at `tsave[0]`.

        x'_k = -2 g0 h_k y_k,   y'_k = -2 Omega z_k + 2 g0 h_k x_k,   z'_k = 2 Omega y_k
        alpha'_mu = -(i Omega_mu + kappa_mu / 2) alpha_mu - i g0 xi_mu

    (Paper, Eq. 7; those of a `CollectiveModel` come from its energy.) A pure function of one trajectory: `jax.vmap` it
    over states, models or both.

    **Main arguments**

    - `model`: a `DickeModel` or a `CollectiveModel`; its precision is the precision of the run.
    - `state`: the `MeanFieldState` at `tsave[0]`.
    - `tsave`: at least two increasing times, in the inverse unit of the rates.

    **Other arguments**

    - `solver`: any diffrax solver of ordinary differential equations; by default `BilinearTaylor`, Dopri8 for a
      `CollectiveModel`, Kvaerno5 for modes a thousand times faster than the spins. Rates traced by `jax.jit` are not
      known: where they may be so fast give `solver=diffrax.Kvaerno5()`, as the status says of a run that was too long.
    - `rtol`, `atol`: local error tolerances, 1e-10 in float64 and 1e-6 in float32 by default.
    - `stepsize_controller`, `dt0`: as in diffrax, in place of a `PIDController` with these tolerances. Any that adapts
      is made to step onto the kinks of the rates.
    - `max_steps`: more steps end the run with a status; None for no bound, which excludes reverse mode.
    - `adjoint`: how derivatives are taken. The default for the series and Runge-Kutta methods, `ReplayAdjoint()`,
      serves derivatives of any order in any mode, up to 4096 steps; `diffrax.RecursiveCheckpointAdjoint()`, the default
      for all else, serves `jax.grad`, once, for any number of them.
      `diffrax.ForwardMode()` serves `jax.jvp` and `jax.jacfwd`, also repeated, cheaper for a few parameters;
      `diffrax.BacksolveAdjoint()` `jax.grad` in constant memory, with its own error. Where derivatives are asked for,
      steps are no longer than a deviation of the state allows, also where the state itself rests.
    - `throw`: raise where a run fails. With False the failure is only in `status`, and the good rows of a batch live.

    **Returns** an `MFSolution`.

    **Raises** ValueError for arguments that do not fit; an Equinox runtime error for a failed run if `throw`.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.5)
        >>> solution = dj.mfsolve(model, dj.stored_pattern(model), [0.0, 20.0])
        >>> print(solution.overlaps[-1].round(4), bool(solution.successful))
        [0.6729 0.     0.     0.    ] True
    """
    if max_steps is not None:
        check_count("max_steps", max_steps)
    if dt0 is not None:
        check_all("dt0", dt0, lambda step: step > 0, "positive")
    check_spin_lengths(state.m)
    times = as_times(tsave, model.dtype)
    if max_steps is None and known(times) and float(times[-1] - times[0]) > longest_run(model):
        refuse("max_steps", f"a number for more than {MOST_TURNS:.0e} turns of the fastest rate", "None")
    if stepsize_controller is None:
        tolerances = check_tolerance("rtol", rtol, model.dtype), check_tolerance("atol", atol, model.dtype)
        stepsize_controller = dfx.PIDController(*tolerances)
    elif rtol is not None or atol is not None:
        refuse("rtol and atol", "left out where stepsize_controller is given, which has its own", f"{rtol} and {atol}")
    adaptive = isinstance(stepsize_controller, dfx.AbstractAdaptiveStepSizeController)
    stepped_over = bool(model.kinks) and not adaptive
    if stepped_over and isinstance(solver, BilinearTaylor):
        must_be = "an adaptive one, which steps onto the kinks of the rates, for BilinearTaylor"
        refuse("stepsize_controller", must_be, type(stepsize_controller).__name__)
    if solver is None and (stepped_over or isinstance(adjoint, dfx.BacksolveAdjoint)):
        solver = dfx.Dopri8()  # the series knows no kink within a step, and no other equations than these
    solver = default_solver(model, rtol, times.size > 2) if solver is None else solver
    # a default is asked for derivatives only where numbers are traced; `ReplayAdjoint` finds out by itself
    derivatives = adjoint is not None or not all(map(known, jax.tree.leaves((model, state, times))))
    adjoint = default_adjoint(model, solver) if adjoint is None else adjoint
    derivatives &= not isinstance(adjoint, ReplayAdjoint | dfx.BacksolveAdjoint)  # which has an error of its own
    how = dict(stepsize_controller=stepsize_controller, max_steps=max_steps, adjoint=adjoint, derivatives=derivatives)

    def no_such_derivative() -> NoReturn:
        refuse("adjoint", ADJOINTS, type(adjoint).__name__)

    if isinstance(adjoint, dfx.RecursiveCheckpointAdjoint):
        model, state, times = in_reverse_once((model, state, times), no_such_derivative)
    try:
        sol = _integrate(model, state, times, first_step=dt0, solver=solver, **how)
    except (TypeError, ValueError, RuntimeError) as error:
        if NO_ERROR_ESTIMATE in str(error):
            must_be = "diffrax.ConstantStepSize(), with dt0, for a solver that does not estimate its error"
            refuse("stepsize_controller", must_be, type(stepsize_controller).__name__)
        if any(words in str(error) for words in NO_DERIVATIVE):
            no_such_derivative()
        raise
    if not throw:
        return sol
    if not known(sol.status._value):
        numbers = ("m", "alpha", "overlaps", "occupations")  # who asks for one of them alone is told as well
        checked = or_raise([getattr(sol, name) for name in numbers], sol.status)
        return dataclasses.replace(sol, **dict(zip(numbers, checked, strict=True)))
    # looked at here, a program holds no callback to the host and can be kept
    if (text := worst_text(sol.status)) != "successful":
        raise eqx.EquinoxRuntimeError(f"mfsolve failed: {text}")
    return sol


@eqx.filter_jit
def _integrate(
    model: DickeModel | CollectiveModel, state: MeanFieldState, times: Float[Array, " T"], **how: Any
) -> MFSolution:
    given, (finite, model, y0) = model, without_nan(model, state.to_real(model))
    ordered = jnp.all(jnp.diff(times) > 0)  # false for NaN, too
    finite &= ordered
    span = jnp.where(ordered, times, jnp.arange(times.size, dtype=times.dtype))
    # both ends as they are: only what lies between needs the interpolation
    saveat = dfx.SaveAt(t0=True, ts=span[1:-1] if times.size > 2 else None, t1=True)
    controller, derivatives = how.pop("stepsize_controller"), how.pop("derivatives")
    adaptive = isinstance(controller, dfx.AbstractAdaptiveStepSizeController)
    if adaptive:
        controller = steps_that_see(controller, model, span[0], span[-1])
    if derivatives:
        controller = steps_for_derivatives(controller, how["solver"])
    sol = integrate(model, y0, span[0], span[-1], saveat, stepsize_controller=controller, **how)
    # where a run has failed, the last state that is saved is of another time
    unreached = (np.arange(times.size) == times.size - 1) & (sol.result != dfx.RESULTS.successful)

    lost = jnp.where(finite, jnp.where(unreached, jnp.inf, 0), jnp.nan)[:, None, None]

    def or_lost(saved: Array) -> Array:  # with NaN for the derivatives of times that were not reached, too
        other = jnp.where(lost == 0, saved, lost.astype(saved.dtype))
        return where_good((lost == 0) & jnp.isfinite(saved), saved, other)

    m, quadratures = jax.tree.map(or_lost, sol.ys)
    alpha = jax.lax.complex(quadratures[:, 0], quadratures[:, 1])
    status, stats = with_nonfinite(sol.result, m, alpha), sol.stats
    room, most = getattr(how["adjoint"], "max_steps", None), how["max_steps"]
    if room is not None and (most is None or room < most):  # the run itself is bounded by `most`
        full = (status == Status.max_steps_reached) & (stats["num_steps"] <= room)
        status = where(full, Status.record_full, status)
    status = or_too_stiff(status, model, y0, times[0], how["solver"])
    if not adaptive and functions_of_time(model):
        missed, at = unseen(model, controller, span[0], span[-1], how["first_step"])
        status, stats = where(status == Status.successful, missed, status), stats | {"unresolved_time": at}
    return MFSolution(times, m, alpha, overlaps(given, m), occupations(alpha), status, stats)


def check_model_and_state(model: DickeModel, state: MeanFieldState) -> None:
    check_model(model)
    if not isinstance(state, MeanFieldState):
        refuse("state", "a MeanFieldState", type(state).__name__)
