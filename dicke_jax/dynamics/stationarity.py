"""When nothing moves any more."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import RealState
from ..mean_field.equations import mean_field_equations
from ..mean_field.model import DickeModel


def largest_change(y: RealState, model: DickeModel) -> Array:
    """Max |dy/dt| over all components."""
    return jnp.max(jnp.array([jnp.max(jnp.abs(rate)) for rate in mean_field_equations(0.0, y, model)]))


class IsStationary(eqx.Module):
    """max |dy/dt| < threshold. A module, not a closure: `threshold` may be traced, and the run is found again."""

    threshold: Float[Array, ""]

    def __call__(self, t: Array, y: RealState, args: DickeModel, **_: Any) -> Array:
        return largest_change(y, args) < self.threshold
