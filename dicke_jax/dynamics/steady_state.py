"""`steadystate`: where a state goes, and what kind of end that is."""

import dataclasses
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_all, check_count, known, refuse
from .._door import checked
from .._status import Status, is_known_as
from .._typing import RealState
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, check_constant_rates, check_spin_lengths
from .begin_and_end import IsStationary, slowest_rate
from .distance_to_rest import kind_of_motion, time_to_rest
from .end_of_run import SteadyState, end_of_run, ends, observe
from .relaxation import check_relaxes, default_residual, last_half, relax, run_to_rest
from .stiffness import STIFF, stiffness
from .trajectory import MOST_TURNS, check_tolerance, default_solver, longest_run

MUCH_LONGER = 20.0  # times the longest run by default, beyond which a run is asked for by its max_time alone
LARGEST_SPECTRUM = 600  # components of spins up to which a spectrum decides what goes on oscillating
STIFF_TOLERANCE = {"float64": 1e-8, "float32": 1e-5}


@checked
def steadystate(
    model: DickeModel | CollectiveModel,
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

        max |dy/dt| < tol * min(kappa, 2 |Omega|)

    Relaxation can be slow: from a stored pattern the slowest rate falls like g0^-8 far above threshold. And it need
    not end: spin waves that no mode sees never decay, with mixed signs of Omega_mu no state may be stable. Such runs
    are told apart by trends over their last half, and by the spectrum at the state at rest. In `jax.jit` and `jax.vmap`
    there is none: what moves without a trend is undecided. A stationary state may be unstable.

    **Main arguments**

    - `model`: a `DickeModel` with kappa > 0 in every mode, or a `CollectiveModel` with jumps, whose own `fastest_rate`
      at the start is the unit of rates and times: max |dy/dt| < tol of it, and the longest run is 50,000 / that.
    - `state`: the `MeanFieldState` to start from.

    **Other arguments**

    - `tol`: the residual that counts as stationary, in units of min(kappa, 2 |Omega|); 1e-9, in float32 1e-4, if None.
    - `max_time`: the longest run, in the inverse unit of the rates; 5000 / min(kappa, 2 |Omega|) by default, up to 20
      times that where the slowest decay asks for it: behind modes of a rate k spins relax at rates like 1 / k.
    - `solver`, `rtol`, `atol`: as in `mfsolve`; tolerances a thousand times below `tol` by default, since an explicit
      solver at its limit of stability, where it ends, holds some hundred times its own.
    - `max_steps`: a bound on the steps; reaching it is a failure.

    **Returns** a `SteadyState`. State, overlaps and occupations of a converged run are differentiable in every rate,
    and in the state through its conserved spin lengths, in forward and reverse mode: by implicit differentiation of
    the M self-consistent equations, not through the integration. The derivatives of a run that has not converged are
    NaN. The other attributes have none.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0)
        >>> end = dj.steadystate(model, dj.stored_pattern(model, pattern=0))
        >>> print(f"{abs(end.overlaps[0]):.6f}, by Eq. 12 {dj.retrieval_overlap(model, 0):.6f}")
        0.909059, by Eq. 12 0.909059
    """
    check_spin_lengths(state.m)
    how: dict[str, Any] = dict(solver=solver, rtol=rtol, atol=atol, max_steps=max_steps)
    end = _with_spectrum(model, *run_and_rest(model, state, tol, max_time, **how), tol)
    time, needed = jax.lax.stop_gradient((end.time, end.time_needed))
    if max_time is not None or not known(time) or not float(needed) < MUCH_LONGER * float(time):
        return end
    return steadystate(model, state, tol=tol, max_time=float(needed), **how)


def _with_spectrum(model: Any, end: SteadyState, at_rest: RealState | None, tol: float | None) -> SteadyState:
    """The end of a run with what the spectrum says: whether motion goes on, and when it would be at rest."""
    now, residual, model, at_rest = jax.lax.stop_gradient((end.time, end.residual, model, at_rest))
    if at_rest is None or not all(map(known, jax.tree.leaves((now, model, at_rest)))):
        return end
    if is_known_as(end.status, Status.undecided):
        end = dataclasses.replace(end, status=kind_of_motion(model, at_rest, now))
    if not is_known_as(end.status, Status.not_converged):
        return end
    unit = slowest_rate(model) / jnp.min(model.kappa) if isinstance(model, DickeModel) else 1.0
    least = float(unit) * (default_residual(model) if tol is None else tol)
    needed = time_to_rest(model, at_rest, now, float(residual) / least)
    return dataclasses.replace(end, time_needed=jnp.asarray(needed, model.dtype))


def run_and_rest(
    model: DickeModel | CollectiveModel,
    state: MeanFieldState,
    tol: float | None = None,
    max_time: Any = None,
    solver: dfx.AbstractSolver | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int | None = None,
) -> tuple[SteadyState, RealState | None]:
    """The end of a run, and the state at rest around which it oscillates if it does, where a spectrum decides that.

    The spectrum is the host's, of numbers that are known: where this is traced its caller asks for it afterwards.
    """
    check_reaches_steady(model)
    tol = default_residual(model) if tol is None else tol
    check_ends(model, tol, max_time, max_steps)
    finest, least = finest_steps(model, tol), np.asarray(tol, model.dtype)
    rtol = check_tolerance("rtol", finest if rtol is None else rtol, model.dtype)
    atol = check_tolerance("atol", finest if atol is None else atol, model.dtype)
    if max_steps is not None:
        check_count("max_steps", max_steps)
    if max_time is not None:
        max_time = jax.lax.stop_gradient(jnp.asarray(max_time, model.dtype))
        check_all("max_time", max_time, lambda t: t < np.inf, "finite in the model's precision")
    solver = default_solver(model, rtol) if solver is None else solver
    if isinstance(model, CollectiveModel):
        rows = not all(map(known, jax.tree.leaves((model, state))))  # plain calls are of one
        fields, ended = relax(model, state, max_time, least, (rtol, atol), solver, max_steps, rows)
        return SteadyState(**fields), ended
    end, at_rest = _relax(model, state, max_time, least, (rtol, atol), solver, max_steps)
    return end, at_rest if 3 * model.num_subsets <= LARGEST_SPECTRUM else None


def check_ends(
    model: DickeModel | CollectiveModel, tol: float | None, max_time: Any, max_steps: int | None = None
) -> None:
    """Refuse a residual that is none, and a longest run that is no time or that none would come to the end of."""
    if tol is not None and (not known(tol) or not 0 < tol < 1):
        refuse("tol", "a number between 0 and 1", tol)
    if max_time is None:
        return
    check_all("max_time", max_time, lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    if max_steps is None and known(max_time) and float(np.max(np.asarray(max_time))) > (longest := longest_run(model)):
        must_be = f"at most {longest:.1e}, {MOST_TURNS:.0e} turns at these rates, or max_steps given"
        refuse("max_time", must_be, max_time)


def finest_steps(model: DickeModel | CollectiveModel, tol: float) -> float:
    """The tolerance of steps that a residual asks for; an implicit solver of low order has to do with less."""
    if stiffness(model) >= STIFF:
        return STIFF_TOLERANCE[str(model.dtype)]
    return max(tol / 1000, 1e-13 if model.dtype == jnp.float64 else 1e-6)


def relaxing_solver(model: DickeModel | CollectiveModel, tol: float | None, rtol: float | None) -> dfx.AbstractSolver:
    """The solver of runs until nothing moves."""
    tolerance = finest_steps(model, default_residual(model) if tol is None else tol) if rtol is None else rtol
    return default_solver(model, tolerance)


def check_reaches_steady(model: DickeModel | CollectiveModel) -> None:
    """Refuse a model whose rates change in time, or with a mode that loses no photons: nothing makes it relax."""
    check_constant_rates(model, "for a stationary state to be reached")
    if isinstance(model, CollectiveModel):
        return check_relaxes(model)
    check_all("kappa", model.kappa, lambda k: k > 0, "positive in every mode for a stationary state to be reached")


@eqx.filter_jit
def _relax(
    model: DickeModel,
    state: MeanFieldState,
    max_time: Array | None,
    tol: Any,
    tolerances: tuple[Any, Any],
    solver: dfx.AbstractSolver,
    max_steps: int | None,
) -> tuple[SteadyState, RealState]:
    start = state.to_real(model)
    _, inner, y0, end, threshold = ends(model, start, max_time, tol)
    samples = dfx.SubSaveAt(ts=end * last_half(model.dtype)[:-1], t1=True, fn=observe)
    saveat = dfx.SaveAt(subs=[dfx.SubSaveAt(t1=True), samples])
    sol: Any = run_to_rest(inner, y0, end, IsStationary(threshold), saveat, tolerances, solver, max_steps)
    last, seen = sol.ys
    y = jax.tree.map(lambda saved: saved[0], last)
    return end_of_run(model, start, max_time, tol, y, seen, sol.result, sol.ts[0][0], sol.stats["num_steps"])
