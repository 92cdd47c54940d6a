"""The paper's theorem: the error E_N(t) of mean field, its bound, and how loose the bound is."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import check_all, check_choice, known, refuse
from .._door import checked
from .._status import Status, where
from .._summary import AbstractResult, Rows
from ..dynamics import MFSolution
from ..mean_field import DickeModel, MeanFieldState, check_constant_rates
from .moments import Moments, product_covariance, real_start

D0 = "proved", "printed"
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


class TheoremCheck(AbstractResult):
    """N E_N(t) beside its bound; `N` is the number of spins per subset, N_sp / K, and None in the limit.

    - `t`: (T,), the times; `N` as above.
    - `scaled_error`: (T,), N E_N(t), which has a limit for large N.
    - `log_scaled_bound`: (T,), log(N E_N(0)) + C t. The bound itself overflows.
    - `deviation`: (T,), the largest |<m_a,k> - m_a,k(t)| or |<alpha_mu> - alpha_mu(t)|, with a / sqrt(N); S6 of the
      paper says that it is at most sqrt(E_N(t)).
    - `constants`: the `TheoremConstants`.
    - `status`: `Status.failed` where numbers are not finite. Whether the theorem holds is `holds`.
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
    @eqx.filter_jit
    def holds(self) -> Array:
        """Whether E_N is within its bound and every deviation within sqrt(E_N), at all times and up to round-off."""
        room = 1e3 * jnp.finfo(self.scaled_error.dtype).eps
        return jnp.all(self.log_looseness >= -room) & jnp.all(self.deviation**2 <= self.error * (1 + room) + room**2)

    @property
    @eqx.filter_jit
    def status(self) -> Status:
        """Whether all numbers are finite."""
        finite = jnp.all(jnp.isfinite(self.scaled_error) & jnp.isfinite(self.log_scaled_bound))
        return where(finite, Status.successful, Status.failed)

    def _heading(self) -> str:
        return f"TheoremCheck: N {'-> infinity' if self.N is None else f'= {self.N:g}'}, {self.t.shape[-1]} times"

    def _rows(self) -> Rows:
        yield "holds", "yes" if np.all(self.holds) else "no"
        yield "N E_N", f"{np.max(np.asarray(self.scaled_error)[..., -1]):.4g} at the last time"
        yield "bound", f"exp({np.max(np.asarray(self.log_scaled_bound)[..., -1]):.4g})"


@checked
def initial_error(model: DickeModel, state: MeanFieldState) -> Float[Array, ""]:
    """N E_N(0) of a product state: (1/K) sum_k (3 - |m_k|^2) / w_k + M, which is 2 K + M for pure spins, equal subsets.

    Spins are independent and alike within a subset, modes in the vacuum or in coherent states.

    - `model`: a `DickeModel`; `state`: the `MeanFieldState`, |m_k| <= 1.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model()  # K = 8, M = 4
        >>> print(dj.initial_error(model, dj.stored_pattern(model)))
        20.0
    """
    return _initial(model, real_start(model, state)[0])


@checked
def scaled_error(model: DickeModel, moments: Moments, reference: MFSolution | MeanFieldState) -> Float[Array, " T"]:
    """N E_N(t) of Eq. 9, from moments and the mean field at the same times.

        E_N = sum_a,k <(m_a,k - m_a,k(t))^2> + sum_mu <A_mu^dag A_mu + A_mu A_mu^dag>
        A_mu = a_mu / sqrt(N) - alpha_mu(t),   N = N_sp / K

    **Arguments**

    - `model`: the `DickeModel`.
    - `moments`: from `mesolve`, `wigner_moments` or `gaussian_moments`.
    - `reference`: the mean field at the times of `moments`: an `MFSolution`, or states with a leading axis T.

    **Returns** (T,) numbers without a unit. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.4, num_patterns=1)
        >>> start, times = dj.stored_pattern(model), [0.0, 2.0]
        >>> exact = dj.mesolve(model, start, times, subset_size=4)
        >>> print(dj.scaled_error(model, exact.moments, dj.mfsolve(model, start, times)).round(4))
        [3.     3.8105]
    """
    return _errors(model, moments.covariance, *_compared(moments, reference))[0]


@checked
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

    **Returns** `TheoremConstants`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=1)
        >>> constants = dj.theorem_constants(model, dj.stored_pattern(model))
        >>> print(f"C = {constants.C:.2f}")
        C = 351.42
    """
    real_start(model, state)
    check_choice("d0", d0, D0)
    check_constant_rates(model, "for this bound")
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation for this bound: it adds a source to E_N", "one with it")
    check_all("kappa", model.kappa, lambda k: k > 0, "positive in every mode for this bound")
    couplings, weights = model.spins.couplings, model.spins.weights
    if d0 == "printed" and known(couplings) and known(weights):
        weights = np.asarray(weights)
        if np.any(np.abs(np.asarray(couplings)) != 1) or np.ptp(weights) > EQUAL * weights.max():
            refuse("d0", "'proved' for couplings other than signs of equal subsets", "'printed'")
    return _constants(model, state.alpha, d0 == "proved")


@eqx.filter_jit
def _constants(model: DickeModel, alpha: Complex[Array, " M"], proved: bool) -> TheoremConstants:
    M, K, dtype = model.num_modes, model.num_subsets, model.dtype
    coupling = jnp.abs(model.spins.couplings).astype(dtype)
    root = np.sqrt(K).astype(dtype)
    g = jnp.abs(model.g0) / root
    reach = K * (coupling @ model.spins.weights.astype(dtype))
    alpha = root * jnp.abs(alpha).astype(dtype)
    beta = 2 * jnp.max(alpha + 2 * np.sqrt(3.0).astype(dtype) * g * reach / model.kappa)
    c0 = 12 * jnp.abs(model.omega_spin) + 12 * M * g * jnp.max(coupling) * (2 + beta)
    gamma = jnp.max(jnp.abs(model.omega_mode) + model.kappa / 2)
    lemma4 = 2 * (gamma + g * (jnp.max(reach) if proved else 2 * K - 1))
    return TheoremConstants(beta, c0, lemma4, 2 * M * lemma4 + 3 * K * c0)


@checked
def check_theorem(
    model: DickeModel, moments: Moments, reference: MFSolution | MeanFieldState, *, d0: str = "proved"
) -> TheoremCheck:
    """E_N(t) beside exp(C t) E_N(0) (Eq. 11) and the deviations of the means beside sqrt(E_N(t)) (Eq. 10, S6).

    **Arguments**: `model`, `moments` and `reference` as in `scaled_error`, `d0` as in `theorem_constants`. The first
    time counts as t = 0.

    **Returns** a `TheoremCheck`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.4, num_patterns=1)
        >>> start, times = dj.stored_pattern(model), [0.0, 2.0]
        >>> exact = dj.mesolve(model, start, times, subset_size=4)
        >>> check = dj.check_theorem(model, exact.moments, dj.mfsolve(model, start, times))
        >>> print(check.scaled_error.round(4), check.log_scaled_bound.round(1))
        [3.     3.8105] [  1.1 193.7]
    """
    check_choice("d0", d0, D0)
    constants = theorem_constants(model, MeanFieldState(*_first(reference.m, reference.alpha)), d0=d0)
    scaled, deviation = _errors(model, moments.covariance, *_compared(moments, reference))
    N = None if moments.num_spins is None else moments.num_spins / model.num_subsets
    return TheoremCheck(moments.t, scaled, _log_bound(scaled, constants.C, moments.t), deviation, constants, N)


_initial = eqx.filter_jit(lambda model, m: weighted_trace(model, jnp.diagonal(product_covariance(model, m))))
_first = eqx.filter_jit(lambda m, alpha: (m[0], alpha[0]))
_log_bound = eqx.filter_jit(lambda scaled, C, t: jnp.log(scaled[0]) + C * (t - t[0]))


@eqx.filter_jit
def _errors(
    model: DickeModel, covariance: Float[Array, "*T D D"], num_spins: Float[Array, ""] | None, means: Any
) -> tuple[Float[Array, "*T"], Float[Array, "*T"]]:
    """N E_N(t), and the largest deviation of a mean, with a / sqrt(N)."""
    scaled = weighted_trace(model, jnp.diagonal(covariance, axis1=-2, axis2=-1))
    if num_spins is None:
        return scaled, jnp.zeros_like(scaled)
    spins, modes = (mean - of_reference for mean, of_reference in means)
    off = jnp.concatenate([spins.reshape(*spins.shape[:-2], -1), modes.real, modes.imag], axis=-1)
    amplitudes = np.sqrt(model.num_subsets).astype(scaled.dtype) * jnp.abs(modes)
    deviation = jnp.maximum(jnp.max(jnp.abs(spins), axis=(-2, -1)), jnp.max(amplitudes, axis=-1))
    return scaled + num_spins * weighted_trace(model, off**2), deviation


def weighted_trace(model: DickeModel, entries: Float[Array, "*T D"]) -> Float[Array, "*T"]:
    """N E_N from N_sp times mean squares: 1/K for spins, 2 for quadratures, since A^dag A + A A^dag = 2 (Re^2 + Im^2).

    N = N_sp / K turns a / sqrt(N_sp) into a / sqrt(N) with a factor sqrt(K), which cancels the 1/K for the modes.
    """
    n = 3 * model.num_subsets
    return jnp.sum(entries[..., :n], axis=-1) / model.num_subsets + 2 * jnp.sum(entries[..., n:], axis=-1)


def _compared(moments: Moments, reference: MFSolution | MeanFieldState) -> tuple[Array | None, Any]:
    """N_sp, and means beside those of the reference, for spins and for modes; nothing in the limit."""
    if moments.num_spins is None:
        return None, None
    if reference.m.shape != moments.m.shape or reference.alpha.shape != moments.alpha.shape:
        refuse("reference", f"at the times of the moments, m of shape {moments.m.shape}", f"{reference.m.shape}")
    means = (moments.m, reference.m), (moments.alpha, reference.alpha)
    return jnp.asarray(moments.num_spins, moments.covariance.dtype), means
