"""Stability of stationary states: the spectrum of the linearised equations where the spin lengths are conserved."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from .._checks import as_array, check_choice, known, refuse
from .._door import checked
from .._status import Status, where
from .._summary import AbstractResult, Rows
from ..mean_field import (
    AbstractMeanFieldModel,
    CollectiveModel,
    DickeModel,
    MeanFieldState,
    check_constant_rates,
    mean_field_equations,
)
from .linearisation import eigensystem, jacobian, largest_rate, push, residual, tangent_basis

DENSE = 600  # dimensions up to which all eigenvalues are computed from a matrix
LARGEST = 300  # dimensions of the subspace that modes see, after which the search for more ends
TURNS = 1e-6  # imaginary part, against the largest rate, of what is more than round-off
NEGLIGIBLE = 1e-10  # the length, against the largest, at which a new direction is taken to be an old one


class Stability(AbstractResult):
    """How small deviations from a stationary state evolve; under `jax.vmap` every array has leading batch axes.

    - `eigenvalues`: (n,), complex, the fastest growing first.
    - `growth_rate`: the largest real part, of the dark spin waves too, which neither grow nor decay.
    - `num_growing`, `num_neutral`, `num_decaying`: how many eigenvalues have a real part above, within and below
      the tolerance; dark ones that are not listed are counted.
    - `directions`: (n, M), the share |dxi_mu| that each pattern has in the overlaps of each eigenvector; 0 for dark
      ones. No derivative.
    - `tolerance`: the real part that counts as growing.
    - `residual`: max |dy/dt| of the state, in units of `scale`, the largest rate of the model.
    - `status`: a `Status`, `moving` where the state is not stationary, which `stability` refuses where it can look.
    - `complete`: whether all of the spectrum is known. Where it is not, what grows is, to the tolerance.
    """

    eigenvalues: Complex[Array, "*batch n"]
    growth_rate: Float[Array, "*batch"]
    num_growing: Int[Array, "*batch"]
    num_neutral: Int[Array, "*batch"]
    num_decaying: Int[Array, "*batch"]
    directions: Float[Array, "*batch n M"]
    tolerance: Float[Array, "*batch"]
    residual: Float[Array, "*batch"]
    scale: Float[Array, "*batch"]
    status: Any
    complete: bool = eqx.field(static=True, default=True)

    @property
    def is_stable(self) -> Bool[Array, "*batch"]:
        """Whether nothing grows. Spin waves that no mode sees keep precessing: neutral, not decaying."""
        return self.num_growing == 0

    def _heading(self) -> str:
        if self.growth_rate.ndim:
            return f"Stability: {np.sum(np.asarray(self.num_growing) == 0)} of {self.growth_rate.size} states stable"
        fate = "unstable" if int(self.num_growing) else "stable"
        rate = float(self.growth_rate) if abs(float(self.growth_rate)) > float(self.tolerance) else 0.0
        return f"Stability: {fate}, growth rate {rate:.6g}"

    def _rows(self) -> Rows:
        if self.growth_rate.ndim:
            yield "growth rate", self.growth_rate
            return
        counts = f"{int(self.num_growing)} growing, {int(self.num_neutral)} neutral, {int(self.num_decaying)} decaying"
        yield "eigenvalues", counts + ("" if self.complete else " (of a reduced spectrum)")
        growing = slice(int(self.num_growing))
        for value, shares in zip(np.asarray(self.eigenvalues)[growing], np.asarray(self.directions), strict=False):
            turns = abs(value.imag) > TURNS * float(self.scale)
            turning = f", turning at {value.imag:.4g}" if turns else ""
            if value.imag >= 0:  # of a pair one
                yield "grows", f"at {value.real:.4g}{turning}{towards(shares)}"


def towards(shares: Float[np.ndarray, " M"]) -> str:
    """The patterns of a direction, counted from 1: " towards pattern 1" or " towards patterns 1 (0.71), 3 (0.29)".

    Nothing of one overlap alone, which need not be that of a pattern.
    """
    if shares.size < 2:
        return ""
    if shares.max() == 0:
        return " towards no pattern"
    seen = [nu for nu in np.argsort(-shares, kind="stable") if shares[nu] > 0.02]
    if len(seen) == 1:
        return f" towards pattern {seen[0] + 1}"
    return " towards patterns " + ", ".join(f"{nu + 1} ({shares[nu]:.2f})" for nu in seen)


@checked
def stability(
    model: DickeModel | CollectiveModel, state: MeanFieldState, *, method: str | None = None, tol: float | None = None
) -> Stability:
    """The spectrum of the equations linearised at a stationary state.

        d(dy)/dt = A dy,   m_k . dm_k = 0

    A has one zero mode for each conserved spin length; it is restricted to the deviations that keep these lengths.
    With single-spin dissipation nothing is conserved, and A acts on all. "max Re < 0" never holds where subsets
    outnumber modes: K - M pairs of spin waves are seen by no mode and precess for ever. So a state is called stable
    when nothing grows.

    **Arguments**

    - `model`: a `DickeModel` or a `CollectiveModel` with constant rates.
    - `state`: a stationary `MeanFieldState`, of `retrieval_state`, `steadystate` or `stationary_states`.
    - `method`: "dense", all eigenvalues of a matrix of 2K + 2M rows; "krylov", the subspace that the modes see and
      excite, without the matrix; the rest are dark spin waves, only counted. By default dense up to 600 rows,
      and for a `CollectiveModel`, whose modes need not see all that moves.
    - `tol`: the real part that counts as growing, in units of the model's largest rate. 1e-9 in float64, 1e-4 in
      float32.

    **Returns** a `Stability`. With "dense", eigenvalues are differentiable in model and state: the derivative of a
    simple eigenvalue is right, of a degenerate one NaN, for it has none. A state's own dependence on the model counts:
    `retrieval_state` and `stationary_state` carry it.

    **Raises** ValueError for a state that is not stationary, or a traced one with "krylov".

    **Example**

        >>> model = dj.examples.paper_model(g0=0.9)
        >>> for pattern in (0, 3):
        ...     found = dj.stability(model, dj.retrieval_state(model, pattern))
        ...     print(bool(found.is_stable), int(found.num_growing), int(found.num_neutral))
        True 0 8
        False 3 8
    """
    check_constant_rates(model)
    if not isinstance(state, MeanFieldState):
        refuse("state", "a MeanFieldState", type(state).__name__)
    if tol is None:
        tol = 1e-9 if model.dtype == jnp.float64 else 1e-4
    if not known(tol) or not 0 <= tol < 1:
        refuse("tol", "a number from 0 to 1", tol)
    traced = not all(map(known, jax.tree.leaves((model, state))))
    if method is None:
        method = "dense" if num_rows(model) <= DENSE or traced or not isinstance(model, DickeModel) else "krylov"
    check_choice("method", method, ("dense", "krylov"))
    if method == "krylov" and traced:
        refuse("method", "'dense' under jax.jit, jax.vmap and jax.grad", repr(method))
    if method == "krylov" and not isinstance(model, DickeModel):
        refuse("method", "'dense' for a CollectiveModel", repr(method))

    if method == "krylov" and isinstance(model, DickeModel):
        spectrum = krylov_spectrum(model, state, tol)
    else:
        spectrum = dense_spectrum(model, state, tol)
    if known(spectrum.residual) and not float(spectrum.residual) < _small(tol):
        refuse("state", "stationary", f"one that changes at {float(spectrum.residual):.2g} of the largest rate")
    return spectrum


def num_rows(model: AbstractMeanFieldModel) -> int:
    """Of the matrix of all deviations."""
    return model.num_components - (model.num_subsets if model.dissipation is None and model.levels == 2 else 0)


@eqx.filter_jit
def dense_spectrum(model: AbstractMeanFieldModel, state: MeanFieldState, tol: float) -> Stability:
    """`stability` from all of the matrix, in one program."""
    scale, rest, status = _at_rest(model, state, tol)
    tolerance = tol * scale
    values, vectors = eigensystem(jacobian(model, state))
    growing, decaying = values.real > tolerance, values.real < -tolerance
    counts = jnp.sum(growing), jnp.sum(~growing & ~decaying), jnp.sum(decaying)
    directions = pattern_shares(*jax.lax.stop_gradient((model, state)), vectors)
    return Stability(values, values[0].real, *counts, directions, tolerance, rest, scale, status)


def _small(tol: float) -> float:
    """The residual below which a state counts as stationary."""
    return 1e3 * tol + 1e-6


@eqx.filter_jit
def _at_rest(model: AbstractMeanFieldModel, state: MeanFieldState, tol: float) -> tuple[Array, Array, Any]:
    rest = residual(model, state)
    return largest_rate(model), rest, where(rest < _small(tol), Status.successful, Status.moving)


def pattern_shares(
    model: AbstractMeanFieldModel, state: MeanFieldState, vectors: Complex[Array, "t n"]
) -> Float[Array, "n P"]:
    """|dxi_mu| of eigenvectors in `tangent_basis` as shares of their sum; 0 where they are round-off of the vector."""
    basis = tangent_basis(model, state)[2 * model.num_subsets : 3 * model.num_subsets]
    z = jnp.matmul(basis.astype(vectors.dtype), vectors, precision="highest")
    overlaps = jnp.hypot(*(jax.vmap(model.project, in_axes=1)(part) for part in (z.real, z.imag)))
    total = jnp.sum(overlaps, axis=1, keepdims=True)
    visible = total > jnp.sqrt(jnp.finfo(total.dtype).eps) * jnp.linalg.norm(z, axis=0)[:, None]
    return jnp.where(visible, overlaps / jnp.where(visible, total, 1), 0)


def krylov_spectrum(model: DickeModel, state: MeanFieldState, tol: float) -> Stability:
    """`stability` on the span of e_i, A e_i, A^2 e_i, ..., with e_i the deviations of the modes (block Arnoldi).

    Spins that couple alike and precess at one rate enter it by M combinations only, however many they are: it ends
    after a few steps. What is left are dark spin waves. No mode excites them, so that they evolve each by itself, and
    no such spin grows. Where it does not end, all precession rates being different, the eigenvalues that grow are
    converged long before. Then only those whose residuals |A v - lambda v| are small are kept, and nothing is counted
    beside them.
    """
    scale, rest, status = _at_rest(model, state, tol)
    tolerance = tol * float(scale)
    size, M = 3 * model.num_subsets, model.num_modes
    block = np.concatenate([np.zeros((size, 2 * M)), np.eye(2 * M)])
    basis, image, seen = np.zeros((len(block), 0)), np.zeros((len(block), 0)), np.zeros((M, 0))
    largest, complete = 1.0, True
    while block.shape[1]:
        rows = np.zeros((2 * M, len(block)), model.dtype)  # one program for all widths
        rows[: block.shape[1]] = block.T
        found = _push(model, state, as_array(rows))
        pushed, overlaps = (np.asarray(x, dtype=float)[: block.shape[1]].T for x in found)
        basis, image = np.concatenate([basis, block], axis=1), np.concatenate([image, pushed], axis=1)
        seen = np.concatenate([seen, overlaps], axis=1)
        largest = max(largest, float(np.abs(pushed).max()))
        if basis.shape[1] >= LARGEST:
            complete = False
            break
        for _ in range(2):  # twice is enough
            pushed = pushed - basis @ (basis.T @ pushed)
        left, sizes, _ = np.linalg.svd(pushed, full_matrices=False)
        block = left[:, sizes > NEGLIGIBLE * largest]
    values, vectors = np.linalg.eig(basis.T @ image)
    if not complete:
        missed = np.linalg.norm(image @ vectors - basis @ vectors * values, axis=0)
        kept = missed < np.maximum(tolerance, 1e-3 * np.abs(np.real(values)))
        values, vectors = values[kept], vectors[:, kept]
    order = np.lexsort((-np.imag(values), -np.real(values)))
    values, vectors = values[order].astype(complex), vectors[:, order]

    overlaps = np.abs(seen @ vectors).T
    total = overlaps.sum(axis=1, keepdims=True)
    directions = overlaps / np.where(total > 0, total, 1)
    dark, slowest = _dark(model, state, basis[:size, 2 * M :], tolerance) if complete else ((0, 0), -np.inf)
    rates = np.real(values)
    counts = np.sum(rates > tolerance), np.sum(np.abs(rates) <= tolerance), np.sum(rates < -tolerance)
    growing, neutral, decaying = map(as_array, np.add(counts, (0, *dark)))
    numbers = max(rates[0], slowest), directions, tolerance
    growth, directions, bound = (as_array(number, model.dtype) for number in numbers)
    spectrum = as_array(values), growth, growing, neutral, decaying, directions
    return Stability(*spectrum, bound, rest, scale, status, complete)


@eqx.filter_jit
def _push(model: DickeModel, state: MeanFieldState, rows: Float[Array, "n full"]) -> tuple[Array, Array]:
    """A times each row, and each one's overlaps."""
    z = rows[:, 2 * model.num_subsets : 3 * model.num_subsets]
    return push(model, state.to_real(model), rows), jax.vmap(model.spins.project)(z)


def _dark(model: DickeModel, state: MeanFieldState, bright: np.ndarray, tol: float) -> tuple[tuple[int, int], float]:
    """Each subset turning in its own field, without what the subspace holds already.

    How many such eigenvalues stay and how many decay, and the largest real part: -inf where there are none.
    """
    if model.dissipation is None:  # precession alone, two directions for each subset
        unseen = 2 * model.num_subsets - bright.shape[1]
        return (unseen, 0), 0.0 if unseen else -np.inf
    blocks = np.moveaxis(np.asarray(_turns(model, state)), 1, 0)  # (K, 3, 3)
    rates = np.real(np.linalg.eigvals(blocks))
    inside = np.einsum("kab,bki->aki", blocks, bright.reshape(3, len(blocks), -1)).reshape(len(bright), -1)
    seen = np.real(np.linalg.eigvals(bright.T @ inside))
    neutral = int(np.sum(rates > -tol)) - int(np.sum(seen > -tol))
    decaying = rates.size - seen.size - neutral
    slowest = float(rates.max()) if neutral or decaying else -np.inf
    return (neutral, decaying), slowest


@eqx.filter_jit
def _turns(model: DickeModel, state: MeanFieldState) -> Float[Array, "3 K 3"]:
    """What turns and damps each spin, column by column."""
    m, quadratures = state.to_real(model)

    def column(direction: Float[Array, " 3"]) -> Float[Array, "3 K"]:
        deviation = jnp.broadcast_to(direction[:, None], m.shape)
        return jax.jvp(lambda m: mean_field_equations(0.0, (m, quadratures), model)[0], (m,), (deviation,))[1]

    return jax.vmap(column, out_axes=-1)(jnp.eye(3, dtype=model.dtype))
