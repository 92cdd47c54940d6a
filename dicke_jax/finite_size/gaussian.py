"""Gaussian fluctuations around mean field, the limit N -> infinity: along its course, where they end, their light.

N_sp times the covariance follows

    Sigma' = A(t) Sigma + Sigma A(t)^T + D(t)

A is the Jacobian of `mean_field_equations` along the trajectory, as it stands: with a / sqrt(N_sp) and S / N_k the
operators' equations are those of mean field. D is what losses and jumps add: `diffusion`.
"""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from .._checks import as_float, as_times, check_count, check_finite, check_shape, refuse
from .._door import checked
from .._status import Status, where
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike, ModeReals, RealState
from ..dynamics.finite_numbers import without_nan
from ..dynamics.integrate import integrate
from ..dynamics.trajectory import check_tolerance
from ..mean_field import (
    CollectiveModel,
    DickeModel,
    MeanFieldState,
    check_constant_rates,
    check_spin_lengths,
    mean_field_equations,
)
from ..phases.linearisation import largest_rate, linearised_where_pure
from . import moments
from .diffusion import WITH_COVARIANCE, diffusion, losses
from .moments import Moments, ravel

AT_REST = 1e-6  # max |dy/dt|, in units of the smallest kappa or of the largest rate, of a state that is stationary
NEUTRAL = 1e-8  # a rate of growth or decay below this share of the largest eigenvalue is none


@checked
def gaussian_moments(
    model: DickeModel | CollectiveModel,
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

    `scaled_error` of the result and the mean field is lim N E_N(t): the 1/N law of the theorem with its coefficient.

    **Arguments**

    - `model`: a `DickeModel` or a `CollectiveModel`, also with single-spin dissipation, with rates that depend on time.
    - `state`: the `MeanFieldState` at `tsave[0]`.
    - `tsave`: increasing times, at least two.
    - `covariance`: N_sp times the covariance at `tsave[0]`, (D, D) in the order of `Moments`. By default that of
      independent spins, alike within a subset, and of modes in vacuum or coherent states: `product_covariance`.
    - `rtol`, `atol`: local error tolerances, 1e-9 in float64 and 1e-6 in float32 by default.
    - `solver`, `adjoint`: of diffrax, Dopri8 and `RecursiveCheckpointAdjoint` by default; `max_steps`.

    **Returns** `Moments` with `num_spins` None; NaN or inf from where the integration broke down. **Raises** ValueError
    for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.4, num_patterns=1)
        >>> start, times = dj.stored_pattern(model), [0.0, 2.0]
        >>> moments, mean_field = dj.gaussian_moments(model, start, times), dj.mfsolve(model, start, times)
        >>> print(dj.scaled_error(model, moments, mean_field).round(4))  # N E_N: 2 K + M at first
        [3.     3.8588]
    """
    y0 = moments.real_start_of_any(model, state)
    check_count("max_steps", max_steps)
    times = as_times(tsave, model.dtype)
    size, start = model.num_components, None
    if covariance is not None:
        start = as_float(covariance).astype(model.dtype)
        check_shape("covariance", start, (size, size), f"{len(y0[0])} K spin components and 2 M quadratures")
        check_finite("covariance", start)
    tolerance = 1e-9 if model.dtype == jnp.float64 else 1e-6
    rtol = check_tolerance("rtol", tolerance if rtol is None else rtol, model.dtype)
    atol = check_tolerance("atol", tolerance if atol is None else atol, model.dtype)
    tolerances = jnp.asarray([rtol, atol], model.dtype)
    how = {"solver": solver or dfx.Dopri8(), "adjoint": adjoint or dfx.RecursiveCheckpointAdjoint()}
    return _integrate(model, y0, start, times, tolerances, {**how, "max_steps": max_steps})


@eqx.filter_jit
def _integrate(
    model: DickeModel | CollectiveModel,
    y0: RealState,
    start: Float[Array, "D D"] | None,
    times: Float[Array, " T"],
    tolerances: Float[Array, " 2"],
    how: dict[str, Any],
) -> Moments:
    finite, model, y0 = without_nan(model, y0)
    ordered = jnp.all(jnp.diff(times) > 0)  # false for NaN, too
    span = jnp.where(ordered, times, jnp.arange(times.size, dtype=times.dtype))
    y = y0, moments.product_covariance(model, y0[0]) if start is None else start
    saveat = dfx.SaveAt(t0=True, ts=span[1:-1] if times.size > 2 else None, t1=True)
    controller = moments.steps_onto(span, model, rtol=tolerances[0], atol=tolerances[1])
    sol = integrate(model, y, span[0], span[-1], saveat, stepsize_controller=controller, term=WITH_COVARIANCE, **how)
    y, sigma = jax.tree.map(lambda saved: jnp.where(finite & ordered, saved, jnp.nan), sol.ys)
    return moments.moments_of(times, y, sigma, None)


class StationaryCovariance(AbstractResult):
    """Fluctuations at a stationary state.

    - `moments`: `Moments` at one time, 0; the covariance is NaN unless the status is `successful`.
    - `status`: a `Status`: `successful` where all fluctuations decay to one stationary covariance, `non_unique` where
      some never decay, `unstable` where some grow, `moving` where the state is not stationary.
    - `growth_rate`: the largest real part of the eigenvalues, spin lengths left out where they are conserved.
    - `num_neutral`: the number of eigenvalues that neither grow nor decay.
    """

    moments: Moments
    status: Status
    growth_rate: Float[Array, ""]
    num_neutral: Int[Array, ""]

    def _heading(self) -> str:
        return f"StationaryCovariance: {self.moments.system}"

    def _rows(self) -> Rows:
        yield "growth rate", self.growth_rate
        yield "neutral", self.num_neutral
        yield from self.moments._rows()


class OutputSpectrum(AbstractResult):
    """What leaves each mode through its losses, against the frequency in the frame of the model.

    - `omega`: (W,), frequencies.
    - `photons`: (W, M), incoherent photons per unit time and bandwidth, a_out^dag a_out; the integral over
      omega / 2 pi is kappa <b^dag b>.
    - `quadratures`: (W, 2, M, 2, M), the symmetrised spectral matrix of the quadratures, Hermitian; the identity / 4
      is the vacuum.
    - `status`: a `Status`, as of `stationary_covariance`; all numbers are NaN for a state that moves or is not stable.
    """

    omega: Float[Array, " W"]
    photons: Float[Array, "W M"]
    quadratures: Complex[Array, "W 2 M 2 M"]
    status: Status

    @property
    def squeezing(self) -> Float[Array, "W M"]:
        """The smallest noise of any quadrature of each mode, in units of the vacuum's."""
        return moments.least_quadrature(self.quadratures)

    def _heading(self) -> str:
        return f"OutputSpectrum: {self.photons.shape[-1]} modes, {self.omega.shape[-1]} frequencies"

    def _rows(self) -> Rows:
        yield "photons", f"at most {np.max(self.photons):.4g} per unit time and bandwidth"
        yield "squeezing", f"least noise of a quadrature {np.min(self.squeezing):.4f} of the vacuum's"


@checked
def stationary_covariance(model: DickeModel | CollectiveModel, state: MeanFieldState) -> StationaryCovariance:
    """The covariance in which fluctuations around a stationary state end, A Sigma + Sigma A^T + D = 0.

    Without single-spin dissipation the length of every large spin is conserved, and of pure spins does not fluctuate:
    the equation is solved in their tangent planes. With K > M some spin waves still are seen by no mode and never
    decay; then there is no unique answer, and the status says so (`gaussian_moments` gives that of a start).

    **Arguments**

    - `model`: a `DickeModel` with kappa > 0, or a `CollectiveModel`; of constant rates.
    - `state`: stationary, such as `retrieval_state`; without single-spin dissipation |m_k| = 1, of d levels pure.

    **Returns** a `StationaryCovariance`, differentiable. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.4, num_patterns=1)
        >>> found = dj.stationary_covariance(model, dj.retrieval_state(model))  # below threshold: the normal state
        >>> print(bool(found.successful), jnp.diag(found.moments.covariance[0]).round(4))
        True [0.     1.1667 1.6861 0.3279 0.2587]
    """
    return _stationary(model, state, _start(model, state))


@eqx.filter_jit
def _stationary(model: DickeModel | CollectiveModel, state: MeanFieldState, y: RealState) -> StationaryCovariance:
    A, basis = linearised_where_pure(model, state)
    D = basis.T @ diffusion(model, y) @ basis
    status, growth, neutral = _how_fluctuations_end(model, y, A)
    unique = jnp.asarray(status == Status.successful)

    n, one = A.shape[0], jnp.eye(A.shape[0], dtype=A.dtype)
    solvable = jnp.where(unique, A, -one)
    both = jnp.kron(solvable, one) + jnp.kron(one, solvable)  # acts on Sigma, row by row
    sigma = jnp.linalg.solve(both, -D.ravel()).reshape(n, n)
    sigma = jnp.where(unique, basis @ ((sigma + sigma.T) / 2) @ basis.T, jnp.nan)
    ended = moments.moments_of(jnp.zeros(1, A.dtype), (y[0][None], y[1][None]), sigma[None], None)
    return StationaryCovariance(ended, status, growth, neutral)


@checked
def output_spectrum(model: DickeModel | CollectiveModel, state: MeanFieldState, omega: ArrayLike) -> OutputSpectrum:
    """The light that leaves a stationary state: a_out = a_in + sqrt(kappa) a, with vacuum in a_in.

        v_out = (1 + sqrt(kappa) P^T (i omega + A)^(-1) P sqrt(kappa)) v_in

    for fluctuations v' = A v - P sqrt(kappa) v_in, where P holds the quadratures. All other jumps, of single spins or
    of all together, add noise of their own, sqrt(kappa) P^T (i omega + A)^(-1) of it. Dark spin waves, which no mode
    sees, do not show, unless `omega` is exactly theirs.

    **Arguments**

    - `model`, `state`: as in `stationary_covariance`, a stable state; of a `CollectiveModel` with one `photon_loss`,
      which is where its light leaves.
    - `omega`: (W,), frequencies e^(-i omega t) in the frame of the model, where a mode alone is at Omega_mu.

    **Returns** an `OutputSpectrum`, NaN with a status that says so where the state moves or is not stable. **Raises**
    ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0, num_patterns=1)
        >>> light = dj.output_spectrum(model, dj.retrieval_state(model), [0.0, 1.5])
        >>> print(light.photons.shape, bool(light.successful))
        (2, 1) True
    """
    y, kappa = _start(model, state), losses(model)
    frequencies = as_float(omega).astype(model.dtype)
    check_finite("omega", frequencies)
    if frequencies.ndim != 1:
        refuse("omega", "one-dimensional", f"shape {frequencies.shape}")
    return _spectrum(model, state, y, kappa, frequencies)


@eqx.filter_jit
def _spectrum(
    model: DickeModel | CollectiveModel,
    state: MeanFieldState,
    y: RealState,
    kappa: ModeReals,
    omega: Float[Array, " W"],
) -> OutputSpectrum:
    (A, basis), M = linearised_where_pure(model, state), model.num_modes
    P = basis[-2 * M :].T * jnp.sqrt(jnp.tile(kappa, 2))[None, :]
    others = basis.T @ diffusion(model, y) @ basis - P @ P.T / 4
    P, others = (jax.lax.complex(x, jnp.zeros_like(x)) for x in (P, others))

    def at(w: Array) -> tuple[Array, Array]:
        def resolved(A: Array) -> Array:
            return jnp.linalg.solve(jax.lax.complex(A, w * jnp.eye(A.shape[0], dtype=A.dtype)), P)

        # R P and R^T P by one call: two batches of LAPACK's that may run at once now and then wait for ever, each for a
        # thread that the other has (jaxlib 0.9 and 0.10)
        response, of_others = jax.vmap(resolved)(jnp.stack([A, A.T]))
        transfer = jnp.eye(2 * M, dtype=P.dtype) + P.T @ response
        spectrum = transfer @ transfer.conj().T / 4 + of_others.T @ others @ of_others.conj()
        spectrum = spectrum.reshape(2, M, 2, M)
        re, im, cross = (jnp.diagonal(spectrum[a, :, b, :]) for a, b in ((0, 0), (1, 1), (0, 1)))
        return re.real + im.real + 2 * cross.imag - 0.5, spectrum

    status, _, _ = _how_fluctuations_end(model, y, A)
    light = jnp.asarray((status == Status.successful) | (status == Status.non_unique))
    photons, quadratures = jax.tree.map(lambda a: jnp.where(light, a, jnp.nan), jax.vmap(at)(omega))
    return OutputSpectrum(omega, photons, quadratures, status)


def _how_fluctuations_end(
    model: DickeModel | CollectiveModel, y: RealState, A: Float[Array, "d d"]
) -> tuple[Status, Array, Array]:
    """The status, the largest rate of growth, and how many fluctuations neither grow nor decay."""

    def on_host(matrix: Any) -> tuple[np.ndarray, np.ndarray]:
        matrix = np.asarray(matrix)
        eigenvalues = np.linalg.eigvals(np.where(np.isfinite(matrix), matrix, 0.0))
        return eigenvalues.real.astype(matrix.dtype), np.asarray(np.abs(eigenvalues).max(axis=-1), matrix.dtype)

    # the real parts of the eigenvalues and their largest modulus by NumPy: not every device has this decomposition
    shapes = jax.ShapeDtypeStruct(A.shape[:1], A.dtype), jax.ShapeDtypeStruct((), A.dtype)
    rates, scale = jax.pure_callback(on_host, shapes, jax.lax.stop_gradient(A), vmap_method="expand_dims")
    least = np.sqrt(jnp.finfo(A.dtype).eps).astype(A.dtype)
    tolerance = scale * jnp.maximum(jnp.asarray(NEUTRAL, A.dtype), least)
    growth, neutral = jnp.max(rates), jnp.sum(jnp.abs(rates) <= tolerance)
    residual = jnp.max(jnp.abs(ravel(mean_field_equations(0.0, y, model))))
    unit = jnp.min(model.kappa) if isinstance(model, DickeModel) else largest_rate(model)
    at_rest = residual <= max(AT_REST, float(least)) * unit
    status = where(neutral > 0, Status.non_unique, Status.successful)
    status = where(growth > tolerance, Status.unstable, status)
    return where(at_rest, status, Status.moving), growth, neutral


def _start(model: DickeModel | CollectiveModel, state: MeanFieldState) -> RealState:
    """The state's components, checked."""
    y = moments.real_start_of_any(model, state)
    check_constant_rates(model, "for a stationary state")
    if model.dissipation is None:
        pure = np.sqrt(2 - 2 / model.levels)
        must_be = f"{pure:.6g} for a stationary covariance without single-spin dissipation"
        check_spin_lengths(y[0], lambda length: np.abs(length - pure) <= moments.PURE, must_be)
    return y
