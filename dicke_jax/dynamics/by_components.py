"""The state as so many numbers in place of two arrays: what a solver does with many rows of them runs several times
faster, since the sums over its stages are no products of matrices then.
"""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .._typing import RealState
from ..mean_field import AbstractMeanFieldModel, mean_field_equations

FEW = 32  # components up to which it pays


class Components(eqx.Module):
    """How many rows and columns the spins have."""

    size: tuple[int, int] = eqx.field(static=True)

    @classmethod
    def of(cls, model: AbstractMeanFieldModel) -> "Components":
        """Those of a model's states."""
        return cls(((model.num_components - 2 * model.num_modes) // model.num_subsets, model.num_subsets))

    def numbers(self, y: RealState) -> tuple[Array, ...]:
        """All components, one by one."""
        return tuple(part[a, k] for part in y for a in range(part.shape[0]) for k in range(part.shape[1]))

    def state(self, numbers: tuple[Array, ...]) -> RealState:
        """The inverse of `numbers`."""
        rows, columns = self.size
        number, dtype = rows * columns, numbers[0].dtype
        spins, modes = numbers[:number], numbers[number:]
        light = jnp.stack(modes).reshape(2, -1) if modes else jnp.zeros((2, 0), dtype)
        return jnp.stack(spins).reshape(rows, columns), light

    def __call__(self, t: Any, numbers: tuple[Array, ...], model: AbstractMeanFieldModel) -> tuple[Array, ...]:
        """dy/dt."""
        return self.numbers(mean_field_equations(t, self.state(numbers), model))


class OfState(eqx.Module):
    """A function of time, state and model, of the components."""

    function: Callable[..., Any]
    components: Components

    def __call__(self, t: Any, numbers: tuple[Array, ...], args: Any, **named: Any) -> Any:
        return self.function(t, self.components.state(numbers), args, **named)


def by_components(
    model: AbstractMeanFieldModel, y0: RealState, saveat: dfx.SaveAt, event: dfx.Event | None
) -> tuple[dfx.ODETerm, tuple[Array, ...], dfx.SaveAt, dfx.Event | None]:
    """The mean-field equations of the components, where they begin, and what is saved and ends a run, as before."""
    components = Components.of(model)
    subs = saveat.subs if isinstance(saveat.subs, list | tuple) else [saveat.subs]
    of_state = [eqx.tree_at(lambda s: s.fn, sub, OfState(sub.fn, components)) for sub in subs]
    saveat = eqx.tree_at(lambda s: s.subs, saveat, of_state if isinstance(saveat.subs, list | tuple) else of_state[0])
    if event is not None:
        event = eqx.tree_at(lambda e: e.cond_fn, event, OfState(event.cond_fn, components))
    return dfx.ODETerm(components), components.numbers(y0), saveat, event
