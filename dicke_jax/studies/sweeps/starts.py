"""What a row starts from: its model, with the row's own rates, and its cue's state."""

from collections.abc import Collection, Mapping, Set
from typing import Any, Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._checks import known_to_hold, refuse, told
from ...mean_field import DickeModel, MeanFieldState, corrupted_pattern, random_state, stored_pattern, tilted_pattern
from .axes import RATES, split_name

CUES: Final = ("stored", "tilt", "flip", "random")
DEFAULT_CUE = {"pattern": 0, "angle": 0.3, "flip": 0.1, "seed": 0}
Values = dict[str, np.ndarray]


def cue_of(cue: Any, given: Set[str], taken: Collection[str]) -> Any:
    """The cue of a sweep, by default one that uses what is given; what it does not use, `taken` has to."""
    if cue is None:
        cue = "tilt" if "angle" in given else "flip" if "flip" in given else "stored"
    if callable(cue):
        return cue
    if not isinstance(cue, str) or cue not in CUES:
        refuse("cue", f"one of {', '.join(CUES)}, or a function of model and row", told(cue))
    uses = {"stored": {"pattern"}, "tilt": {"pattern", "angle", "seed"}, "flip": {"pattern", "flip", "seed"}}
    used = uses.get(cue, {"pattern", "seed"}) | set(taken)
    if any(not is_rate(name) for name in given - DEFAULT_CUE.keys() - set(taken)):
        return cue  # a name of nothing, refused by who knows the model: it may be a misspelt angle
    for name in sorted(given & DEFAULT_CUE.keys() - used):
        way = "give angle, flip or cue='tilt'" if cue == "stored" else "'tilt' has an angle, 'flip' a flip"
        refuse(f"axes and fixed, for cue {cue!r},", f"without {name}, which does not decide such a cue ({way})", name)
    return cue


def is_rate(name: str) -> bool:
    """Whether an axis of this name varies a rate of the model."""
    return split_name(name)[0] in (*RATES, "jump")


def with_values(model: DickeModel, values: Mapping[str, Any]) -> DickeModel:
    """The model with other rates: a name alone stands for all modes, and "kappa[1]" for one."""
    changes: dict[str, Any] = {}
    for name in sorted(values):  # "kappa" before "kappa[1]"
        kind, index = split_name(name)
        if kind == "jump":
            of = changes.get("dissipation", model.dissipation)
            rate = jnp.broadcast_to(jnp.asarray(values[name], of.rates[index].dtype), of.rates[index].shape)
            changes["dissipation"] = eqx.tree_at(lambda d, i=index: d.rates[i], of, rate)
        elif index is None:
            changes[kind] = jnp.asarray(values[name], model.dtype)
        else:
            rate = jnp.broadcast_to(changes.get(kind, getattr(model, kind)), (model.num_modes,))
            changes[kind] = rate.at[index].set(jnp.asarray(values[name], model.dtype))
    return model.replace(**changes) if changes else model


def with_known(model: DickeModel, values: Mapping[str, Any]) -> DickeModel:
    """The model with known values of rates, for which no program is compiled."""
    changes: dict[str, Any] = {}
    for name in sorted(values):
        kind, index = split_name(name)
        if kind == "jump":
            of = changes.get("dissipation", model.dissipation)
            rate = np.full(of.rates[index].shape, values[name], of.rates[index].dtype)
            changes["dissipation"] = eqx.tree_at(lambda d, i=index: d.rates[i], of, jax.device_put(rate))
            continue
        shape = (model.num_modes,) if kind in ("omega_mode", "kappa") else ()
        now = values[name] if index is None else changes.get(kind, getattr(model, kind))
        rate = np.array(np.broadcast_to(np.asarray(now, model.dtype), shape))
        if index is not None:
            rate[index] = values[name]
        changes[kind] = rate
    return model.replace(**changes) if changes else model


def start_of(model: DickeModel, cue: Any, own: Mapping[str, Any]) -> tuple[DickeModel, MeanFieldState]:
    """The model of a row, and the state that it starts from."""
    if callable(cue):
        made: Any = cue(model, own)
        known, state = made if isinstance(made, tuple) and len(made) == 2 else (model, made)
        if not isinstance(known, DickeModel) or not isinstance(state, MeanFieldState):
            refuse(
                "cue", "a function of model and row that returns a MeanFieldState, or a model and a state", told(made)
            )
        return known, state
    key = jax.random.key(own["seed"])
    with known_to_hold():
        if cue == "stored":
            return model, stored_pattern(model, own["pattern"])
        if cue == "random":
            return model, random_state(key, model)
        make, strength = (tilted_pattern, "angle") if cue == "tilt" else (corrupted_pattern, "flip")
        return model, make(key, model, own["pattern"], own[strength])


def of_cues_and_rates(values: Values, model: DickeModel) -> tuple[Values, Values]:
    """The values in the precisions that a program takes them in: of cues and functions, and what makes models."""
    kinds = {"pattern": jax.dtypes.canonicalize_dtype(np.int64), "seed": np.uint32}
    cast = {name: x.astype(kinds.get(name, model.dtype)) for name, x in values.items()}
    rates = {name: x for name, x in cast.items() if is_rate(name)}
    return {name: x for name, x in cast.items() if name not in rates}, rates
