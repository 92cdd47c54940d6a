"""The couplings G as two linear maps, which is all that the equations ever ask of them.

    field    h_k  = sum_mu G[mu, k] q_mu       from modes to subsets, G^T
    project  p_mu = sum_k  G[mu, k] s_k        from subsets to modes, G

A structured G then needs neither M x K memory nor M x K time.
"""

import abc
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Num

from .._checks import as_real, check_count, check_finite, refuse
from .._typing import ModeReals, SubsetReals

SMALL_MATRIX = 4096  # entries up to which sums that fuse cost less than a matrix product that does not
SMALL_CUBE = 32  # subsets up to which M K products, which a processor does several at a time, cost less than K shuffles


class AbstractCouplings(eqx.Module):
    """Couplings G of M modes to K subsets.

    **Example**

        >>> class Uniform(dj.AbstractCouplings):  # one mode that couples to four subsets alike
        ...     num_modes = 1
        ...     num_subsets = 4
        ...     def field(self, q):
        ...         return jnp.broadcast_to(q[0], (4,))
        ...     def project(self, s):
        ...         return jnp.sum(s)[None]
        >>> print(dj.LargeSpins(Uniform(), jnp.full(4, 0.25)).couplings)
        [[1. 1. 1. 1.]]
    """

    @property
    @abc.abstractmethod
    def num_modes(self) -> int:
        """M, the number of rows."""

    @property
    @abc.abstractmethod
    def num_subsets(self) -> int:
        """K, the number of columns."""

    @abc.abstractmethod
    def field(self, q: ModeReals) -> SubsetReals:
        """h_k = sum_mu G[mu, k] q_mu."""

    @abc.abstractmethod
    def project(self, s: SubsetReals) -> ModeReals:
        """p_mu = sum_k G[mu, k] s_k, the transpose of `field`."""


class DenseCouplings(AbstractCouplings):
    """Any G, kept as a matrix; each map is one matrix product, written out where G is small.

    - `matrix`: (M, K), real and finite.

    **Raises** ValueError for what is no such matrix.

    **Example**

        >>> dj.DenseCouplings([[1, 2]]).field(jnp.array([0.5])).tolist()
        [0.5, 1.0]
    """

    matrix: Num[Array, "M K"] = eqx.field(converter=partial(as_real, name="matrix"))

    def __check_init__(self) -> None:
        if self.matrix.ndim != 2 or 0 in self.matrix.shape:
            refuse("matrix", "of shape (M, K) with M, K >= 1", f"shape {self.matrix.shape}")
        check_finite("matrix", self.matrix)

    @property
    def num_modes(self) -> int:
        return self.matrix.shape[0]

    @property
    def num_subsets(self) -> int:
        return self.matrix.shape[1]

    def field(self, q: ModeReals) -> SubsetReals:
        G = self.matrix.astype(q.dtype)
        return _row_sum(G, q) if G.size <= SMALL_MATRIX else jnp.matmul(q, G, precision="highest")

    def project(self, s: SubsetReals) -> ModeReals:
        G = self.matrix.astype(s.dtype)
        return _pairwise_sum(G.T * s[:, None]) if G.size <= SMALL_MATRIX else jnp.matmul(G, s, precision="highest")


class HypercubeCouplings(AbstractCouplings):
    """All sign columns once, f^M of Eq. 3 of the paper: K = 2^(M-1) with the gauge (first row +1), 2^M without.

    Column k reads off the binary digits of k, the second pattern (without the gauge the first) as the most
    significant one, digit 0 as +1: the order of the paper's Fig. 2 and Fig. S1. Both maps take O(K) time and memory.

    Sums run pairwise along the cube. At a state z_k = +-z every partial sum is then 0 or a power of two times z,
    without round-off. Where the rest of the arithmetic treats all subsets alike, which the tests watch, a run that
    starts exactly on one pattern keeps its other overlaps at exactly zero: it never leaves that invariant subspace.

    - `num_patterns`: M.
    - `gauge`: whether the first row is +1 throughout.

    **Raises** ValueError for a number that is none.

    **Example**

        >>> dj.HypercubeCouplings(3).signs.tolist()
        [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1]]
    """

    num_patterns: int = eqx.field(static=True)
    gauge: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        check_count("num_patterns", self.num_patterns)

    @property
    def num_modes(self) -> int:
        return self.num_patterns

    @property
    def num_subsets(self) -> int:
        return 2 ** (self.num_patterns - self.gauge)

    @property
    def signs(self) -> Int8[np.ndarray, "M K"]:
        """G, written out."""
        digits = np.indices((2,) * (self.num_patterns - self.gauge)).reshape(-1, self.num_subsets)
        return np.vstack([np.zeros((int(self.gauge), self.num_subsets), int), digits]).astype(np.int8) * -2 + 1

    def field(self, q: ModeReals) -> SubsetReals:
        if self.num_subsets <= SMALL_CUBE:
            return _row_sum(jnp.asarray(self.signs, q.dtype), q)
        h, rows = (q[:1], q[1:]) if self.gauge else (jnp.zeros_like(q[:1]), q)
        for row in rows:  # one axis of the cube for each row: the part with +1, the part with -1
            h = jnp.stack([h + row, h - row], axis=-1).reshape(-1)
        return h

    def project(self, s: SubsetReals) -> ModeReals:
        if self.num_subsets <= SMALL_CUBE:
            return _pairwise_sum(jnp.asarray(self.signs.T, s.dtype) * s[:, None])
        # the cube as a square: the first patterns are told apart by sums of its rows, the others by sums of its columns
        square = s.reshape(2 ** ((self.num_patterns - self.gauge) // 2), -1)
        total, first = _walsh(jax.vmap(_pairwise_sum)(square))
        _, others = _walsh(_pairwise_sum(square))
        return jnp.stack([*([total] if self.gauge else []), *first, *others])


def _walsh(s: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    """The sum over a cube, and for each of its axes the sum of what is +1 there less that of what is -1."""
    p = []
    while (half := s.shape[0] // 2) > 0:  # the first axis is the outermost
        p.append(_pairwise_sum(s[:half] - s[half:]))
        s = s[:half] + s[half:]
    return s[0], p


def _row_sum(G: Num[jax.Array, "M K"], q: ModeReals) -> SubsetReals:
    """sum_mu q_mu G[mu, :], one row after the other."""
    return sum((q[mu] * G[mu] for mu in range(1, q.shape[0])), q[0] * G[0])


def _pairwise_sum(terms: jax.Array) -> jax.Array:
    """The sum over the leading axis, halves first: an order that no compiler changes, and additions that it can fuse.

    A reduction would do neither: XLA's CPU backend hands large ones to a library.
    """
    rest = []
    while (n := terms.shape[0]) > 1:
        if n % 2:
            rest.append(terms[-1])
        terms = terms[: n // 2] + terms[n // 2 : n - n % 2]
    return sum(rest, terms[0])
