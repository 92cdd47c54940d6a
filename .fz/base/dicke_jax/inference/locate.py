"""Critical couplings through the overlap: g0 descended until a small overlap sustains itself."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_pattern_index, check_all, check_choice, check_count, known, refuse
from .._typing import ArrayLike
from ..dynamics.steady import check_reaches_steady
from ..model import DickeModel, check_model
from .descent import InferenceStatus
from .held import HeldBranch, held_branch
from .invert import check_reachable
from .runs import couplings_of_runs

HELD = (0.02, 0.03, 0.04, 0.05)  # overlaps at which g0 is looked for, on the way to overlap 0
SEEN = (0.1, 0.14, 0.18, 0.22, 0.26)  # through integration: a smaller overlap takes longer to relax


class LocatedCoupling(eqx.Module):
    """A threshold found through the overlap.

    - `g0`: the coupling above which the pattern's stationary overlap is finite.
    - `error`: an estimate of its relative error, by leaving out one of the overlaps.
    - `overlap`: |xi_nu| just above it: 0, or finite where the branch turns back and retrieval sets in with a jump.
    - `overlaps`, `couplings`: (S,), small overlaps and the g0 at which each is stationary, found by descent.
    - `losses`: of the descents, a column each.
    - `status`: an `InferenceStatus`.
    """

    g0: Float[Array, ""]
    error: Float[Array, ""]
    overlap: Float[Array, ""]
    overlaps: Float[Array, " S"]
    couplings: Float[Array, " S"]
    losses: Float[Array, "steps descents"]
    status: InferenceStatus

    @property
    def converged(self) -> Array:
        """Whether the error is below the tolerance."""
        return jnp.asarray(self.status == InferenceStatus.converged)

    def __repr__(self) -> str:
        if not known(self.g0) or self.g0.ndim:
            return eqx.tree_pformat(self)
        told = f", where the overlap jumps to {float(self.overlap):.4g}" if self.overlap > 0 else ""
        rows = [f"LocatedCoupling: g0 = {float(self.g0):.10g}{told}"]
        rows.append(f"  status    {InferenceStatus[self.status]}, estimated relative error {float(self.error):.1e}")
        for name in ("overlaps", "couplings"):
            rows.append(f"  {name:9} " + np.array2string(np.asarray(getattr(self, name)), precision=8))
        return "\n".join(rows)


def locate_critical_coupling(
    model: DickeModel,
    pattern: ArrayLike = 0,
    *,
    route: str = "stationary",
    start: ArrayLike | None = None,
    tol: float | None = None,
    num_steps: int = 60,
    adjoint: dfx.AbstractAdjoint | None = None,
) -> LocatedCoupling:
    """The g0 at which pattern nu's overlap vanishes, from the overlap alone: no formula for the threshold is used.

        stationary    xi = P(xi; g0) at |xi_nu| = s,   loss = |log(P_nu / s)|
        integration   |xi_nu|(g0) = s,                 loss = |log(1 - |xi_nu|^2) - log(1 - s^2)|
        threshold     g0(s) as a polynomial in s^2, at s = 0

    d|xi| / dg0 diverges at the threshold, and below it the overlap is 0 and has no slope; g0 as a function of |xi|^2 is
    smooth. So the overlap is held, and g0 is descended to where it is stationary. What a held overlap results in,
    P_nu / s, is above 1 above g0(s) and below 1 below it: "stationary" has a slope on both sides. It begins at a large
    overlap (Polyak steps) and goes down the branch (Newton) to small ones; where g0 turns back on the way, that least
    g0 is the threshold. "integration" asks `steadystate`, from the stored pattern: log(1 - |xi|^2) is nearly linear in
    log g0, such a step is almost right, and where a run ends without overlap, slope or convergence g0 goes up or down
    by a fixed factor, or to the middle of what is known.

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
    """
    check_model(model)
    check_choice("route", route, ("stationary", "integration"))
    if adjoint is not None and (route != "integration" or not isinstance(adjoint, dfx.AbstractAdjoint)):
        refuse("adjoint", "a diffrax adjoint, with route 'integration'", f"{type(adjoint).__name__} with {route!r}")
    if model.is_time_dependent:
        refuse("model", "one with constant rates (model.at(t) has those of time t)", "one with rates that change")
    nu = as_pattern_index(pattern, model.num_modes)
    first = jnp.abs(jnp.asarray(model.g0 if start is None else start, model.dtype))
    check_all("start", first, lambda g: (g > 0) & np.isfinite(g), "positive and finite")
    tol = check_reachable(tol, 1e-6, 1e-3, model)
    check_count("num_steps", num_steps)
    if route == "stationary":
        held = jnp.asarray(HELD, model.dtype) * (1 if model.dtype == jnp.float64 else 4)
        return _end_of_branch(held, held_branch(model, nu, first, held), tol)
    check_reaches_steady(model)
    held = jnp.asarray(SEEN, model.dtype)
    couplings, losses = couplings_of_runs(model, nu, first, held, num_steps, adjoint)
    return _at_zero(held, couplings, losses, tol)


@eqx.filter_jit
def _end_of_branch(held: Float[Array, " S"], branch: HeldBranch, tol: Any) -> LocatedCoupling:
    """Where the branch turns back, or else where its overlap vanishes."""
    smooth = _at_zero(held, branch.couplings, branch.losses, tol)
    jumps = jnp.isfinite(branch.turn_overlap)
    eps = jnp.asarray(jnp.finfo(held.dtype).eps, held.dtype)
    error = jnp.where(jnp.isfinite(branch.turn), jnp.sqrt(eps) ** 1.5, jnp.nan)
    turned = LocatedCoupling(
        branch.turn,
        error,
        branch.turn_overlap,
        held,
        branch.couplings,
        branch.losses,
        _status(branch.turn, error, tol),
    )
    return jax.tree.map(lambda a, b: jnp.where(jumps, a, b), turned, smooth)


@eqx.filter_jit
def _at_zero(held: Float[Array, " S"], couplings: Float[Array, " S"], losses: Array, tol: Any) -> LocatedCoupling:
    """The polynomial through all points at overlap 0, and how far it is from that through all but the last."""
    squares = held**2
    found = _extrapolated(squares, couplings)
    error = jnp.abs(_extrapolated(squares[:-1], couplings[:-1]) / found - 1)
    return LocatedCoupling(found, error, jnp.zeros_like(found), held, couplings, losses, _status(found, error, tol))


def _status(found: Array, error: Array, tol: Any) -> InferenceStatus:
    status = InferenceStatus.where(error < tol, InferenceStatus.converged, InferenceStatus.not_converged)
    return InferenceStatus.where(jnp.isfinite(found), status, InferenceStatus.failed)


def _extrapolated(x: Float[Array, " S"], y: Float[Array, " S"]) -> Float[Array, ""]:
    """Lagrange's polynomial at 0."""
    others = jnp.where(jnp.eye(x.size, dtype=bool), jnp.inf, x[None, :] - x[:, None])
    share = jnp.where(jnp.isinf(others), 1, x[None, :] / others)
    return jnp.sum(y * jnp.prod(share, axis=1))
