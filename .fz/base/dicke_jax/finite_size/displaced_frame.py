"""The Hamiltonian of large spins and modes in a frame displaced by the mean field, by its diagonals.

Each mode is cut off in a frame displaced by an amplitude beta(t), that of the mean field:

    a_mu = sqrt(N_sp) beta_mu(t) + b_mu,   d_mu = beta_mu' + (i Omega_mu + kappa_mu / 2) beta_mu
    H_b = sum_k (Omega S_x,k + g0 sum_mu G 2 Re beta_mu S_z,k) + sum_mu Omega_mu b^dag b
          + (g0 / sqrt(N_sp)) sum_mu (b + b^dag) sum_k G S_z,k - sqrt(N_sp) sum_mu (i d_mu b^dag + h.c.)

This is the model's master equation for any path beta whatever: a path that is far off costs photon levels, no accuracy.
"""

import math

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._typing import Quadratures, RealState
from ..equations import mean_field_equations
from ..model import DickeModel
from .large_spin_space import LargeSpinSpace

PATH_STEPS = 2**14


def hamiltonian(model: DickeModel, space: LargeSpinSpace, beta: Quadratures, beta_dot: Quadratures) -> dict[int, Array]:
    """The diagonals of H_b by their offset: every site hops to its next levels."""
    S, K, root, G = len(space.sites), len(space.sizes), np.sqrt(space.num_spins), model.spins.couplings.astype(float)
    (re, im), (re_dot, im_dot) = beta, beta_dot
    d_re = re_dot - model.omega_mode * im + model.kappa / 2 * re
    d_im = im_dot + model.omega_mode * re + model.kappa / 2 * im
    field = model.g0 * (2 * re @ G)
    s_z = [space.along(k, space.s_z(k), S, float) for k in range(K)]
    energies = sum((field[k] * s_z[k] for k in range(K)), jnp.zeros(space.sites))
    diagonals = {}
    for k in range(K):
        diagonals |= _hops(space, k, space.s_x_hops(k), model.omega_spin)
    for mu, n in enumerate(space.levels):
        energies += model.omega_mode[mu] * space.along(K + mu, np.arange(n), S, float)
        coupling = sum((G[mu, k] * s_z[k] for k in range(K)), jnp.zeros((1,) * S))
        strength = jax.lax.complex(model.g0 / root * coupling + root * d_im[mu], jnp.zeros((1,) * S) + root * d_re[mu])
        diagonals |= _hops(space, K + mu, space.b_hops(mu), strength)
    return {0: energies.ravel()} | diagonals


def loss(model: DickeModel, space: LargeSpinSpace, mu: int) -> dict[int, Array]:
    """sqrt(kappa_mu) b_mu."""
    hops = _hops(space, len(space.sizes) + mu, space.b_hops(mu), jnp.sqrt(model.kappa[mu]))
    return {max(hops): hops[max(hops)]}


def _hops(space: LargeSpinSpace, site: int, hops: np.ndarray, strength: Array) -> dict[int, Array]:
    """The hops of a site from level j + 1 to j, times strength, and back, times its conjugate."""
    stride = math.prod(space.sites[site + 1 :])
    down = space.along(site, np.append(hops, 0.0), len(space.sites), float) * strength
    down = jnp.broadcast_to(down, space.sites).ravel()[:-stride]
    return {stride: down, -stride: down.conj()}


def mean_field_path(model: DickeModel, y0: RealState, times: Float[Array, " T"], kinks: Array | None) -> dfx.Solution:
    controller = dfx.PIDController(rtol=1e-6, atol=1e-6)
    if kinks is not None:
        controller = dfx.ClipStepSizeController(controller, step_ts=kinks)
    return dfx.diffeqsolve(
        dfx.ODETerm(mean_field_equations),
        dfx.Tsit5(),
        times[0],
        times[-1],
        None,
        y0,
        args=model,
        saveat=dfx.SaveAt(dense=True),
        stepsize_controller=controller,
        max_steps=PATH_STEPS,
    )
