"""`in_reverse_once`: what goes into a run of which there is one derivative, in reverse mode, and no other.

JAX finds the others missing where the run is no longer on the stack, as outside of a user's `jax.jit`, and says so in
words of its own. Two linear functions that are the identity stand in the way: one of tangents, which may be turned
round but not computed, and what it turns into, which may be computed and differentiated but not turned round again.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

identity_p = Primitive("identity_one_way")
identity_p.multiple_results = True


def in_reverse_once(given: Any, refusal: Callable[[], Any]) -> Any:
    """`given`, where every derivative but one in reverse mode, and forward mode of that, calls `refusal`."""
    numbers, rest = eqx.partition(given, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(numbers)

    @jax.custom_jvp
    def same(*leaves: Array) -> tuple[Array, ...]:
        return leaves

    @same.defjvp
    def moved(primals: Any, tangents: Any) -> Any:
        return primals, tuple(identity_p.bind(*tangents, forward=False, refusal=refusal))  # pyright: ignore

    return eqx.combine(jax.tree.unflatten(structure, same(*leaves)), rest)


def _evaluate(*tangents: Array, forward: bool, refusal: Callable[[], Any]) -> list[Array]:
    return list(tangents) if forward else refusal()


def _transpose(bars: Any, *operands: Any, forward: bool, refusal: Callable[[], Any]) -> Any:
    return refusal() if forward else identity_p.bind(*map(ad.instantiate_zeros, bars), forward=True, refusal=refusal)


def _batch(operands: Any, axes: Any, **how: Any) -> Any:
    return identity_p.bind(*operands, **how), axes


identity_p.def_impl(_evaluate)
identity_p.def_abstract_eval(lambda *operands, **how: list(operands))
ad.deflinear2(identity_p, _transpose)
batching.primitive_batchers[identity_p] = _batch
mlir.register_lowering(identity_p, mlir.lower_fun(_evaluate, multiple_results=True))
