"""Gaussian fluctuations around mean field, the limit N -> infinity of N_sp times the covariance.

    Sigma' = A(t) Sigma + Sigma A(t)^T + D(t)

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
from jaxtyping import Array, Float

from .._checks import as_float, as_times, check_finite, check_shape
from .._typing import ArrayLike, RealState, SpinVectors
from ..dynamics.integrate import integrate
from ..dynamics.trajectory import check_tolerance, without_nan
from ..mean_field.equations import mean_field_equations
from ..mean_field.model import DickeModel
from ..mean_field.state import MeanFieldState
from .moments import Moments, block_matrix, moments_of, product_covariance, ravel, real_start, steps_onto, unravel


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
    """The limit of N_sp times the covariance, Sigma' = A Sigma + Sigma A^T + D, along mean field from `state`.

    `scaled_error` of the result is lim N E_N(t): the 1/N law of the theorem with its coefficient.

    **Arguments**

    - `model`: a `DickeModel`, also with single-spin dissipation and with rates that depend on time.
    - `state`: the `MeanFieldState` at `tsave[0]`.
    - `tsave`: increasing times, at least two.
    - `covariance`: N_sp times the covariance at `tsave[0]`, (D, D) in the order of `Moments`. By default that of
      independent spins, alike within a subset, and of modes in vacuum or coherent states.
    - `rtol`, `atol`: local error tolerances, 1e-9 in float64 and 1e-6 in float32 by default.
    - `solver`, `adjoint`: of diffrax, Dopri8 and `RecursiveCheckpointAdjoint` by default; `max_steps`.

    **Returns** `Moments` with `num_spins` None; NaN or inf from where the integration broke down.
    """
    y0 = real_start(model, state)
    times = as_times(tsave, model.dtype)
    size, start = 3 * model.num_subsets + 2 * model.num_modes, None
    if covariance is not None:
        start = as_float(covariance).astype(model.dtype)
        check_shape("covariance", start, (size, size), "3 K spin components and 2 M quadratures")
        check_finite("covariance", start)
    tolerance = 1e-9 if model.dtype == jnp.float64 else 1e-6
    rtol = check_tolerance("rtol", tolerance if rtol is None else rtol, model.dtype)
    atol = check_tolerance("atol", tolerance if atol is None else atol, model.dtype)
    tolerances = jnp.asarray([rtol, atol], model.dtype)
    how = {"solver": solver or dfx.Dopri8(), "adjoint": adjoint or dfx.RecursiveCheckpointAdjoint()}
    return _integrate(model, y0, start, times, tolerances, {**how, "max_steps": max_steps})


@eqx.filter_jit
def _integrate(
    model: DickeModel,
    y0: RealState,
    start: Float[Array, "D D"] | None,
    times: Float[Array, " T"],
    tolerances: Float[Array, " 2"],
    how: dict[str, Any],
) -> Moments:
    finite, model, y0 = without_nan(model, y0)
    ordered = jnp.all(jnp.diff(times) > 0)  # false for NaN, too
    span = jnp.where(ordered, times, jnp.arange(times.size, dtype=times.dtype))
    y = y0, product_covariance(model, y0[0]) if start is None else start
    saveat = dfx.SaveAt(t0=True, ts=span[1:-1] if times.size > 2 else None, t1=True)
    controller = steps_onto(span, model, rtol=tolerances[0], atol=tolerances[1])
    sol = integrate(model, y, span[0], span[-1], saveat, stepsize_controller=controller, term=WITH_COVARIANCE, **how)
    y, sigma = jax.tree.map(lambda saved: jnp.where(finite & ordered, saved, jnp.nan), sol.ys)
    return moments_of(times, y, sigma, None)


def diffusion(model: DickeModel, m: SpinVectors) -> Float[Array, "D D"]:
    """D of photon losses and single-spin jumps; `model` with constant rates."""
    half = jnp.zeros((3, 3, model.num_subsets), m.dtype)
    if model.dissipation is not None:
        T, c = model.dissipation.terms(m.dtype)
        half -= T + c[:, None, :] * m[None, :, :]
    return block_matrix(model, half + jnp.swapaxes(half, 0, 1), jnp.diag(jnp.tile(model.kappa / 4, 2)))


def _with_covariance(t: Any, state: Any, model: DickeModel) -> Any:
    y, sigma = state
    model = model.at(t)
    v, along = jax.linearize(lambda u: ravel(mean_field_equations(t, unravel(u, model), model)), ravel(y))
    drift = jax.vmap(along, in_axes=1, out_axes=1)(sigma)  # A Sigma, column by column
    return unravel(v, model), drift + drift.T + diffusion(model, y[0])


WITH_COVARIANCE = dfx.ODETerm(_with_covariance)
