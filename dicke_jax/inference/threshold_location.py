"""Critical couplings through the overlap: g0 descended until a small overlap sustains itself."""

from typing import Any, TypeAlias

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._checks import as_array, as_pattern_index, check_all, check_choice, check_count, refuse
from .._door import checked
from .._status import Status
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike
from ..dynamics import check_reaches_steady, mfsolve, steadystate
from ..mean_field import DickeModel, check_constant_rates, stored_pattern
from .optimise import POLYAK, moved, outcome
from .overlap_branch import OverlapBranch, overlap_branch
from .threshold_inversion import check_reachable

SMALL = (0.02, 0.03, 0.04, 0.05)  # overlaps at which g0 is looked for, as shares of the largest
RELAXED = (0.1, 0.14, 0.18, 0.22, 0.26)  # through integration: a smaller overlap takes longer to relax
STRIDE = 0.4  # of such a search, in log g0, where the overlap has no slope
MOST_STEPS = 2**14  # of a run that is gone through backwards
Adjoint: TypeAlias = dfx.AbstractAdjoint | None


class LocatedCoupling(AbstractResult):
    """A threshold found through the overlap.

    - `g0`: the coupling above which the pattern's stationary overlap is finite.
    - `error`: an estimate of its relative error, by leaving out one of the overlaps.
    - `overlap`: |xi_nu| just above it: 0, or finite where the branch turns back and retrieval sets in with a jump.
    - `overlaps`, `couplings`: (S,), small overlaps and the g0 at which each is stationary, found by descent.
    - `losses`: (steps, descents), a column for each.
    - `status`: a `Status`, successful where the error is below the tolerance.
    """

    g0: Float[Array, ""]
    error: Float[Array, ""]
    overlap: Float[Array, ""]
    overlaps: Float[Array, " S"]
    couplings: Float[Array, " S"]
    losses: Float[Array, "steps descents"]
    status: Status

    def _heading(self) -> str:
        if self.g0.ndim:
            return f"LocatedCoupling: {self.g0.size} of them"
        jump = f", where the overlap jumps to {float(self.overlap):.4g}" if self.overlap > 0 else ""
        return f"LocatedCoupling: g0 = {float(self.g0):.10g}{jump}"

    def _rows(self) -> Rows:
        yield "estimated relative error", self.error
        yield "overlaps", np.array2string(np.asarray(self.overlaps), precision=8)
        yield "couplings", np.array2string(np.asarray(self.couplings), precision=8)


@checked
def locate_critical_coupling(
    model: DickeModel,
    pattern: ArrayLike = 0,
    *,
    route: str = "stationary",
    start: ArrayLike | None = None,
    tol: float | None = None,
    num_steps: int = 60,
    adjoint: Adjoint = None,
) -> LocatedCoupling:
    """The g0 at which pattern nu's overlap vanishes, from the overlap alone: no formula for the threshold is used.

        stationary    xi = P(xi; g0) at |xi_nu| = s,   loss = |log(P_nu / s)|
        integration   |xi_nu|(g0) = s,                 loss = |log(1 - |xi_nu|^2) - log(1 - s^2)|
        threshold     g0(s) as a polynomial in s^2, at s = 0

    d|xi| / dg0 diverges at the threshold; g0 as a function of |xi|^2 is smooth. So the overlap is given, and g0 is
    descended to where it is stationary. "stationary" follows the branch from strong fields down to small overlaps,
    where g0 is descended (Polyak steps, then Newton's); where g0 turns back first on the way, there is the threshold.
    "integration" asks
    `steadystate`, from the stored pattern: log(1 - |xi|^2) is nearly linear in log g0, and where a run ends without
    overlap, slope or convergence g0 goes up or down by a fixed factor, or to the middle of what is known.

    **Main arguments**

    - `model`: a `DickeModel` with constant rates; dissipation and unequal weights included.
    - `pattern`: nu, from 0.

    **Other arguments**

    - `route`: "stationary", the self-consistent equations, or "integration", which sees stable states only, and takes
      the longer the slower the overlap relaxes.
    - `start`: the g0 to begin at, on either side; by default the model's own.
    - `tol`: the estimated relative error that counts as found: 1e-6 in float64; 1e-3 in float32, the least it can.
    - `num_steps`: of "integration", the most runs.
    - `adjoint`: how "integration" differentiates the end of a run. By default as a root of the stationary equations;
      a diffrax adjoint goes back through the run itself, `diffrax.RecursiveCheckpointAdjoint()` in reverse mode,
      `diffrax.ForwardMode()` forwards. (`BacksolveAdjoint` integrates backwards what has relaxed, and gets lost.)

    **Returns** a `LocatedCoupling`. A run that leaves the pattern, or an overlap that is not found, is told by status.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> located = dj.locate_critical_coupling(model, 0, start=2.0)
        >>> print(f"{located.g0:.6f}, in closed form {dj.critical_coupling(model, 0):.6f}")
        0.645497, in closed form 0.645497
    """
    check_constant_rates(model)
    check_choice("route", route, ("stationary", "integration"))
    if adjoint is not None and (route != "integration" or not isinstance(adjoint, dfx.AbstractAdjoint)):
        refuse("adjoint", "a diffrax adjoint, with route 'integration'", f"{type(adjoint).__name__} with {route!r}")
    nu = as_pattern_index(pattern, model.num_modes)
    first = as_array(model.g0 if start is None else start, model.dtype)
    check_all("start", first, lambda g: (np.abs(g) > 0) & np.isfinite(g), "positive and finite")
    tol = check_reachable(tol, 1e-6, 1e-3, model)
    check_count("num_steps", num_steps)
    if route == "stationary":
        small = as_array(np.array(SMALL) * (1 if model.dtype == jnp.float64 else 4), model.dtype)
        return _located(overlap_branch(model, nu, first, small), tol)
    check_reaches_steady(model)
    relaxed = as_array(RELAXED, model.dtype)
    return _located(_branch_of_runs(model, nu, first, relaxed, num_steps, adjoint), tol)


@eqx.filter_jit
def _located(branch: OverlapBranch, tol: Any) -> LocatedCoupling:
    """Where the branch turns back, or else the polynomial through its points at overlap 0."""
    small, couplings = branch.overlaps, branch.couplings
    squares = small**2
    found = _extrapolated(squares, couplings)
    error = jnp.abs(_extrapolated(squares[:-1], couplings[:-1]) / found - 1)  # by leaving out the last
    jumps, eps = jnp.isfinite(branch.turn_overlap), jnp.asarray(jnp.finfo(small.dtype).eps, small.dtype)
    at_turn = jnp.where(jnp.isfinite(branch.turn), jnp.sqrt(eps) ** 1.5, jnp.nan)
    g0, error = jnp.where(jumps, branch.turn, found), jnp.where(jumps, at_turn, error)
    return LocatedCoupling(
        g0=g0,
        error=error,
        overlap=jnp.where(jumps, branch.turn_overlap, 0),
        overlaps=small,
        couplings=couplings,
        losses=branch.losses,
        status=outcome(error < tol, jnp.isfinite(g0)),
    )


def _extrapolated(x: Float[Array, " S"], y: Float[Array, " S"]) -> Float[Array, ""]:
    """Lagrange's polynomial at 0."""
    others = jnp.where(jnp.eye(x.size, dtype=bool), jnp.inf, x[None, :] - x[:, None])
    return jnp.sum(y * jnp.prod(jnp.where(jnp.isinf(others), 1, x[None, :] / others), axis=1))


def _branch_of_runs(
    model: DickeModel, nu: Int[Array, ""], first: Array, overlaps: Float[Array, " S"], num_steps: int, adjoint: Adjoint
) -> OverlapBranch:
    """g0 at overlaps seen at the end of runs from the stored pattern, all at once, until none moves; and the losses."""
    far, log_g0 = np.full(overlaps.size, np.inf), np.full(overlaps.size, np.log(np.abs(first)))
    log_g0, below, above = (as_array(x, overlaps.dtype) for x in (log_g0, -far, far))
    at, losses = _Search(log_g0, below, above, as_array(far < 0)), []
    for _ in range(num_steps):
        at, loss = _search_step(model, nu, overlaps, at, adjoint)
        losses.append(loss)
        if np.all(np.asarray(at.done) | np.isnan(np.asarray(at.log_g0))):
            break
    found = np.where(at.done, np.exp(np.asarray(at.log_g0)), np.nan)
    return OverlapBranch(overlaps, *(as_array(x, overlaps.dtype) for x in (found, np.nan, np.nan, np.stack(losses))))


def relaxed_overlap(
    log_g0: Float[Array, ""], model: DickeModel, nu: Int[Array, ""], adjoint: Adjoint
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Log(1 - |xi_nu|^2) at the end of a run from the stored pattern, and whether it is at rest at this pattern."""
    chosen = jnp.arange(model.num_modes) == nu
    now = model.replace(g0=jnp.exp(log_g0))
    end = steadystate(now, stored_pattern(now, nu), tol=1e-11 if model.dtype == jnp.float64 else None)
    xi = jnp.sum(jnp.where(chosen, end.overlaps, 0))
    good = end.converged & ((jnp.argmax(jnp.abs(end.overlaps)) == nu) | (xi**2 < 1e-6))
    if adjoint is not None:  # the same run once more, of known length
        times = jnp.stack([jnp.zeros_like(end.time), jax.lax.stop_gradient(end.time)])
        run = mfsolve(now, stored_pattern(now, nu), times, adjoint=adjoint, max_steps=MOST_STEPS, throw=False)
        xi = jnp.sum(jnp.where(chosen, run.overlaps[-1], 0))
    return jnp.log1p(-(xi**2)), good


class _Search(eqx.Module):
    log_g0: Float[Array, " S"]
    below: Float[Array, " S"]  # the largest log g0 whose overlap was too small, and the smallest one of the others
    above: Float[Array, " S"]
    done: Bool[Array, " S"]


@eqx.filter_jit
def _search_step(
    model: DickeModel, nu: Int[Array, ""], overlaps: Float[Array, " S"], at: _Search, adjoint: Adjoint
) -> tuple[_Search, Float[Array, " S"]]:
    def seen(log_g0: Float[Array, ""]) -> tuple[Array, tuple[Array, Array]]:
        value, good = relaxed_overlap(log_g0, model, nu, adjoint)
        return value, (value, good)

    derivative = jax.jacfwd if adjoint is None or isinstance(adjoint, dfx.ForwardMode) else jax.grad
    slope, (value, good) = jax.vmap(derivative(seen, has_aux=True))(at.log_g0)
    miss = value - jnp.log1p(-(overlaps**2))
    loss = jnp.abs(miss)
    below = jnp.where(miss > 0, jnp.maximum(at.below, at.log_g0), at.below)
    above = jnp.where(miss <= 0, jnp.minimum(at.above, at.log_g0), at.above)

    polyak = jax.vmap(lambda v, f, g: moved(POLYAK, None, v, f, g, POLYAK.init(v))[0])
    new = polyak(at.log_g0, loss, jnp.sign(miss) * slope)
    inside = good & jnp.isfinite(new) & (new > below) & (new < above) & (jnp.abs(new - at.log_g0) < 2 * STRIDE)
    bracketed = jnp.isfinite(below) & jnp.isfinite(above)
    other = jnp.where(bracketed, (below + above) / 2, jnp.where(miss > 0, at.log_g0 + STRIDE, at.log_g0 - STRIDE))
    other = jnp.where(jnp.isfinite(miss), other, jnp.nan)
    close = 1e-7 if model.dtype == jnp.float64 else 1e-4  # beyond it, what a run's end is uncertain by
    done = at.done | (good & (jnp.abs(miss) < 1e-3 * overlaps**2) & (jnp.abs(new - at.log_g0) < close))
    log_g0 = jnp.where(at.done, at.log_g0, jnp.where(done | inside, new, other))
    return _Search(log_g0, below, above, done), loss
