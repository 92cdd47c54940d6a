"""The implicit derivative: a value that was found somehow, with the derivatives of the equation that it solves.

    F(x, a) = 0    =>    dx = -(dF/dx)^-1 (dF/da) da

The value is not found here and its search is not differentiated. The rule is itself made of differentiable operations
on the value that it gives back, so that derivatives of any order are those of the solution.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact


def implicit(
    residual: Callable[[Float[Array, " n"], Any], Float[Array, " n"]],
    root: Float[Array, " n"],
    args: Any,
    valid: Bool[Array, ""] | bool = True,
) -> Float[Array, " n"]:
    """`root`, known to solve residual(root, args) = 0, as a function of `args`.

    Where `valid` is false, or dF/dx is singular, a derivative is NaN; the value stays. `residual` must be a function
    object that stays the same, or an Equinox module: closures over arrays lose their derivatives.
    """
    return _implicit(residual, jax.lax.stop_gradient(root), args, jnp.asarray(valid))


@eqx.filter_custom_jvp
def _implicit(residual: Any, root: Float[Array, " n"], args: Any, valid: Bool[Array, ""]) -> Float[Array, " n"]:
    return root


@_implicit.def_jvp
def _implicit_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    residual, root, args, valid = primals
    # at the output, not at the value that was given: only then is the derivative of this rule the second derivative
    x = _implicit(residual, root, args, valid)
    slope = jax.jacfwd(residual)(x, args)
    _, driven = eqx.filter_jvp(lambda a: residual(x, a), (args,), (tangents[2],))
    return x, nan_unless_valid(valid, -jnp.linalg.solve(slope, driven))


def nan_unless_valid(valid: Bool[Array, "..."], tangent: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """A derivative, or NaN where it is not `valid`, in forward and in reverse mode.

    In reverse mode only what is asked for can be NaN: a row of a batch that is masked out spoils no other row.
    """
    return jax.lax.custom_linear_solve(
        lambda x: x,
        tangent,
        solve=lambda _, t: jnp.where(valid, t, jnp.nan),
        transpose_solve=lambda _, cotangent: jnp.where(valid | (cotangent == 0), cotangent, jnp.nan),
    )
