"""The light that leaves the modes of a stationary state, beside its mean field."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import as_float, check_finite, refuse
from .._status import Status
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike, RealState
from ..mean_field.model import DickeModel
from ..mean_field.state import MeanFieldState
from ..phases.linearisation import jacobian, tangent_basis
from .moments import least_quadrature
from .stationary_gaussian import how_fluctuations_end, stationary_start


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


def output_spectrum(model: DickeModel, state: MeanFieldState, omega: ArrayLike) -> OutputSpectrum:
    """The light that leaves a stationary state: a_out = a_in + sqrt(kappa) a, with vacuum in a_in.

        v_out = (1 + sqrt(kappa) P^T (i omega + A)^(-1) P sqrt(kappa)) v_in

    for fluctuations v' = A v - P sqrt(kappa) v_in, where P holds the quadratures. Dark spin waves, which no mode sees,
    do not show, unless `omega` is exactly theirs.

    **Arguments**

    - `model`, `state`: as in `stationary_covariance`, a stable state without single-spin dissipation.
    - `omega`: (W,), frequencies e^(-i omega t) in the frame of the model, where a mode alone is at Omega_mu.
    """
    y = stationary_start(model, state)
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

    status, _, _ = how_fluctuations_end(model, y, A)
    light = jnp.asarray((status == Status.successful) | (status == Status.non_unique))
    photons, quadratures = jax.tree.map(lambda a: jnp.where(light, a, jnp.nan), jax.vmap(at)(frequencies))
    return OutputSpectrum(frequencies, photons, quadratures, status)
