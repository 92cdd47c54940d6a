"""What XLA's CPU backend needs to be told to make a step fast. Elsewhere everything is left as it is."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

try:
    from jax.experimental.xla_metadata import set_xla_metadata
except ImportError:  # experimental: without it the solver is slower on a CPU, not wrong
    set_xla_metadata: Any = None


def as_one_kernel(function: Callable[..., Any], fuses: bool = True) -> Callable[..., Any]:
    """On a CPU keep `function` a call of its own, which XLA emits as one kernel.

    Otherwise XLA's CPU backend fuses the recurrence of the series into every one of its consumers, and computes it
    again in each: tens of times slower. There is no public way to ask for this. Elsewhere, and where a function holds
    matrix products, which the backend cannot emit so, it is left as it is.

    The backend aborts the process for an argument that is not used, or handed back as it is: there must be none.
    """
    if not fuses or not can_mark():
        return function

    # what closes over arrays would keep them
    jitted = _jitted(function) if function.__closure__ is None else _jitted.__wrapped__(function)

    def call(*args: Any) -> Any:
        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):
            return jitted(*args)

    return call


@functools.lru_cache(maxsize=256)
def _jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for the same function: what has been traced is found again."""

    def within(*args: Any) -> Any:
        with set_xla_metadata(inlineable=None, xla_cpu_small_call=None):  # the marks are of this call alone
            return function(*args)

    return eqx.filter_jit(within)


def can_mark() -> bool:
    return set_xla_metadata is not None and jax.default_backend() == "cpu"


def with_one_argument(function: Callable[..., Any], *args: Any) -> Any:
    """One kernel, of one array that holds all arguments; whole numbers among them, counters and signs, are small.

    What XLA knows beforehand of an argument, a zero or a table of signs, it would use in the kernel, and leave an
    argument there that is not used.
    """
    arrays, rest = eqx.partition(args, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    ends = np.cumsum([leaf.size for leaf in leaves])
    numbers = [leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    number = max(numbers, key=lambda dtype: dtype.itemsize)
    packed = jnp.concatenate([leaf.ravel().astype(number) for leaf in leaves])

    def unpacked(packed: Array) -> Any:
        parts = jnp.split(packed, ends[:-1])
        own = [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)]
        return function(*eqx.combine(jax.tree.unflatten(structure, own), rest))

    # the barrier hides from XLA that a whole run may be known beforehand
    return as_one_kernel(unpacked)(jax.lax.optimization_barrier(packed))
