"""Stability of stationary states: the spectrum of the linearised equations where the spin lengths are conserved."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from .._checks import check_choice, known, refuse
from ..dynamics.solve import check_model_and_state
from ..model import DickeModel
from ..state import MeanFieldState
from .krylov import bright_spectrum
from .linearised import jacobian, largest_rate, residual, tangent_basis
from .spectrum import eigensystem, eigenvalues

DENSE = 600  # dimensions up to which all eigenvalues are computed from a matrix


class Stability(eqx.Module):
    """How small deviations from a stationary state evolve; under `jax.vmap` every array has leading batch axes.

    - `eigenvalues`: (n,), complex, the fastest growing first.
    - `growth_rate`: the largest real part, of the dark spin waves too, which neither grow nor decay.
    - `num_growing`, `num_neutral`, `num_decaying`: how many eigenvalues have a real part above, within and below
      the tolerance; dark ones that are not listed are counted.
    - `directions`: (n, M), the share |dxi_mu| that each pattern has in the overlaps of each eigenvector; 0 for dark
      ones. No derivative.
    - `tolerance`: the real part that counts as growing.
    - `residual`: max |dy/dt| of the state, in units of `scale`, the largest rate of the model.
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
    complete: bool = eqx.field(static=True, default=True)

    @property
    def is_stable(self) -> Bool[Array, "*batch"]:
        """Whether nothing grows. Spin waves that no mode sees keep precessing: neutral, not decaying."""
        return self.num_growing == 0

    def __repr__(self) -> str:
        if not known(self.growth_rate) or self.growth_rate.ndim:
            return eqx.tree_pformat(self)
        rows = [f"Stability: {'stable' if self.is_stable else 'unstable'}, growth rate {float(self.growth_rate):.6g}"]
        rows.append(
            f"  eigenvalues  {int(self.num_growing)} growing, {int(self.num_neutral)} neutral, "
            f"{int(self.num_decaying)} decaying" + ("" if self.complete else " (of a reduced spectrum)")
        )
        for value, shares in zip(self.eigenvalues[: self.num_growing], self.directions, strict=False):
            rows.append(f"  grows at {complex(value):.4g} towards {towards(shares)}")
        return "\n".join(rows)


def towards(shares: Float[Array, " M"]) -> str:
    """The patterns of a direction, counted from 1: "pattern 1" or "patterns 1 (0.71), 3 (0.29)"."""
    parts = np.asarray(shares)
    if parts.max() == 0:
        return "no pattern"
    seen = [nu for nu in np.argsort(-parts, kind="stable") if parts[nu] > 0.02]
    if len(seen) == 1:
        return f"pattern {seen[0] + 1}"
    return "patterns " + ", ".join(f"{nu + 1} ({parts[nu]:.2f})" for nu in seen)


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
    check_model_and_state(model, state)
    if model.is_time_dependent:
        refuse("model", "one with constant rates (model.at(t) has those of time t)", "one with rates that change")
    tolerance = (1e-4 if model.dtype != jnp.float64 else 1e-9) if tol is None else tol
    if not known(tolerance) or not 0 <= tolerance < 1:
        refuse("tol", "a number from 0 to 1", tol)
    y = state.to_real(model)
    traced = not all(map(known, jax.tree.leaves((model, y))))
    dimension = (2 if model.dissipation is None else 3) * model.num_subsets + 2 * model.num_modes
    if method is None:
        method = "dense" if dimension <= DENSE or traced else "krylov"
    check_choice("method", method, ("dense", "krylov"))
    if method == "krylov" and traced:
        refuse("method", "'dense' under jax.jit, jax.vmap and jax.grad", repr(method))

    scale, rest = _scale_and_residual(model, state)
    if known(rest) and not rest < 1e3 * tolerance + 1e-6:
        refuse("state", "stationary", f"one that changes at {float(rest):.2g} of the largest rate")
    if method == "dense":
        return _dense(model, state, tolerance * scale, scale, rest)
    eigenvalues, directions, dark, slowest, complete = bright_spectrum(model, state, tolerance * float(scale))
    growing, neutral, decaying = _counts(eigenvalues, tolerance * scale)
    return Stability(
        eigenvalues,
        jnp.maximum(eigenvalues[0].real, slowest) if slowest > -jnp.inf else eigenvalues[0].real,
        growing,
        neutral + dark[0],
        decaying + dark[1],
        directions,
        tolerance * scale,
        rest,
        scale,
        complete,
    )


def growth_rate(model: DickeModel, state: MeanFieldState) -> Float[Array, ""]:
    """The largest real part of the spectrum, from all of the matrix."""
    return eigenvalues(jacobian(model, state)).real[0]


@eqx.filter_jit
def _scale_and_residual(model: DickeModel, state: MeanFieldState) -> tuple[Array, Array]:
    return largest_rate(model), residual(model, state)


def _counts(eigenvalues: Complex[Array, " n"], tolerance: Array) -> tuple[Array, Array, Array]:
    growing, decaying = eigenvalues.real > tolerance, eigenvalues.real < -tolerance
    return jnp.sum(growing), jnp.sum(~growing & ~decaying), jnp.sum(decaying)


@eqx.filter_jit
def _dense(model: DickeModel, state: MeanFieldState, tolerance: Array, scale: Array, rest: Array) -> Stability:
    values, vectors = eigensystem(jacobian(model, state))
    fixed = jax.lax.stop_gradient((model, state))
    basis = tangent_basis(*fixed)[2 * model.num_subsets : 3 * model.num_subsets].astype(vectors.dtype)
    z = jnp.matmul(basis, vectors, precision="highest")
    parts = [jax.vmap(fixed[0].spins.project, in_axes=1)(part) for part in (z.real, z.imag)]
    directions = shares_of(jnp.hypot(*parts), jnp.linalg.norm(z, axis=0))
    return Stability(values, values[0].real, *_counts(values, tolerance), directions, tolerance, rest, scale)


def shares_of(overlaps: Float[Array, "n M"], size: Float[Array, " n"]) -> Float[Array, "n M"]:
    """|dxi_mu| as shares of their sum; 0 where they are round-off of the vector's size."""
    total = jnp.sum(overlaps, axis=1, keepdims=True)
    visible = total > jnp.sqrt(jnp.finfo(total.dtype).eps) * size[:, None]
    return jnp.where(visible, overlaps / jnp.where(visible, total, 1), 0)
