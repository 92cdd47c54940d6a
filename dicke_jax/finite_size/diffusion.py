"""What losses and jumps add to fluctuations, the D of Sigma' = A Sigma + Sigma A^T + D.

    kappa_mu / 4                              on both quadratures of mode mu
    -(T + T^T + c m_k^T + m_k c^T) / w_k      on the spins of subset k
    (d . m' - T s - s T^T - c m_k^T - m_k c^T) / w_k     on sites with d levels, of which that is a case
    r (u u^T + v v^T)                         for a collective jump sqrt(N r) l, u = W grad Re l and v = W grad Im l

The second is r Re <[L^dag, sigma_a] [sigma_b, L]> of one spin, for jumps with Bloch terms T m + c: symmetrised,
sigma_a sigma_b is a constant, so that D_ab = -<{(T sigma + c)_a, sigma_b} / 2> - (a <-> b). Of more levels it is not:
s_ab = Tr(rho {lambda_a, lambda_b} / 2) moves by (d . m')_ab = sum_c d_abc m'_c with m' = T m_k + c.

The last is N Re <[L^dag, v_a] [v_b, L]> of all spins and modes at once, with N [v_a, l] = i (W grad l)_a and W as in
`commutators`. Photon loss is the case l = alpha_mu.
"""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import refuse
from .._typing import ModeReals, RealState
from ..mean_field import CollectiveModel, DickeModel, mean_field_equations
from ..mean_field.collective_jumps import is_photon_loss
from ..mean_field.site_levels import products_of
from .moments import block_matrix, commutators, ravel, unravel


def diffusion(model: DickeModel | CollectiveModel, y: RealState) -> Float[Array, "D D"]:
    """D at the state y, of a model with constant rates."""
    m = y[0]
    of_spins = jnp.zeros((len(m), *m.shape), m.dtype)
    if model.dissipation is not None:
        T, c = model.dissipation.terms(m.dtype)
        if model.levels > 2:
            of_spins += products_of(model.dissipation.rate_of_change(m), 0.0)
            T = jnp.sum(T[:, :, None] * products_of(m)[None], axis=1)
        half = T + c[:, None, :] * m[None, :, :]
        of_spins -= half + jnp.swapaxes(half, 0, 1)
    if isinstance(model, DickeModel):
        return block_matrix(model, of_spins, jnp.diag(jnp.tile(model.kappa / 4, 2)))
    of_modes = jnp.zeros((2 * model.num_modes, 2 * model.num_modes), m.dtype)
    return block_matrix(model, of_spins, of_modes) + _of_collective_jumps(model, y)


def _of_collective_jumps(model: CollectiveModel, y: RealState) -> Float[Array, "D D"]:
    def amplitudes(v: Float[Array, " D"]) -> Float[Array, " parts"]:
        """Re l and Im l of all jumps."""
        _, both = model.functions(0.0, unravel(v, model))
        return jnp.concatenate([part.ravel() for pair in both for part in pair])

    if not model.jumps:
        return jnp.zeros((model.num_components,) * 2, model.dtype)
    _, both = model.functions(0.0, y)
    pairs = zip(model.jumps, both, strict=True)
    rates = jnp.concatenate([jnp.broadcast_to(jump.rate, part.shape).ravel() for jump, pair in pairs for part in pair])
    brackets = jnp.matmul(jax.jacfwd(amplitudes)(ravel(y)), commutators(model, y[0]), precision="highest")
    return jnp.matmul(brackets.T, rates[:, None] * brackets, precision="highest")


def losses(model: DickeModel | CollectiveModel) -> ModeReals:
    """Kappa of the modes."""
    if isinstance(model, DickeModel):
        return model.kappa
    rates = [jump.rate for jump in model.jumps if is_photon_loss(jump)]
    if len(rates) != 1:
        refuse("model", "one with one photon_loss, for its light to leave by", f"one with {len(rates)}")
    return jnp.broadcast_to(rates[0], (model.num_modes,))


def _with_covariance(t: Any, state: Any, model: DickeModel | CollectiveModel) -> Any:
    y, sigma = state
    model = model.at(t)
    v, along = jax.linearize(lambda u: ravel(mean_field_equations(t, unravel(u, model), model)), ravel(y))
    drift = jax.vmap(along, in_axes=1, out_axes=1)(sigma)  # A Sigma, column by column
    return unravel(v, model), drift + drift.T + diffusion(model, y)


WITH_COVARIANCE = dfx.ODETerm(_with_covariance)
