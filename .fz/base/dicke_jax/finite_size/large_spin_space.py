"""The space of K large spins and M cut-off modes: its sites, their matrices, product states."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

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

    def along(self, site: int, values: np.ndarray, axes: int, dtype: Any) -> Array:
        """Values for the levels of one site, to be broadcast over a tensor of that many axes."""
        return jnp.asarray(values, dtype).reshape([-1 if axis == site else 1 for axis in range(axes)])

    def s_z(self, k: int) -> np.ndarray:
        return self.sizes[k] - 2.0 * np.arange(self.sizes[k] + 1)

    def s_x_hops(self, k: int) -> np.ndarray:
        j = np.arange(self.sizes[k])
        return np.sqrt((j + 1.0) * (self.sizes[k] - j))

    def b_hops(self, mu: int) -> np.ndarray:
        return np.sqrt(np.arange(1.0, self.levels[mu]))


def hop(tensor: Array, axis: int, hops: np.ndarray, up: bool) -> Array:
    """A matrix with one side diagonal, applied along an axis: level j from level j - 1 (`up`) or from j + 1."""
    n = tensor.shape[axis]
    start, pad = (0, (1, 0)) if up else (1, (0, 1))
    part = jax.lax.slice_in_dim(tensor, start, start + n - 1, axis=axis)
    shape = [-1 if a == axis % tensor.ndim else 1 for a in range(tensor.ndim)]
    return jnp.pad(jnp.asarray(hops, tensor.dtype).reshape(shape) * part, [pad if s == -1 else (0, 0) for s in shape])


def hop_both(tensor: Array, axis: int, hops: np.ndarray) -> Array:
    return hop(tensor, axis, hops, up=True) + hop(tensor, axis, hops, up=False)


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
    for n in space.levels:
        psi = jnp.kron(psi, jnp.zeros(n, psi.dtype).at[0].set(1))
    return psi


def product_state(space: LargeSpinSpace, m: SpinVectors) -> Float[Array, "D D"]:
    """R of `product_ket`."""
    psi = product_ket(space, m)
    rho = psi[:, None] * psi.conj()[None, :]
    return rho.real + rho.imag
