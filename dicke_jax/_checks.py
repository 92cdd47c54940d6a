"""Argument conversions and checks shared by constructors and entry functions.

Every refusal is one line that names the argument, what it must be and what it was. Values are looked at only where
they are known: inside `jax.jit`, `jax.vmap` and `jax.grad` an array is a tracer, and only its shape is checked.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int

from ._typing import ArrayLike

MOST_TOLD = 60  # letters of a value that a refusal shows


def known(value: Any) -> bool:
    """Whether `value` has numbers to look at, which a traced array has not, nor what `jax.eval_shape` returns."""
    return not isinstance(value, Tracer | jax.ShapeDtypeStruct)


def closes_over_traced(constants: Sequence[Any], tree: Any) -> bool:
    """Whether the constants of a traced function hold traced values that are none of a tree's leaves."""
    leaves = {id(leaf) for leaf in jax.tree.leaves(tree)}
    return any(not known(constant) and id(constant) not in leaves for constant in constants)


def as_array(value: ArrayLike, dtype: Any = None) -> Array:
    """An array, for which no program is compiled where there are numbers to look at."""
    if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)):
        return jnp.asarray(value, dtype)
    return jax.device_put(np.asarray(value, dtype))


def as_real(value: ArrayLike, name: str) -> Array:
    """An array of real numbers of any kind."""
    check_real(name, value)
    return jnp.asarray(value)


def as_float(value: ArrayLike, name: str = "numbers") -> Array:
    """An array of real numbers, its precision kept; whole numbers become JAX's default floats."""
    array = as_real(value, name)
    # with its own dtype named, an array is not of a weak type: one compilation serves all
    return jnp.array(array, array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else float)


def refuse(name: str, must_be: str, was: Any) -> NoReturn:
    raise ValueError(f"{name} must be {must_be}; got {' '.join(str(was).split())}.")


def check_known(name: str, tree: Any, why: str) -> None:
    """Refuse what `jax.jit`, `jax.vmap` or `jax.grad` traces."""
    if not all(map(known, jax.tree.leaves(tree))):
        refuse(name, f"known, {why}", "traced")


def told(value: Any) -> str:
    """A value in a few words, on one line."""
    if isinstance(value, jax.Array | np.ndarray) and np.ndim(value):
        return f"an array of {value.dtype} and shape {value.shape}"
    text = str(value) if isinstance(value, int | float | complex | np.generic | jax.Array) else repr(value)
    return text if len(text) <= MOST_TOLD and "\n" not in text else type(value).__name__


def check_real(name: str, value: Any, must_be: str = "real numbers", or_complex: bool = False) -> None:
    """Refuse what is no array of real numbers: complex ones, texts, objects, rows of unequal length."""
    leaves = jax.tree.leaves(value) if isinstance(value, list | tuple | jax.Array) else []
    if not any(isinstance(leaf, jax.Array) for leaf in leaves):
        try:
            leaves = [np.asarray(value)]
        except (ValueError, TypeError):
            refuse(name, must_be, told(value))
    for leaf in leaves:
        dtype = leaf.dtype if isinstance(leaf, jax.Array) else np.asarray(leaf).dtype
        if jnp.issubdtype(dtype, jnp.complexfloating):
            if or_complex:
                continue
            refuse(name, must_be, "complex ones")
        if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            refuse(name, must_be, told(value))


def is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def check_key(name: str, value: Any) -> Any:
    """One key of the new kind; one of the old, numbers as jax.random.PRNGKey makes them, becomes one of the new."""
    if is_key(value) and not value.shape:
        return value
    if isinstance(value, jax.Array | np.ndarray) and value.dtype == np.uint32 and value.ndim == 1:
        with suppress(ValueError, TypeError):  # of a length that no key has
            return jax.random.wrap_key_data(jnp.asarray(value))
    refuse(name, "one key, as jax.random.key(seed) makes it", told(value))


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


def as_whole(name: str, value: Any, must_be: str, least: float = -math.inf) -> int:
    """A whole number of Python, NumPy or JAX, as one of Python's; true and false are none."""
    is_array = known(value) and isinstance(value, jax.Array | np.ndarray) and value.ndim == 0
    number = value.item() if is_array else value
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
        refuse(name, must_be, told(value))
    return int(number)


def check_count(name: str, value: Any, least: int = 1) -> int:
    return as_whole(name, value, f"a whole number of at least {least}", least)


def as_times(value: ArrayLike, dtype: Any = None, name: str = "tsave") -> Array:
    """At least two increasing times. Traced ones are checked by whoever runs with them."""
    times = as_float(value, name) if dtype is None else as_float(value, name).astype(dtype)
    if times.ndim != 1 or times.size < 2:
        refuse(name, "a one-dimensional array of at least two increasing times", f"shape {times.shape}")
    check_finite(name, times)
    if known(times):
        numbers = np.asarray(times)
        if not np.all(np.diff(numbers) > 0):
            at = int(np.argmin(np.diff(numbers) > 0))
            refuse(name, f"strictly increasing in {times.dtype}", f"{numbers[at]} before {numbers[at + 1]}")
    return times


def renamed(name: str, value: Any, old_name: str, old_value: Any) -> Any:
    """An argument that may still be given by its old name."""
    if old_value is None:
        return value
    warnings.warn(f"{old_name} is called {name} now", DeprecationWarning, stacklevel=3)
    return old_value


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        refuse(name, "one of " + ", ".join(repr(c) for c in choices), told(value))


def as_pattern_index(pattern: ArrayLike, num_modes: int) -> Int[Array, ""]:
    """The number of a stored pattern, from 0. A traced number is checked when it is known, at run time."""
    must_be = f"a pattern number from 0 to {num_modes - 1}"
    check_real("pattern", pattern, must_be)
    index = as_array(pattern)
    if not jnp.issubdtype(index.dtype, jnp.integer) or index.ndim != 0:
        refuse("pattern", must_be, told(pattern))
    return _checked("pattern", pattern, index, lambda i: (i >= 0) & (i < num_modes), must_be)


def as_probability(name: str, value: ArrayLike) -> Array:
    """A number from 0 to 1. A traced one is checked when it is known, at run time."""
    probability = as_float(value, name)
    return _checked(name, probability, probability, lambda p: (p >= 0) & (p <= 1), "a probability, from 0 to 1")


_known_to_hold: ContextVar[bool] = ContextVar("known_to_hold", default=False)


@contextmanager
def known_to_hold() -> Iterator[None]:
    """Traced numbers that the host has looked at are taken as they are: a program that checks them is not kept on disk.

    Only around what checks before it calls a compiled function of its own: that would be without checks from then on.
    """
    before = _known_to_hold.set(True)
    try:
        yield
    finally:
        _known_to_hold.reset(before)


def _checked(name: str, given: Any, array: Array, holds: Any, must_be: str) -> Array:
    check_all(name, given, holds, must_be)
    return (
        array
        if known(given) or _known_to_hold.get()
        else eqx.error_if(array, ~holds(array), f"{name} must be {must_be}.")
    )
