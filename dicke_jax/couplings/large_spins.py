"""Large spins: the subsets of spins that couple alike, and the share of all spins that each holds."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from .._checks import as_float, check_all, check_count, check_finite, check_shape, closes_over_traced, known, refuse
from .._door import checked
from .._typing import ArrayLike, ModeReals, SubsetReals
from .operators import AbstractCouplings, DenseCouplings, HypercubeCouplings

ORTHOGONAL = 1e-6  # the largest overlap of two patterns that counts as none
MOST_ENTRIES = 2**22  # of G for which overlaps of patterns are looked at; larger samples are not orthogonal
MOST_GIGABYTES = 4  # of couplings and weights that are made from a number of patterns


def _check_fits(formula: str, num_subsets: int, numbers_each: int) -> None:
    if (gigabytes := num_subsets * numbers_each * 8 / 1e9) > MOST_GIGABYTES:
        must_be = f"so small that the subsets fit into {MOST_GIGABYTES} GB"
        refuse("num_patterns", must_be, f"{formula} = {num_subsets} subsets, {gigabytes:.3g} GB")


def _check_shares(name: str, shares: Any, number: int, meaning: str, tol: float) -> None:
    check_shape(name, shares, (number,), meaning)
    check_all(name, shares, lambda w: w >= 0, "not negative")
    if known(shares) and not abs((total := np.sum(np.asarray(shares, dtype=float))) - 1) < tol:
        refuse(name, "of sum 1", f"sum {total:.9g}")


def _orthogonal(operator: AbstractCouplings, weights: ArrayLike) -> tuple[bool, ...]:
    """For every pattern whether it consists of +-1 and is orthogonal to all others, as far as is known."""
    nothing_known = (False,) * operator.num_modes
    numbers = jax.tree.leaves((eqx.filter(operator, eqx.is_array), weights))
    if not all(map(known, numbers)) or np.shape(weights) != (operator.num_subsets,):
        return nothing_known
    w = np.asarray(weights, dtype=float)
    if isinstance(operator, HypercubeCouplings) and np.all(w == w[0]):
        return (True,) * operator.num_modes
    if operator.num_modes * operator.num_subsets > MOST_ENTRIES:
        return nothing_known
    with jax.ensure_compile_time_eval():
        G = np.asarray(dense(operator), dtype=float)
    overlaps = np.abs(G @ (w * G).T)
    np.fill_diagonal(overlaps, 0)
    signs = np.all(np.abs(np.abs(G) - 1) < ORTHOGONAL, axis=1)
    return tuple(bool(good) for good in signs & (overlaps.max(axis=1) < ORTHOGONAL))


def _check_maps(operator: AbstractCouplings) -> None:
    """Refuse a user's maps that are not of M modes and K subsets, or, where known, not each other's transpose."""
    M, K = operator.num_modes, operator.num_subsets
    for name, given, must_be in (("field", M, (K,)), ("project", K, (M,))):
        modes = jax.ShapeDtypeStruct((given,), jnp.result_type(0.0))
        program, found = jax.make_jaxpr(getattr(operator, name), return_shape=True)(modes)
        if found.shape != must_be:
            refuse(f"operator.{name}", f"a map from shape ({given},) to shape {must_be}", f"one to shape {found.shape}")
        if closes_over_traced(program.consts, operator):
            fields = "one whose fields hold what it is traced or differentiated in"
            refuse(f"operator.{name}", fields, "one that closes over a traced number")
    if not all(map(known, jax.tree.leaves(operator))):
        return
    q, s = np.cos(1.0 + np.arange(M)), np.sin(1.0 + np.arange(K))
    with jax.ensure_compile_time_eval():
        back, forth = np.asarray(operator.project(jnp.asarray(s))), np.asarray(operator.field(jnp.asarray(q)))
    if not np.isclose(q @ back, s @ forth, rtol=1e-3, atol=1e-3 * np.linalg.norm(q) * np.linalg.norm(back)):
        refuse(
            "operator.project",
            "the transpose of operator.field",
            f"q.project(s) = {q @ back}, field(q).s = {s @ forth}",
        )


def dense(operator: AbstractCouplings) -> Num[Array, "M K"]:
    """G as a dense matrix."""
    if isinstance(operator, DenseCouplings):
        return operator.matrix
    if isinstance(operator, HypercubeCouplings):
        return jnp.asarray(operator.signs)
    return jax.vmap(operator.field)(jnp.eye(operator.num_modes))


class LargeSpins(eqx.Module):
    """K subsets of spins with couplings G[mu, k] and shares w_k = N_k / N_sp (paper, Eq. 3 and Fig. 2).

        overlap   xi_mu = sum_k w_k G[mu, k] z_k
        field     h_k   = sum_mu G[mu, k] q_mu

    **Arguments**

    - `operator`: the couplings, an `AbstractCouplings` of M modes and K subsets.
    - `weights`: shares of shape (K,), not negative, of sum 1.
    - `num_spins`: N_sp, or None in the thermodynamic limit, where fluctuations of order 1/sqrt(N_sp) vanish.
    - `gauged`: whether spins were rotated by pi about x to make the first pattern uniform.
    - `orthogonal`: for every pattern whether it consists of +-1 and sum_k w_k G[nu, k] G[mu, k] = 0 for all others,
      which closed forms ask for. Found out where couplings and weights are known; false where they are traced. It is a
      static fact, and the same inside and outside of `jax.jit`.

    Usually made by `hypercube`, `from_distribution`, `individual` or `map_to_large_spins`.

    **Example**

        >>> spins = dj.LargeSpins.hypercube(3)
        >>> spins.couplings.tolist(), spins.weights.tolist()
        ([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1]], [0.25, 0.25, 0.25, 0.25])
    """

    operator: AbstractCouplings
    weights: Float[Array, " K"]
    num_spins: int | None = eqx.field(static=True)
    gauged: bool = eqx.field(static=True)
    orthogonal: tuple[bool, ...] = eqx.field(static=True, init=False)

    @checked
    def __init__(
        self, operator: AbstractCouplings, weights: ArrayLike, num_spins: int | None = None, gauged: bool = False
    ) -> None:
        if type(operator) not in (DenseCouplings, HypercubeCouplings):
            _check_maps(operator)
        self.operator = operator
        self.weights = as_float(weights)
        self.num_spins = num_spins
        self.gauged = gauged
        self.orthogonal = _orthogonal(operator, weights)  # as they were given: on entry a trace may take them

    def __check_init__(self) -> None:
        check_finite("weights", self.weights)
        _check_shares("weights", self.weights, self.num_subsets, "one share for each subset", 1e-5)
        if self.num_spins is not None:
            check_count("num_spins", self.num_spins)

    @classmethod
    @checked
    def hypercube(cls, num_patterns: int, *, gauge: bool = True) -> "LargeSpins":
        """N_sp -> infinity of random patterns: equal subsets, 2^(M-1) with the gauge, 2^M without (paper, Eq. 3)."""
        operator = HypercubeCouplings(num_patterns, gauge)
        _check_fits(f"2^{num_patterns - gauge}", operator.num_subsets, 1)
        weights = np.full(operator.num_subsets, 1.0 / operator.num_subsets)
        return cls(operator, weights, gauged=gauge)

    @classmethod
    @checked
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
        _check_shares("probabilities", p, x.size, "one for each value", 1e-9)
        _check_fits(f"{x.size}^{num_patterns}", x.size**num_patterns, num_patterns + 1)
        weights = np.ones(1)
        for _ in range(num_patterns):
            weights = np.outer(weights, p).ravel()
        if np.array_equal(x, [1.0, -1.0]):
            return cls(HypercubeCouplings(num_patterns, gauge=False), weights)
        digits = np.indices((x.size,) * num_patterns).reshape(num_patterns, -1)
        return cls(DenseCouplings(x[digits]), weights)

    @classmethod
    @checked
    def individual(cls, patterns: ArrayLike) -> "LargeSpins":
        """One subset for each spin, no grouping: G of shape (M, N_sp) as it is, weights 1/N_sp."""
        operator = DenseCouplings(patterns)
        K = operator.num_subsets
        return cls(operator, jnp.full(K, 1.0 / K), K)

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
        return dense(self.operator)

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
