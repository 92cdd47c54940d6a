"""Large spins: the subsets of spins that couple alike, and the share of all spins that each holds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from .._checks import as_float, check_all, check_count, check_finite, check_shape, known, refuse
from .._typing import ArrayLike, ModeReals, SubsetReals
from .operators import AbstractCouplings, DenseCouplings, HypercubeCouplings

MOST_GIGABYTES = 4  # of couplings and weights that are made from a number of patterns


def _check_fits(formula: str, num_subsets: int, numbers_each: int) -> None:
    gigabytes = num_subsets * numbers_each * 8 / 1e9
    if gigabytes > MOST_GIGABYTES:
        must_be = f"so small that the subsets fit into {MOST_GIGABYTES} GB"
        refuse("num_patterns", must_be, f"{formula} = {num_subsets} subsets, {gigabytes:.3g} GB")


class LargeSpins(eqx.Module):
    """K subsets of spins with couplings G[mu, k] and shares w_k = N_k / N_sp (paper, Eq. 3 and Fig. 2).

        overlap   xi_mu = sum_k w_k G[mu, k] z_k
        field     h_k   = sum_mu G[mu, k] q_mu

    **Main arguments**

    - `operator`: the couplings, an `AbstractCouplings` of M modes and K subsets.
    - `weights`: shares of shape (K,), not negative, of sum 1.

    **Other arguments**

    - `num_spins`: N_sp, or None in the thermodynamic limit, where fluctuations of order 1/sqrt(N_sp) vanish.
    - `gauged`: whether spins were rotated by pi about x to make the first pattern uniform.

    Usually made by `hypercube`, `from_distribution`, `individual` or `map_to_large_spins`.
    """

    operator: AbstractCouplings
    weights: Float[Array, " K"] = eqx.field(converter=as_float)
    num_spins: int | None = eqx.field(static=True, default=None)
    gauged: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_shape("weights", self.weights, (self.num_subsets,), "one share for each subset")
        check_finite("weights", self.weights)
        check_all("weights", self.weights, lambda w: w >= 0, "not negative")
        if known(self.weights):
            total = float(np.sum(np.asarray(self.weights, dtype=float)))
            if abs(total - 1) > 1e-5:
                refuse("weights", "of sum 1", f"sum {total:.6g}")
        if self.num_spins is not None:
            check_count("num_spins", self.num_spins)

    @classmethod
    def hypercube(cls, num_patterns: int, *, gauge: bool = True) -> "LargeSpins":
        """N_sp -> infinity of random patterns: equal subsets, 2^(M-1) with the gauge, 2^M without (paper, Eq. 3)."""
        operator = HypercubeCouplings(num_patterns, gauge)
        _check_fits(f"2^{num_patterns - gauge}", operator.num_subsets, 1)
        return cls(operator, jnp.full(operator.num_subsets, 1.0 / operator.num_subsets), gauged=gauge)

    @classmethod
    def from_distribution(cls, values: ArrayLike, probabilities: ArrayLike, num_patterns: int) -> "LargeSpins":
        """N_sp -> infinity of couplings that take the value x_i with probability p_i, independently.

            G[mu, k] = x_{i_mu},   w_k = prod_mu p_{i_mu}

        d^M subsets of unequal weight, without the gauge (paper, Fig. S2). The first pattern's value varies slowest.
        """
        x, p = np.asarray(values, dtype=float), np.asarray(probabilities, dtype=float)
        check_count("num_patterns", num_patterns)
        if x.ndim != 1 or x.size < 1:
            refuse("values", "a one-dimensional array of couplings", f"shape {x.shape}")
        check_finite("values", x)
        if np.unique(x).size != x.size:
            refuse("values", "all different", f"{x.tolist()}")
        check_shape("probabilities", p, x.shape, "one for each value")
        check_all("probabilities", p, lambda q: q >= 0, "not negative")
        if not abs(p.sum() - 1) < 1e-9:
            refuse("probabilities", "of sum 1", f"sum {p.sum():.9g}")
        _check_fits(f"{x.size}^{num_patterns}", x.size**num_patterns, num_patterns + 1)
        weights = np.ones(1)
        for _ in range(num_patterns):
            weights = np.outer(weights, p).ravel()
        if np.array_equal(x, [1.0, -1.0]):
            return cls(HypercubeCouplings(num_patterns, gauge=False), weights)
        digits = np.indices((x.size,) * num_patterns).reshape(num_patterns, -1)
        return cls(DenseCouplings(x[digits]), weights)

    @classmethod
    def individual(cls, patterns: ArrayLike) -> "LargeSpins":
        """One subset for each spin, no grouping: G of shape (M, N_sp) as it is, weights 1/N_sp."""
        operator = DenseCouplings(patterns)
        num_spins = operator.num_subsets
        return cls(operator, jnp.full(num_spins, 1.0 / num_spins), num_spins)

    @property
    def num_modes(self) -> int:
        """M, the number of modes and of stored patterns."""
        return self.operator.num_modes

    @property
    def num_subsets(self) -> int:
        """K, the number of large spins."""
        return self.operator.num_subsets

    @property
    def couplings(self) -> Num[Array, "M K"]:
        """G as a dense matrix. A view to look at: the equations use `project` and `field`."""
        if isinstance(self.operator, DenseCouplings):
            return self.operator.matrix
        if isinstance(self.operator, HypercubeCouplings):
            return jnp.asarray(self.operator.signs)
        return jax.vmap(self.operator.field)(jnp.eye(self.num_modes)).astype(jnp.int8)

    @property
    def subset_sizes(self) -> Float[Array, " K"]:
        """N_k = w_k N_sp, the number of spins in each subset; infinite in the thermodynamic limit."""
        if self.num_spins is None:
            return jnp.full_like(self.weights, jnp.inf)
        return jnp.round(self.weights * self.num_spins)

    def project(self, z: SubsetReals) -> ModeReals:
        """xi_mu = sum_k w_k G[mu, k] z_k."""
        return self.operator.project(self.weights.astype(z.dtype) * z)

    def field(self, q: ModeReals) -> SubsetReals:
        """h_k = sum_mu G[mu, k] q_mu."""
        return self.operator.field(q)
