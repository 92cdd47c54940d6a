"""What every model of this package is to all that computes with it."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import refuse
from .._typing import ArrayLike, RealState, SpinVectors, SubsetReals
from .dissipation import LocalDissipation
from .rates import is_schedule, kinks
from .site_levels import size_of


class AbstractMeanFieldModel(eqx.Module):
    """K ensembles of spins that hold the shares w_k of all, M modes, and dy/dt = f(t, y) for y = (m, (Re, Im) alpha).

    `DickeModel` and `CollectiveModel` are such. All that solves knows of a model what stands here.
    """

    if not TYPE_CHECKING:  # a type checker would take them for the first arguments of every model
        dtype: eqx.AbstractVar[Any]
        dissipation: eqx.AbstractVar[LocalDissipation | None]
        weights: eqx.AbstractVar[SubsetReals]  # w_k, the share of all spins that each ensemble holds
        num_modes: eqx.AbstractVar[int]
        levels: eqx.AbstractVar[int]  # d, of each site; 2 of a spin
    else:
        dtype: jnp.dtype
        dissipation: Any
        weights: Any
        num_modes: Any
        levels: Any

    @property
    @abc.abstractmethod
    def rates(self) -> dict[str, Any]:
        """Numbers and functions of time that the equations depend on, by name; those of local jumps are not here."""

    @abc.abstractmethod
    def at(self, t: ArrayLike) -> "AbstractMeanFieldModel":
        """The model with the values that its rates have at time t."""

    @abc.abstractmethod
    def rate_of_change(self, t: ArrayLike, y: RealState) -> RealState:
        """dy/dt, the mean-field equations."""

    @abc.abstractmethod
    def project(self, z: Float[Array, " K"]) -> Float[Array, " P"]:
        """The overlaps of the spins with what they are compared with."""

    @abc.abstractmethod
    def fastest_rate(self, t: Array, y: RealState) -> Float[Array, ""]:
        """About how fast the fastest of all motions is, for the first step of a run."""

    @abc.abstractmethod
    def spin_rate(self, t: Array, y: RealState) -> Float[Array, ""]:
        """About how fast the spins move where fast modes follow them."""

    @abc.abstractmethod
    def largest_rate(self) -> Float[Array, ""]:
        """The unit of what counts as zero; constant rates."""

    @abc.abstractmethod
    def stiffness(self) -> float:
        """How many times faster the fastest decay is than all else; 1 where that is not known."""

    @abc.abstractmethod
    def plane_of_turning(self, y: RealState) -> tuple[SpinVectors, SpinVectors]:
        """Two unit vectors for each spin, orthogonal to it at rest and to each other."""

    @property
    def num_subsets(self) -> int:
        """K, the number of ensembles of spins that are alike."""
        return self.weights.shape[-1]

    @property
    def schedules(self) -> list[tuple[str, Any]]:
        """Names and rates of those that depend on time, local jumps included."""
        jumps: tuple[Any, ...] = () if self.dissipation is None else self.dissipation.rates
        rates = [*self.rates.items(), *(("dissipation", rate) for rate in jumps)]
        return [(name, rate) for name, rate in rates if is_schedule(rate)]

    @property
    def is_time_dependent(self) -> bool:
        """Whether any rate is a schedule."""
        return bool(self.schedules)

    @property
    def kinks(self) -> list[Array]:
        """Times at which a rate has a kink, onto which a solver must step."""
        return [times for _, rate in self.schedules for times in kinks(rate)]

    @property
    def num_components(self) -> int:
        """3 K + 2 M for spins: K vectors of d^2 - 1 components, and M complex amplitudes."""
        return size_of(self.levels) * self.num_subsets + 2 * self.num_modes


def plane_across(m: SpinVectors) -> tuple[SpinVectors, SpinVectors]:
    """Two unit vectors orthogonal to every m_k and to each other; for m_k = 0 to the z axis."""
    squared = jnp.sum(m**2, axis=0)
    there = squared > 0
    nx, ny, nz = m / jnp.sqrt(jnp.where(there, squared, 1))[None]
    nz = jnp.where(there, nz, 1)
    sign = jnp.where(nz < 0, -1.0, 1.0).astype(nz.dtype)
    a = -1 / (sign + nz)
    first = jnp.stack([1 + sign * nx**2 * a, sign * nx * ny * a, -sign * nx])
    return first, jnp.stack([nx * ny * a, sign + ny**2 * a, -ny])


def check_constant_rates(model: Any, purpose: str = "") -> None:
    """Refuse a model with a rate that depends on time, for a purpose such as "for a stationary state"."""
    if not isinstance(model, AbstractMeanFieldModel):
        refuse("model", "a DickeModel or a CollectiveModel", type(model).__name__)
    if model.is_time_dependent:
        must_be = " ".join(["one with constant rates", purpose]).strip() + " (model.at(t) has those of time t)"
        refuse("model", must_be, "one with rates that change")
