"""What a run ends in: a fixed point, a periodic orbit, a torus, chaos."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_all
from .._door import checked
from .._status import Status, where
from .._summary import AbstractResult, Rows, system
from .._typing import RealState, RealStates
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, mean_field_equations
from .finite_numbers import without_nan
from .integrate import integrate
from .lyapunov import check_windows, lyapunov_exponent, pace
from .steady_state import steadystate
from .trajectory import default_solver, default_tolerance

CHAOS = 5.0  # e-foldings of a deviation, in each half of the run, from which on its growth is exponential
NEUTRAL = 2.0  # e-foldings in the second half below which it need not be: a neutral shear has log(2) or so
ERRORS = 3.0  # standard errors that an exponent of chaos must lie above zero
RETURN = 1e-2  # distance, as a share of the orbit's spread, within which a periodic orbit comes back
NUM_RETURNS = 16  # periods after which it must come back as well
NUM_SAMPLES = 4096  # of the orbit, which lags up to half of them are looked for in
SAMPLE_ANGLE = 0.1  # by which an oscillation of the orbit's mean frequency turns between two of them


class AttractorKind(eqx.Enumeration):
    """What a run ends in."""

    fixed_point = "fixed point: nothing moves, or every deviation decays"
    limit_cycle = "limit cycle: a periodic orbit"
    quasiperiodic = "quasiperiodic: no growth of deviations, no period, no trend; a torus"
    chaotic = "chaotic: deviations grow exponentially"
    undecided = "undecided: still relaxing, or deviations grow too slowly to tell; use a longer run"
    failed = "failed: the integration broke down or met numbers that are not finite"


class Attractor(AbstractResult):
    """What a run ended in; under `jax.vmap` every array has leading batch axes.

    - `kind`: an `AttractorKind`; `AttractorKind[kind]` is its text.
    - `exponent`, `error`, `state`: as in `LyapunovExponent`, the last its `final_state`.
    - `period`: of a limit cycle, else NaN.
    - `overlaps`, `fluctuations`: (P,), as in `SteadyState`.
    - `status`: a `Status`: successful, not_converged where the kind is undecided, failed.
    """

    kind: AttractorKind
    exponent: Float[Array, "*batch"]
    error: Float[Array, "*batch"]
    period: Float[Array, "*batch"]
    overlaps: Float[Array, "*batch P"]
    fluctuations: Float[Array, "*batch P"]
    state: MeanFieldState
    status: Status

    def _heading(self) -> str:
        return f"Attractor: {system(self.overlaps, self.state.m)}, {self.exponent.dtype}"

    def _rows(self) -> Rows:
        if self.exponent.ndim:
            for name, code in AttractorKind._name_to_item.items():  # pyright: ignore[reportAttributeAccessIssue]
                yield name, f"{np.sum(self.kind == code)} of {self.exponent.size}"
            return
        yield "kind", AttractorKind[self.kind]
        yield "exponent", f"{float(self.exponent):.4g} +- {float(self.error):.2g}"
        if np.isfinite(self.period):
            yield "period", self.period
        yield "overlaps", self.overlaps
        if np.any(self.fluctuations):
            yield "in motion", self.fluctuations


@checked
def attractor(
    model: DickeModel | CollectiveModel,
    state: MeanFieldState,
    *,
    key: PRNGKeyArray | None = None,
    transient: float | None = None,
    window: float | None = None,
    num_windows: int = 400,
) -> Attractor:
    """Where a run goes, and whether that is a fixed point, a periodic orbit, a torus or chaos.

    After `steadystate` over the transient, the largest Lyapunov exponent is taken, and the orbit's returns looked for:

        fixed point      the run converges, or a deviation decays by more than e^-5 in each half of the run
        chaotic          it grows by more than e^5 in each half, and exponent > 3 errors, as `lyapunov_exponent` has
                         them, and is no transient as far as that tells
        limit cycle      neither, and the orbit is back within 1 % of its spread after one and after 16 periods
        quasiperiodic    no period, no trend, and a deviation changes by less than e^+-2 in the second half (and less
                         than e^+-5 in the first), with a scatter between blocks of less than that
        undecided        all else

    Any end but a fixed point has an exponent of at least zero, which is why a negative one settles the matter. A zero
    one cannot be measured: in a time t a neutral shear shows log(t) / t. Exponents below about 5 / t, t half of the
    time of the windows, therefore do not count as chaos, and those between 2 / t and 5 / t leave the run undecided.

    A limit cycle here is any periodic orbit, attracting or one of a family: without dissipation of single spins most
    motion that lasts is conservative. A fixed point need not be stable, if the run started there: its exponent tells.
    Periods longer than about 32 times 2 pi / (the orbit's mean angular frequency) are not found, and read as
    quasiperiodic.

    **Main arguments**

    - `model`: a `DickeModel` with kappa > 0, or a `CollectiveModel` with jumps; with constant rates.
    - `state`: the `MeanFieldState` to start from.

    **Other arguments**

    - `transient`: `max_time` of `steadystate`, 1000 / min kappa by default; of a `CollectiveModel` 10,000 over the
      `fastest_rate` at the start.
    - `key`, `window`, `num_windows`: as in `lyapunov_exponent`.

    **Returns** an `Attractor`. **Raises** ValueError for arguments that do not fit; a failed run is a kind, not raised.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0, num_patterns=2)
        >>> end = dj.attractor(model, dj.stored_pattern(model, 0))
        >>> print(dj.AttractorKind[end.kind], abs(end.overlaps).round(4))
        fixed point: nothing moves, or every deviation decays [0.9091 0.    ]
    """
    check_windows(model, state, window, num_windows)
    tol = 1e-6 if model.dtype == jnp.float64 else 1e-4
    paces = 1000 if isinstance(model, DickeModel) else 5000
    given = transient is not None
    max_time: Any = jnp.asarray(transient, model.dtype) if given else paces / pace(model, state.to_real(model))
    check_all("transient", max_time, lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    end = steadystate(model, state, max_time=max_time, tol=tol)
    run = lyapunov_exponent(model, end.state, key=key, window=window, num_windows=num_windows)
    period = _period(model, run.final_state.to_real(model))
    settled = run.successful
    failed = (end.status == Status.failed) | ~(settled | (run.status == Status.not_converged))
    kind = name_kind(end.status, failed, run.exponent, run.error, run.growth, run.time, jnp.isfinite(period), settled)
    period = jnp.where(kind == AttractorKind.limit_cycle, period, jnp.nan)
    status = where(kind == AttractorKind.undecided, Status.not_converged, Status.successful)
    status = where(failed, Status.failed, status)
    return Attractor(kind, run.exponent, run.error, period, end.overlaps, end.fluctuations, run.final_state, status)


def name_kind(
    status: Status,
    failed: Array,
    exponent: Array,
    error: Array,
    growth: Float[Array, " W"],
    duration: Array,
    returns: Array,
    settled: Any = True,
) -> AttractorKind:
    """The kind, from what was measured: `growth` in each window of `duration` in all, whether the orbit returns, and
    whether the windows are long enough for their error.
    """
    half = growth.shape[0] // 2
    first, second = jnp.sum(growth[:half]), jnp.sum(growth[half:])
    decays = (first < -CHAOS) & (second < -CHAOS)
    grows = (first > CHAOS) & (second > CHAOS) & (exponent > ERRORS * error)
    scatter = error * jnp.sqrt(2.0).astype(error.dtype) * duration / 2  # of the growth in half of the run
    neutral = (jnp.abs(second) < NEUTRAL) & (jnp.abs(first) < CHAOS) & (scatter < NEUTRAL)
    on_torus = neutral & ((status == Status.oscillating) | (status == Status.undecided))
    kind = AttractorKind.where(on_torus, AttractorKind.quasiperiodic, AttractorKind.undecided)
    kind = AttractorKind.where(returns & ~grows, AttractorKind.limit_cycle, kind)
    chaotic = AttractorKind.where(settled, AttractorKind.chaotic, AttractorKind.undecided)
    kind = AttractorKind.where(grows, chaotic, kind)
    kind = AttractorKind.where(decays | (status == Status.successful), AttractorKind.fixed_point, kind)
    return AttractorKind.where(failed, AttractorKind.failed, kind)


@eqx.filter_jit
def _period(model: DickeModel | CollectiveModel, y: RealState) -> Float[Array, ""]:
    """The time after which the orbit through y comes back, NaN where it does not."""
    valid, model, y = without_nan(model, y)

    def sample(step: Array, _: None) -> tuple[Array, tuple[Array, Array, Array]]:
        orbit = _follow(model, y, step * jnp.arange(NUM_SAMPLES, dtype=model.dtype))
        flat, speed = _flat(orbit), _flat(jax.vmap(lambda at: mean_field_equations(0.0, at, model))(orbit))
        centred = flat - jnp.mean(flat, axis=0, keepdims=True)
        spread2, speed2 = jnp.mean(jnp.sum(centred**2, axis=1)), jnp.mean(jnp.sum(speed**2, axis=1))
        # a good step shows only on the orbit: the second round has it
        better = SAMPLE_ANGLE * jnp.sqrt(spread2 / jnp.where(speed2 > 0, speed2, 1.0))
        return jnp.where(better > 0, better, step), (centred, spread2, step)

    coarse = 0.1 / jnp.where(valid, pace(model, y), 1.0)
    _, rounds = jax.lax.scan(sample, coarse, None, 2)
    centred, spread2, step = (values[1] for values in rounds)
    lag, found = _first_return(centred, spread2)
    start = jnp.concatenate([leaf.ravel() for leaf in y])

    def refine(period: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        """One step of Newton's method along the flow: the time of closest return."""
        ends = _follow(model, y, period * jnp.array([0.0, 1.0, NUM_RETURNS], model.dtype))
        away = _flat(ends) - start[None]
        speed = _flat(jax.vmap(lambda at: mean_field_equations(0.0, at, model))(ends))[1]
        correction = jnp.sum(away[1] * speed) / jnp.maximum(jnp.sum(speed**2), jnp.finfo(model.dtype).tiny)
        far = jnp.max(jnp.sum(away[1:] ** 2, axis=1))
        better = jnp.clip(period - correction, 0.9 * period, 1.1 * period)
        return better, (period, far)

    _, (periods, far) = jax.lax.scan(refine, jnp.where(found, lag * step, step), None, 4)
    back = valid & found & (far[-1] < RETURN**2 * 2 * spread2)
    return jnp.where(back, periods[-1], jnp.nan)


def _first_return(centred: Float[Array, "S n"], spread2: Array) -> tuple[Array, Array]:
    """The first lag, in samples, at which |y(t + lag) - y(t)|^2 / 2 spread^2 is zero again, and whether any is."""
    half = centred.shape[0] // 2
    ahead = jnp.fft.rfft(jnp.pad(centred[:half], ((0, half), (0, 0))), axis=0)
    cross = jnp.sum(jnp.fft.irfft(jnp.conj(ahead) * jnp.fft.rfft(centred, axis=0), axis=0), axis=1)[:half]
    total = jnp.concatenate([jnp.zeros(1, centred.dtype), jnp.cumsum(jnp.sum(centred**2, axis=1))])
    later = total[half : 2 * half] - total[:half]
    far = (total[half] + later - 2 * cross) / (2 * half * jnp.where(spread2 > 0, spread2, 1.0))
    before, at, after = far[:-2], far[1:-1], far[2:]
    left = jnp.cumsum(far > 0.5)[1:-1] > 0
    curvature = before - 2 * at + after
    offset = 0.5 * (before - after) / jnp.where(curvature > 0, curvature, 1.0)
    depth = at - 0.25 * (before - after) * offset  # of the parabola through three samples
    minimum = left & (at <= before) & (at <= after) & (curvature > 0)
    deepest = jnp.min(jnp.where(minimum, depth, jnp.inf))
    good = minimum & (depth < RETURN**2 + 2 * jnp.maximum(deepest, 0.0)) & (deepest < 10 * RETURN**2)
    first = jnp.argmax(good)
    return (1 + first).astype(far.dtype) + offset[first], jnp.any(good)


def _follow(model: DickeModel | CollectiveModel, y: RealState, times: Float[Array, " T"]) -> RealStates:
    tolerance = default_tolerance(model.dtype)
    controller = dfx.PIDController(tolerance, tolerance)
    saveat = dfx.SaveAt(t0=True, ts=times[1:-1], t1=True)
    solver = default_solver(model)
    sol: Any = integrate(model, y, times[0], times[-1], saveat, solver=solver, stepsize_controller=controller)
    return sol.ys


def _flat(orbit: RealStates) -> Float[Array, "T n"]:
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in orbit], axis=1)
