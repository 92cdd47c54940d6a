"""Losses: what a fit makes small. Each is a function of residuals in units of their noise."""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from ..model import DickeModel
from .measurements import Measurements

Residuals: TypeAlias = Float[Array, " D"]


def residuals(model: DickeModel, data: tuple[Measurements, ...]) -> Residuals:
    """(predicted - measured) / noise of all points, 0 where one is missing."""
    parts = [jnp.where(each.present, (each.predict(model) - each.values) / each.noise, 0).ravel() for each in data]
    return jnp.concatenate(parts)


def resolved(model: DickeModel, data: tuple[Measurements, ...]) -> Bool[Array, " D"]:
    """Whether the slope of each residual says what its point determines."""
    return jnp.concatenate([each.resolved(model).ravel() for each in data])


def chi_square(r: Residuals) -> Float[Array, ""]:
    """sum_i r_i^2 / 2, the negative log-likelihood of Gaussian noise."""
    return jnp.sum(r**2) / 2


def huber(r: Residuals) -> Float[Array, ""]:
    """Quadratic up to two standard deviations, linear beyond: outliers pull less."""
    return jnp.sum(optax.huber_loss(r, jnp.zeros_like(r), delta=2.0))


LOSSES: dict[str, Callable[[Residuals], Float[Array, ""]]] = {"chi-square": chi_square, "huber": huber}
