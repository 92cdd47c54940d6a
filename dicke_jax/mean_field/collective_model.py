"""Any all-to-all model from its energy: automatic differentiation writes the mean-field equations."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._checks import as_float, check_all, check_choice, check_count, known, refuse, told
from .._door import in_short
from .._typing import ArrayLike, RealState, SpinVectors, SubsetReals
from .abstract_model import AbstractMeanFieldModel, plane_across
from .collective_jumps import CollectiveJump, parts
from .dissipation import LocalDissipation, check_dissipation
from .energy import IntensiveVariables, check_function
from .parameters import as_leafless, common_float, in_precision, parameters, values_at, with_parameters
from .rates import is_rate_in_time, is_schedule
from .site_levels import size_of, turned_by

LEAST_WEIGHT = 1e-20  # of an ensemble: the equations of one that holds nothing are the limit
SEPARATE = 1000.0  # how far apart rates have to be for a model to be looked at for stiffness


class CollectiveModel(AbstractMeanFieldModel):
    """A model in which all sites couple alike, given by its energy.

        H = N h(m, alpha),   L_j = sqrt(N r_j) l_j(m, alpha),   and jumps of single spins
        d h_eff   = d h - sum_j r_j Im(l_j^* d l_j)
        m'_k      = (2 / w_k) grad_{m_k} h_eff  x  m_k  +  T_k m_k + c_k
        alpha'_mu = -i d h_eff / d alpha_mu^*

    in K ensembles of spins, or of sites with d levels, with mean Bloch vectors m_k, which hold the shares w_k of all N,
    and M modes with alpha_mu = <a_mu> / sqrt(N). The derivatives are automatic, of the energy as it is written. Exact
    in the thermodynamic limit where h and l_j are polynomials. Sites of d levels have m of d^2 - 1 components, as
    `bloch_vectors` makes them of density matrices; the cross product becomes sum_ab f_abc g_a m_b.

    **Arguments**

    - `energy`: h, an `Energy`, or any function of the `IntensiveVariables`.
    - `jumps`: collective ones, as `photon_loss(kappa)` and `collective(l)` make them.
    - `dissipation`: single-spin jumps, a `LocalDissipation`, or None.
    - `weights`: (K,), w_k, of sum 1; by default there is one ensemble.
    - `num_modes`: M.
    - `patterns`: (P, K), what `overlaps` compares the spins with: xi_p = sum_k w_k G[p, k] z_k. By default one row of
      ones, and the overlap is the mean of z over all spins; of sites with d levels z is the third component of m, the
      difference of their first two populations.
    - `levels`: d.

    The common precision of the arrays among the parameters of energy and jumps is the model's. To vary a parameter of
    the energy, `model.replace(g=...)` by its name there, also inside `jax.vmap` and `jax.grad`.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> def energy(s):  # spins along x, twisted about z
        ...     return 0.5 * s.x[0] - s.z[0] ** 2
        >>> model = dj.CollectiveModel(energy, dissipation=dj.LocalDissipation([("decay_x", 0.5)]))
        >>> end = dj.steadystate(model, dj.MeanFieldState([[-0.6], [0.0], [0.8]], []))
        >>> print(bool(end.successful), end.state.m[:, 0].round(4))
        True [-0.2656  0.1515  0.606 ]
    """

    energy: Any
    jumps: tuple[CollectiveJump, ...]
    dissipation: LocalDissipation | None
    weights: SubsetReals  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
    num_modes: int = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    levels: int = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    patterns: Float[Array, "P K"] | None
    frozen_at: Float[Array, ""] | None = eqx.field(init=False)  # the time that an energy that looks at it is given
    dtype: jnp.dtype = eqx.field(static=True, init=False)
    sees_time: bool = eqx.field(static=True, init=False)

    @in_short
    def __init__(
        self,
        energy: Callable[[Any], Any],
        jumps: Sequence[CollectiveJump] = (),
        dissipation: LocalDissipation | None = None,
        weights: ArrayLike = (1.0,),
        num_modes: int = 0,
        patterns: ArrayLike | None = None,
        levels: int = 2,
    ) -> None:
        if not callable(energy) or isinstance(energy, type):
            refuse("energy", "an Energy, or a function of the intensive variables", told(energy))
        if not isinstance(jumps, list | tuple) or not all(isinstance(jump, CollectiveJump) for jump in jumps):
            refuse("jumps", "a list of such as photon_loss(kappa) and collective(l)", told(jumps))
        if isinstance(num_modes, bool) or not isinstance(num_modes, int | np.integer) or num_modes < 0:
            refuse("num_modes", "a whole number of at least 0", told(num_modes))
        self.dtype = dtype = common_float(energy, *jumps)
        self.weights = _as_weights(weights, dtype)
        self.num_modes, self.levels = int(num_modes), check_count("levels", levels, 2)
        self.energy = in_precision("energy", as_leafless(energy), dtype)
        self.jumps = tuple(in_precision("jumps", jump, dtype) for jump in jumps)
        self.dissipation, self.frozen_at = dissipation, None
        if dissipation is not None:
            check_dissipation(dissipation, self.num_subsets, self.levels)
        self.patterns = None if patterns is None else as_float(patterns, "patterns").astype(dtype)
        if self.patterns is not None and (self.patterns.ndim != 2 or self.patterns.shape[1] != self.num_subsets):
            refuse("patterns", f"of shape (P, {self.num_subsets})", f"shape {self.patterns.shape}")
        self.sees_time = _check_functions(self)

    @property
    def rates(self) -> dict[str, Any]:
        """Parameters of the energy by name, rates of jumps, and the energy itself where it looks at the time."""
        found = parameters(self.energy)
        found = {n: v for n, v in found.items() if is_rate_in_time(v) or isinstance(v, np.ndarray | jax.Array)}
        found |= {f"jumps[{i}]": jump.rate for i, jump in enumerate(self.jumps)}
        if self.sees_time and self.frozen_at is None:
            found["energy"] = _OfTime(self)
        return found

    def replace(self, **changes: Any) -> "CollectiveModel":
        """The model with some arguments, or some parameters of its energy, changed."""
        own = [field.name for field in dataclasses.fields(self) if field.init]
        energy = changes.get("energy", self.energy)
        for name in changes:
            check_choice("name of a change", name, (*own, *parameters(energy)))
        of_energy = {name: changes.pop(name) for name in list(changes) if name not in own}
        if of_energy:
            changes["energy"] = with_parameters(energy, of_energy)
        return dataclasses.replace(self, **changes)

    def at(self, t: ArrayLike) -> "CollectiveModel":
        """The model with the values that its rates have at time t."""
        if not self.is_time_dependent:
            return self
        energy = values_at(self.energy, t, self.dtype)
        jumps = tuple(jump.at(t, self.dtype) for jump in self.jumps)
        dissipation = None if self.dissipation is None else self.dissipation.at(t)
        frozen = jnp.asarray(t, self.dtype) if self.sees_time and self.frozen_at is None else self.frozen_at
        parts = (energy, jumps, dissipation, frozen)
        return eqx.tree_at(
            lambda m: (m.energy, m.jumps, m.dissipation, m.frozen_at), self, parts, is_leaf=lambda x: x is None
        )

    def rate_of_change(self, t: ArrayLike, y: RealState) -> RealState:
        """m'_k and alpha'_mu; one evaluation of the energy and the jumps, and one of their derivatives."""
        model = self.at(t)
        weights = self.shares
        spins = tuple(y[0][a] for a in range(3)) if model.levels == 2 else y[0]
        (h, amplitudes), derivative = jax.vjp(lambda *y: model.functions(t, y), spins, (y[1][0], y[1][1]))
        # of r Im(l^* dl) = r (Re l d Im l - Im l d Re l), so that nothing complex is differentiated
        back = [(jump.rate * im, -jump.rate * re) for jump, (re, im) in zip(model.jumps, amplitudes, strict=True)]
        of_spins, of_modes = derivative((jnp.ones_like(h), back))
        m_dot = jnp.stack(turned_by(of_spins, spins)) * (2 / weights)[None]
        if model.dissipation is not None:
            m_dot += model.dissipation.rate_of_change(y[0])
        return m_dot, jnp.stack([of_modes[1], -of_modes[0]]) / 2

    @property
    def shares(self) -> SubsetReals:
        """The weights, of which none vanishes."""
        return jnp.maximum(self.weights.astype(self.dtype), LEAST_WEIGHT)

    def functions(self, t: ArrayLike, y: tuple[Any, Any]) -> tuple[Float[Array, ""], list[tuple[Array, Array]]]:
        """The energy h, and of each jump Re l_j and Im l_j; of a model with constant rates, y as it is or by rows."""
        s = IntensiveVariables(
            *y, self.shares, jnp.asarray(t, self.dtype) if self.frozen_at is None else self.frozen_at
        )
        amplitudes = [parts(jump.amplitude(s), self.dtype) for jump in self.jumps]
        return jnp.asarray(self.energy(s)).astype(self.dtype), amplitudes

    def project(self, z: SubsetReals) -> Float[Array, " P"]:
        """xi_p = sum_k w_k G[p, k] z_k."""
        shares = self.weights.astype(z.dtype) * z
        if self.patterns is None:
            return jnp.sum(shares, keepdims=True)
        return jnp.matmul(self.patterns.astype(z.dtype), shares, precision="highest")

    def fastest_rate(self, t: Array, y: RealState) -> Float[Array, ""]:
        """The largest |f| + max |f(y + d) - f(y)| / max |d|, for small deviations d of all components."""
        deviation = jax.tree.map(lambda x: 1e-3 * _generic(x.shape, x.dtype), y)
        both = jax.tree.map(lambda x, dx: jnp.stack([x, x + dx]), y, deviation)
        rates = [rate.reshape(2, -1) for rate in jax.vmap(lambda y: self.rate_of_change(t, y))(both)]
        at, near = jnp.concatenate(rates, axis=1)
        fastest = jnp.max(jnp.abs(at)) + 1e3 * jnp.max(jnp.abs(near - at))
        return jnp.where(jnp.isfinite(fastest) & (fastest > 0), fastest, jnp.ones_like(fastest))

    def spin_rate(self, t: Array, y: RealState) -> Float[Array, ""]:
        """The fastest rate: nothing is known of which part moves slowly."""
        return self.fastest_rate(t, y)

    def largest_rate(self) -> Float[Array, ""]:
        """How fast a state that nothing is special about moves."""
        return self.fastest_rate(jnp.zeros((), self.dtype), self._somewhere())

    def stiffness(self) -> float:
        """The fastest decay, as a multiple of the slowest motion and of all that turns without decaying.

        Looked at where the rates are known and lie far apart.
        """
        rates = list(self.rates.values())
        if self.is_time_dependent or self.weights.ndim != 1 or not all(map(known, jax.tree.leaves(self))):
            return 1.0
        rates += [] if self.dissipation is None else list(self.dissipation.rates)
        sizes = np.concatenate([np.abs(np.ravel(np.asarray(rate))) for rate in rates] or [np.zeros(0)])
        sizes = sizes[sizes > 0]
        if not sizes.size or np.max(sizes) < SEPARATE * np.min(sizes):
            return 1.0
        values = np.linalg.eigvals(np.asarray(_jacobian_somewhere(self), float))
        decays = -values.real > 0.1 * np.abs(values)
        slow = np.abs(values[np.abs(values) > 1e-9 * np.max(np.abs(values))])
        others = max(np.max(np.abs(values[~decays]), initial=0.0), np.min(slow, initial=np.inf))
        return float(np.max(np.abs(values[decays]), initial=0.0) / others) if 0 < others < np.inf else 1.0

    def plane_of_turning(self, y: RealState) -> tuple[SpinVectors, SpinVectors]:
        """Two unit vectors orthogonal to m_k; for m_k = 0 to the z axis."""
        return plane_across(y[0])

    def _somewhere(self) -> RealState:
        m = _generic((size_of(self.levels), self.num_subsets), self.dtype)
        return m / jnp.sqrt(jnp.sum(m**2, axis=0, keepdims=True)), 0.4 * _generic((2, self.num_modes), self.dtype)


class _OfTime(eqx.Module):
    """The energy and the jumps in a state that does not move, as a function of time."""

    model: CollectiveModel

    def __call__(self, t: ArrayLike) -> Array:
        model = self.model.at(t)
        s = IntensiveVariables(*model._somewhere(), model.weights, jnp.asarray(t, model.dtype))
        functions = [model.energy, *(jump.amplitude for jump in model.jumps)]
        return jnp.concatenate([part.ravel() for f in functions for part in parts(f(s), model.dtype)])


@eqx.filter_jit
def _jacobian_somewhere(model: CollectiveModel) -> Float[Array, "n n"]:
    flat, unravel = ravel_pytree(model._somewhere())
    return jax.jacfwd(lambda y: ravel_pytree(model.rate_of_change(0.0, unravel(y)))[0])(flat)


def _generic(shape: tuple[int, ...], dtype: Any) -> Array:
    """Numbers between -1 and 1 that nothing is special about."""
    return jnp.asarray(np.cos(1 + 1.7 * np.arange(math.prod(shape))).reshape(shape), dtype)


def _as_weights(weights: ArrayLike, dtype: Any) -> Array:
    array = as_float(weights, "weights")
    if array.ndim != 1 or not array.size:
        refuse("weights", "of shape (K,), one share for each ensemble", f"shape {array.shape}")
    check_all("weights", array, lambda w: w >= 0, "not negative")
    if known(array) and not abs((total := np.sum(np.asarray(array, dtype=float))) - 1) < 1e-5:
        refuse("weights", "of sum 1", f"sum {total:.9g}")
    return array.astype(dtype)


def _check_functions(model: CollectiveModel) -> bool:
    """Refuse energies and jumps that are no such functions; whether any of them looks at the time."""
    dtype, sizes = model.dtype, (model.weights.size, model.num_modes)

    def energy(s: IntensiveVariables) -> Any:
        return values_at(model.energy, np.zeros((), dtype), dtype)(s)

    shape, kind, sees_time = check_function("energy", energy, sizes, dtype, model.energy, model.levels)
    if shape != ():
        refuse("energy", "one real number", f"shape {shape}")
    if jnp.issubdtype(kind, jnp.complexfloating):
        refuse("energy", "real (jnp.real of a sum of complex terms)", "complex")
    for i, jump in enumerate(model.jumps):
        name = f"jumps[{i}]"
        shape, _, sees = check_function(name, jump.amplitude, sizes, dtype, jump, model.levels)
        if len(shape) > 1:
            refuse(name, "one complex number, or of shape (J,)", f"shape {shape}")
        if shape == (0,):
            refuse("num_modes", f"at least 1 for {name}, a jump of modes", model.num_modes)
        if not is_schedule(jump.rate) and jump.rate.shape not in ((), shape):
            refuse(f"rate of {name}", f"one number or of shape {shape}", f"shape {jump.rate.shape}")
        sees_time |= sees
    return sees_time
