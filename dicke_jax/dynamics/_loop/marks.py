"""Marks, undocumented, by which XLA's CPU backend emits a function as one kernel; README.md has what is assumed."""

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
except ImportError:
    set_xla_metadata: Any = None


def as_one_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a call of its own, which XLA emits as one kernel and does not mix with what surrounds it.

    The backend aborts the process for an argument that is not used, or handed back as it is: there must be none.
    """
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


def with_one_argument(function: Callable[[list[Array]], Any], leaves: list[Array], apart: tuple[bool, ...]) -> Any:
    """`function` as one kernel, of one array that holds all its arguments; whole numbers among them are small.

    What XLA knows beforehand of an argument, a zero or a table of signs, it would use in the kernel, and leave an
    argument there that is not used. Arguments that are `apart`, of which it knows nothing, stay by themselves.
    """
    few, large = (
        [leaf for leaf, by_itself in zip(leaves, apart, strict=True) if by_itself == of] for of in (False, True)
    )
    ends = np.cumsum([leaf.size for leaf in few])
    floats = [leaf.dtype for leaf in few if jnp.issubdtype(leaf.dtype, jnp.floating)]
    widest = max(floats, key=lambda dtype: dtype.itemsize)
    packed = jnp.concatenate([leaf.ravel().astype(widest) for leaf in few])

    def unpacked(packed: Array, *large: Array) -> Any:
        parts = zip(jnp.split(packed, ends[:-1]), few, strict=True)
        small = (part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in parts)
        ordered = iter(small), iter(large)
        return function([next(ordered[by_itself]) for by_itself in apart])

    # the barrier hides from XLA that a whole run may be known beforehand
    return as_one_kernel(unpacked)(*jax.lax.optimization_barrier((packed, *large)))
