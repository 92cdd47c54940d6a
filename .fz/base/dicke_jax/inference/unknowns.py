"""What a fit may change: rates of a model, and initial overlaps of time traces."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import known, refuse
from ..model import DickeModel, check_model
from ..observables import overlaps
from ..state import MeanFieldState
from .measurements import Measurements, TimeTrace, as_measurements
from .parameters import Bounds, FreeRates, RateName, Vector, free_rates

OVERLAP = "overlap"


class Unknowns(eqx.Module):
    """A bijection between what is free, all of it positive in size, and a vector v of numbers without bounds.

        rates              as in `FreeRates`
        initial overlap    z_k / hypot(x_k, y_k) = exp(v) times that of the state given,   |m_k| and y_k / x_k kept

    The overlap is |xi_nu| at time 0, with the pattern that the given state has most of. Where all spins are tilted
    alike from that pattern, z_k = xi G[nu, k].

    - `data`: the measurements; `traces`: numbers of those whose initial overlap is free.
    - `names`: of each number.
    """

    parameters: FreeRates
    data: tuple[Measurements, ...]
    traces: tuple[int, ...] = eqx.field(static=True)

    @property
    def names(self) -> tuple[str, ...]:
        return self.parameters.names + tuple(f"{OVERLAP}[{i}]" for i in self.traces)

    def start(self) -> Vector:
        """The vector of the model and of the states given."""
        model = self.parameters.model
        return jnp.concatenate([self.parameters.to_vector(model), jnp.zeros(len(self.traces), model.dtype)])

    def at(self, vector: Vector) -> tuple[DickeModel, tuple[Measurements, ...]]:
        """The model, and the measurements with their initial states."""
        data = list(self.data)
        for i, v in zip(self.traces, vector[len(self.parameters) :], strict=True):
            trace = data[i]
            assert isinstance(trace, TimeTrace)
            data[i] = eqx.tree_at(lambda each: each.state, trace, tilted(trace.state, v))
        return self.parameters.to_model(vector[: len(self.parameters)]), tuple(data)

    def rates(self, vector: Vector) -> Vector:
        """The free rates, with their signs, and then the free overlaps."""
        model, data = self.at(vector)
        initial = [_overlap(model, self.data[i], data[i]) for i in self.traces]
        return jnp.concatenate([self.parameters.rates(vector[: len(self.parameters)]), jnp.array(initial, model.dtype)])

    def log_rates(self, vector: Vector) -> Vector:
        """Log |p_i|, in which a change is relative."""
        return jnp.log(jnp.abs(self.rates(vector)))

    def stretches(self, vector: Vector) -> Vector:
        """D log |p_i| / dv_i."""
        return jax.jvp(self.log_rates, (vector,), (jnp.ones_like(vector),))[1]


def unknowns(
    model: DickeModel, data: Measurements | Sequence[Measurements], free: Sequence[RateName], bounds: Bounds | None
) -> Unknowns:
    """The `Unknowns` of a fit. Besides rates, `free` may name "overlap", or ("overlap", 0) of one trace."""
    check_model(model)
    sets = as_measurements(data, model)
    initial = [] if isinstance(free, str) else [name for name in free if OVERLAP in (name, name[0])]
    rates = free if isinstance(free, str) or not initial else [name for name in free if name not in initial]
    if limited := [name for name in initial if name in (bounds or {})]:
        refuse("bounds", "given for rates (an overlap is from 0 to 1 anyway)", repr(limited[0]))
    empty = jnp.zeros(0, model.dtype)
    nothing = FreeRates(model, empty, empty, empty, (), ())
    parameters = nothing if initial and not rates else free_rates(model, rates, bounds)
    return Unknowns(parameters, sets, tuple(i for name in initial for i in _traces(sets, name)))


def tilted(state: MeanFieldState, v: Float[Array, ""]) -> MeanFieldState:
    """Every spin turned towards z or away from it."""
    x, y, z = state.m
    across = x**2 + y**2
    between = (across > 0) & (z != 0)
    new = jnp.where(between, jnp.exp(2 * v) * z**2 + across, 1)
    shrink = jnp.where(between, jnp.sqrt((z**2 + across) / new), 1)
    stretch = jnp.where(between, shrink * jnp.exp(v), 1)
    return MeanFieldState(jnp.stack([shrink * x, shrink * y, stretch * z]), state.alpha)


def _overlap(model: DickeModel, given: Any, now: Any) -> Float[Array, ""]:
    most = jnp.argmax(jnp.abs(overlaps(model, given.state.m)))
    return jnp.abs(overlaps(model, now.state.m)[most])


def _traces(sets: tuple[Measurements, ...], name: RateName) -> list[int]:
    runs = [i for i, each in enumerate(sets) if isinstance(each, TimeTrace)]
    chosen = runs if isinstance(name, str) else [name[1]]
    if not chosen or not set(chosen) <= set(runs):
        refuse("free", f"with an overlap of one of the time traces, of numbers {runs}", repr(name))
    for i in chosen:
        trace = sets[i]
        assert isinstance(trace, TimeTrace)
        m = trace.state.m
        if known(m) and not bool(jnp.any((m[2] != 0) & ((m[0] != 0) | (m[1] != 0)))):
            refuse("state", "of spins that are tilted, where its overlap is free", "one along z or across it")
    return chosen
