"""The spectrum of many large spins without their matrix: the subspace that the modes see and excite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_array
from ..mean_field.equations import mean_field_equations
from ..mean_field.model import DickeModel
from ..mean_field.state import MeanFieldState
from .linearisation import push

LARGEST = 300  # dimensions of the subspace after which the search for more ends
NEGLIGIBLE = 1e-10  # the length, against the largest, at which a new direction is taken to be an old one


def bright_spectrum(
    model: DickeModel, state: MeanFieldState, tol: float
) -> tuple[np.ndarray, np.ndarray, list[int], float, bool]:
    """Eigenvalues on the span of e_i, A e_i, A^2 e_i, ..., with e_i the deviations of the modes (block Arnoldi).

    Spins that couple alike and precess at one rate enter it by M combinations only, however many they are: it ends
    after a few steps. What is left are dark spin waves. No mode excites them, so that they evolve each by itself, and
    no such spin grows. Where it does not end, all precession rates being different, the eigenvalues that grow are
    converged long before. Then only those whose residuals |A v - lambda v| are small are kept, and nothing is counted
    beside them.

    Returns eigenvalues, shares of the patterns, the numbers of dark eigenvalues that stay and that decay, the largest
    real part of the dark ones (-inf where there are none), and whether the subspace ended.
    """
    size, M = 3 * model.num_subsets, model.num_modes
    block = np.concatenate([np.zeros((size, 2 * M)), np.eye(2 * M)])
    basis, image, seen = np.zeros((len(block), 0)), np.zeros((len(block), 0)), np.zeros((M, 0))
    scale, complete = 1.0, True
    while block.shape[1]:
        rows = np.zeros((2 * M, len(block)), model.dtype)  # one program for all widths
        rows[: block.shape[1]] = block.T
        found = _push(model, state, as_array(rows))
        pushed, overlaps = (np.asarray(x, dtype=float)[: block.shape[1]].T for x in found)
        basis, image = np.concatenate([basis, block], axis=1), np.concatenate([image, pushed], axis=1)
        seen = np.concatenate([seen, overlaps], axis=1)
        scale = max(scale, float(np.abs(pushed).max()))
        if basis.shape[1] >= LARGEST:
            complete = False
            break
        for _ in range(2):  # twice is enough
            pushed = pushed - basis @ (basis.T @ pushed)
        left, sizes, _ = np.linalg.svd(pushed, full_matrices=False)
        block = left[:, sizes > NEGLIGIBLE * scale]
    values, vectors = np.linalg.eig(basis.T @ image)
    if not complete:
        residual = np.linalg.norm(image @ vectors - basis @ vectors * values, axis=0)
        kept = residual < np.maximum(tol, 1e-3 * np.abs(np.real(values)))
        values, vectors = values[kept], vectors[:, kept]
    order = np.lexsort((-np.imag(values), -np.real(values)))
    values, vectors = values[order].astype(complex), vectors[:, order]

    overlaps = np.abs(seen @ vectors).T
    total = overlaps.sum(axis=1, keepdims=True)
    unseen, slowest = _dark(model, state, basis[:size, 2 * M :], tol) if complete else ([0, 0], -np.inf)
    return values, overlaps / np.where(total > 0, total, 1), unseen, slowest, complete


@eqx.filter_jit
def _push(model: DickeModel, state: MeanFieldState, rows: Float[Array, "n full"]) -> tuple[Array, Array]:
    """A times each row, and each one's overlaps."""
    z = rows[:, 2 * model.num_subsets : 3 * model.num_subsets]
    return push(model, state.to_real(model), rows), jax.vmap(model.spins.project)(z)


def _dark(model: DickeModel, state: MeanFieldState, bright: np.ndarray, tol: float) -> tuple[list[int], float]:
    """Each subset turning in its own field, without what the subspace holds already."""
    if model.dissipation is None:  # precession alone, two directions for each subset
        unseen = 2 * model.num_subsets - bright.shape[1]
        return [unseen, 0], 0.0 if unseen else -np.inf
    blocks = np.moveaxis(np.asarray(_turns(model, state)), 1, 0)  # (K, 3, 3)
    rates = np.real(np.linalg.eigvals(blocks))
    inside = np.einsum("kab,bki->aki", blocks, bright.reshape(3, len(blocks), -1)).reshape(len(bright), -1)
    seen = np.real(np.linalg.eigvals(bright.T @ inside))
    neutral = int(np.sum(rates > -tol)) - int(np.sum(seen > -tol))
    decaying = rates.size - seen.size - neutral
    slowest = float(rates.max()) if neutral or decaying else -np.inf
    return [neutral, decaying], slowest


@eqx.filter_jit
def _turns(model: DickeModel, state: MeanFieldState) -> Float[Array, "3 K 3"]:
    """What turns and damps each spin, column by column."""
    m, quadratures = state.to_real(model)

    def column(direction: Float[Array, " 3"]) -> Float[Array, "3 K"]:
        deviation = jnp.broadcast_to(direction[:, None], m.shape)
        return jax.jvp(lambda m: mean_field_equations(0.0, (m, quadratures), model)[0], (m,), (deviation,))[1]

    return jax.vmap(column, out_axes=-1)(jnp.eye(3, dtype=model.dtype))
