"""What a row starts from: its model, with the row's own rates, and its cue's state."""

from collections.abc import Mapping
from typing import Any, Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._checks import known_to_hold, refuse, told
from ...mean_field import DickeModel, MeanFieldState, corrupted_pattern, random_state, stored_pattern, tilted_pattern
from .axes import split_name

CUES: Final = ("stored", "tilt", "flip", "random")
DEFAULT_CUE = {"pattern": 0, "angle": 0.3, "flip": 0.1, "seed": 0}
Values = dict[str, np.ndarray]


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
    """The values in the precisions that a program takes them in: what makes cues, and what makes models."""
    kinds = {"pattern": jax.dtypes.canonicalize_dtype(np.int64), "seed": np.uint32}
    cues = {name: x.astype(kinds.get(name, model.dtype)) for name, x in values.items() if name in DEFAULT_CUE}
    return cues, {name: x.astype(model.dtype) for name, x in values.items() if name not in DEFAULT_CUE}
