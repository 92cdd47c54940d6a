"""Fluctuations around a stationary state: the covariance in which they end, the light that leaves the modes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from .._checks import as_float, check_finite, refuse
from .._status import Status, where
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike, RealState
from ..mean_field.equations import mean_field_equations
from ..mean_field.model import DickeModel, check_constant_rates
from ..mean_field.state import MeanFieldState
from ..phases.linearisation import jacobian, tangent_basis
from .gaussian import diffusion
from .moments import Moments, check_spin_lengths, least_quadrature, moments_of, ravel, real_start

PURE = 1e-6  # deviation of |m_k| from 1
AT_REST = 1e-6  # max |dy/dt| in units of the smallest kappa up to which a state counts as stationary
NEUTRAL = 1e-8  # a rate of growth or decay below this share of the largest eigenvalue is none


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
        return least_quadrature(self.quadratures)

    def _heading(self) -> str:
        return f"OutputSpectrum: {self.photons.shape[-1]} modes, {self.omega.shape[-1]} frequencies"

    def _rows(self) -> Rows:
        yield "photons", f"at most {np.max(self.photons):.4g} per unit time and bandwidth"
        yield "squeezing", f"least noise of a quadrature {np.min(self.squeezing):.4f} of the vacuum's"


def stationary_covariance(model: DickeModel, state: MeanFieldState) -> StationaryCovariance:
    """The covariance in which fluctuations around a stationary state end, A Sigma + Sigma A^T + D = 0.

    Without single-spin dissipation the length of every large spin is conserved, and of pure spins does not fluctuate:
    the equation is solved in their tangent planes. With K > M some spin waves still are seen by no mode and never
    decay; then there is no unique answer, and the status says so (`gaussian_moments` gives that of a start).

    **Arguments**

    - `model`: of constant rates, kappa > 0.
    - `state`: stationary, such as `retrieval_state`; |m_k| = 1 without single-spin dissipation.

    **Returns** a `StationaryCovariance`; differentiable in the rates.
    """
    return _stationary(model, state, _start(model, state))


@eqx.filter_jit
def _stationary(model: DickeModel, state: MeanFieldState, y: RealState) -> StationaryCovariance:
    A, basis = jacobian(model, state), tangent_basis(model, state)
    D = basis.T @ diffusion(model, y[0]) @ basis
    status, growth, neutral = _how_fluctuations_end(model, y, A)
    unique = jnp.asarray(status == Status.successful)

    n, one = A.shape[0], jnp.eye(A.shape[0], dtype=A.dtype)
    solvable = jnp.where(unique, A, -one)
    both = jnp.kron(solvable, one) + jnp.kron(one, solvable)  # acts on Sigma, row by row
    sigma = jnp.linalg.solve(both, -D.ravel()).reshape(n, n)
    sigma = jnp.where(unique, basis @ ((sigma + sigma.T) / 2) @ basis.T, jnp.nan)
    moments = moments_of(jnp.zeros(1, A.dtype), (y[0][None], y[1][None]), sigma[None], None)
    return StationaryCovariance(moments, status, growth, neutral)


def output_spectrum(model: DickeModel, state: MeanFieldState, omega: ArrayLike) -> OutputSpectrum:
    """The light that leaves a stationary state: a_out = a_in + sqrt(kappa) a, with vacuum in a_in.

        v_out = (1 + sqrt(kappa) P^T (i omega + A)^(-1) P sqrt(kappa)) v_in

    for fluctuations v' = A v - P sqrt(kappa) v_in, where P holds the quadratures. Dark spin waves, which no mode sees,
    do not show, unless `omega` is exactly theirs.

    **Arguments**

    - `model`, `state`: as in `stationary_covariance`, a stable state without single-spin dissipation.
    - `omega`: (W,), frequencies e^(-i omega t) in the frame of the model, where a mode alone is at Omega_mu.
    """
    y = _start(model, state)
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation for this spectrum, which has losses of modes only", "with it")
    frequencies = as_float(omega).astype(model.dtype)
    check_finite("omega", frequencies)
    if frequencies.ndim != 1:
        refuse("omega", "one-dimensional", f"shape {frequencies.shape}")
    return _spectrum(model, state, y, frequencies)


@eqx.filter_jit
def _spectrum(
    model: DickeModel, state: MeanFieldState, y: RealState, frequencies: Float[Array, " W"]
) -> OutputSpectrum:
    A, M = jacobian(model, state), model.num_modes
    P = tangent_basis(model, state)[-2 * M :].T * jnp.sqrt(jnp.tile(model.kappa, 2))[None, :]
    P = jax.lax.complex(P, jnp.zeros_like(P))

    def at(w: Array) -> tuple[Array, Array]:
        response = jnp.linalg.solve(jax.lax.complex(A, w * jnp.eye(A.shape[0], dtype=A.dtype)), P)
        transfer = jnp.eye(2 * M, dtype=P.dtype) + P.T @ response
        spectrum = (transfer @ transfer.conj().T / 4).reshape(2, M, 2, M)
        re, im, cross = (jnp.diagonal(spectrum[a, :, b, :]) for a, b in ((0, 0), (1, 1), (0, 1)))
        return re.real + im.real + 2 * cross.imag - 0.5, spectrum

    status, _, _ = _how_fluctuations_end(model, y, A)
    light = jnp.asarray((status == Status.successful) | (status == Status.non_unique))
    photons, quadratures = jax.tree.map(lambda a: jnp.where(light, a, jnp.nan), jax.vmap(at)(frequencies))
    return OutputSpectrum(frequencies, photons, quadratures, status)


def _how_fluctuations_end(model: DickeModel, y: RealState, A: Float[Array, "d d"]) -> tuple[Status, Array, Array]:
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
    at_rest = residual <= max(AT_REST, float(least)) * jnp.min(model.kappa)
    status = where(neutral > 0, Status.non_unique, Status.successful)
    status = where(growth > tolerance, Status.unstable, status)
    return where(at_rest, status, Status.moving), growth, neutral


def _start(model: DickeModel, state: MeanFieldState) -> RealState:
    """The state's components, checked."""
    y = real_start(model, state)
    check_constant_rates(model, "for a stationary state")
    if model.dissipation is None:
        must_be = "1 for a stationary covariance without single-spin dissipation"
        check_spin_lengths(y[0], lambda length: np.abs(length - 1) <= PURE, must_be)
    return y
