"""Sites of d levels: generators of su(d), mean vectors of sites and their density matrices."""

import math
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import check_all, check_count, check_real, known, refuse, told
from .._door import checked
from .._typing import SpinVectors

ROUND_OFF = 1e-5  # up to which a matrix that is given may differ from a density matrix
ALIKE = 1e-6  # populations closer than this are one and the same, of states that keep theirs


def size_of(levels: int) -> int:
    """d^2 - 1, the number of generators."""
    return levels**2 - 1


def levels_of(size: int) -> int | None:
    """d, of d^2 - 1 generators; None where there is no such."""
    levels = math.isqrt(size + 1)
    return levels if levels >= 2 and levels**2 == size + 1 else None


@checked
def gell_mann(levels: int) -> Complex[np.ndarray, "B d d"]:
    """The generators lambda_a of su(d), Hermitian, without trace, Tr(lambda_a lambda_b) = 2 delta_ab.

    Level by level, j = 1, ..., d - 1: |i><j| + |j><i| and -i |i><j| + i |j><i| for each i < j, then the diagonal one
    sqrt(2 / (j (j + 1))) (sum_(i < j) |i><i| - j |j><j|). For d = 2 these are sigma_x, sigma_y, sigma_z, for d = 3 the
    matrices of Gell-Mann in their usual order.

    - `levels`: d, at least 2.

    **Returns** a NumPy array, (d^2 - 1, d, d). **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> print(dj.gell_mann(3)[7].real.diagonal().round(4))
        [ 0.5774  0.5774 -1.1547]
    """
    return generators(check_count("levels", levels, 2)).copy()


@lru_cache
def generators(levels: int) -> np.ndarray:
    found = []
    for j in range(1, levels):
        for i in range(j):
            unit = np.zeros((levels, levels))
            unit[i, j] = 1
            found += [unit + unit.T, -1j * (unit - unit.T)]
        diagonal = np.diag([1.0] * j + [-float(j)] + [0.0] * (levels - j - 1))
        found.append(math.sqrt(2 / (j * (j + 1))) * diagonal)
    return np.array(found, complex)


@lru_cache
def structure_constants(levels: int) -> Float[np.ndarray, "B B B"]:
    """f_abc = Tr([lambda_a, lambda_b] lambda_c) / 4i."""
    g = generators(levels)
    products = np.einsum("aij,bjk,cki->abc", g, g, g)
    return np.imag(products - products.swapaxes(0, 1)) / 4


@lru_cache
def symmetric_constants(levels: int) -> Float[np.ndarray, "B B B"]:
    """d_abc = Tr({lambda_a, lambda_b} lambda_c) / 4, all 0 of spins."""
    g = generators(levels)
    products = np.einsum("aij,bjk,cki->abc", g, g, g)
    return np.real(products + products.swapaxes(0, 1)) / 4


def products_of(m: SpinVectors, trace: float = 1.0) -> Float[Array, "B B K"]:
    """Tr(rho_k {lambda_a, lambda_b} / 2) = (2 / d) delta_ab + sum_c d_abc m_c, of matrices rho_k of this trace."""
    levels = levels_of(m.shape[0]) or 0
    even = np.full(m.shape[0], 2 * trace / levels, m.dtype)
    known = jnp.asarray(np.diag(even))[:, :, None]
    if levels == 2:
        return jnp.broadcast_to(known, (3, *m.shape))
    return known + jnp.einsum("abc,ck->abk", jnp.asarray(symmetric_constants(levels), m.dtype), m, precision="highest")


def commutators_of(m: SpinVectors) -> Float[Array, "B B K"]:
    """Tr(rho_k [lambda_a, lambda_b]) / i = 2 sum_c f_abc m_c."""
    f = jnp.asarray(structure_constants(levels_of(m.shape[0]) or 0), m.dtype)
    return 2 * jnp.einsum("abc,ck->abk", f, m, precision="highest")


def turned_by(field: Any, m: Any) -> Any:
    """sum_ab f_abc b_a m_b, of spins b x m row by row: half of how b . lambda turns them."""
    if len(m) == 3:
        (bx, by, bz), (mx, my, mz) = field, m
        return by * mz - bz * my, bz * mx - bx * mz, bx * my - by * mx
    levels = levels_of(m.shape[0]) or 0
    f = jnp.asarray(structure_constants(levels), m.dtype)
    return jnp.einsum("abc,ak,bk->ck", f, field, m, precision="highest")


def mean_values(matrix: Any, m: Any) -> tuple[Any, Any]:
    """Re and Im of Tr(rho_k L), of NumPy's arrays where both are such."""
    levels = len(matrix)
    g = generators(levels)
    of_parts = []
    for part in (matrix.real, matrix.imag):
        part = part.astype(m.dtype)
        slopes = tuple((own.astype(m.dtype) * part.T[None]).sum(axis=(1, 2)) / 2 for own in (np.real(g), np.imag(g)))
        of_parts.append((slopes, part.trace() / levels))
    ((xx, xy), x), ((yx, yy), y) = of_parts
    return (xx - yy) @ m + x, (xy + yx) @ m + y


@checked
def density_matrices(m: Float[Array, "*batch B K"]) -> Complex[Array, "*batch K d d"]:
    """rho_k = 1 / d + sum_a m_a,k lambda_a / 2, the density matrix of a site of each ensemble.

    - `m`: (..., d^2 - 1, K), mean vectors.

    **Returns** (..., K, d, d). **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> print(dj.density_matrices(jnp.array([[0.0], [0.0], [1.0]]))[0].real)
        [[1. 0.]
         [0. 0.]]
    """
    if m.ndim < 2 or (levels := levels_of(m.shape[-2])) is None:
        refuse("m", "of shape (d^2 - 1, K)", f"shape {m.shape}")
    return _matrices(m, levels)


def _matrices(m: Float[Array, "*batch B K"], levels: int, trace: float = 1.0) -> Complex[Array, "*batch K d d"]:
    parts = generators(levels)
    re, im = (jnp.asarray(part, m.dtype) for part in (np.real(parts), np.imag(parts)))
    re, im = (jnp.einsum("...ak,aij->...kij", m, part, precision="highest") / 2 for part in (re, im))
    even = np.broadcast_to(trace / levels * np.eye(levels, dtype=m.dtype), re.shape)
    return jax.lax.complex(re + even, im)


def _components(rho: Complex[Array, "*batch K d d"], levels: int) -> Float[Array, "*batch B K"]:
    parts = generators(levels)
    re, im = (jnp.asarray(part, rho.real.dtype) for part in (np.real(parts), np.imag(parts)))
    of_re, of_im = (
        jnp.einsum("...kij,aji->...ak", x, part, precision="highest") for x, part in ((rho.real, re), (rho.imag, im))
    )
    return of_re - of_im


@checked
def bloch_vectors(rho: Any) -> Float[Array, "*batch B K"]:
    """m_a,k = Tr(rho_k lambda_a), a column for each ensemble: what `MeanFieldState` is made of.

    - `rho`: (..., K, d, d), or (d, d) for one ensemble: Hermitian, of trace 1, without negative eigenvalues.

    **Returns** (..., d^2 - 1, K). **Raises** ValueError for matrices that are no density matrices.

    **Example**

        >>> m = dj.bloch_vectors(np.diag([0.0, 0.0, 1.0]))  # the third of three levels
        >>> print(m[:, 0].round(4))
        [ 0.      0.      0.      0.      0.      0.      0.     -1.1547]
    """
    check_real("rho", rho, "density matrices", or_complex=True)
    matrices = jnp.asarray(rho)
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2] or matrices.shape[-1] < 2:
        refuse("rho", "of shape (K, d, d), a density matrix for each ensemble", f"shape {matrices.shape}")
    matrices = matrices[None] if matrices.ndim == 2 else matrices
    if not jnp.issubdtype(matrices.dtype, jnp.inexact):
        matrices = matrices.astype(float)
    if known(matrices):
        given = np.asarray(matrices, complex)
        check_all("rho", given, np.isfinite, "finite")
        if np.max(np.abs(given - given.conj().swapaxes(-1, -2)), initial=0.0) > ROUND_OFF:
            refuse("rho", "Hermitian", told(matrices))
        check_all("trace of rho", np.trace(given, axis1=-2, axis2=-1).real, lambda t: np.abs(t - 1) < ROUND_OFF, "1")
        check_all("eigenvalues of rho", np.linalg.eigvalsh(given), lambda p: p > -ROUND_OFF, "not negative")
    re, im = jnp.real(matrices), jnp.imag(matrices)
    return _components(jax.lax.complex(re, im), matrices.shape[-1])


def populations(m: SpinVectors) -> Float[Array, "d K"]:
    """The eigenvalues of each density matrix in rising order, which unitary motion keeps."""
    return jnp.linalg.eigvalsh(_matrices(m, levels_of(m.shape[0]) or 0)).T


def num_alike(m: np.ndarray) -> int:
    """How many pairs (i, j) of populations of one site are alike, i = j included; of known sites."""
    levels = levels_of(m.shape[0]) or 0
    p = np.linalg.eigvalsh(np.eye(levels) / levels + np.tensordot(m.T, generators(levels), 1) / 2)
    return int(np.sum(np.abs(p[:, :, None] - p[:, None, :]) < ALIKE))


def away_from(m: SpinVectors, kept: Float[Array, "d K"]) -> SpinVectors:
    """M without its part that has the populations `kept`: U (p - p_kept) U^+ for rho = U p U^+.

    It commutes with rho, and so is orthogonal to all unitary motion; zero only where the populations are those.
    """
    return jax.vmap(_away_from, in_axes=1, out_axes=1)(m, kept)


@jax.custom_jvp
def _away_from(m: Float[Array, " B"], kept: Float[Array, " d"]) -> Float[Array, " B"]:
    p, U = jnp.linalg.eigh(_matrices(m[:, None], kept.size)[0])
    off = (p - kept).astype(U.dtype)
    return _components(_times(U * off[None], U.conj().T)[None], kept.size)[:, 0]


@_away_from.defjvp
def _away_from_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """U (w dr - dp_kept) U^+, dr = U^+ drho U, w_ij = 1 - (kept_i - kept_j) / (p_i - p_j), 1 where those are alike."""
    (m, kept), (dm, dkept) = primals, tangents
    d = kept.size
    p, U = jnp.linalg.eigh(_matrices(m[:, None], d)[0])
    apart, own = kept[:, None] - kept[None, :], p[:, None] - p[None, :]
    alike = (jnp.abs(apart) < ALIKE) | (own == 0)
    weight = 1 - jnp.where(alike, 0, apart / jnp.where(alike, 1, own))
    inside = _times(_times(U.conj().T, _matrices(dm[:, None], d, 0.0)[0]), U)
    inside = weight.astype(U.dtype) * inside - jnp.diag(dkept).astype(U.dtype)
    change = _components(_times(_times(U, inside), U.conj().T)[None], d)[:, 0]
    return _away_from(m, kept), change


def turning_part(m: SpinVectors, v: SpinVectors) -> SpinVectors:
    """The part of deviations v that unitary motion can make: [rho, X], what is between levels of other populations."""
    d = levels_of(m.shape[0]) or 0

    def part(m: Float[Array, " B"], v: Float[Array, " B"]) -> Float[Array, " B"]:
        p, U = _levels(_matrices(m[:, None], d)[0])
        inside = _times(_times(U.conj().T, _matrices(v[:, None], d, 0.0)[0]), U)
        inside = jnp.where(jnp.abs(p[:, None] - p[None, :]) > ALIKE, inside, 0)
        return _components(_times(_times(U, inside), U.conj().T)[None], d)[:, 0]

    return jax.vmap(part, in_axes=1, out_axes=1)(m, v)


@jax.custom_jvp
def _levels(rho: Complex[Array, "d d"]) -> tuple[Float[Array, " d"], Complex[Array, "d d"]]:
    """Populations and levels of a site; derivatives are those of motion that keeps populations, also of alike ones."""
    return jnp.linalg.eigh(rho)


@_levels.defjvp
def _levels_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """U z with z_ij = (U^+ drho U)_ij / (p_j - p_i), and 0 where those are alike, among which U is arbitrary."""
    p, U = _levels(primals[0])
    apart = p[None, :] - p[:, None]
    alike = jnp.abs(apart) < ALIKE
    z = _times(_times(U.conj().T, tangents[0]), U) * jnp.where(alike, 0, 1 / jnp.where(alike, 1, apart)).astype(U.dtype)
    return (p, U), (jnp.zeros_like(p), _times(U, z))


def across_pure(m: SpinVectors) -> Float[Array, "K B directions"]:
    """Orthonormal directions in which a pure site can turn, 2 (d - 1) for each: of X rho + rho X - 2 rho X rho.

    Which ones is of no account. Derivatives are those of the space that they span.
    """
    d = levels_of(m.shape[0]) or 0
    parts = generators(d)

    def across(m: Float[Array, " B"]) -> Float[Array, "B directions"]:
        rho = _matrices(m[:, None], d)[0]
        X = jnp.asarray(parts, rho.dtype)
        left = jnp.einsum("ij,ajk->aik", rho, X, precision="highest")
        turned = left + left.conj().swapaxes(1, 2) - 2 * jnp.einsum("aij,jk->aik", left, rho, precision="highest")
        projector = _components(turned, d) / 2
        _, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(projector))
        return jnp.linalg.qr(jnp.matmul(projector, vectors[:, -2 * (d - 1) :], precision="highest"))[0]

    return jax.vmap(across, in_axes=1)(m)


def _times(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
