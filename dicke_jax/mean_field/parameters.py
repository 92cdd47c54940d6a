"""The parameters of energies and collective jumps: numbers of one precision, and functions of time."""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite, refuse, told
from .._typing import ArrayLike
from .rates import as_schedule, is_rate_in_time, value_at


def as_leafless(function: Any) -> Any:
    """A plain function as a tree without leaves, so that what holds it is one of arrays alone."""
    return function if isinstance(function, eqx.Module) else jax.tree_util.Partial(function)


def parameters(function: Any) -> dict[str, Any]:
    """All fields that are not static, by name; a plain function has none."""
    if not isinstance(function, eqx.Module):
        return {}
    fields = dataclasses.fields(function)  # pyright: ignore[reportArgumentType]
    return {field.name: getattr(function, field.name) for field in fields if not field.metadata.get("static", False)}


def with_parameters(function: Any, values: dict[str, Any]) -> Any:
    """The same energy with other parameters."""
    if not values:
        return function
    return eqx.tree_at(
        lambda f: [getattr(f, name) for name in values], function, list(values.values()), is_leaf=lambda x: x is None
    )


def in_time(function: Any) -> dict[str, Any]:
    """The parameters that are functions of time."""
    return {name: value for name, value in parameters(function).items() if is_rate_in_time(value)}


def values_at(function: Any, t: ArrayLike, dtype: Any) -> Any:
    """An energy with the values that its parameters have at time t."""
    now = {name: jnp.asarray(value_at(rate, t), dtype) for name, rate in in_time(function).items()}
    return with_parameters(function, now)


def common_float(*functions: Any) -> Any:
    """The precision of the arrays among the parameters; Python numbers adapt to it."""
    leaves = [x for f in functions for name, value in parameters(f).items() if name not in in_time(f)
              for x in jax.tree.leaves(value)]  # fmt: skip
    with jax.numpy_dtype_promotion("standard"):
        numbers = [x.dtype for x in leaves if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact)]
        common = jnp.result_type(0.0, *numbers)
    return jnp.finfo(common).dtype


def in_precision(name: str, function: Any, dtype: Any) -> Any:
    """The parameters as arrays of one precision; whole numbers in arrays stay what they are."""
    rates = {field: as_schedule(f"{name}.{field}", rate) for field, rate in in_time(function).items()}
    numbers = {field: value for field, value in parameters(function).items() if field not in rates}
    converted = {
        field: jax.tree.map(partial(_converted, f"{name}.{field}", dtype), _as_array(value))
        for field, value in numbers.items()
    }
    return with_parameters(function, rates | converted)


def _as_array(value: Any) -> Any:
    """A list of numbers is one of JAX's arrays."""
    is_row = isinstance(value, list | tuple) and all(isinstance(x, int | float | complex) for x in value)
    return np.asarray(value, complex if any(isinstance(x, complex) for x in value) else float) if is_row else value


def _converted(name: str, dtype: Any, leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray | np.generic | jax.Array):
        is_number = jnp.issubdtype(leaf.dtype, jnp.inexact)
    else:
        is_number = isinstance(leaf, int | float | complex) and not isinstance(leaf, bool)
    if isinstance(leaf, str | bytes):
        refuse(name, "a number, an array or a function of time (what is none is a static field)", told(leaf))
    if not is_number:
        return leaf
    check_finite(name, leaf)
    return jnp.asarray(leaf, np.result_type(dtype, np.complex64) if jnp.iscomplexobj(leaf) else dtype)
