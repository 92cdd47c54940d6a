"""The Hamiltonian of large spins and modes in a frame displaced by the mean field, by its diagonals.

Each mode is cut off in a frame displaced by an amplitude beta(t), that of the mean field:

    a_mu = sqrt(N_sp) beta_mu(t) + b_mu,   d_mu = beta_mu' + (i Omega_mu + kappa_mu / 2) beta_mu
    H_b = sum_k (Omega S_x,k + g0 sum_mu G 2 Re beta_mu S_z,k) + sum_mu Omega_mu b^dag b
          + (g0 / sqrt(N_sp)) sum_mu (b + b^dag) sum_k G S_z,k - sqrt(N_sp) sum_mu (i d_mu b^dag + h.c.)

This is the model's master equation for any path beta whatever: a path that is far off costs photon levels, no accuracy.
"""

import math
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._typing import Quadratures, RealState
from ..dynamics.integrate import integrate
from ..mean_field.model import DickeModel
from .spin_space import LargeSpinSpace

PATH_STEPS = 2**14


def hamiltonian(
    model: DickeModel, space: LargeSpinSpace, beta: Quadratures, beta_dot: Quadratures, dtype: Any = float
) -> dict[int, Array]:
    """The diagonals of H_b by their offset: every site hops to its next levels."""
    K, root, (re, im), (re_dot, im_dot) = len(space.sizes), math.sqrt(space.num_spins), beta, beta_dot
    G = model.spins.couplings.astype(dtype)[:, np.array(space.subset)]
    d_re = re_dot - model.omega_mode * im + model.kappa / 2 * re
    d_im = im_dot + model.omega_mode * re + model.kappa / 2 * im
    s_z, photons = space.diagonals(dtype)
    field = model.g0 * (2 * re @ G)
    diagonals = {0: jnp.sum(field[:, None] * s_z, axis=0) + jnp.sum(model.omega_mode[:, None] * photons, axis=0)}
    for k in range(K):
        diagonals |= _hops(space, k, space.s_x_hops(k), model.omega_spin)
    for mu in range(len(space.levels)):
        strength = model.g0 / root * jnp.sum(G[mu, :, None] * s_z, axis=0) + root * d_im[mu]
        strength = jax.lax.complex(strength, jnp.full_like(strength, root * d_re[mu]))
        diagonals |= _hops(space, K + mu, space.b_hops(mu), strength)
    return diagonals


def loss(model: DickeModel, space: LargeSpinSpace, mu: int) -> dict[int, Array]:
    """sqrt(kappa_mu) b_mu."""
    hops = _hops(space, len(space.sizes) + mu, space.b_hops(mu), jnp.sqrt(model.kappa[mu]))
    return {max(hops): hops[max(hops)]}


def _hops(space: LargeSpinSpace, site: int, hops: np.ndarray, strength: Array) -> dict[int, Array]:
    """The hops of a site from level j + 1 to j, times strength, and back, times its conjugate."""
    stride = math.prod(space.sites[site + 1 :])
    down = (space.diagonal(site, np.append(hops, 0.0), jnp.result_type(strength)) * strength)[:-stride]
    return {stride: down, -stride: down.conj()}


def multiply(diagonals: dict[int, Array], matrix: Array) -> Array:
    """A matrix of these diagonals times another one."""
    parts = []
    for offset, diagonal in diagonals.items():
        first = max(offset, 0)
        part = diagonal[:, None] * matrix[first : first + len(diagonal)]
        parts.append(jnp.pad(part, ((max(-offset, 0), first), (0, 0))))
    return sum(parts[1:], parts[0])


def mean_field_path(model: DickeModel, y0: RealState, times: Float[Array, " T"], kinks: Array | None) -> dfx.Solution:
    controller = dfx.PIDController(rtol=1e-6, atol=1e-6)
    if kinks is not None:
        controller = dfx.ClipStepSizeController(controller, step_ts=kinks)
    solver, saveat = dfx.Tsit5(), dfx.SaveAt(t1=True, dense=True)
    return integrate(
        model, y0, times[0], times[-1], saveat, solver=solver, stepsize_controller=controller, max_steps=PATH_STEPS
    )
