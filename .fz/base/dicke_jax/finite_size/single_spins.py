"""Every spin as a site of its own: the space in which single-spin dissipation acts exactly, for a few spins.

A subset of N_k spins is N_k sites of one spin, S_a,k = sum_i sigma_a^(i). The Bloch equations m' = T m + c of one spin
are all that its jumps do:

    D(X) = (1/2) sum_a sigma_a (sum_b T_ab tr(sigma_b X) + c_a tr X)

On the real matrix R = A + B of rho = A + i B it is R' = Re(D) R + Im(D) R^T.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._typing import SpinVectors
from ..dissipation import SIGMA_X, SIGMA_Y, SIGMA_Z, LocalDissipation
from .large_spin_space import LargeSpinSpace

PAULI = np.stack([SIGMA_X, SIGMA_Y, SIGMA_Z])


def single_spin_space(sizes: tuple[int, ...], levels: tuple[int, ...]) -> LargeSpinSpace:
    """The sites of single spins, subset after subset, and of the modes."""
    subset = tuple(k for k, n in enumerate(sizes) for _ in range(n))
    return LargeSpinSpace((1,) * len(subset), levels, subset)


def product_of_spins(space: LargeSpinSpace, m: SpinVectors) -> Float[Array, "D D"]:
    """R of independent spins with means m_k, |m_k| <= 1, and all modes in the vacuum of their frame."""
    means = jax.lax.complex(m, jnp.zeros_like(m))
    rho = jnp.ones((1, 1), means.dtype)
    for k in space.subset:
        pauli = jnp.asarray(PAULI, rho.dtype)
        rho = jnp.kron(rho, (jnp.eye(2, dtype=rho.dtype) + jnp.einsum("a,aij->ij", means[:, k], pauli)) / 2)
    for n in space.levels:
        rho = jnp.kron(rho, jnp.zeros((n, n), rho.dtype).at[0, 0].set(1))
    return rho.real + rho.imag


def dissipate(R: Array, space: LargeSpinSpace, dissipation: LocalDissipation) -> Array:
    """What the jumps of all spins add to R'; R and the result in rows and columns of sites."""
    S, dtype = len(space.sites), R.dtype
    linear, constant = dissipation.terms(dtype)
    K = max(space.subset) + 1
    linear, constant = jnp.broadcast_to(linear, (3, 3, K)), jnp.broadcast_to(constant, (3, K))
    # D_ij,kl of the products sigma_a X sigma_b: real and imaginary parts of 9 + 3 constant tensors
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
