"""Argument conversions and checks shared by constructors and entry functions.

Every refusal is one line that names the argument, what it must be and what it was. Values are looked at only where
they are known: inside `jax.jit`, `jax.vmap` and `jax.grad` an array is a tracer, and only its shape is checked.
"""

import warnings
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int

from ._typing import ArrayLike


def known(value: Any) -> bool:
    """Whether `value` has numbers to look at, which a traced array has not."""
    return not isinstance(value, Tracer)


def as_array(value: ArrayLike, dtype: Any = None) -> Array:
    """An array, for which no program is compiled where there are numbers to look at."""
    if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)):
        return jnp.asarray(value, dtype)
    return jax.device_put(np.asarray(value, dtype))


def as_float(value: ArrayLike) -> Array:
    """An array of real numbers, its precision kept; whole numbers become JAX's default floats."""
    array = jnp.asarray(value)
    # with its own dtype named, an array is not of a weak type: one compilation serves all
    return jnp.array(array, array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else float)


def refuse(name: str, must_be: str, was: Any) -> NoReturn:
    raise ValueError(f"{name} must be {must_be}; got {was}.")


def check_shape(name: str, value: Any, shape: tuple[int, ...], meaning: str) -> None:
    if jnp.shape(value) != shape:
        refuse(name, f"of shape {shape}, {meaning}", f"shape {jnp.shape(value)}")


def check_all(name: str, value: Any, holds: Any, must_be: str) -> None:
    """Refuse a known array that has an entry for which `holds(entries)` is false, and show that entry."""
    if not known(value):
        return
    entries = np.asarray(value)
    good = np.broadcast_to(holds(entries), entries.shape)
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        refuse(name, must_be, f"{entries[where]}" + (f" at index {where}" if where else ""))


def check_finite(name: str, value: Any) -> None:
    check_all(name, value, np.isfinite, "finite")


def check_count(name: str, value: Any, least: int = 1) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        refuse(name, f"a whole number of at least {least}", repr(value))


def as_times(value: ArrayLike, dtype: Any = None, name: str = "tsave") -> Array:
    """At least two increasing times. Traced ones are checked by whoever runs with them."""
    times = as_float(value) if dtype is None else as_float(value).astype(dtype)
    if times.ndim != 1 or times.size < 2:
        refuse(name, "a one-dimensional array of at least two increasing times", f"shape {times.shape}")
    check_finite(name, times)
    if known(times):
        numbers = np.asarray(times)
        if not np.all(np.diff(numbers) > 0):
            at = int(np.argmin(np.diff(numbers) > 0))
            refuse(name, f"strictly increasing in {times.dtype}", f"{numbers[at]} before {numbers[at + 1]}")
    return times


def key_first(key: Any, model: Any, name: str) -> tuple[Any, Any]:
    """The first two arguments of a function that draws at random; the order of before is told to be deprecated."""
    if not hasattr(model, "dtype") or not jnp.issubdtype(model.dtype, jax.dtypes.prng_key):
        return key, model
    warnings.warn(f"{name}(key, ...) takes the key first", DeprecationWarning, stacklevel=3)
    return model, key


def renamed(name: str, value: Any, old_name: str, old_value: Any) -> Any:
    """An argument that may still be given by its old name."""
    if old_value is None:
        return value
    warnings.warn(f"{old_name} is called {name} now", DeprecationWarning, stacklevel=3)
    return old_value


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        refuse(name, "one of " + ", ".join(repr(c) for c in choices), repr(value))


def as_pattern_index(pattern: ArrayLike, num_modes: int) -> Int[Array, ""]:
    """The number of a stored pattern, from 0. A traced number is checked when it is known, at run time."""
    index, must_be = as_array(pattern), f"a pattern number from 0 to {num_modes - 1}"
    if not jnp.issubdtype(index.dtype, jnp.integer) or index.ndim != 0:
        refuse("pattern", must_be, repr(pattern))
    return _checked("pattern", pattern, index, lambda i: (i >= 0) & (i < num_modes), must_be)


def as_probability(name: str, value: ArrayLike) -> Array:
    """A number from 0 to 1. A traced one is checked when it is known, at run time."""
    probability = as_float(value)
    return _checked(name, probability, probability, lambda p: (p >= 0) & (p <= 1), "a probability, from 0 to 1")


def _checked(name: str, given: Any, array: Array, holds: Any, must_be: str) -> Array:
    check_all(name, given, holds, must_be)
    return array if known(given) else eqx.error_if(array, ~holds(array), f"{name} must be {must_be}.")
