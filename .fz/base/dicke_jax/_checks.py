"""Argument conversions and checks shared by constructors and entry functions.

Every refusal is one line that names the argument, what it must be and what it was. Values are looked at only where
they are known: inside `jax.jit`, `jax.vmap` and `jax.grad` an array is a tracer, and only its shape is checked.
"""

from typing import Any, NoReturn

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int

from ._typing import ArrayLike


def known(value: Any) -> bool:
    """Whether `value` has numbers to look at, which a traced array has not."""
    return not isinstance(value, Tracer)


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


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        refuse(name, "one of " + ", ".join(repr(c) for c in choices), repr(value))


def as_pattern_index(pattern: ArrayLike, num_modes: int) -> Int[Array, ""]:
    """The number of a stored pattern, from 0. A traced number is checked when it is known, at run time."""
    must_be = f"a pattern number from 0 to {num_modes - 1}"
    index = jnp.asarray(pattern)
    if not jnp.issubdtype(index.dtype, jnp.integer) or index.ndim != 0:
        refuse("pattern", must_be, repr(pattern))
    if known(index):
        if not 0 <= int(index) < num_modes:
            refuse("pattern", must_be, int(index))
        return index
    return eqx.error_if(index, (index < 0) | (index >= num_modes), f"pattern must be {must_be}.")


def as_probability(name: str, value: ArrayLike) -> Array:
    """A number from 0 to 1. A traced one is checked when it is known, at run time."""
    probability, must_be = as_float(value), "a probability, from 0 to 1"
    check_all(name, probability, lambda p: (p >= 0) & (p <= 1), must_be)
    if known(probability):
        return probability
    return eqx.error_if(probability, ~((probability >= 0) & (probability <= 1)), f"{name} must be {must_be}.")
