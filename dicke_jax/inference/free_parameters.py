"""What is free, rates of a model or initial overlaps of traces, and the numbers without bounds that stand for it."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_array, check_all, known, refuse
from .._door import checked
from ..mean_field import CollectiveModel, DickeModel
from ..mean_field.parameters import parameters
from ..mean_field.rates import is_schedule

FREE = ("omega_spin", "omega_mode", "kappa", "g0")
RateName: TypeAlias = str | tuple[str, int]  # "kappa", ("kappa", 1), ("jump", 0)
Bounds: TypeAlias = Mapping[RateName, tuple[float, float]]
Vector: TypeAlias = Float[Array, " F"]


class AbstractFree(eqx.Module):
    """Positive sizes, of either sign, that a vector of numbers without bounds stands for."""

    @abstractmethod
    def rates(self, vector: Vector) -> Vector:
        """The free rates, with their signs, and then the free overlaps."""

    @eqx.filter_jit
    def log_rates(self, vector: Vector) -> Vector:
        """Log |p_i|, in which a change is relative."""
        return jnp.log(jnp.abs(self.rates(vector)))

    def stretches(self, vector: Vector) -> Vector:
        """D log |p_i| / dv_i."""
        return jax.jvp(self.log_rates, (vector,), (jnp.ones_like(vector),))[1]


class Tied(eqx.Module):
    """A model that a function makes of a few numbers, which are what is free in it.

    - `function`: of the numbers by name; `numbers`: those.
    """

    function: Callable[..., Any]
    numbers: dict[str, Float[Array, ""]]
    dtype: jnp.dtype = eqx.field(static=True)

    def made(self) -> Any:
        """The model."""
        return self.function(**self.numbers)


class FreeRates(AbstractFree):
    """A bijection between F free rates p_i of a model and a vector v of numbers without bounds.

        |p_i| = lower_i + exp(v_i)                                    by default, with lower_i = 0
        |p_i| = lower_i + (upper_i - lower_i) / (1 + exp(-v_i))       with an upper bound

    Every rate keeps its sign, that of Omega_mu included, and nothing is clipped.

    - `names`: of each number, "omega_mode[1]"; `places`: its rate, and the entry in it.
    - `model`: the one whose rates they are.
    - `signs`, `lower`, `upper`: (F,), +-1, and the least and the largest size, inf without a bound.
    """

    model: Any  # DickeModel, CollectiveModel, or Tied
    signs: Vector
    lower: Vector
    upper: Vector
    names: tuple[str, ...] = eqx.field(static=True)
    places: tuple[tuple[str, int], ...] = eqx.field(static=True)  # of each number: its rate, the entry in it

    def __len__(self) -> int:
        return len(self.names)

    def rates(self, vector: Vector) -> Vector:
        bounded = jnp.isfinite(self.upper)
        span = jnp.where(bounded, self.upper - self.lower, 1)
        share = jax.nn.sigmoid(jnp.where(bounded, vector, 0))
        return self.signs * (self.lower + jnp.where(bounded, span * share, jnp.exp(jnp.where(bounded, 0, vector))))

    def to_model(self, vector: Vector) -> Any:
        """The model with these rates in place of its own."""
        values, model = self.rates(vector), self.model
        for name in dict.fromkeys(name for name, _ in self.places):
            numbers, entries = np.array([(i, at) for i, (rate, at) in enumerate(self.places) if rate == name]).T
            old = _rate(model, name)
            new = old.ravel().at[entries].set(values[numbers].astype(old.dtype)).reshape(old.shape)
            model = eqx.tree_at(lambda model, name=name: _rate(model, name), model, new)
        return model

    def to_vector(self, model: Any) -> Vector:
        """The numbers that stand for a model's rates, which must lie within the bounds."""
        numbers = [_values(model, self.places), self.signs, self.lower, self.upper]
        numpy = np if all(known(number) for number in numbers) else jnp  # nothing to compile where numbers are known
        values, signs, lower, upper = (numpy.asarray(number) for number in numbers)
        sizes, bounded = signs * values, numpy.isfinite(upper)
        for name, size, low, high in zip(self.names, sizes, lower, upper, strict=True) if numpy is np else ():
            must_be = f"of its sign, and in size between {low:g} and {high:g}"
            check_all(name, size, lambda s, low=low, high=high: (low < s) & (s < high), must_be)
        room = numpy.log(numpy.where(bounded, upper - sizes, 1))
        return as_array(numpy.log(sizes - lower) - numpy.where(bounded, room, 0))


@checked
def free_rates(
    model: DickeModel | CollectiveModel, free: Sequence[RateName] = FREE, bounds: Bounds | None = None
) -> FreeRates:
    """The `FreeRates` of a model.

    **Arguments**

    - `model`: a `DickeModel` or a `CollectiveModel`; what is not free stays as it is there.
    - `free`: names of rates: "omega_spin", "omega_mode", "kappa", "g0", "jump"; of one mode ("omega_mode", 1), of one
      jump ("jump", 0). A rate of 0 or one that depends on time cannot be free. Of a `CollectiveModel` names of numbers
      and of arrays among the energy's parameters, "g" or ("J", 1), and the rates of jumps, "jumps[0]" of the collective
      ones and "jump" of the local ones.
    - `bounds`: for names out of `free`, the least and the largest size that a rate may have, (0, inf) by default.

    **Raises** ValueError for names and bounds that do not fit.

    **Example**

        >>> rates = dj.free_rates(dj.examples.paper_model(num_patterns=2), ["kappa", ("omega_mode", 1)])
        >>> print(rates.names)
        ('kappa[0]', 'kappa[1]', 'omega_mode[1]')
    """
    return rates_that_are_free(model, free, bounds)


def rates_that_are_free(model: Any, free: Sequence[RateName], bounds: Bounds | None) -> FreeRates:
    """`free_rates` of any model."""
    if isinstance(free, str) or not len(free):
        refuse("free", "a sequence of names of rates, at least one", repr(free))
    places, limits, bounds = [], [], dict(bounds or {})
    if unknown := [name for name in bounds if name not in free]:
        refuse("bounds", "given for names that are free", repr(unknown[0]))
    for name in free:
        found = _places(model, name)
        low, high = bounds.get(name, (0.0, float("inf")))
        if not 0 <= low < high:
            refuse("bounds", "pairs of a lower and a larger upper one, not negative", f"({low}, {high}) for {name!r}")
        places += found
        limits += [(low, high)] * len(found)
    if len(set(places)) < len(places):
        refuse("free", "rates that are named once", repr(tuple(free)))
    values = _values(model, places)
    check_all("a free rate", values, lambda p: p != 0, "other than 0, whose sign it keeps")
    signs = (np if known(values) else jnp).sign(values)
    names = tuple(_label(model, *place) for place in places)
    signs, lower, upper = (as_array(each, model.dtype) for each in (signs, *zip(*limits, strict=True)))
    return FreeRates(model, signs, lower, upper, names, tuple(places))


def _sizes(model: Any) -> dict[str, int]:
    """Of each name, the numbers that it stands for; of jumps, the rates."""
    if isinstance(model, Tied):
        return dict.fromkeys(model.numbers, 1)
    jumps = 0 if model.dissipation is None else len(model.dissipation.rates)
    if isinstance(model, DickeModel):
        return {"omega_spin": 1, "omega_mode": model.num_modes, "kappa": model.num_modes, "g0": 1, "jump": jumps}
    names = [*parameters(model.energy), *(f"jumps[{i}]" for i in range(len(model.jumps)))]
    rates = {name: _rate(model, name) for name in names}
    numbers = {name: 1 if is_schedule(r) else r.size for name, r in rates.items() if _is_rate(r)}
    return numbers | ({"jump": jumps} if jumps else {})


def _is_rate(value: Any) -> bool:
    return is_schedule(value) or (eqx.is_inexact_array(value) and jnp.isrealobj(value))


def _places(model: Any, name: Any) -> list[tuple[str, int]]:
    """The numbers that a name stands for: "jump:0" is the rate of the first jump."""
    pair: Any = name if isinstance(name, tuple) and len(name) == 2 else (name, None)
    kind, index = pair
    sizes = _sizes(model)
    size = sizes.get(kind) if isinstance(kind, str) else None
    if not size or not (index is None or (isinstance(index, int) and 0 <= index < size)):
        names = dict.fromkeys([*sizes, "jump"])
        example = "('omega_mode', 1)" if isinstance(model, DickeModel) else "('J', 1)"
        refuse("free", f"names out of {', '.join(map(repr, names))}, or pairs as {example}", repr(name))
    chosen = range(size) if index is None else (index,)
    rates = [f"jump:{j}" for j in chosen] if kind == "jump" else [kind]
    if any(is_schedule(_rate(model, rate)) for rate in rates):
        refuse("free", "rates that are constant", f"{name!r}, which depends on time")
    return [(rate, i) for rate in rates for i in (range(_rate(model, rate).size) if kind == "jump" else chosen)]


def _values(model: Any, places: Sequence[tuple[str, int]]) -> Any:
    rates = [_rate(model, name) for name, _ in places]
    numpy = np if all(known(rate) for rate in rates) else jnp
    return numpy.array([numpy.ravel(rate)[entry] for rate, (_, entry) in zip(rates, places, strict=True)], model.dtype)


def _rate(model: Any, name: str) -> Any:
    if isinstance(model, Tied):
        return model.numbers[name]
    kind, _, index = name.partition(":")
    if kind != "jump":
        if isinstance(model, DickeModel):
            return getattr(model, name)
        return model.jumps[int(name[6:-1])].rate if name.startswith("jumps[") else getattr(model.energy, name)
    assert model.dissipation is not None
    return model.dissipation.rates[int(index)]


def _label(model: Any, name: str, entry: int) -> str:
    kind, _, index = name.partition(":")
    label = f"jump[{index}]" if kind == "jump" else name
    return f"{label}[{entry}]" if _rate(model, name).ndim else label
