"""Which rates are free, and the numbers without bounds that stand for them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_all, known, refuse
from ..model import DickeModel, check_model
from ..schedules import is_schedule

FREE = ("omega_spin", "omega_mode", "kappa", "g0")
RateName: TypeAlias = str | tuple[str, int]  # "kappa", ("kappa", 1), ("jump", 0)
Bounds: TypeAlias = Mapping[RateName, tuple[float, float]]
Vector: TypeAlias = Float[Array, " F"]


class FreeRates(eqx.Module):
    """A bijection between F free rates p_i of a model and a vector v of numbers without bounds.

        |p_i| = lower_i + exp(v_i)                                    by default, with lower_i = 0
        |p_i| = lower_i + (upper_i - lower_i) / (1 + exp(-v_i))       with an upper bound

    Every rate keeps its sign, that of Omega_mu included, and nothing is clipped.

    - `names`: of each number, "omega_mode[1]".
    - `rates(vector)`, `to_model(vector)`, `to_vector(model)`: from one to the other.
    """

    model: DickeModel
    signs: Vector
    lower: Vector
    upper: Vector
    names: tuple[str, ...] = eqx.field(static=True)
    places: tuple[tuple[str, int], ...] = eqx.field(static=True)  # of each number: its rate, the entry in it

    def __len__(self) -> int:
        return len(self.names)

    def rates(self, vector: Vector) -> Vector:
        """The free rates, with their signs."""
        bounded = jnp.isfinite(self.upper)
        span = jnp.where(bounded, self.upper - self.lower, 1)
        share = jax.nn.sigmoid(jnp.where(bounded, vector, 0))
        return self.signs * (self.lower + jnp.where(bounded, span * share, jnp.exp(jnp.where(bounded, 0, vector))))

    def log_rates(self, vector: Vector) -> Vector:
        """Log |p_i|, in which a change is relative."""
        return jnp.log(jnp.abs(self.rates(vector)))

    def stretches(self, vector: Vector) -> Vector:
        """D log |p_i| / dv_i."""
        return jax.jvp(self.log_rates, (vector,), (jnp.ones_like(vector),))[1]

    def to_model(self, vector: Vector) -> DickeModel:
        """The model with these rates in place of its own."""
        values, model = self.rates(vector), self.model
        for name in dict.fromkeys(name for name, _ in self.places):
            own = [i for i, place in enumerate(self.places) if place[0] == name]
            entries = np.array([self.places[i][1] for i in own])
            old = _rate(model, name)
            new = old.ravel().at[entries].set(values[np.array(own)].astype(old.dtype)).reshape(old.shape)
            model = _with_rate(model, name, new)
        return model

    def to_vector(self, model: DickeModel) -> Vector:
        """The numbers that stand for a model's rates, which must lie within the bounds."""
        sizes = _values(model, self.places) * self.signs
        if known(sizes):
            for name, size, low, high in zip(self.names, sizes, self.lower, self.upper, strict=True):
                must_be = f"of its sign, and in size between {float(low):g} and {float(high):g}"
                check_all(name, size, lambda s, low=low, high=high: (low < s) & (s < high), must_be)
        bounded = jnp.isfinite(self.upper)
        return jnp.log(sizes - self.lower) - jnp.where(bounded, jnp.log(jnp.where(bounded, self.upper - sizes, 1)), 0)


def free_rates(model: DickeModel, free: Sequence[RateName] = FREE, bounds: Bounds | None = None) -> FreeRates:
    """The `FreeRates` of a model.

    **Arguments**

    - `model`: a `DickeModel`; what is not free stays as it is there.
    - `free`: names of rates: "omega_spin", "omega_mode", "kappa", "g0", "jump"; of one mode ("omega_mode", 1), of one
      jump ("jump", 0). A rate of 0 or one that depends on time cannot be free.
    - `bounds`: for names out of `free`, the least and the largest size that a rate may have, (0, inf) by default.
    """
    check_model(model)
    if isinstance(free, str) or not len(free):
        refuse("free", "a sequence of names of rates, at least one", repr(free))
    places, limits = [], []
    bounds = dict(bounds or {})
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
    lower, upper = (jnp.asarray(limit, model.dtype) for limit in zip(*limits, strict=True))
    names = tuple(_label(model, *place) for place in places)
    return FreeRates(model, jnp.sign(values), lower, upper, names, tuple(places))


def _places(model: DickeModel, name: Any) -> list[tuple[str, int]]:
    """The numbers that a name stands for: "jump:0" is the rate of the first jump."""
    kind, index = name if isinstance(name, tuple) else (name, None)
    jumps = 0 if model.dissipation is None else len(model.dissipation.rates)
    must_be = "names out of 'omega_spin', 'omega_mode', 'kappa', 'g0', 'jump', or pairs as ('omega_mode', 1)"
    size = {"omega_spin": 1, "omega_mode": model.num_modes, "kappa": model.num_modes, "g0": 1, "jump": jumps}.get(kind)
    if size is None or (index is not None and not (isinstance(index, int) and 0 <= index < size)) or size == 0:
        refuse("free", must_be, repr(name))
    chosen = range(size) if index is None else (index,)
    if kind != "jump":
        places = [(kind, i) for i in chosen]
    else:
        places = [(f"jump:{j}", i) for j in chosen for i in range(_size(model, f"jump:{j}"))]
    if any(is_schedule(_rate(model, place)) for place, _ in places):
        refuse("free", "rates that are constant", f"{name!r}, which depends on time")
    return places


def _values(model: DickeModel, places: Sequence[tuple[str, int]]) -> Vector:
    return jnp.array([_rate(model, name).ravel()[entry] for name, entry in places], model.dtype)


def _size(model: DickeModel, name: str) -> int:
    rate = _rate(model, name)
    return 1 if is_schedule(rate) else rate.size


def _rate(model: DickeModel, name: str) -> Any:
    kind, _, index = name.partition(":")
    if kind != "jump":
        return getattr(model, name)
    assert model.dissipation is not None
    return model.dissipation.rates[int(index)]


def _with_rate(model: DickeModel, name: str, value: Array) -> DickeModel:
    kind, _, index = name.partition(":")
    if kind != "jump":
        return dataclasses.replace(model, **{name: value})
    return eqx.tree_at(lambda m: m.dissipation.rates[int(index)], model, value)


def _label(model: DickeModel, name: str, entry: int) -> str:
    kind, _, index = name.partition(":")
    label = f"jump[{index}]" if kind == "jump" else name
    return f"{label}[{entry}]" if _rate(model, name).ndim else label
