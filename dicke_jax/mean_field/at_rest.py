"""What vanishes at rest, of any model: as many equations as components, also where spins keep their lengths."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._typing import RealState, SpinVectors, SubsetReals
from .abstract_model import AbstractMeanFieldModel
from .equations import mean_field_equations
from .site_levels import ALIKE, away_from, populations, size_of


def keeps_length(model: AbstractMeanFieldModel) -> Bool[Array, " K"]:
    """The ensembles on which no local jump acts: their |m_k| is conserved."""
    none = jnp.ones(model.num_subsets, bool)
    if model.dissipation is None:
        return none
    linear, constant = model.dissipation.terms(model.dtype)
    return none & ~(jnp.any(linear != 0, axis=(0, 1)) | jnp.any(constant != 0, axis=0))


def flat(y: RealState) -> Float[Array, " D"]:
    """The components x, y, z of all ensembles, Re and Im alpha of all modes."""
    return jnp.concatenate([y[0].ravel(), y[1].ravel()])


def kept_of(m: SpinVectors) -> Float[Array, "kept K"]:
    """What is conserved where no local jump acts: |m_k|^2, and of sites with more levels all their populations."""
    return jnp.sum(m**2, axis=0, keepdims=True) if m.shape[0] == 3 else populations(m)


def kept_by_lengths(model: AbstractMeanFieldModel, lengths: SubsetReals) -> Float[Array, "kept K"]:
    """`kept_of` the mean vectors of sites in pure states, multiplied by these lengths."""
    if model.levels == 2:
        return lengths[None] ** 2
    even = (1 - lengths) / model.levels
    return jnp.stack([even] * (model.levels - 1) + [even + lengths])


def misses(m: SpinVectors, kept: Float[Array, "kept K"], here: Bool[Array, " K"]) -> SubsetReals:
    """How far what is conserved `here` is from what it is to be, and elsewhere how far sites are from positive ones."""
    own = kept_of(m)
    if m.shape[0] == 3:
        return jnp.where(here, jnp.abs(own - kept), own - 1)[0]
    return jnp.where(here, jnp.max(jnp.abs(own - kept), axis=0), -own[0])


def index_of_all(kept: Float[Array, "kept K"], here: Bool[Array, " K"]) -> Int[Array, ""]:
    """The Euler characteristic of all states with what is conserved `here`, which the indices of a flow add up to.

    2 for each sphere; of d levels d! / (n_1! n_2! ...), where n populations are alike: d of a pure site.
    """
    levels = len(kept)
    if levels == 1:
        return 2 ** jnp.sum(here)
    # the i-th of n that are alike divides by i: (1 * 2) / 1, (1 * 2 * 3) / (1 * 2) ... stay whole
    alike, number, run = jnp.diff(kept, axis=0) < ALIKE, jnp.ones(kept.shape[1:], int), jnp.ones(kept.shape[1:], int)
    for i in range(1, levels):
        run = jnp.where(alike[i - 1], run + 1, 1)
        number = number * (i + 1) // run
    return jnp.prod(jnp.where(here, number, 1))


class AtRest(eqx.Module):
    """m'_k + r m_k (|m_k|^2 - s_k^2) where |m_k| is conserved, m'_k elsewhere, and alpha'_mu.

    At rest all vanish, and |m_k| = s_k: m'_k is orthogonal to m_k. Of sites with more levels the part of m_k that has
    other populations stands for the second term. `args` are the model, `kept_of` the spins, and the rate r.
    """

    num_subsets: int = eqx.field(static=True)
    levels: int = eqx.field(static=True, default=2)

    def state(self, components: Float[Array, " D"]) -> RealState:
        """The inverse of `flat`."""
        n = size_of(self.levels) * self.num_subsets
        return components[:n].reshape(-1, self.num_subsets), components[n:].reshape(2, -1)

    def __call__(
        self,
        components: Float[Array, " D"],
        args: tuple[AbstractMeanFieldModel, Float[Array, "kept K"], Float[Array, ""]],
    ) -> Float[Array, " D"]:
        model, kept, rate = args
        m, quadratures = self.state(components)
        m_dot, quadratures_dot = mean_field_equations(0.0, (m, quadratures), model)
        here = keeps_length(model)[None]
        if self.levels == 2:
            off = m * jnp.where(here, rate * (kept_of(m) - kept), 0)
        else:
            off = jnp.where(here, rate * away_from(m, kept), 0)
        return flat((m_dot + off, quadratures_dot))
