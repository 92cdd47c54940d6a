"""What XLA's CPU backend needs to be told to make a step fast. Elsewhere everything is left as it is."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.custom_derivatives import SymbolicZero
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
    if not fuses or set_xla_metadata is None or jax.default_backend() != "cpu":
        return function

    def call(*args: Any) -> Any:
        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):
            return eqx.filter_jit(function)(*args)

    return call


def in_blocks(function: Callable[..., Any], rows: int, fuses: bool = True) -> Callable[..., Any]:
    """`as_one_kernel`, which `jax.vmap` runs for a few rows at a time, so that what it holds stays in a core's cache.

    Its derivatives are those of the kernel as it is: `custom_vmap` has none in reverse mode.
    """
    if not fuses or set_xla_metadata is None or jax.default_backend() != "cpu":
        return function

    def call(*args: Any) -> Any:
        arrays, rest = eqx.partition(args, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def kernel(*leaves: Array) -> Any:
            out = as_one_kernel(function)(*eqx.combine(jax.tree.unflatten(structure, leaves), rest))
            # a reshape brings a batch axis to the front, where those of value and derivative have to agree
            return jax.tree.map(lambda x: jax.lax.reshape(x[None], x.shape), out)

        @jax.custom_batching.custom_vmap
        def blocked(*leaves: Array) -> Any:
            return kernel(*leaves)

        @blocked.def_vmap
        def _(size: int, batched: list[bool], *leaves: Array) -> tuple[Any, Any]:
            def one(own: list[Array]) -> Any:
                given = iter(own)
                return kernel(*(next(given) if own else leaf for own, leaf in zip(batched, leaves, strict=True)))

            rows_of = [leaf for own, leaf in zip(batched, leaves, strict=True) if own]
            out = jax.vmap(one)(rows_of) if size <= rows else jax.lax.map(one, rows_of, batch_size=rows)
            return out, jax.tree.map(lambda _: True, out)

        @jax.custom_jvp
        def differentiable(*leaves: Array) -> Any:
            return blocked(*leaves)

        def derivative(primals: Any, tangents: Any) -> Any:
            moved = [not isinstance(t, SymbolicZero) for t in tangents]

            def of_moved(*own: Array) -> Any:
                given = iter(own)
                return kernel(*(next(given) if m else p for m, p in zip(moved, primals, strict=True)))

            own, rates = zip(*((p, t) for m, p, t in zip(moved, primals, tangents, strict=True) if m), strict=True)
            return jax.jvp(of_moved, own, rates)

        differentiable.defjvp(derivative, symbolic_zeros=True)
        return differentiable(*leaves)

    return call
