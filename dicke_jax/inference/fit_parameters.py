"""What is free in a fit: rates of a model, numbers that make one, initial overlaps of traces."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_array, check_real, refuse, told
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, overlaps
from .free_parameters import AbstractFree, Bounds, FreeRates, RateName, Tied, Vector, rates_that_are_free
from .measurements import Measurements, TimeTrace

OVERLAP = "overlap"


class FitParameters(AbstractFree):
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

    @property
    def num_values(self) -> int:
        """Of all measurements, missing ones too."""
        return sum(measured.values.size for measured in self.data)

    def start(self) -> Vector:
        """The vector of the model and of the states given."""
        vector = np.asarray(self.parameters.to_vector(self.parameters.model))
        return as_array(np.append(vector, np.zeros(len(self.traces), vector.dtype)))

    def at(self, vector: Vector) -> tuple[Any, tuple[Measurements, ...]]:
        """The model, and the measurements with their initial states."""
        data = list(self.data)
        for i, v in zip(self.traces, vector[len(self.parameters) :], strict=True):
            data[i] = eqx.tree_at(_initial, data[i], _tilted(_initial(data[i]), v))
        model = self.parameters.to_model(vector[: len(self.parameters)])
        return (model.made() if isinstance(model, Tied) else model), tuple(data)

    def rates(self, vector: Vector) -> Vector:
        model, data = self.at(vector)
        initial = []
        for i in self.traces:
            most = jnp.argmax(jnp.abs(overlaps(model, _initial(self.data[i]).m)))
            initial.append(jnp.abs(overlaps(model, _initial(data[i]).m)[most]))
        return jnp.concatenate([self.parameters.rates(vector[: len(self.parameters)]), jnp.array(initial, model.dtype)])


def fit_parameters(
    model: DickeModel | CollectiveModel | Tied,
    data: Measurements | Sequence[Measurements],
    free: Sequence[RateName],
    bounds: Bounds | None,
) -> FitParameters:
    """The `FitParameters` of a fit. Besides rates, `free` may name "overlap", or ("overlap", 0) of one trace."""
    sets: Any = data if isinstance(data, list | tuple) else (data,)
    if not sets:
        refuse("data", "at least one StationaryCurve or TimeTrace", "none")
    if strangers := [measured for measured in sets if not isinstance(measured, Measurements)]:
        refuse("data", "StationaryCurve or TimeTrace, or a list of them", type(strangers[0]).__name__)
    made = model.made() if isinstance(model, Tied) else model
    sets = tuple(measured.check(made) for measured in sets)
    initial = [] if isinstance(free, str) else [name for name in free if name == OVERLAP or name[:1] == (OVERLAP,)]
    rates = free if not initial else [name for name in free if name not in initial]
    if limited := [name for name in initial if name in (bounds or {})]:
        refuse("bounds", "given for rates (an overlap is from 0 to 1 anyway)", repr(limited[0]))
    empty = as_array([], model.dtype)
    nothing = FreeRates(model, empty, empty, empty, (), ())
    parameters = nothing if initial and not rates else rates_that_are_free(model, rates, bounds)
    return FitParameters(parameters, sets, tuple(i for name in initial for i in _traces(sets, name)))


def model_and_names(model: Any, free: Any) -> tuple[Any, Sequence[RateName]]:
    """A model, and names of what is free in it; where `free` has numbers to begin with it is a function of them."""
    if not isinstance(free, Mapping):
        if not isinstance(model, DickeModel | CollectiveModel):
            must_be = "a DickeModel or a CollectiveModel, or a function that makes one of the numbers that free has"
            refuse("model", must_be, type(model).__name__)
        return model, free
    if not free or not all(isinstance(name, str) for name in free):
        refuse("free", "names with the numbers to begin with, at least one", told(free))
    if not callable(model) or isinstance(model, type):
        refuse("model", "a function of the numbers that free has, where these are given", type(model).__name__)
    for name, value in free.items():
        check_real(f"free, {name!r},", value, "one number")
        if np.ndim(value):
            refuse(f"free, {name!r},", "one number", told(value))
    takes = inspect.signature(model)
    try:
        takes.bind(**free)
    except TypeError:
        refuse("free", f"the arguments of the function that makes the model, {takes}", repr(tuple(free)))
    made = model(**{name: jnp.asarray(value, float) for name, value in free.items()})
    if not isinstance(made, DickeModel | CollectiveModel):
        refuse("model", "a function that returns a DickeModel or a CollectiveModel", f"one that returns {told(made)}")
    numbers = {name: jnp.asarray(value, made.dtype) for name, value in free.items()}
    return Tied(model, numbers, made.dtype), tuple(free)


def _tilted(state: MeanFieldState, v: Float[Array, ""]) -> MeanFieldState:
    """Every spin turned towards z or away from it."""
    x, y, z = state.m
    across = x**2 + y**2
    between = (across > 0) & (z != 0)
    new = jnp.where(between, jnp.exp(2 * v) * z**2 + across, 1)
    shrink = jnp.where(between, jnp.sqrt((z**2 + across) / new), 1)
    stretch = jnp.where(between, shrink * jnp.exp(v), 1)
    return MeanFieldState(jnp.stack([shrink * x, shrink * y, stretch * z]), state.alpha)


def _initial(trace: Measurements) -> MeanFieldState:
    assert isinstance(trace, TimeTrace)
    return trace.state


def _traces(sets: tuple[Measurements, ...], name: RateName) -> list[int]:
    runs = [i for i, measured in enumerate(sets) if isinstance(measured, TimeTrace)]
    chosen = runs if isinstance(name, str) else [name[1]]
    if not chosen or not set(chosen) <= set(runs):
        refuse("free", f"with an overlap of one of the time traces, of numbers {runs}", repr(name))
    for i in chosen:
        x, y, z = np.asarray(_initial(sets[i]).m)
        if not np.any((z != 0) & ((x != 0) | (y != 0))):
            refuse("state", "of spins that are tilted, where its overlap is free", "one along z or across it")
    return chosen
