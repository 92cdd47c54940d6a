"""Gaussian fluctuations around mean field, the limit N -> infinity of N_sp times the covariance.

    Sigma' = A Sigma + Sigma A^T + D

A is the Jacobian of `mean_field_equations` along the trajectory, as it stands: with a / sqrt(N_sp) and S / N_k the
operators' equations are those of mean field. D is what losses and jumps add,

    kappa_mu / 4                              on both quadratures of mode mu
    -(T + T^T + c m_k^T + m_k c^T) / w_k      on the spins of subset k

The latter is r Re <[L^dag, sigma_a] [sigma_b, L]> of one spin, for jumps with Bloch terms T m + c: symmetrised,
sigma_a sigma_b is a constant, so that D_ab = -<{(T sigma + c)_a, sigma_b} / 2> - (a <-> b).
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_float, check_finite, check_shape, known, refuse
from .._typing import ArrayLike, RealState, SpinVectors
from ..dynamics.solve import check_tolerance
from ..equations import mean_field_equations
from ..model import DickeModel
from ..state import MeanFieldState
from .moments import Moments, product_covariance, ravel, real_start, unravel


def gaussian_moments(
    model: DickeModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    *,
    covariance: ArrayLike | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    solver: dfx.AbstractSolver | None = None,
    max_steps: int = 2**16,
    adjoint: dfx.AbstractAdjoint | None = None,
) -> Moments:
    """The limit of N_sp times the covariance along the mean-field trajectory from `state`.

        Sigma' = A(t) Sigma + Sigma A(t)^T + D(t)

    `scaled_error` of the result is lim N E_N(t): the 1/N law of the theorem with its coefficient.

    **Main arguments**

    - `model`: a `DickeModel`, also with single-spin dissipation and with rates that depend on time.
    - `state`: the `MeanFieldState` at `tsave[0]`.
    - `tsave`: increasing times, at least two.

    **Other arguments**

    - `covariance`: N_sp times the covariance at `tsave[0]`, (D, D) in the order of `Moments`. By default that of
      independent spins, alike within a subset, and of modes in vacuum or coherent states.
    - `rtol`, `atol`: local error tolerances, 1e-9 in float64 and 1e-6 in float32 by default.
    - `solver`, `adjoint`: of diffrax, Dopri8 and `RecursiveCheckpointAdjoint` by default; `max_steps`.

    **Returns** `Moments` with `num_spins` None; NaN or inf from where the integration broke down.
    """
    y0 = real_start(model, state)
    times = as_float(tsave).astype(model.dtype)
    check_finite("tsave", times)
    if times.ndim != 1 or times.size < 2 or (known(times) and not np.all(np.diff(np.asarray(times)) > 0)):
        refuse("tsave", "at least two increasing times", f"shape {times.shape}" if times.ndim != 1 else "others")
    size = 3 * model.num_subsets + 2 * model.num_modes
    if covariance is None:
        start = product_covariance(model, y0[0])
    else:
        start = as_float(covariance).astype(model.dtype)
        check_shape("covariance", start, (size, size), "3 K spin components and 2 M quadratures")
        check_finite("covariance", start)
    tolerance = 1e-9 if model.dtype == jnp.float64 else 1e-6
    controller: dfx.AbstractStepSizeController = dfx.PIDController(
        dtmin=jnp.finfo(model.dtype).eps * (times[-1] - times[0]),  # NaN is then soon given up
        rtol=check_tolerance("rtol", tolerance if rtol is None else rtol, model.dtype),
        atol=check_tolerance("atol", tolerance if atol is None else atol, model.dtype),
    )
    # onto every saved time: the solver's interpolation is less accurate than its steps
    stops = jnp.sort(jnp.concatenate([times, *(kinks.astype(model.dtype) for kinks in model.kinks)]))
    controller = dfx.ClipStepSizeController(controller, step_ts=stops)
    adjoint = dfx.RecursiveCheckpointAdjoint() if adjoint is None else adjoint
    return _integrate(model, y0, start, times, controller, solver or dfx.Dopri8(), adjoint, max_steps)


@eqx.filter_jit
def _integrate(
    model: DickeModel,
    y0: RealState,
    start: Float[Array, "D D"],
    times: Float[Array, " T"],
    controller: dfx.AbstractStepSizeController,
    solver: dfx.AbstractSolver,
    adjoint: dfx.AbstractAdjoint,
    max_steps: int,
) -> Moments:
    sol = dfx.diffeqsolve(
        dfx.ODETerm(_with_covariance),
        solver,
        times[0],
        times[-1],
        None,
        (y0, start),
        args=model,
        saveat=dfx.SaveAt(ts=times),
        stepsize_controller=controller,
        max_steps=max_steps,
        adjoint=adjoint,
        throw=False,
    )
    (m, quadratures), sigma = sol.ys  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
    return Moments(times, m, jax.lax.complex(quadratures[:, 0], quadratures[:, 1]), sigma, None)


def diffusion(model: DickeModel, m: SpinVectors) -> Float[Array, "D D"]:
    """D of photon losses and single-spin jumps; `model` with constant rates."""
    K, n = model.num_subsets, 3 * model.num_subsets
    losses = jnp.diag(jnp.concatenate([jnp.zeros(n, m.dtype), jnp.tile(model.kappa / 4, 2)]))
    if model.dissipation is None:
        return losses
    T, c = model.dissipation.terms(m.dtype)
    T, c = jnp.broadcast_to(T, (3, 3, K)), jnp.broadcast_to(c, (3, K))
    half = -(T + c[:, None, :] * m[None, :, :]) / model.spins.weights.astype(m.dtype)[None, None, :]
    spins = jnp.einsum("abk,kl->akbl", half + jnp.swapaxes(half, 0, 1), jnp.eye(K, dtype=m.dtype)).reshape(n, n)
    return losses.at[:n, :n].add(spins)


def _with_covariance(t: Any, state: Any, model: DickeModel) -> Any:
    y, sigma = state
    model = model.at(t)
    v, along = jax.linearize(lambda u: ravel(mean_field_equations(t, unravel(u, model), model)), ravel(y))
    drift = jax.vmap(along, in_axes=1, out_axes=1)(sigma)  # A Sigma, column by column
    return unravel(v, model), drift + drift.T + diffusion(model, y[0])
