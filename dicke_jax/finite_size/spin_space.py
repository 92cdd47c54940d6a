"""The space of spins and cut-off modes: its sites, their matrices, product states, the Hamiltonian by its diagonals.

A subset of N_k spins is one large spin or, where single spins dissipate, N_k sites of one spin. Each mode is cut off in
a frame displaced by an amplitude beta(t), that of the mean field:

    a_mu = sqrt(N_sp) beta_mu(t) + b_mu,   d_mu = beta_mu' + (i Omega_mu + kappa_mu / 2) beta_mu
    H_b = sum_k (Omega S_x,k + g0 sum_mu G 2 Re beta_mu S_z,k) + sum_mu Omega_mu b^dag b
          + (g0 / sqrt(N_sp)) sum_mu (b + b^dag) sum_k G S_z,k - sqrt(N_sp) sum_mu (i d_mu b^dag + h.c.)

This is the model's master equation for any path beta whatever: a path that is far off costs photon levels, no accuracy.
A density matrix rho = A + i B is the real matrix R = A + B.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from .._typing import Quadratures, SpinVectors
from ..mean_field.dissipation import SIGMA_X, SIGMA_Y, SIGMA_Z, LocalDissipation
from ..mean_field.model import DickeModel

PAULI = np.stack([SIGMA_X, SIGMA_Y, SIGMA_Z])


class LargeSpinSpace(eqx.Module):
    """A site for each subset, a spin N_k / 2 with S_z = N_k, N_k - 2, ..., -N_k, and one for each mode.

    `subset` is the subset of each spin site, where several sites share one. `s_x_hops` and `b_hops` are the elements
    next to the diagonal of S_x and of b.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    levels: tuple[int, ...] = eqx.field(static=True)
    subset: tuple[int, ...] = eqx.field(static=True)

    @property
    def sites(self) -> tuple[int, ...]:
        return (*(n + 1 for n in self.sizes), *self.levels)

    @property
    def num_spins(self) -> int:
        return sum(self.sizes)

    def diagonal(self, site: int, values: np.ndarray, dtype: Any) -> Inexact[Array, " D"]:
        """The diagonal of a matrix that has these values for the levels of one site."""
        inner = math.prod(self.sites[site + 1 :])
        return jnp.tile(jnp.repeat(jnp.asarray(values, dtype), inner), math.prod(self.sites[:site]))

    def diagonals(self, dtype: Any) -> tuple[Float[Array, "K D"], Float[Array, "M D"]]:
        """Of all S_z, and of all b^dag b."""
        spins, modes = range(len(self.sizes)), enumerate(self.levels, len(self.sizes))
        s_z = jnp.stack([self.diagonal(k, self.s_z(k), dtype) for k in spins])
        return s_z, jnp.stack([self.diagonal(site, np.arange(n), dtype) for site, n in modes])

    def s_z(self, k: int) -> np.ndarray:
        return self.sizes[k] - 2.0 * np.arange(self.sizes[k] + 1)

    def s_x_hops(self, k: int) -> np.ndarray:
        j = np.arange(self.sizes[k])
        return np.sqrt((j + 1.0) * (self.sizes[k] - j))

    def b_hops(self, mu: int) -> np.ndarray:
        return np.sqrt(np.arange(1.0, self.levels[mu]))

    def subset_averages(self, dtype: Any) -> Array:
        """From v site by site to v of the subsets, in the order of `Moments`: each site has a share in its subset."""
        belongs = (np.array(self.subset) == np.arange(max(self.subset) + 1)[:, None]) * np.array(self.sizes, float)
        share, modes = belongs / belongs.sum(axis=1, keepdims=True), np.eye(len(self.levels))
        spins, quadratures = (
            np.einsum("ks,ab->aksb", weights, np.eye(n)).reshape(n * len(weights), -1)
            for weights, n in ((share, 3), (modes, 2))
        )
        return jax.scipy.linalg.block_diag(spins, quadratures).astype(dtype)


def large_spin_space(sizes: tuple[int, ...], levels: tuple[int, ...]) -> LargeSpinSpace:
    return LargeSpinSpace(sizes, levels, tuple(range(len(sizes))))


def single_spin_space(sizes: tuple[int, ...], levels: tuple[int, ...]) -> LargeSpinSpace:
    """The sites of single spins, subset after subset, and of the modes."""
    subset = tuple(k for k, n in enumerate(sizes) for _ in range(n))
    return LargeSpinSpace((1,) * len(subset), levels, subset)


def reduced(rho: Array, num_sites: int, keep: tuple[int, ...]) -> Array:
    """The state of one or two sites: axes (rows of keep, columns of keep)."""
    rows = list(range(num_sites))
    columns = [num_sites + s if s in keep else s for s in rows]
    return jnp.einsum(rho, rows + columns, [*keep, *(num_sites + s for s in keep)])


def site_operators(space: LargeSpinSpace, site: int, dtype: Any) -> Array:
    """S_x, S_y, S_z over N_k for a spin; Re b, Im b over sqrt(N_sp) for a mode."""
    K = len(space.sizes)
    if site < K:
        up = np.diag(space.s_x_hops(site), 1)  # raises S_z: from level j + 1 to level j
        matrices = np.stack([up + up.T, -1j * (up - up.T), np.diag(space.s_z(site))]) / space.sizes[site]
    else:
        b = np.diag(space.b_hops(site - K), 1)
        matrices = np.stack([(b + b.T) / 2, (b - b.T) / 2j]) / math.sqrt(space.num_spins)
    return jnp.asarray(matrices, dtype)


def product_ket(space: LargeSpinSpace, m: SpinVectors) -> Complex[Array, " D"]:
    """All spins along m_k and all modes in the vacuum of their frame."""
    psi = jax.lax.complex(jnp.ones(1, m.dtype), jnp.zeros(1, m.dtype))
    for k, N in enumerate(space.sizes):
        x, y, z = m[:, k] / jnp.linalg.norm(m[:, k])
        roots = jnp.asarray([math.sqrt(math.comb(N, j)) for j in range(N + 1)], m.dtype)
        theta, phi = jnp.arctan2(jnp.hypot(x, y), z), jnp.arctan2(y, x)
        j = jnp.arange(N + 1, dtype=m.dtype)
        size = roots * jnp.cos(theta / 2) ** (N - j) * jnp.sin(theta / 2) ** j
        psi = jnp.kron(psi, jax.lax.complex(size * jnp.cos(j * phi), size * jnp.sin(j * phi)))
    return jnp.kron(psi, jnp.zeros(math.prod(space.levels), psi.dtype).at[0].set(1))


def product_state(space: LargeSpinSpace, m: SpinVectors) -> Float[Array, "D D"]:
    """R of `product_ket`."""
    psi = product_ket(space, m)
    rho = psi[:, None] * psi.conj()[None, :]
    return rho.real + rho.imag


def product_of_spins(space: LargeSpinSpace, m: SpinVectors) -> Float[Array, "D D"]:
    """R of independent spins with means m_k, |m_k| <= 1, and all modes in the vacuum of their frame."""
    means = jax.lax.complex(m, jnp.zeros_like(m))
    rho = jnp.ones((1, 1), means.dtype)
    for k in space.subset:
        pauli = jnp.asarray(PAULI, rho.dtype)
        rho = jnp.kron(rho, (jnp.eye(2, dtype=rho.dtype) + jnp.einsum("a,aij->ij", means[:, k], pauli)) / 2)
    n = math.prod(space.levels)
    rho = jnp.kron(rho, jnp.zeros((n, n), rho.dtype).at[0, 0].set(1))
    return rho.real + rho.imag


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


def dissipate(R: Array, space: LargeSpinSpace, dissipation: LocalDissipation) -> Array:
    """What the jumps of single spins add to R': Re(D) R + Im(D) R^T; R and the result in rows and columns of sites.

    The Bloch equations m' = T m + c of one spin are all that its jumps do,

        D(X) = (1/2) sum_a sigma_a (sum_b T_ab tr(sigma_b X) + c_a tr X).
    """
    S, dtype = len(space.sites), R.dtype
    linear, constant = dissipation.terms(dtype)
    K = max(space.subset) + 1
    linear, constant = jnp.broadcast_to(linear, (3, 3, K)), jnp.broadcast_to(constant, (3, K))
    # D_ij,kl of the products sigma_a X sigma_b
    pairs = np.einsum("aij,blk->abijkl", PAULI, PAULI) / 2
    traces = np.einsum("aij,kl->aijkl", PAULI, np.eye(2)) / 2
    transposed = jnp.transpose(R, [*range(S, 2 * S), *range(S)])
    change = jnp.zeros_like(R)
    for site, k in enumerate(space.subset):
        for part, tensor in ((np.real, R), (np.imag, transposed)):
            D = jnp.einsum("ab,abijkl->ijkl", linear[:, :, k], jnp.asarray(part(pairs), dtype))
            D += jnp.einsum("a,aijkl->ijkl", constant[:, k], jnp.asarray(part(traces), dtype))
            jumped = jnp.tensordot(D, tensor, axes=((2, 3), (site, S + site)))
            change += jnp.moveaxis(jumped, (0, 1), (site, S + site))
    return change
