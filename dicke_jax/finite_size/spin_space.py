"""The space of K large spins and M cut-off modes: its sites, their matrices, product states."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from .._typing import SpinVectors


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
