"""Newton's method, and with it a root of the self-consistent equations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._typing import ModeReals, SubsetReals
from ..mean_field.model import DickeModel
from ..mean_field.stationary_equations import self_consistency


def iterate(
    equations: Callable[[Array], Array],
    start: Float[Array, " n"],
    tol: float,
    most: int,
    size: Callable[[Array, Array], Array] = lambda shift, u: jnp.max(jnp.abs(shift)),
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Where at `most` so many steps end, and the size of the last correction, which is not above `tol` if it ended."""

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        u, _, count = carry
        shift = jnp.linalg.solve(jax.jacfwd(equations)(u), equations(u))
        return u - shift, size(shift, u), count + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > tol) & (carry[2] < most)  # not a number is not above

    far = jnp.full_like(start[0], jnp.inf), jnp.zeros_like(start[0], int)
    return jax.lax.while_loop(unfinished, improve, (start, *far))[:2]


def newton(start: ModeReals, args: tuple[DickeModel, SubsetReals]) -> tuple[ModeReals, Bool[Array, ""]]:
    """A root, and whether it is one: the last correction is small, also where the root is nearly degenerate."""
    eps = float(jnp.finfo(start.dtype).eps)
    xi, correction = iterate(lambda xi: self_consistency(xi, args), start, 1e2 * eps, 64)
    return xi, (jnp.max(jnp.abs(self_consistency(xi, args))) < 1e4 * eps) & (correction < jnp.sqrt(eps))
