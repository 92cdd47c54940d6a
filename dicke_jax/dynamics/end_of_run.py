"""What the end of a run until nothing moves is: a state at rest, a motion that lasts, or one on its way."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._implicit import with_derivatives_of
from .._status import Status
from .._summary import AbstractResult, Rows, system
from .._typing import ModeReals, RealState
from ..mean_field import DickeModel, MeanFieldState
from ..mean_field.state import occupations, overlaps, spin_lengths
from ..mean_field.stationary_equations import follow, signed_lengths, state_of_overlaps
from ._loop import as_small_as_known
from .begin_and_end import LONGEST, largest_change, slowest_rate
from .distance_to_rest import distances
from .finite_numbers import without_nan
from .relaxation import classify


class SteadyState(AbstractResult):
    """The end of a run, classified; under `jax.vmap` every array has leading batch axes.

    - `state`: the last `MeanFieldState`.
    - `overlaps`, `occupations`: (M,), xi_mu and photons per spin |alpha_mu|^2. Of the last state where converged, else
      the average over the last half of the run.
    - `fluctuations`: (M,), the standard deviation of xi_mu over the last half; 0 where converged. These three are NaN
      where the run failed.
    - `status`: a `Status`: successful where the last state is stationary, oscillating, not_converged where it still
      relaxes or grows, undecided between these two where no spectrum tells them apart, failed.
    - `residual`: max |dy/dt| over all components of the last state, in units of the smallest kappa; of a
      `CollectiveModel` in units of how fast it moves at the start.
    - `time`, `num_steps`: when the run ended, and after how many steps.
    - `time_needed`: when a run that has not converged would have, as the slowest decay of the linearised equations at
      the state at rest says; NaN where some motion lasts, and in a batch.
    """

    state: MeanFieldState
    overlaps: Float[Array, "*batch P"]
    occupations: Float[Array, "*batch M"]
    fluctuations: Float[Array, "*batch P"]
    status: Status
    residual: Float[Array, "*batch"]
    time: Float[Array, "*batch"]
    num_steps: Int[Array, "*batch"]
    time_needed: Float[Array, "*batch"]

    @property
    def converged(self) -> Array:
        """Whether the last state is stationary; one for each row of a batch."""
        return self.successful

    def _heading(self) -> str:
        return f"SteadyState: {system(self.overlaps, self.state.m)}, {self.state.m.dtype}"

    def _rows(self) -> Rows:
        if self.residual.ndim:
            return
        yield "residual", f"{float(self.residual):.1e} at t = {float(self.time):.6g}"
        if np.isfinite(self.time_needed):
            yield "needs", f"max_time = {float(self.time_needed):.3g}, by the slowest decay at the state at rest"
        yield "overlaps", self.overlaps
        if np.any(self.fluctuations):
            yield "in motion", self.fluctuations  # "fluctuations" would be read as those of finite N
        if self.occupations.shape[-1]:  # a model need not have modes
            yield "photons", self.occupations


def ends(model: DickeModel, start: RealState, max_time: Any, tol: Any) -> Any:
    """Whether there is anything to run; what is run instead of numbers that are none; the end, and what counts as none.

    Without derivatives, which are those of the state at rest.
    """
    model, y0 = jax.lax.stop_gradient((model, start))
    rate = slowest_rate(model)
    end, threshold = LONGEST / rate if max_time is None else max_time, tol * rate
    valid, model, y0 = without_nan(model, y0)
    valid &= jnp.isfinite(end) & (end > 0) & (threshold > 0)  # a traced kappa <= 0 shows here
    end, threshold = (jnp.where(valid, x, jnp.ones_like(x)) for x in (end, threshold))
    return valid, model, y0, end, threshold


def end_of_run(
    model: DickeModel,
    start: RealState,
    max_time: Any,
    tol: Any,
    y: RealState,
    window: tuple[Array, Array, Array],
    ended: dfx.RESULTS,
    time: Array,
    num_steps: Array,
) -> tuple[SteadyState, RealState]:
    """What the end y of a run is, which saw `window` over its last half, as `observe` has it."""
    given = model
    valid, model, _, end, threshold = ends(model, start, max_time, tol)
    y = jax.tree.map(lambda last: jnp.where(valid, last, jnp.nan), y)
    lengths = spin_lengths(start[0])
    judged = as_small_as_known(_judge, model, y, window, jax.lax.stop_gradient(lengths), threshold, end, ended)
    status, converged, failed = judged.status, judged.status == Status.successful, judged.status == Status.failed

    # the same numbers, with the derivatives of the stationary state
    found = judged.overlaps, converged, failed
    final = with_derivatives_of(_stationary, MeanFieldState.from_real(y), (given, judged.signs * lengths, found))

    def at_end(last: Array, average: Array) -> Array:
        average = average + (last - jax.lax.stop_gradient(last))
        return jnp.where(failed, jnp.nan, jnp.where(converged, last, average))

    result = SteadyState(
        state=final,
        overlaps=at_end(overlaps(model, final.m), judged.mean_overlaps),
        occupations=at_end(occupations(final.alpha), judged.mean_occupations),
        fluctuations=at_end(jnp.zeros_like(model.kappa), judged.fluctuations),
        status=status,
        residual=judged.residual,
        time=time,
        num_steps=num_steps,
        time_needed=jnp.full_like(threshold, jnp.nan),
    )
    return result, judged.at_rest


class _Judged(eqx.Module):
    """What a run was; `signs`, of the spins' lengths, tell how they stand to their fields."""

    status: Status
    residual: Array
    overlaps: ModeReals
    mean_overlaps: ModeReals
    mean_occupations: ModeReals
    fluctuations: ModeReals
    signs: Array
    at_rest: RealState


def _judge(
    model: DickeModel, y: RealState, window: Any, lengths: Array, threshold: Array, end: Array, result: dfx.RESULTS
) -> _Judged:
    residuals, xi, photons = window
    final = MeanFieldState.from_real(y)
    residual, last, mean = largest_change(y, model), overlaps(model, final.m), jnp.mean(xi, axis=0)
    signs = jnp.sign(signed_lengths(model, final))
    at_rest, distance, away = distances(model, final, jnp.where(residual < threshold, last, mean), signs * lengths)
    status = classify(result, residual, threshold, residuals, xi, distance, away * 2 / end)
    averages = mean, jnp.mean(photons, axis=0), jnp.std(xi, axis=0)
    return _Judged(status, residual / jnp.min(model.kappa), last, *averages, signs, at_rest.to_real(model))


def _stationary(model: DickeModel, lengths: Array, found: tuple[ModeReals, Array, Array]) -> MeanFieldState:
    """The stationary state that was `found`, as a function of the model and the lengths of the spins."""
    xi, converged, failed = found
    state = state_of_overlaps(model, follow(xi, converged, model, lengths), lengths)
    return jax.tree.map(lambda x: jnp.where(failed, 0, x), state)


def observe(t: Array, y: RealState, args: DickeModel) -> tuple[Array, ModeReals, ModeReals]:
    return largest_change(y, args), overlaps(args, y[0]), jnp.sum(y[1] ** 2, axis=0)
