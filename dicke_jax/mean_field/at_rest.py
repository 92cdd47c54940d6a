"""What vanishes at rest, of any model: as many equations as components, also where spins keep their lengths."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._typing import RealState, SpinVectors
from .abstract_model import AbstractMeanFieldModel
from .equations import mean_field_equations
from .site_levels import away_from, populations, size_of


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
