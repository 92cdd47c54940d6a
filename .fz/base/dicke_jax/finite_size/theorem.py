"""The paper's theorem: the error E_N(t) of mean field, its bound, and how loose the bound is."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_all, check_choice, known, refuse
from .._typing import SpinVectors
from ..dynamics import MFSolution
from ..model import DickeModel
from ..state import MeanFieldState
from .moments import Moments, product_covariance, real_start

EQUAL = 1e-6  # relative difference up to which weights count as equal


class TheoremConstants(eqx.Module):
    """Rates of the supplement, in the unit of the model's.

    - `beta`: a bound on |alpha_mu + conj(alpha_mu)| for all times, with a / sqrt(N) amplitudes (no unit).
    - `c0`: Lemma 3, |d/dt <(m - m(t))^2>| <= c0 E_N.
    - `d0`: Lemma 4, |d/dt <A^dag A>| <= d0 E_N.
    - `C`: 2 M d0 + 3 K c0, E_N(t) <= exp(C t) E_N(0).
    """

    beta: Float[Array, ""]
    c0: Float[Array, ""]
    d0: Float[Array, ""]
    C: Float[Array, ""]


class TheoremCheck(eqx.Module):
    """N E_N(t) beside its bound; `N` is the number of spins per subset, N_sp / K, and None in the limit.

    - `scaled_error`: (T,), N E_N(t), which has a limit for large N.
    - `log_scaled_bound`: (T,), log(N E_N(0)) + C t. The bound itself overflows.
    - `deviation`: (T,), the largest |<m_a,k> - m_a,k(t)| or |<alpha_mu> - alpha_mu(t)|, with a / sqrt(N); S6 of the
      paper says that it is at most sqrt(E_N(t)).
    - `constants`: the `TheoremConstants`.
    """

    t: Float[Array, " T"]
    scaled_error: Float[Array, " T"]
    log_scaled_bound: Float[Array, " T"]
    deviation: Float[Array, " T"]
    constants: TheoremConstants
    N: float | None = eqx.field(static=True)

    @property
    def error(self) -> Float[Array, " T"]:
        """E_N(t); zero in the limit."""
        return jnp.zeros_like(self.scaled_error) if self.N is None else self.scaled_error / self.N

    @property
    def log_looseness(self) -> Float[Array, " T"]:
        """log(bound / E_N): 0 where the bound is tight."""
        return self.log_scaled_bound - jnp.log(self.scaled_error)

    @property
    def holds(self) -> Array:
        """Whether E_N is within its bound and every deviation within sqrt(E_N), at all times and up to round-off."""
        room = 1e3 * jnp.finfo(self.scaled_error.dtype).eps
        return jnp.all(self.log_looseness >= -room) & jnp.all(self.deviation**2 <= self.error * (1 + room) + room**2)


def initial_error(model: DickeModel, state: MeanFieldState) -> Float[Array, ""]:
    """N E_N(0) of a product state: (1/K) sum_k (3 - |m_k|^2) / w_k + M, which is 2 K + M for pure spins, equal subsets.

    Spins are independent and alike within a subset, modes in the vacuum or in coherent states.
    """
    return _initial(model, real_start(model, state)[0])


@eqx.filter_jit
def _initial(model: DickeModel, m: SpinVectors) -> Float[Array, ""]:
    return _weighted_trace(model, jnp.diagonal(product_covariance(model, m)))


def scaled_error(model: DickeModel, moments: Moments, reference: MFSolution | MeanFieldState) -> Float[Array, " T"]:
    """N E_N(t) of Eq. 9, from moments and the mean field at the same times.

        E_N = sum_a,k <(m_a,k - m_a,k(t))^2> + sum_mu <A_mu^dag A_mu + A_mu A_mu^dag>
        A_mu = a_mu / sqrt(N) - alpha_mu(t),   N = N_sp / K

    **Arguments**

    - `model`: the `DickeModel`.
    - `moments`: from `mesolve`, `wigner_moments` or `gaussian_moments`.
    - `reference`: the mean field at the times of `moments`: an `MFSolution`, or states with a leading axis T.
    """
    variance = _weighted_trace(model, jnp.diagonal(moments.covariance, axis1=-2, axis2=-1))
    if moments.num_spins is None:
        return variance
    square = jnp.concatenate([part**2 for part in _deviations(moments, reference)], axis=-1)
    return variance + moments.num_spins * _weighted_trace(model, square)


def theorem_constants(model: DickeModel, state: MeanFieldState, *, d0: str = "proved") -> TheoremConstants:
    """The constants of the paper's supplement, for any couplings.

        beta = 2 max_mu (|alpha_mu(0)| + 2 sqrt(3) |g| S_mu / kappa_mu)     S_mu = K sum_k w_k |G[mu, k]|
        c0   = 12 |Omega| + 24 M |g| f + 12 M |g| f beta                    f = max |G|
        d0   = 2 (max_mu (|Omega_mu| + kappa_mu / 2) + |g| max_mu S_mu)
        C    = 2 M d0 + 3 K c0

    with a / sqrt(N) amplitudes and g = g0 / sqrt(K). For signs and equal subsets S_mu = K = 2^(M-1) and f = 1: the
    constants as they are printed, up to d0, of which the statement of Lemma 4 prints 2^M - 1 in place of the 2^(M-1)
    that its proof gives. Both are bounds.

    **Arguments**

    - `model`: of constant rates, kappa > 0, without single-spin dissipation, which adds a source to E_N.
    - `state`: the initial `MeanFieldState`, whose alpha enters beta.
    - `d0`: "proved" or "printed"; the latter for signs and equal subsets only.
    """
    real_start(model, state)
    check_choice("d0", d0, ("proved", "printed"))
    if model.is_time_dependent:
        refuse("model", "one with constant rates for this bound", "one with rates that change")
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation for this bound: it adds a source to E_N", "one with it")
    check_all("kappa", model.kappa, lambda k: k > 0, "positive in every mode for this bound")
    M, K, dtype = model.num_modes, model.num_subsets, model.dtype
    coupling = jnp.abs(model.spins.couplings).astype(dtype)
    root = np.sqrt(K).astype(dtype)
    g = jnp.abs(model.g0) / root
    reach = K * (coupling @ model.spins.weights.astype(dtype))
    if d0 == "printed" and known(coupling) and known(model.spins.weights):
        weights = np.asarray(model.spins.weights)
        if np.any(np.asarray(coupling) != 1) or np.ptp(weights) > EQUAL * weights.max():
            refuse("d0", "'proved' for couplings other than signs of equal subsets", "'printed'")
    alpha = root * jnp.abs(state.alpha).astype(dtype)
    beta = 2 * jnp.max(alpha + 2 * np.sqrt(3.0).astype(dtype) * g * reach / model.kappa)
    c0 = 12 * jnp.abs(model.omega_spin) + 12 * M * g * jnp.max(coupling) * (2 + beta)
    gamma = jnp.max(jnp.abs(model.omega_mode) + model.kappa / 2)
    lemma4 = 2 * (gamma + g * (jnp.max(reach) if d0 == "proved" else 2 * K - 1))
    return TheoremConstants(beta, c0, lemma4, 2 * M * lemma4 + 3 * K * c0)


def check_theorem(
    model: DickeModel, moments: Moments, reference: MFSolution | MeanFieldState, *, d0: str = "proved"
) -> TheoremCheck:
    """E_N(t) beside exp(C t) E_N(0) (Eq. 11) and the deviations of the means beside sqrt(E_N(t)) (Eq. 10, S6).

    **Arguments** as in `scaled_error` and `theorem_constants`. The first time counts as t = 0.
    """
    scaled = scaled_error(model, moments, reference)
    start = MeanFieldState(reference.m[0], reference.alpha[0])
    constants = theorem_constants(model, start, d0=d0)
    log_bound = jnp.log(scaled[0]) + constants.C * (moments.t - moments.t[0])
    N, deviation = None, jnp.zeros_like(scaled)
    if moments.num_spins is not None:
        N = moments.num_spins / model.num_subsets
        spins, modes = _deviations(moments, reference)
        re, im = jnp.split(modes, 2, axis=-1)
        amplitude = np.sqrt(model.num_subsets).astype(scaled.dtype) * jnp.hypot(re, im)  # with a / sqrt(N)
        deviation = jnp.maximum(jnp.max(jnp.abs(spins), axis=-1), jnp.max(amplitude, axis=-1))
    return TheoremCheck(moments.t, scaled, log_bound, deviation, constants, N)


def _weighted_trace(model: DickeModel, entries: Float[Array, "*T D"]) -> Float[Array, "*T"]:
    """N E_N from N_sp times mean squares: 1/K for spins, 2 for quadratures, since A^dag A + A A^dag = 2 (Re^2 + Im^2).

    N = N_sp / K turns a / sqrt(N_sp) into a / sqrt(N) with a factor sqrt(K), which cancels the 1/K for the modes.
    """
    n = 3 * model.num_subsets
    return jnp.sum(entries[..., :n], axis=-1) / model.num_subsets + 2 * jnp.sum(entries[..., n:], axis=-1)


def _deviations(
    moments: Moments, reference: MFSolution | MeanFieldState
) -> tuple[Float[Array, "T spins"], Float[Array, "T modes"]]:
    if reference.m.shape != moments.m.shape or reference.alpha.shape != moments.alpha.shape:
        refuse("reference", f"at the times of the moments, m of shape {moments.m.shape}", f"{reference.m.shape}")
    dm, da = moments.m - reference.m, moments.alpha - reference.alpha
    return dm.reshape(*dm.shape[:-2], -1), jnp.concatenate([da.real, da.imag], axis=-1)
