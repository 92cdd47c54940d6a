"""Operators of N sites for a model that is given by its energy: its exact master equation, for QuTiP.

A polynomial of the intensive variables v becomes one of operators by symmetric ordering, every product of factors being
the mean of all orders of them:

    h(v) = sum_n sum_i T[i_1, ..., i_n] v_i1 ... v_in / n!   ->   the same sum over products of operators v_i

since the derivatives T at v = 0 are symmetric. m_a,k = sum_i lambda_a^(i) / N_k, alpha_mu = a_mu / sqrt(N).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import check_count, check_known, refuse
from .._door import checked
from ..mean_field import CollectiveModel, check_constant_rates
from ..mean_field.site_levels import generators
from .moments import unravel

HIGHEST = 6  # degree of a polynomial
LARGEST = 4096  # dimensions: a density matrix of 16 million numbers


class FiniteOperators(NamedTuple):
    """Operators of QuTiP on K large spins and M modes, in this order; with jumps of single sites on N of these.

    A large spin is what N_k sites have in states that no exchange of them changes: of length N_k / 2, of d levels with
    basis states |n_1, ..., n_d>, n_i sites in level i, from (N_k, 0, ...) on.

    - `hamiltonian`: H = N h.
    - `jumps`: L_j = sqrt(N r_j) l_j, and those of single sites. Of the latter as many as there are independent ones.
    - `m`: [[m_x,1, ..., m_x,K], [m_y,1, ...], [m_z,1, ...]], S_a,k / N_k; `alpha`: a_mu / sqrt(N).
    """

    hamiltonian: Any
    jumps: list[Any]
    m: list[list[Any]]
    alpha: list[Any]


@checked
def to_operators(model: CollectiveModel, num_spins: int, *, levels: int | Sequence[int] = 10) -> FiniteOperators:
    """The master equation of N sites, as QuTiP solves it, of an energy and jumps that are polynomials.

        H = N h(m, alpha),   L_j = sqrt(N r_j) l_j(m, alpha),   products symmetrically ordered

    Such an order shifts |alpha|^2 by 1 / (2 N), a constant of H; of factors that do not commute, as in z^2 x, it is one
    out of several, which differ at order 1 / N.

    **Arguments**

    - `model`: a `CollectiveModel`, of a `DickeModel` its `as_collective()`, with constant rates and known numbers. With
      jumps of single spins, which lead out of the space of large spins, each site has a place of its own: d^N
      dimensions.
    - `num_spins`: N, of which w_k N must be whole. The space may have 4096 dimensions.
    - `levels`: photon levels of each mode, 0 to levels - 1.

    **Returns** `FiniteOperators`. **Raises** ValueError for arguments that do not fit; ImportError without QuTiP.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=1).as_collective()
        >>> quantum = dj.to_operators(model, 4, levels=6)
        >>> print(quantum.hamiltonian.dims, len(quantum.jumps), quantum.hamiltonian.isherm)
        [[5, 6], [5, 6]] 1 True
    """
    check_constant_rates(model)
    check_known("model", model, "for its operators to be written down")
    check_count("num_spins", num_spins)
    sizes = np.asarray(model.weights, float) * num_spins
    if np.any(np.abs(sizes - np.round(sizes)) > 1e-6) or np.any(sizes < 0.5):
        refuse("num_spins", "such that every ensemble has a whole number of spins, at least 1", num_spins)
    numbers = (levels,) * model.num_modes if isinstance(levels, int) else tuple(levels)
    if len(numbers) != model.num_modes or any(number < 2 for number in numbers):
        refuse("levels", f"at least 2, one number or {model.num_modes} of them", levels)
    try:
        import qutip
    except ImportError as error:
        raise ImportError("to_operators needs QuTiP: pip install qutip.") from error

    counts, d = [round(size) for size in sizes], model.levels
    # the sites of each ensemble, how many spins are in each, and of how many dimensions it is
    groups = [(k, n) if model.dissipation is None else (k, 1) for k, n in enumerate(counts)
              for _ in range(1 if model.dissipation is None else n)]  # fmt: skip
    dims = [*(math.comb(n + d - 1, d - 1) for _, n in groups), *numbers]
    if math.prod(dims) > LARGEST:
        refuse("num_spins", f"so small that there are at most {LARGEST} dimensions", f"{math.prod(dims)} of them")

    def sparse(matrix: np.ndarray) -> Any:
        return qutip.Qobj(matrix).to("CSR")

    def on(site: int, operator: Any) -> Any:
        return qutip.tensor([operator if i == site else qutip.qeye(n) for i, n in enumerate(dims)])

    def mean(k: int, generator: np.ndarray) -> Any:
        own = [on(i, sparse(of_symmetric(generator, n))) for i, (j, n) in enumerate(groups) if j == k]
        return sum(own[1:], own[0]) / counts[k]

    m = [[mean(k, generator) for k in range(len(counts))] for generator in generators(d)]
    alpha = [on(len(groups) + mu, qutip.destroy(n)) / math.sqrt(num_spins) for mu, n in enumerate(numbers)]
    v = [
        *(spin for row in m for spin in row),
        *((a + a.dag()) / 2 for a in alpha),
        *((a - a.dag()) / 2j for a in alpha),
    ]

    def functions(at: Float[Array, " D"]) -> tuple[Array, list[tuple[Array, Array]]]:
        h, amplitudes = model.functions(0.0, unravel(at, model))
        return h, [(re.ravel(), im.ravel()) for re, im in amplitudes]

    def part(j: int, i: int, p: int) -> Any:
        return _operator(f"jumps[{j}]", lambda at: functions(at)[1][j][p][i], v, model.dtype)

    hamiltonian = num_spins * _operator("energy", lambda at: functions(at)[0], v, model.dtype)
    jumps = []
    _, amplitudes = functions(jnp.zeros(len(v), model.dtype))
    for j, (jump, (some, _)) in enumerate(zip(model.jumps, amplitudes, strict=True)):
        for i, rate in enumerate(np.broadcast_to(np.asarray(jump.rate, float), some.shape)):
            jumps.append(math.sqrt(num_spins * rate) * (part(j, i, 0) + 1j * part(j, i, 1)))
    if model.dissipation is not None:
        linear, constant = (np.asarray(part, float) for part in model.dissipation.terms(model.dtype))
        for site, (k, _) in enumerate(groups):
            of_k = min(k, constant.shape[-1] - 1)
            turning, own = jumps_of(linear[..., of_k], constant[..., of_k], d)
            hamiltonian = hamiltonian + on(site, sparse(turning))
            jumps += [on(site, sparse(jump)) for jump in own]
    return FiniteOperators(hamiltonian, jumps, m, alpha)


def of_symmetric(matrix: Complex[np.ndarray, "d d"], number: int) -> Complex[np.ndarray, "D D"]:
    """sum_i L^(i) of sites in states that no exchange changes: sum_mn L_mn b_m^dag b_n on |n_1, ..., n_d>."""
    d = len(matrix)
    states = [s for s in itertools.product(range(number, -1, -1), repeat=d) if sum(s) == number]
    place, found = {s: i for i, s in enumerate(states)}, np.zeros((len(states),) * 2, complex)
    for s, (to, of) in itertools.product(states, itertools.product(range(d), repeat=2)):
        if s[of]:
            there = tuple(n + (i == to) - (i == of) for i, n in enumerate(s))
            found[place[there], place[s]] += matrix[to, of] * math.sqrt(s[of] * there[to])
    return found


def jumps_of(
    linear: Float[np.ndarray, "B B"], constant: Float[np.ndarray, " B"], levels: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """H and jumps of a site's master equation rho' = D(rho) that moves its mean vector as m' = T m + c.

        D(rho) = sum_ab C_ab F_a rho F_b^+ + G rho + rho G^+,   F_0 = 1 / sqrt(d), F_a = lambda_a / sqrt(2)

    C for a, b > 0 is what jumps do, with its eigenvectors for jumps; G = -i H - sum L^+ L / 2.
    """
    d, base = levels, np.concatenate([np.eye(levels)[None] / math.sqrt(levels), generators(levels) / math.sqrt(2)])
    moved = np.zeros((len(base),) * 2)
    moved[1:, 1:], moved[1:, 0] = linear, constant * math.sqrt(levels / 2)
    D = np.einsum("ab,akl,bij->kilj", moved, base, base.conj())
    C = np.einsum("aki,kilj,blj->ab", base.conj(), D, base)
    G = C[0, 0] / (2 * d) * np.eye(d) + np.einsum("a,aij->ij", C[1:, 0], base[1:]) / math.sqrt(d)
    sizes, vectors = np.linalg.eigh(C[1:, 1:])
    some = sizes > 1e-12 * np.max(sizes, initial=0.0)
    jumps = np.einsum("aj,akl->jkl", vectors[:, some] * np.sqrt(sizes[some]), base[1:])
    return 0.5j * (G - G.conj().T), list(jumps)


def _operator(name: str, function: Callable[[Array], Array], v: list[Any], dtype: Any) -> Any:
    """The symmetrically ordered operator of a polynomial."""
    zero = v[0] * 0
    total = zero
    for order, tensor in enumerate(_coefficients(name, function, len(v), dtype)):
        for index in np.argwhere(np.abs(tensor) > 0):
            product = reduce(lambda a, i: a * v[i], index, zero + 1)
            total = total + float(tensor[tuple(index)]) / math.factorial(order) * product
    return total


def _coefficients(name: str, function: Callable[[Array], Array], size: int, dtype: Any) -> list[np.ndarray]:
    """The derivatives at 0, up to the order that makes them the function."""
    point = np.cos(1 + 1.3 * np.arange(size))
    exact = float(jax.jit(function)(jnp.asarray(point, dtype)))
    found, derivative, value, close = [], function, 0.0, 1e3 * float(jnp.finfo(dtype).eps)
    for order in range(HIGHEST + 1):
        tensor = np.asarray(jax.jit(derivative)(jnp.zeros(size, dtype)), float)
        tensor = np.where(np.abs(tensor) > close * np.max(np.abs(tensor), initial=0.0), tensor, 0.0)
        found.append(tensor)
        value += float(reduce(lambda t, _: t @ point, range(order), tensor)) / math.factorial(order)
        if order > 0 and abs(value - exact) < 10 * close * (1 + abs(exact)):
            return found
        derivative = jax.jacfwd(derivative)
    refuse(name, f"a polynomial of degree {HIGHEST} at most for operators to be made of it", "another function")
