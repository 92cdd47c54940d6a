"""Stability of stationary states: the spectrum of the linearised equations where the spin lengths are conserved."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from .._checks import as_array, check_choice, known, refuse
from .._status import Status, where
from .._summary import AbstractResult, Rows
from ..mean_field.model import DickeModel, check_constant_rates
from ..mean_field.state import MeanFieldState
from .krylov_spectrum import bright_spectrum
from .linearisation import eigensystem, jacobian, largest_rate, residual, tangent_basis

DENSE = 600  # dimensions up to which all eigenvalues are computed from a matrix


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
        return f"Stability: {fate}, growth rate {float(self.growth_rate):.6g}"

    def _rows(self) -> Rows:
        if self.growth_rate.ndim:
            yield "growth rate", self.growth_rate
            return
        counts = f"{int(self.num_growing)} growing, {int(self.num_neutral)} neutral, {int(self.num_decaying)} decaying"
        yield "eigenvalues", counts + ("" if self.complete else " (of a reduced spectrum)")
        values, directions = np.asarray(self.eigenvalues), np.asarray(self.directions)
        for i in range(min(int(self.num_growing), len(directions))):
            yield "grows", f"at {values[i]:.4g} towards {towards(directions[i])}"


def towards(shares: Float[np.ndarray, " M"]) -> str:
    """The patterns of a direction, counted from 1: "pattern 1" or "patterns 1 (0.71), 3 (0.29)"."""
    if shares.max() == 0:
        return "no pattern"
    seen = [nu for nu in np.argsort(-shares, kind="stable") if shares[nu] > 0.02]
    if len(seen) == 1:
        return f"pattern {seen[0] + 1}"
    return "patterns " + ", ".join(f"{nu + 1} ({shares[nu]:.2f})" for nu in seen)


def stability(
    model: DickeModel, state: MeanFieldState, *, method: str | None = None, tol: float | None = None
) -> Stability:
    """The spectrum of the equations linearised at a stationary state.

        d(dy)/dt = A dy,   m_k . dm_k = 0

    A has one zero mode for each conserved spin length; it is restricted to the deviations that keep these lengths.
    With single-spin dissipation nothing is conserved, and A acts on all. "max Re < 0" never holds where subsets
    outnumber modes: K - M pairs of spin waves are seen by no mode and precess for ever. So a state is called stable
    when nothing grows.

    **Main arguments**

    - `model`: a `DickeModel` with constant rates.
    - `state`: a stationary `MeanFieldState`, of `retrieval_state`, `steadystate` or `stationary_states`.

    **Other arguments**

    - `method`: "dense", all eigenvalues of a matrix of 2K + 2M rows; "krylov", the subspace that the modes see and
      excite, found without the matrix; the rest are dark spin waves, which are only counted. By default dense up to
      600 rows.
    - `tol`: the real part that counts as growing, in units of the model's largest rate. 1e-9 in float64, 1e-4 in
      float32.

    **Returns** a `Stability`. With "dense", eigenvalues are differentiable in model and state: the derivative of a
    simple eigenvalue is right, of a degenerate one NaN, for it has none. A state's own dependence on the model counts:
    `retrieval_state` and `stationary_state` carry it.

    **Raises** ValueError for a state that is not stationary, or a traced one with "krylov".
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
        method = "dense" if num_rows(model) <= DENSE or traced else "krylov"
    check_choice("method", method, ("dense", "krylov"))
    if method == "krylov" and traced:
        refuse("method", "'dense' under jax.jit, jax.vmap and jax.grad", repr(method))

    spectrum = (dense_spectrum if method == "dense" else _krylov)(model, state, tol)
    if known(spectrum.residual) and not float(spectrum.residual) < _small(tol):
        refuse("state", "stationary", f"one that changes at {float(spectrum.residual):.2g} of the largest rate")
    return spectrum


def num_rows(model: DickeModel) -> int:
    """Of the matrix of all deviations."""
    return (2 if model.dissipation is None else 3) * model.num_subsets + 2 * model.num_modes


@eqx.filter_jit
def dense_spectrum(model: DickeModel, state: MeanFieldState, tol: float) -> Stability:
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
def _at_rest(model: DickeModel, state: MeanFieldState, tol: float) -> tuple[Array, Array, Any]:
    rest = residual(model, state)
    return largest_rate(model), rest, where(rest < _small(tol), Status.successful, Status.moving)


def _krylov(model: DickeModel, state: MeanFieldState, tol: float) -> Stability:
    scale, rest, status = _at_rest(model, state, tol)
    tolerance = tol * float(scale)
    values, directions, dark, slowest, complete = bright_spectrum(model, state, tolerance)
    rates = np.real(values)
    counts = np.sum(rates > tolerance), np.sum(np.abs(rates) <= tolerance), np.sum(rates < -tolerance)
    growing, neutral, decaying = map(as_array, np.add(counts, (0, *dark)))
    numbers = max(rates[0], slowest), directions, tolerance
    growth, directions, tolerance = (as_array(number, model.dtype) for number in numbers)
    spectrum = as_array(values), growth, growing, neutral, decaying, directions
    return Stability(*spectrum, tolerance, rest, scale, status, complete)


def pattern_shares(model: DickeModel, state: MeanFieldState, vectors: Complex[Array, "t n"]) -> Float[Array, "n M"]:
    """|dxi_mu| of eigenvectors in `tangent_basis` as shares of their sum; 0 where they are round-off of the vector."""
    basis = tangent_basis(model, state)[2 * model.num_subsets : 3 * model.num_subsets]
    z = jnp.matmul(basis.astype(vectors.dtype), vectors, precision="highest")
    overlaps = jnp.hypot(*(jax.vmap(model.spins.project, in_axes=1)(part) for part in (z.real, z.imag)))
    total = jnp.sum(overlaps, axis=1, keepdims=True)
    visible = total > jnp.sqrt(jnp.finfo(total.dtype).eps) * jnp.linalg.norm(z, axis=0)[:, None]
    return jnp.where(visible, overlaps / jnp.where(visible, total, 1), 0)
