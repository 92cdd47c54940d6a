"""The spectrum of many large spins without their matrix: the subspace that the modes see and excite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._typing import RealState
from ..equations import mean_field_equations
from ..model import DickeModel
from ..state import MeanFieldState
from .linearised import push

LARGEST = 300  # dimensions of the subspace after which the search for more ends
NEGLIGIBLE = 1e-10  # the length, against the largest, at which a new direction is taken to be an old one

_push = eqx.filter_jit(push)


def bright_spectrum(
    model: DickeModel, state: MeanFieldState, tol: float
) -> tuple[Array, Array, list[int], float, bool]:
    """Eigenvalues on the span of e_i, A e_i, A^2 e_i, ..., with e_i the deviations of the modes (block Arnoldi).

    Spins that couple alike and precess at one rate enter it by M combinations only, however many they are: it ends
    after a few steps. What is left are dark spin waves. No mode excites them, so that they evolve each by itself, and
    no such spin grows. Where it does not end, all precession rates being different, the eigenvalues that grow are
    converged long before. Then only those whose residuals |A v - lambda v| are small are kept, and nothing is counted
    beside them.

    Returns eigenvalues, shares of the patterns, the numbers of dark eigenvalues that stay and that decay, the largest
    real part of the dark ones (-inf where there are none), and whether the subspace ended.
    """
    y = state.to_real(model)
    size = y[0].size
    block = np.concatenate([np.zeros((size, 2 * model.num_modes)), np.eye(2 * model.num_modes)])
    basis, image = np.zeros((len(block), 0)), np.zeros((len(block), 0))
    scale, complete = 1.0, True
    while block.shape[1]:
        pushed = np.asarray(_push(model, y, jnp.asarray(block.T, model.dtype)), dtype=float).T
        basis, image = np.concatenate([basis, block], axis=1), np.concatenate([image, pushed], axis=1)
        scale = max(scale, float(np.abs(pushed).max()))
        if basis.shape[1] >= LARGEST:
            complete = False
            break
        block = _new_directions(basis, pushed, scale)
    reduced = basis.T @ image
    values, vectors = np.linalg.eig(reduced)
    if not complete:
        residual = np.linalg.norm(image @ vectors - basis @ vectors * values, axis=0)
        kept = residual < np.maximum(tol, 1e-3 * np.abs(np.real(values)))
        values, vectors = values[kept], vectors[:, kept]
    order = np.lexsort((-np.imag(values), -np.real(values)))
    values, vectors = values[order], basis @ vectors[:, order]

    z = vectors[:size].reshape(3, -1, len(values))[2]
    parts = [jax.vmap(model.spins.project, in_axes=1)(jnp.asarray(part, model.dtype)) for part in (z.real, z.imag)]
    overlaps = np.hypot(*map(np.asarray, parts))
    total = overlaps.sum(axis=1, keepdims=True)
    shares = overlaps / np.where(total > 0, total, 1)
    spins = basis[:size, 2 * model.num_modes :]
    unseen, slowest = _dark(model, y, spins, tol) if complete else ([0, 0], -np.inf)
    return jnp.asarray(values), jnp.asarray(shares, model.dtype), unseen, slowest, complete


def _new_directions(basis: np.ndarray, pushed: np.ndarray, scale: float) -> np.ndarray:
    for _ in range(2):  # twice is enough
        pushed = pushed - basis @ (basis.T @ pushed)
    left, sizes, _ = np.linalg.svd(pushed, full_matrices=False)
    return left[:, sizes > NEGLIGIBLE * scale]


def _dark(model: DickeModel, y: RealState, bright: np.ndarray, tol: float) -> tuple[list[int], float]:
    """Each subset turning in its own field, without what the subspace holds already."""
    if model.dissipation is None:  # precession alone, two directions for each subset
        unseen = 2 * model.num_subsets - bright.shape[1]
        return [unseen, 0], 0.0 if unseen else -np.inf
    columns = jax.vmap(lambda axis: _turn(model, y, axis), out_axes=-1)(jnp.eye(3, dtype=model.dtype))
    blocks = np.moveaxis(np.asarray(columns), 1, 0)  # (K, 3, 3)
    rates = np.real(np.linalg.eigvals(blocks))
    inside = np.einsum("kab,bki->aki", blocks, bright.reshape(3, len(blocks), -1)).reshape(len(bright), -1)
    held = np.real(np.linalg.eigvals(bright.T @ inside))
    neutral = int(np.sum(rates > -tol)) - int(np.sum(held > -tol))
    decaying = rates.size - held.size - neutral
    slowest = float(rates.max()) if neutral or decaying else -np.inf
    return [neutral, decaying], slowest


@eqx.filter_jit
def _turn(model: DickeModel, y: RealState, direction: Float[Array, " 3"]) -> Array:
    m, quadratures = y
    every = jnp.broadcast_to(direction[:, None], m.shape)
    rate = lambda m: mean_field_equations(0.0, (m, quadratures), model)[0]  # noqa: E731
    return jax.jvp(rate, (m,), (every,))[1]
