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
    solve: Callable[[Float[Array, "n n"], Float[Array, " n"]], Float[Array, " n"]] = jnp.linalg.solve,
) -> Float[Array, " n"]:
    """`root`, known to solve residual(root, args) = 0, as a function of `args`.

    Where `valid` is false a derivative is NaN; the value stays. `residual` and `solve`, which applies (dF/dx)^-1, must
    be function objects that stay the same, or Equinox modules: closures over arrays lose their derivatives.
    """
    return _implicit(residual, solve, jax.lax.stop_gradient(root), args, jnp.asarray(valid))


@eqx.filter_custom_jvp
def _implicit(residual: Any, solve: Any, root: Array, args: Any, valid: Bool[Array, ""]) -> Float[Array, " n"]:
    return root


@_implicit.def_jvp
def _implicit_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    residual, solve, root, args, valid = primals
    # at the output, not at the value that was given: only then is the derivative of this rule the second derivative
    x = _implicit(residual, solve, root, args, valid)
    at = jnp.where(valid, x, root)  # where a derivative is not asked for, no NaN may arise on the way
    slope = jnp.where(valid, jax.jacfwd(residual)(at, args), jnp.eye(x.size, dtype=x.dtype))
    _, driven = eqx.filter_jvp(lambda a: residual(at, a), (args,), (tangents[-2],))
    return x, nan_unless_valid(valid, -solve(slope, driven))


@eqx.filter_custom_jvp
def with_derivatives_of(function: Callable[..., Any], value: Any, args: tuple[Any, ...]) -> Any:
    """`value`, known to be function(*args), with the derivatives of that: values alone compute nothing again.

    `function` must be one that stays the same, as in `implicit`.
    """
    return value


@with_derivatives_of.def_jvp
def _with_derivatives_of_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    function, value, args = primals
    _, tangent = eqx.filter_jvp(lambda a: function(*a), (args,), (tangents[-1],))
    return with_derivatives_of(function, value, args), tangent


def smallest_solution(
    matrix: Float[Array, "n n"], given: Float[Array, " n"], singular: float | None = None
) -> Float[Array, " n"]:
    """The smallest x with A x = b, for `implicit`: also at a point where A is singular and x goes on smoothly.

    `singular`: in units of the largest singular value, those that count as zero; 1e4 times round-off by default.
    """
    rtol = 1e4 * float(jnp.finfo(matrix.dtype).eps) if singular is None else singular
    inverse = jnp.linalg.pinv(jax.lax.stop_gradient(matrix), rtol=rtol)
    # dx = A^+ (db - dA x), unlike the derivative of A^+ b, is right there
    return jax.lax.custom_linear_solve(
        lambda x: jnp.matmul(matrix, x, precision="highest"),
        given,
        solve=lambda _, b: jnp.matmul(inverse, b, precision="highest"),
        transpose_solve=lambda _, b: jnp.matmul(inverse.T, b, precision="highest"),
    )


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
