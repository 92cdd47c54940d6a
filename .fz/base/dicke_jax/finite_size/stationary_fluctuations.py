"""Fluctuations at a stationary state: the covariance in which they end, and the light that leaves the modes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from .._checks import as_float, check_finite, known, refuse
from .._typing import ArrayLike, RealState
from ..equations import mean_field_equations
from ..model import DickeModel
from ..phases.linearised import jacobian, tangent_basis
from ..state import MeanFieldState
from .fluctuations import diffusion
from .moments import Moments, ravel, real_start

PURE = 1e-6  # deviation of |m_k| from 1
AT_REST = 1e-6  # max |dy/dt| in units of the smallest kappa up to which a state counts as stationary
NEUTRAL = 1e-8  # a rate of growth or decay below this share of the largest eigenvalue is none


class CovarianceStatus(eqx.Enumeration):
    """Whether a state has one stationary covariance."""

    unique = "unique: all fluctuations decay to one stationary covariance"
    non_unique = "not unique: some fluctuations never decay and remember their start"
    unstable = "unstable: some fluctuations grow"
    moving = "moving: the state is not stationary"


class StationaryCovariance(eqx.Module):
    """Fluctuations at a stationary state.

    - `moments`: `Moments` at one time, 0; the covariance is NaN unless the status is `unique`.
    - `status`: a `CovarianceStatus`.
    - `growth_rate`: the largest real part of the eigenvalues, spin lengths left out where they are conserved.
    - `num_neutral`: the number of eigenvalues that neither grow nor decay.
    """

    moments: Moments
    status: CovarianceStatus
    growth_rate: Float[Array, ""]
    num_neutral: Int[Array, ""]

    def __repr__(self) -> str:
        if not known(self.growth_rate):
            return eqx.tree_pformat(self)
        return (
            f"StationaryCovariance: {CovarianceStatus[self.status]}\n"
            f"  growth rate {float(self.growth_rate):.3e}, {int(self.num_neutral)} neutral\n{self.moments!r}"
        )


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
    return _stationary(model, state, _stationary_start(model, state))


@eqx.filter_jit
def _stationary(model: DickeModel, state: MeanFieldState, y: RealState) -> StationaryCovariance:
    A, basis = jacobian(model, state), tangent_basis(model, state)
    D = basis.T @ diffusion(model, y[0]) @ basis
    status, growth, neutral = _end(model, y, A)
    unique = jnp.asarray(status == CovarianceStatus.unique)

    n, one = A.shape[0], jnp.eye(A.shape[0], dtype=A.dtype)
    solvable = jnp.where(unique, A, -one)
    both = jnp.kron(solvable, one) + jnp.kron(one, solvable)  # acts on Sigma, row by row
    sigma = jnp.linalg.solve(both, -D.ravel()).reshape(n, n)
    sigma = jnp.where(unique, basis @ ((sigma + sigma.T) / 2) @ basis.T, jnp.nan)
    alpha = jax.lax.complex(y[1][0], y[1][1])
    moments = Moments(jnp.zeros(1, A.dtype), y[0][None], alpha[None], sigma[None], None)
    return StationaryCovariance(moments, status, growth, neutral)


def _end(model: DickeModel, y: RealState, A: Float[Array, "d d"]) -> tuple[CovarianceStatus, Array, Array]:
    """How fluctuations end: the status, the largest rate of growth, and how many neither grow nor decay."""
    rates, scale = _spectrum(A)
    least = np.sqrt(jnp.finfo(A.dtype).eps).astype(A.dtype)
    tolerance = scale * jnp.maximum(jnp.asarray(NEUTRAL, A.dtype), least)
    growth, neutral = jnp.max(rates), jnp.sum(jnp.abs(rates) <= tolerance)
    residual = jnp.max(jnp.abs(ravel(mean_field_equations(0.0, y, model))))
    at_rest = residual <= max(AT_REST, float(least)) * jnp.min(model.kappa)
    status = CovarianceStatus.where(neutral > 0, CovarianceStatus.non_unique, CovarianceStatus.unique)
    status = CovarianceStatus.where(growth > tolerance, CovarianceStatus.unstable, status)
    return CovarianceStatus.where(at_rest, status, CovarianceStatus.moving), growth, neutral


def _spectrum(A: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Real parts of the eigenvalues and the largest modulus, by NumPy: not every device has this decomposition."""

    def on_host(matrix: Any) -> tuple[np.ndarray, np.ndarray]:
        matrix = np.asarray(matrix)
        eigenvalues = np.linalg.eigvals(np.where(np.isfinite(matrix), matrix, 0.0))
        return eigenvalues.real.astype(matrix.dtype), np.asarray(np.abs(eigenvalues).max(axis=-1), matrix.dtype)

    shapes = jax.ShapeDtypeStruct(A.shape[:1], A.dtype), jax.ShapeDtypeStruct((), A.dtype)
    return jax.pure_callback(on_host, shapes, jax.lax.stop_gradient(A), vmap_method="expand_dims")


class OutputSpectrum(eqx.Module):
    """What leaves each mode through its losses, against the frequency in the frame of the model.

    - `omega`: (W,), frequencies.
    - `photons`: (W, M), incoherent photons per unit time and bandwidth, a_out^dag a_out; the integral over
      omega / 2 pi is kappa <b^dag b>.
    - `quadratures`: (W, 2, M, 2, M), the symmetrised spectral matrix of the quadratures, Hermitian; the identity / 4
      is the vacuum.
    - `status`: a `CovarianceStatus`; all numbers are NaN for a state that moves or is not stable.
    """

    omega: Float[Array, " W"]
    photons: Float[Array, "W M"]
    quadratures: Complex[Array, "W 2 M 2 M"]
    status: CovarianceStatus

    @property
    def squeezing(self) -> Float[Array, "W M"]:
        """The smallest noise of any quadrature of each mode, in units of the vacuum's."""
        each = jnp.moveaxis(jnp.diagonal(self.quadratures.real, axis1=-3, axis2=-1), -1, -3)
        return 4 * jnp.linalg.eigvalsh(each)[..., 0]


def output_spectrum(model: DickeModel, state: MeanFieldState, omega: ArrayLike) -> OutputSpectrum:
    """The light that leaves a stationary state: a_out = a_in + sqrt(kappa) a, with vacuum in a_in.

        v_out = (1 + sqrt(kappa) P^T (i omega + A)^(-1) P sqrt(kappa)) v_in

    for fluctuations v' = A v - P sqrt(kappa) v_in, where P holds the quadratures. Dark spin waves, which no mode sees,
    do not show, unless `omega` is exactly theirs.

    **Arguments**

    - `model`, `state`: as in `stationary_covariance`, a stable state without single-spin dissipation.
    - `omega`: (W,), frequencies e^(-i omega t) in the frame of the model, where a mode alone is at Omega_mu.
    """
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation for this spectrum, which has losses of modes only", "with it")
    y = _stationary_start(model, state)
    A, basis = jacobian(model, state), tangent_basis(model, state)
    frequencies = as_float(omega).astype(A.dtype)
    check_finite("omega", frequencies)
    if frequencies.ndim != 1:
        refuse("omega", "one-dimensional", f"shape {frequencies.shape}")
    M = model.num_modes
    roots = jnp.sqrt(jnp.tile(model.kappa, 2))
    P = basis[-2 * M :].T * roots[None, :]
    one, zero = jnp.eye(A.shape[0], dtype=A.dtype), jnp.zeros_like(A)

    def at(w: Array) -> tuple[Array, Array]:
        response = jnp.linalg.solve(jax.lax.complex(A, w * one), jax.lax.complex(P, jnp.zeros_like(P)))
        seen = jax.lax.complex(P.T, jnp.zeros_like(P.T)) @ response
        transfer = jax.lax.complex(jnp.eye(2 * M, dtype=A.dtype), zero[: 2 * M, : 2 * M]) + seen
        spectrum = (transfer @ transfer.conj().T / 4).reshape(2, M, 2, M)
        re, im, cross = (jnp.diagonal(spectrum[a, :, b, :]) for a, b in ((0, 0), (1, 1), (0, 1)))
        return re.real + im.real + 2 * cross.imag - 0.5, spectrum

    status, _, _ = _end(model, y, A)
    light = jnp.asarray((status == CovarianceStatus.unique) | (status == CovarianceStatus.non_unique))
    photons, quadratures = jax.tree.map(lambda a: jnp.where(light, a, jnp.nan), jax.vmap(at)(frequencies))
    return OutputSpectrum(frequencies, photons, quadratures, status)


def _stationary_start(model: DickeModel, state: MeanFieldState) -> RealState:
    """The state's components, checked."""
    y = real_start(model, state)
    if model.is_time_dependent:
        refuse("model", "one with constant rates for a stationary state", "one with rates that change")
    length = jnp.linalg.norm(y[0], axis=0)
    if model.dissipation is None and known(length) and np.any(np.abs(np.asarray(length) - 1) > PURE):
        refuse("|m_k|", "1 for a stationary covariance without single-spin dissipation", f"{float(jnp.min(length)):g}")
    return y
