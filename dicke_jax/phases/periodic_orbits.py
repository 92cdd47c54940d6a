"""`periodic_orbit`: motion that comes back to where it began, with its period and its stability."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from .._checks import as_array, check_all, check_count, known, refuse
from .._door import checked
from .._implicit import implicit, with_derivatives_of
from .._status import Status, where, worst_text
from .._summary import AbstractResult, Rows, system
from .._typing import RealState
from ..dynamics import Attractor
from ..dynamics.finite_numbers import without_nan
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, check_constant_rates, occupations, overlaps
from .first_return import NO_ORBIT, first_return
from .floquet import floquet
from .linearisation import num_kept
from .once_around import NUM_PIECES, points_of, starts_from, step_tolerance, turn_of
from .shooting import Shooting, nearest_solution, residual, shoot

CLOSES = 10.0  # times the tolerance of steps: the distance within which an orbit closes
ON_CIRCLE = 1e-6, 1e-2  # from the unit circle, of a multiplier that is neutral, in float64 and float32


class PeriodicOrbit(AbstractResult):
    """y(T) = y(0); under `jax.vmap` every array has leading batch axes.

    - `period`: T.
    - `t`: (S,), times at equal distances from 0 on; T itself, where the orbit begins again, is left out.
    - `m`, `alpha`: (S, 3, K) and complex (S, M), the states there; `overlaps`: (S, P), `occupations`: (S, M).
    - `multipliers`: complex (n,), what deviations across the orbit are multiplied by in a period, the largest modulus
      first. That along it and those of conserved lengths and populations are left out.
    - `trivial`: the multiplier of a deviation along the orbit: 1, but for errors.
    - `num_conserved`: how many multipliers were left out because something is conserved: one for each spin's length, of
      sites with d levels d - 1 for their populations, (d - 1)^2 where these are pure; 0 where jumps act.
    - `num_growing`, `num_neutral`, `num_decaying`: how many multipliers are outside, on and inside the unit circle,
      within 1e-6 in float64 and 1e-2 in float32.
    - `family`: how many multipliers are 1. Where it is not 0 orbits come in a family, as with an energy or another
      quantity that is conserved or with a continuous symmetry, and this is the member near the guess; or this one is at
      a fold or a branch point.
    - `residual`: max |y(T) - y(0)|, over what a deviation grows by along a piece of the orbit where that is above 1.
    - `status`: a `Status`: successful; not_converged where it does not close, and nothing but `residual` is told of it;
      at_rest where the guess does not move or does not come back.
    """

    period: Float[Array, "*batch"]
    t: Float[Array, "*batch S"]
    m: Float[Array, "*batch S B K"]
    alpha: Complex[Array, "*batch S M"]
    overlaps: Float[Array, "*batch S P"]
    occupations: Float[Array, "*batch S M"]
    multipliers: Complex[Array, "*batch n"]
    trivial: Float[Array, "*batch"]
    num_conserved: int = eqx.field(static=True)
    num_growing: Int[Array, "*batch"]
    num_neutral: Int[Array, "*batch"]
    num_decaying: Int[Array, "*batch"]
    family: Int[Array, "*batch"]
    residual: Float[Array, "*batch"]
    status: Status

    @property
    def state(self) -> MeanFieldState:
        """The state at t = 0."""
        return MeanFieldState(self.m[..., 0, :, :], self.alpha[..., 0, :])

    @property
    def is_stable(self) -> Bool[Array, "*batch"]:
        """Whether there is an orbit, and nothing grows."""
        return (self.num_growing == 0) & self.successful

    @property
    def exponents(self) -> Complex[Array, "*batch n"]:
        """log(multipliers) / T, the rates at which deviations grow and turn; the latter up to 2 pi / T."""
        return jnp.log(self.multipliers) / self.period[..., None].astype(self.multipliers.dtype)

    def _heading(self) -> str:
        return f"PeriodicOrbit: {system(self.overlaps, self.m)}, {self.t.shape[-1]} points, {self.m.dtype}"

    def _rows(self) -> Rows:
        yield "period", self.period
        if self.period.ndim:
            return
        if not bool(self.successful):
            yield "residual", self.residual
            return
        fate = "unstable" if int(self.num_growing) else "stable"
        counts = f"{int(self.num_growing)} growing, {int(self.num_neutral)} neutral, {int(self.num_decaying)} decaying"
        yield "multipliers", f"{counts}: {fate}" + (", one of a family" if int(self.family) else "")
        yield "largest", self.multipliers[:4]
        yield "least overlaps", jnp.min(self.overlaps, axis=0)
        yield "largest overlaps", jnp.max(self.overlaps, axis=0)


@checked
def periodic_orbit(
    model: DickeModel | CollectiveModel,
    guess: MeanFieldState | PeriodicOrbit | Attractor,
    *,
    period: float | Float[Array, ""] | None = None,
    tol: float | None = None,
    num_points: int = 128,
    max_steps: int = 40,
) -> PeriodicOrbit:
    """The periodic orbit near a state, by multiple shooting, and what becomes of deviations from it.

        y(T) = y(0),   f(y_0) . (y(0) - y_0) = 0,   |m_k| as in the guess y_0 where no jumps act on single spins

    It need not attract. Newton's method, damped as Levenberg and Marquardt have it, on a run around with all its
    tangents, in four pieces that begin at states of their own; the Floquet multipliers are the eigenvalues of the
    tangents, without those that are 1 because of the motion along the orbit and of conserved lengths. Where every start
    is on an orbit, as in a boundary time crystal above its threshold, the one through the guess is found, and `family`
    tells.

    **Main arguments**

    - `model`: a `DickeModel` or a `CollectiveModel` with constant rates.
    - `guess`: a `MeanFieldState` near the orbit; or a `PeriodicOrbit`, as of other rates; or an `Attractor`, whose
      limit cycle it is.

    **Other arguments**

    - `period`: about T. By default that of the guess, or when a run from there first comes back.
    - `tol`: the `residual` that counts as closed, 1e-11 in float64 and 1e-5 in float32 by default.
    - `num_points`: S, the number of states along the orbit that the result holds.
    - `max_steps`: of Newton's method.

    **Returns** a `PeriodicOrbit`. Period, states and multipliers are differentiable in every rate and in the guess's
    spin lengths, in forward and reverse mode, by the implicit function theorem; where orbits come in families, as the
    member that changes least.

    **Raises** ValueError for arguments that do not fit. A search that fails is told by the status.

    **Example**

        >>> crystal = dj.gallery.boundary_time_crystal(omega0=1.5, kappa=1.0)
        >>> orbit = dj.periodic_orbit(crystal, dj.MeanFieldState([[0.0], [0.0], [1.0]], []))
        >>> print(float(orbit.period), 2 * np.pi / np.sqrt(1.5**2 - 1.0**2), int(orbit.family))
        5.61985178 5.61985178 1
    """
    check_constant_rates(model, "for a periodic orbit")
    check_count("num_points", num_points, 4)
    check_count("max_steps", max_steps)
    if tol is None:
        tol = CLOSES * step_tolerance(model.dtype)
    if not known(tol) or not step_tolerance(model.dtype) <= tol < 1:
        refuse("tol", f"a number from {step_tolerance(model.dtype):.0e} to 1", tol)
    check_found("guess", guess)
    state = guess if isinstance(guess, MeanFieldState) else guess.state
    if period is None and not isinstance(guess, MeanFieldState):
        period = guess.period
        if known(period) and not (np.ndim(period) == 0 and np.isfinite(np.asarray(period))):
            refuse("guess", "a state, an orbit, or an attractor that is one limit cycle", f"a period of {period}")
    if period is not None:
        period = jax.lax.stop_gradient(as_array(period, model.dtype))
        check_all("period", period, lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    inner = on_the_way(guess) if isinstance(guess, PeriodicOrbit) else None
    return _search(model, state, inner, period, tol, num_points, max_steps, num_kept(model, state))


@eqx.filter_jit
def _search(
    model: DickeModel | CollectiveModel,
    state: MeanFieldState,
    inner: Array | None,
    period: Array | None,
    tol: float,
    num_points: int,
    max_steps: int,
    kept: int,
) -> PeriodicOrbit:
    given, y0 = model, state.to_real(model)
    valid, model, guess = without_nan(*jax.lax.stop_gradient((model, y0)))
    period, returns = first_return(model, guess) if period is None else (period, jnp.array(True))
    period = jnp.where(returns, period, jnp.ones_like(period))
    problem = Shooting(guess, period)
    inner = starts_from(model, guess, period) if inner is None else jax.lax.stop_gradient(inner)
    found = shoot(lambda u, inner: problem.look(model, u, inner), problem.start(), inner, tol, max_steps)
    moves = jnp.max(jnp.abs(found.turn.velocity)) * problem.orbit(found.u)[1] > NO_ORBIT
    left = jnp.where(found.good, jnp.max(jnp.abs(found.left)), jnp.inf)
    status = where(left <= tol, Status.successful, Status.not_converged)
    status = where(valid, where(returns & moves, status, Status.at_rest), Status.failed)
    good = status == Status.successful

    u = implicit(residual, found.u, (given, Shooting(y0, period), found.inner), good, nearest_solution)
    y, period = problem.orbit(jnp.where(good, u, jnp.nan))
    start = jax.lax.stop_gradient(jnp.where(good, u, problem.start()))
    at = model, *problem.orbit(start)
    points = points_of(*at, num_points, found.inner)
    states = with_derivatives_of(points_of, points, (given, y, period, num_points, found.inner))
    spectrum = _multipliers(*at, found.inner, found.turn, kept)
    across, along = with_derivatives_of(_multipliers, spectrum, (given, y, period, found.inner, None, kept))
    m, quadratures = jax.tree.map(lambda x: jnp.where(good, x, jnp.nan), states)
    across = jnp.where(good, across, jnp.nan)
    near = ON_CIRCLE[0 if model.dtype == jnp.float64 else 1]
    growing, decaying = jnp.abs(across) > 1 + near, jnp.abs(across) < 1 - near
    counts = (jnp.sum(growing), jnp.sum(good & ~growing & ~decaying), jnp.sum(decaying))
    alpha = jax.lax.complex(quadratures[:, 0], quadratures[:, 1])
    t = period * np.arange(num_points, dtype=model.dtype) / num_points
    seen = overlaps(model, m), occupations(alpha)
    multipliers = across, along, kept
    return PeriodicOrbit(
        period, t, m, alpha, *seen, *multipliers, *counts, jnp.sum(jnp.abs(across - 1) < near), left, status
    )


def check_found(name: str, orbit: Any) -> None:
    """Raise where it is the result of a search that found no orbit; what is traced passes."""
    if not isinstance(orbit, PeriodicOrbit) or not known(orbit.status._value):
        return
    if (text := worst_text(orbit.status)) != "successful":  # in NumPy: within jax.jit, too, a guess may be known
        refuse(name, "a state near an orbit, or an orbit that was found", f"one that is {text}")


def on_the_way(orbit: PeriodicOrbit) -> Float[Array, "later n"]:
    """About where the later pieces begin, in which an orbit is run around: where a next search begins, too."""
    at = orbit.t.size * np.arange(1, NUM_PIECES) // NUM_PIECES
    parts = orbit.m[at], orbit.alpha[at].real, orbit.alpha[at].imag
    return jnp.concatenate([part.reshape(at.size, -1) for part in parts], axis=1)


def _multipliers(model: Any, y: RealState, period: Array, inner: Array, turn: Any, kept: int) -> tuple[Array, Array]:
    """Of a run around that is known, or is made once more where derivatives are asked for."""
    velocity, matrix = turn_of(model, y, period, inner) if turn is None else (turn.velocity, turn.matrix)
    across, along = floquet(model, MeanFieldState.from_real(y), velocity, matrix, kept)
    return across, along
