"""The mean-field equations: the right-hand side, nothing else."""

import jax.numpy as jnp

from ._typing import ArrayLike, RealState
from .model import DickeModel


def mean_field_equations(t: ArrayLike, y: RealState, model: DickeModel) -> RealState:
    """Eq. 7 of the paper (S27), with alpha_mu = <a_mu> / sqrt(N_sp) and the quadratures real.

        x'_k = -2 g0 h_k y_k                        h_k   = sum_mu G[mu, k] 2 Re alpha_mu
        y'_k = -2 Omega z_k + 2 g0 h_k x_k          xi_mu = sum_k w_k G[mu, k] z_k
        z'_k =  2 Omega y_k
        alpha'_mu = -(i Omega_mu + kappa_mu / 2) alpha_mu - i g0 xi_mu

    Single-spin dissipation adds T m_k + c. Exact in the thermodynamic limit for states without long-range
    correlations (the paper's theorem).
    """
    model = model.at(t)
    (mx, my, mz), (re, im) = y
    turn = 2 * model.g0 * model.spins.field(2 * re)
    flip = 2 * model.omega_spin
    xi = model.spins.project(mz)
    m_dot = jnp.stack([-turn * my, turn * mx - flip * mz, flip * my])
    if model.dissipation is not None:
        m_dot += model.dissipation.rate_of_change(y[0])
    alpha_dot = jnp.stack(
        [
            model.omega_mode * im - model.kappa / 2 * re,
            -model.omega_mode * re - model.kappa / 2 * im - model.g0 * xi,
        ]
    )
    return m_dot, alpha_dot
