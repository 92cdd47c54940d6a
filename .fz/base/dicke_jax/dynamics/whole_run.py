"""`OneKernel`: a run from its first step to its last as one kernel, by the hook that diffrax has for its loop."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from .._checks import known
from .kernels import can_mark, with_one_argument


class OneKernel(dfx.AbstractAdjoint):
    """The loop over the steps of a run, as one kernel; what `jax.vmap` makes of it is one run after the other.

    On a CPU a step of this equation is shorter than what it takes to start one, and rows in lock step wait for the
    slowest. Derivatives are those of `derivatives`, rows in lock step.
    """

    derivatives: dfx.AbstractAdjoint
    save: tuple[Callable[..., Any], ...]  # of each part of `saveat`, for times that increase

    def loop(self, **how: Any) -> Any:
        if not can_mark():
            return self.derivatives.loop(**how)
        # diffrax made them close over a traced direction of time, which a function with a rule of its own must not
        how["saveat"] = eqx.tree_at(lambda at: [part.fn for part in parts_of(at)], how["saveat"], self.save)
        arrays, rest = eqx.partition(how, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)
        leaves = [jax.lax.convert_element_type(leaf, leaf.dtype) for leaf in leaves]  # without weak types
        begin = how["init_state"]

        def run(adjoint: dfx.AbstractAdjoint, leaves: Any) -> Any:
            given = eqx.combine(jax.tree.unflatten(structure, leaves), rest)
            return _outcome(adjoint.loop(**given)[0])

        # traced once, for one row and for many
        whole = eqx.filter_closure_convert(lambda leaves: run(dfx.ForwardMode(), leaves), leaves)
        assert all(known(leaf) for leaf in jax.tree.leaves(whole)), "a kernel's arguments have to be passed to it"

        @jax.custom_batching.custom_vmap
        def alone(*leaves: Any) -> Any:
            return with_one_argument(lambda whole, leaves: whole(leaves), whole, list(leaves))

        @alone.def_vmap
        def _(size: int, batched: list[bool], *leaves: Any) -> tuple[Any, Any]:
            def row(own: list[Any]) -> Any:
                given = iter(own)
                return alone(*(next(given) if own else leaf for own, leaf in zip(batched, leaves, strict=True)))

            out = jax.lax.map(row, [leaf for own, leaf in zip(batched, leaves, strict=True) if own])
            return out, jax.tree.map(lambda _: True, out)

        def of_moved(moved: list[bool], leaves: Any) -> tuple[Callable[..., Any], list[Any]]:
            def of(*own: Any) -> Any:
                given = iter(own)
                return run(self.derivatives, [next(given) if m else x for m, x in zip(moved, leaves, strict=True)])

            return of, [x for m, x in zip(moved, leaves, strict=True) if m]

        rule = _forwards if isinstance(self.derivatives, dfx.ForwardMode) else _backwards
        return eqx.tree_at(_outcome, begin, rule(alone, of_moved, leaves), is_leaf=lambda x: x is None), {}


def _forwards(value: Callable[..., Any], of_moved: Callable[..., Any], leaves: list[Any]) -> Any:
    """`value` of the leaves, with the derivatives of `of_moved` in forward mode."""
    differentiable = jax.custom_jvp(value)

    def derivative(primals: Any, tangents: Any) -> Any:
        moved = [not isinstance(t, SymbolicZero) for t in tangents]
        of, own = of_moved(moved, primals)
        return jax.jvp(of, own, [t for m, t in zip(moved, tangents, strict=True) if m])

    differentiable.defjvp(derivative, symbolic_zeros=True)
    return differentiable(*leaves)


def _backwards(value: Callable[..., Any], of_moved: Callable[..., Any], leaves: list[Any]) -> Any:
    """`value` of the leaves, with the derivatives of `of_moved` in reverse mode."""

    @eqx.filter_custom_vjp
    def differentiable(leaves: list[Any]) -> Any:
        return value(*leaves)

    @differentiable.def_fwd
    def _(moved: list[bool], leaves: list[Any]) -> tuple[Any, Any]:
        of, own = of_moved(moved, leaves)
        out, pull, rest = jax.vjp(lambda *own: eqx.partition(of(*own), eqx.is_inexact_array), *own, has_aux=True)
        return eqx.combine(out, rest), (out, pull)

    @differentiable.def_bwd
    def _(residuals: Any, bar: Any, moved: list[bool], leaves: list[Any]) -> Any:
        out, pull = residuals
        own = iter(pull(jax.tree.map(lambda x, b: jnp.zeros_like(x) if b is None else b, out, bar)))
        return [next(own) if m else None for m in moved]

    return differentiable(leaves)


def parts_of(saveat: dfx.SaveAt) -> list[dfx.SubSaveAt]:
    return jax.tree.leaves(saveat.subs, is_leaf=lambda part: isinstance(part, dfx.SubSaveAt))


def _outcome(state: Any) -> Any:
    """What a run changes and `diffrax.diffeqsolve` reads; a kernel cannot hand back what it was given."""
    return (
        state.save_state,
        state.result,
        state.num_steps,
        state.num_accepted_steps,
        state.num_rejected_steps,
        state.event_mask,
    )
