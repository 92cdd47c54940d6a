"""Saved times that come to the loop past diffrax's check of them.

Where they are traced it checks by a callback to the host, and no compilation cache keeps a program that holds one.
"""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array


class WithTimes(dfx.AbstractAdjoint):
    """`adjoint`, with what every part of `saveat` saves put in place when the loop begins.

    Functions among it as they were given: diffrax makes them close over the direction of time, which is forward.
    """

    adjoint: dfx.AbstractAdjoint
    times: tuple[Array | None, ...]
    functions: tuple[Callable[..., Any], ...] = eqx.field(static=True)

    def loop(self, **how: Any) -> Any:
        def longer(state: Any, times: Array | None) -> Any:
            if times is None:
                return state
            room = state.ts.shape[0] + times.shape[0]
            ts, ys = jax.tree.map(lambda x: jnp.full((room, *x.shape[1:]), jnp.inf, x.dtype), (state.ts, state.ys))
            return eqx.tree_at(lambda s: (s.ts, s.ys), state, (ts, ys))

        saves = [longer(save, times) for save, times in zip(saves_of(how["init_state"]), self.times, strict=True)]
        how["init_state"] = eqx.tree_at(saves_of, how["init_state"], saves)
        how["saveat"] = _with(how["saveat"], self.times, self.functions)
        return self.adjoint.loop(**how)


def without_times(saveat: dfx.SaveAt, adjoint: dfx.AbstractAdjoint) -> tuple[dfx.SaveAt, WithTimes]:
    """`saveat` without its saved times, each part of which must save something else besides; and who puts them back."""
    parts = parts_of(saveat)
    times, functions = tuple(part.ts for part in parts), tuple(part.fn for part in parts)
    return _with(saveat, (None,) * len(parts), functions), WithTimes(adjoint, times, functions)


def parts_of(saveat: dfx.SaveAt) -> list[dfx.SubSaveAt]:
    return jax.tree.leaves(saveat.subs, is_leaf=lambda part: isinstance(part, dfx.SubSaveAt))


def saves_of(state: Any) -> list[Any]:
    """What the loop's state holds of every part."""
    return jax.tree.leaves(state.save_state, is_leaf=lambda part: hasattr(part, "save_index"))


def _with(saveat: dfx.SaveAt, times: tuple[Any, ...], functions: tuple[Any, ...]) -> dfx.SaveAt:
    def where(saveat: dfx.SaveAt) -> list[Any]:
        return [x for part in parts_of(saveat) for x in (part.ts, part.fn)]

    both = [x for pair in zip(times, functions, strict=True) for x in pair]
    return eqx.tree_at(where, saveat, both, is_leaf=lambda x: x is None)
