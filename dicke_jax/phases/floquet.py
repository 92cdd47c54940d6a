"""Floquet multipliers: what small deviations from a periodic orbit are multiplied by each time around."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from ..mean_field import AbstractMeanFieldModel, MeanFieldState
from .linearisation import basis_on_the_way, eigensystem


class Floquet(NamedTuple):
    """Multipliers of deviations across the orbit, the largest first, and that of deviations along it, which is 1."""

    across: Complex[Array, " n"]
    along: Float[Array, ""]


def floquet(
    model: AbstractMeanFieldModel,
    state: MeanFieldState,
    velocity: Float[Array, " n"],
    matrix: Float[Array, "n n"],
    num_kept: int,
) -> Floquet:
    """From d y(T) / d y(0); as many of its directions change what is conserved as `num_kept` says.

    What is conserved and the motion along the orbit have multipliers of 1, which may meet others in a Jordan block:
    round-off moves such eigenvalues by its square root. So they are divided out before any eigenvalue is taken.
    """
    basis = basis_on_the_way(model, state, num_kept)
    along = _times(basis.T, velocity)
    along = along / jnp.sqrt(jnp.sum(along**2))
    on_lengths = _times(basis.T, _times(matrix, basis))
    # Householder's reflection that takes the velocity to the first axis
    mirror = along.at[0].add(jnp.where(along[0] < 0, -1, 1))
    turn = jnp.eye(along.size, dtype=along.dtype) - mirror[:, None] * mirror[None] / (jnp.sum(mirror**2) / 2)
    across = _times(turn, _times(on_lengths, turn))[1:, 1:]
    values, _ = eigensystem(across)
    return Floquet(values[jnp.argsort(-jnp.abs(values))], jnp.sum(along * _times(on_lengths, along)))


def _times(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
