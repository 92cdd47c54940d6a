"""`both_ways`: a function with derivatives of any order in forward and in reverse mode, from one derivative of each.

    F^(n)(p)[v_1, ..., v_n]             forth: forward mode n times
    w . F^(n)(p)[v_1, ..., v_n-1, .]    back: w . F'(p), and forward mode n - 1 times

Derivatives do not depend on their order. So each of these is linear in every one of its directions and in w, one turned
round is another of the other kind, and one differentiated is the next: reverse mode, however often it is asked for, is
taken once. Loops of any length can be differentiated so, by a rule for their first derivative alone.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

Leaves = list[Any]  # arrays; with jax 0.8 a number of NumPy's among them


class Ways:
    """The function and its first derivative in reverse mode; neither may close over arrays.

    - `run`: of leaves, whether derivatives are asked for and whether to record: values, what else is known of the run,
      and with a record that.
    - `back`: of leaves, a record and cotangents of the values: those of the first leaves, as many as are `free`.
    """

    def __init__(self, run: Callable[..., Any], back: Callable[..., Any], free: int) -> None:
        self.run, self.back, self.free = run, back, free


def both_ways(ways: Ways, leaves: Leaves) -> Any:
    """Values, and what else is known of the run, which has no derivatives."""
    return _run(ways, leaves, record=False)[:2]


def _run(ways: Ways, leaves: Leaves, record: bool) -> Any:
    run = jax.custom_jvp(lambda *leaves: ways.run(list(leaves), record, record))
    run.defjvp(lambda primals, tangents: _moved(ways, list(primals), tangents, record), symbolic_zeros=True)
    return run(*leaves)


def _moved(ways: Ways, primals: Leaves, tangents: Any, keep: bool) -> Any:
    """Values and their tangents; there is a record in any case, for who takes them back."""
    values, known, record = _run(ways, primals, record=True)
    flat, structure = jax.tree.flatten(values)
    kept = jax.lax.stop_gradient(jax.tree.leaves(record))
    slot = [jnp.zeros_like(x) if isinstance(dx, SymbolicZero) else dx for x, dx in zip(primals, tangents, strict=True)]
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in flat)
    how = dict(ways=ways, num_record=len(kept), num_slots=1, bar=False, levels=(), structure=structure, shapes=shapes)
    moved = derivative_p.bind(*primals, *kept, *slot[: ways.free], **how)
    out = values, known, record if keep else ()
    return out, (jax.tree.unflatten(structure, moved), *jax.tree.map(_no_tangent, out[1:]))


def _no_tangent(x: Array) -> Any:
    inexact = jnp.issubdtype(x.dtype, jnp.inexact)
    return jnp.zeros_like(x) if inexact else np.zeros(jnp.shape(x), jax.dtypes.float0)


# points: all leaves, the free ones first; the record; then directions in the free ones; then cotangents of the values
derivative_p = Primitive("derivative_both_ways")
derivative_p.multiple_results = True


def _groups(operands: Any, ways: Ways, num_record: int, num_slots: int, shapes: Any, bar: bool, **_: Any) -> Any:
    """Points, record, directions one by one, and cotangents or none."""
    operands = list(operands)
    points = len(operands) - num_record - num_slots * ways.free - bar * len(shapes)
    directions = operands[points + num_record :]
    slots = [directions[n * ways.free : (n + 1) * ways.free] for n in range(num_slots)]
    return operands[:points], operands[points : points + num_record], slots, directions[num_slots * ways.free :]


def _bind(points: Leaves, record: Leaves, slots: list[Leaves], w: Leaves, how: dict[str, Any]) -> Leaves:
    directions = [x for slot in slots for x in slot]
    return derivative_p.bind(*points, *record, *directions, *w, **how | dict(num_slots=len(slots), bar=bool(w)))  # pyright: ignore[reportReturnType]


def _evaluate(*operands: Array, **how: Any) -> Leaves:
    ways, levels, structure = (how[name] for name in ("ways", "levels", "structure"))

    def once(*operands: Array) -> Leaves:
        points, record, slots, w = _groups(operands, **how)
        free, rest = points[: ways.free], points[ways.free :]
        cotangents = jax.tree.unflatten(structure, w) if how["bar"] else None

        def first(*free: Array) -> Leaves:
            leaves = [*free, *rest]
            if not how["bar"]:
                return jax.tree.leaves(ways.run(leaves, True, False)[0])
            kept = record if not slots else jax.tree.leaves(ways.run(leaves, True, True)[2])
            return ways.back(leaves, kept, cotangents)

        def along(function: Any, slot: Leaves) -> Any:
            return lambda *free: jax.jvp(function, free, tuple(slot))[1]

        for slot in slots:
            first = along(first, slot)
        return first(*free)

    for size, varies in levels:
        axes = [0 if v else None for v in varies] + [0] * (len(operands) - len(varies))
        once = jax.vmap(once, in_axes=axes, axis_size=size)
    return once(*operands)


def _shapes(*operands: Any, **how: Any) -> Any:
    points, *_ = _groups(operands, **how)
    if not how["bar"]:
        sizes = tuple(size for size, _ in how["levels"][::-1])
        return [ShapedArray((*sizes, *x.shape), x.dtype) for x in how["shapes"]]
    return [_spread_shape(x, i, how["levels"]) for i, x in enumerate(points[: how["ways"].free])]


def _spread_shape(x: Any, i: int, levels: Any) -> Any:
    own = x.shape[sum(varies[i] for _, varies in levels) :]
    return ShapedArray((*(size for size, _ in levels[::-1]), *own), x.dtype)


def _spread(x: Array, i: int, levels: Any) -> Array:
    """A direction in leaf i, with an axis for each level of `jax.vmap`."""
    shape = _spread_shape(x, i, levels).shape
    missing = [n for n, (_, varies) in enumerate(levels[::-1]) if not varies[i]]
    return jnp.broadcast_to(jnp.expand_dims(x, missing), shape)


def _jvp(operands: Any, tangents: Any, **how: Any) -> Any:
    points, record, slots, w = _groups(operands, **how)
    d_points, _, d_slots, d_w = _groups(tangents, **how)
    zero = lambda dx: type(dx) is ad.Zero or dx.dtype == jax.dtypes.float0  # noqa: E731

    def filled(xs: Leaves, dxs: list[Any]) -> Leaves:
        return [jnp.zeros_like(x) if zero(dx) else dx for x, dx in zip(xs, dxs, strict=True)]

    terms, free = [], how["ways"].free
    for n, d_slot in enumerate(d_slots):
        if not all(map(zero, d_slot)):
            changed = [*slots[:n], filled(slots[n], d_slot), *slots[n + 1 :]]
            terms.append(_bind(points, record, changed, w, how))
    if not all(map(zero, d_w)):
        terms.append(_bind(points, record, slots, filled(w, d_w), how))
    if not all(map(zero, d_points[:free])):
        moved = filled(points[:free], d_points[:free])
        more = [_spread(x, i, how["levels"]) for i, x in enumerate(moved)]
        terms.append(_bind(points, record, [*slots, more], w, how))
    out = derivative_p.bind(*operands, **how)
    change = (
        [sum(parts[1:], parts[0]) for parts in zip(*terms, strict=True)]
        if terms
        else [ad.Zero(jax.typeof(x).to_tangent_aval()) for x in out]
    )
    return out, change


def _transpose(cotangents: Any, *operands: Any, **how: Any) -> Any:
    points, record, slots, w = _groups(operands, **how)
    shapes = _shapes(*(x.aval if ad.is_undefined_primal(x) else x for x in operands), **how)
    given = [
        jnp.zeros(shape.shape, shape.dtype) if type(ct) is ad.Zero else ct
        for ct, shape in zip(cotangents, shapes, strict=True)
    ]
    is_open = [any(map(ad.is_undefined_primal, slot)) for slot in slots]
    nothing = [None] * (len(points) + len(record))
    others = [slot for slot, turned in zip(slots, is_open, strict=True) if not turned]
    if w and any(map(ad.is_undefined_primal, w)):
        back = _bind(points, record, [*others, given], [], how)
        return [*nothing, *[None] * sum(map(len, slots)), *back]
    back = _bind(points, record, [*others, given], w, how) if w else _bind(points, record, others, given, how)
    for slot, turned in zip(slots, is_open, strict=True):
        nothing += (
            [x if ad.is_undefined_primal(d) else None for d, x in zip(slot, back, strict=True)]
            if turned
            else [None] * len(slot)
        )
    return [*nothing, *[None] * len(w)]


def _batch(operands: Any, axes: Any, **how: Any) -> Any:
    (size,) = {x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None}
    points, record, _, _ = _groups(operands, **how)
    fixed = len(points) + len(record)
    moved = [x if axis is None else jnp.moveaxis(x, axis, 0) for x, axis in zip(operands, axes, strict=True)]
    spread = [
        jnp.broadcast_to(x[None], (size, *x.shape)) if axis is None else x
        for x, axis in zip(moved[fixed:], axes[fixed:], strict=True)
    ]
    varies = tuple(axis is not None for axis in axes[:fixed])
    out = derivative_p.bind(*moved[:fixed], *spread, **how | dict(levels=(*how["levels"], (size, varies))))
    return out, [0] * len(out)


derivative_p.def_impl(_evaluate)
derivative_p.def_abstract_eval(_shapes)
ad.primitive_jvps[derivative_p] = _jvp
ad.primitive_transposes[derivative_p] = _transpose
batching.primitive_batchers[derivative_p] = _batch
mlir.register_lowering(derivative_p, mlir.lower_fun(_evaluate, multiple_results=True))
