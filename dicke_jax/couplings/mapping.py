"""The exact mapping of raw patterns to large spins (paper, Fig. 2, S1 and S2).

Rows of G are read one after the other; each splits the subsets found so far by the value of the coupling, largest
first. That is the reordering of the paper, and at no time larger than one number for each spin.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8

from .._checks import check_all, check_finite, check_shape, known, refuse
from .._door import checked
from .._typing import ArrayLike, SpinVectors
from .large_spins import LargeSpins
from .operators import DenseCouplings, HypercubeCouplings


class SpinMapping(eqx.Module):
    """Which large spin every single spin belongs to, and the sign by which it was gauged.

    - `spins`: the `LargeSpins`, with the subset sizes that G really has. Columns that no spin has are left out.
    - `subset`: shape (N_sp,), the subset of each spin.
    - `gauge`: shape (N_sp,), +1 or -1; spins with -1 are rotated by pi about x, which flips y and z.

    **Example**

        >>> mapped = dj.map_to_large_spins([[1, -1, 1, 1], [1, 1, -1, 1]])
        >>> mapped.subset.tolist(), mapped.gauge.tolist()
        ([0, 1, 1, 0], [1, -1, 1, 1])
    """

    spins: LargeSpins
    subset: Int[Array, " N"] = eqx.field(converter=jnp.asarray)
    gauge: Int8[Array, " N"] = eqx.field(converter=jnp.asarray)

    @property
    def order(self) -> Int[Array, " N"]:
        """A stable reordering of the spins, subset after subset: (G * gauge)[:, order] is block-constant (Fig. 2)."""
        return jnp.argsort(self.subset, stable=True)

    @checked
    def to_large(self, bloch: ArrayLike) -> SpinVectors:
        """m_k, the mean over the spins of subset k of their gauged Bloch vectors. (3, N_sp) -> (3, K)."""
        vectors = jnp.asarray(bloch)
        check_shape("bloch", vectors, (3, self.subset.size), "a vector for each spin")
        sums = jax.ops.segment_sum(turned(vectors, self.gauge).T, self.subset, num_segments=self.spins.num_subsets)
        return (sums / self.spins.subset_sizes.astype(vectors.dtype)[:, None]).T

    @checked
    def to_spins(self, m: ArrayLike) -> Float[Array, "3 N"]:
        """The vector of its subset for each spin, the gauge undone. (3, K) -> (3, N_sp).

        Exact where the spins of a subset are alike; otherwise it is their mean.
        """
        vectors = jnp.asarray(m)
        check_shape("m", vectors, (3, self.spins.num_subsets), "a vector for each subset")
        return turned(vectors[:, self.subset], self.gauge)


def turned(m: Float[Array, "*batch 3 K"], sign: ArrayLike) -> Float[Array, "*batch 3 K"]:
    """Rotated by pi about x where the sign is -1; its own inverse."""
    s = jnp.asarray(sign, m.dtype)
    return m * jnp.broadcast_to(jnp.stack([jnp.ones_like(s), s, s]), m.shape)


@checked
def map_to_large_spins(patterns: ArrayLike, gauge: bool = True, *, bloch: ArrayLike | None = None) -> SpinMapping:
    """Group spins whose couplings are alike.

        G[mu, k] -> gauge_k G[mu, k],   gauge_k = G[0, k],   so that the first row becomes +1

    The number of subsets depends on the data, so that this function cannot be called inside `jax.jit`.

    **Arguments**

    - `patterns`: the raw G of shape (M, N_sp), of pictures `image_patterns(files).reshape(M, -1)`. With the gauge its
      entries are +-1; without, any finite numbers.
    - `gauge`: make the first pattern uniform (paper, Fig. 2). At most 2^(M-1) subsets then, otherwise 2^M (Fig. S1).
      Initial states must be gauged along with G, which `SpinMapping.to_large` does.
    - `bloch`: initial Bloch vectors of the single spins, (3, N_sp). Spins that start differently are then kept apart,
      so that every single spin can be read out exactly at any later time: `SpinMapping.to_spins` of the solution.

    **Raises** ValueError for an array that is not a matrix, or entries that the gauge does not allow.

    **Returns** a `SpinMapping`.

    **Example**

        >>> mapped = dj.map_to_large_spins([[1, -1, 1, 1], [1, 1, -1, 1]])
        >>> mapped.spins.couplings.tolist(), mapped.spins.weights.tolist()
        ([[1, 1], [1, -1]], [0.5, 0.5])
    """
    if not known(patterns):
        refuse("patterns", "known when they are mapped, since they set the number of subsets", "a tracer")
    G = np.asarray(patterns)
    if G.ndim != 2 or 0 in G.shape:
        way_out = ", as patterns.reshape(M, -1) of pictures" if G.ndim == 3 else ""
        refuse("patterns", f"of shape (M, N_sp) with M, N_sp >= 1{way_out}", f"shape {G.shape}")
    if gauge:
        check_all("patterns", G, lambda g: np.abs(g) == 1, "+1 or -1 in every entry, or mapped with gauge=False")
    else:
        check_finite("patterns", G)

    num_modes, num_spins = G.shape
    sign = G[0].astype(np.int8) if gauge else np.ones(num_spins, np.int8)
    subset = np.zeros(num_spins, np.int32)
    columns = np.zeros((0, 1))
    rows = [row * sign.astype(row.dtype) for row in G]
    if bloch is not None:
        vectors = np.asarray(bloch, dtype=float)
        check_shape("bloch", vectors, (3, num_spins), "a vector for each spin")
        check_finite("bloch", vectors)
        rows += [vectors[0], vectors[1] * sign, vectors[2] * sign]
    for row in rows:
        subset, columns = _split(subset, columns, *_ranked(row))
    columns = columns[:num_modes]

    sizes = np.bincount(subset, minlength=columns.shape[1])
    signs = bloch is None and bool(np.all(np.abs(columns) == 1))
    if signs and columns.shape[1] == 2 ** (num_modes - gauge):  # every column occurs; this costs less than the matrix
        operator = HypercubeCouplings(num_modes, gauge)
    else:
        operator = DenseCouplings(columns.astype(np.int8) if signs else columns)
    spins = LargeSpins(operator, sizes / num_spins, num_spins, gauge)
    return SpinMapping(spins, subset, sign)


def _ranked(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values in a row, largest first, and the rank of each entry among them."""
    if np.all(np.abs(row) == 1):  # without a sort: ten million spins in a fraction of a second
        return np.array([1.0, -1.0]), (row < 0).astype(np.int32)
    values, rank = np.unique(row, return_inverse=True)
    return values[::-1].astype(float), (values.size - 1 - rank).astype(np.int32)


def _split(
    subset: np.ndarray, columns: np.ndarray, values: np.ndarray, digit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Split every subset by one more row of couplings, and leave out the parts that are empty."""
    part = subset.astype(np.int64) * values.size + digit
    num_parts = columns.shape[1] * values.size
    if num_parts <= 4 * part.size:  # counted, without a sort
        found = np.flatnonzero(np.bincount(part, minlength=num_parts))
        new_number = np.zeros(num_parts, np.int32)
        new_number[found] = np.arange(found.size, dtype=np.int32)
        renumbered = new_number[part]
    else:  # more parts than spins, as where every spin has a value of its own
        found, inverse = np.unique(part, return_inverse=True)
        renumbered = inverse.astype(np.int32)
    split_columns = np.vstack([columns[:, found // values.size], values[found % values.size]])
    return renumbered, split_columns
