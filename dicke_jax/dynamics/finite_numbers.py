"""Numbers that are none: kept out of a run before it begins, and told of when it has ended."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array

from .._implicit import nan_unless_valid
from .._status import Status, where
from .._typing import RealState
from ..mean_field import AbstractMeanFieldModel


def without_nan(model: AbstractMeanFieldModel, y0: RealState) -> tuple[Array, Any, RealState]:
    """Whether all numbers are finite; where they are not, finite ones and a state at rest in their place.

    A traced NaN cannot be refused at the door, and an adaptive solver never gets past it: without this one bad row
    would keep its batch from ever ending.
    """
    of_model, model = _finite(model)
    packed, unpack = jax.flatten_util.ravel_pytree(y0)
    good = of_model & jnp.all(jnp.isfinite(packed))
    return good, model, unpack(where_good(good, packed, jnp.zeros_like(packed)))


@jax.custom_jvp
def where_good(good: Array, value: Array, other: Array) -> Array:
    """`value` where it is good, else `other`; there its derivatives are NaN, where `jnp.where` has zeros."""
    return jnp.where(good, value, other)


@where_good.defjvp
def _where_good_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    good, value, other = primals
    return where_good(good, value, other), nan_unless_valid(good, tangents[1])


def _finite(tree: Any) -> tuple[Array, Any]:
    """Whether all numbers of a tree are finite, and the tree with 0 in the place of arrays that hold others.

    All of a precision in one array, since for each by itself XLA would compile operations of its own; but matrices
    apart, which in a batch of rates are there once.
    """
    finite, parts, rest = [], [], tree
    for dtype, matrix in sorted({_sort(x) for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)}, key=str):
        some, rest = eqx.partition(rest, lambda x, s=(dtype, matrix): eqx.is_inexact_array(x) and _sort(x) == s)
        packed, unpack = jax.flatten_util.ravel_pytree(some)
        finite.append(jnp.all(jnp.isfinite(packed)))
        parts.append(unpack(where_good(finite[-1], packed, jnp.zeros_like(packed))))
    return jnp.all(jnp.stack(finite)), eqx.combine(rest, *parts)


def _sort(x: Array) -> tuple[jnp.dtype, bool]:
    return x.dtype, x.ndim > 1


def with_nonfinite(result: dfx.RESULTS, *values: Array) -> Status:
    """How a run ended. One that says it succeeded but holds NaN or inf did not."""
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(v)) for v in values]))
    status = Status.promote(result)
    return where((status == Status.successful) & ~finite, Status.nonfinite, status)


@jax.custom_jvp
def or_raise(values: Any, status: Status) -> Any:
    """`values`, and an error at run time where the status is none of success: also where only derivatives are used."""
    return status.error_if(values, status != Status.successful)


@or_raise.defjvp
def _or_raise_jvp(primals: tuple[Any, Status], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    values, status = primals
    good = status == Status.successful
    good = status.error_if(good, ~good)
    return or_raise(values, status), jax.tree.map(lambda tangent: nan_unless_valid(good, tangent), tangents[0])
