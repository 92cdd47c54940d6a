"""States of the mean-field equations, what one looks at in them, and those that a memory is tested with."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, PRNGKeyArray

from .._checks import (
    as_float,
    as_pattern_index,
    as_probability,
    check_all,
    check_finite,
    check_real,
    check_shape,
    known,
    refuse,
)
from .._door import checked
from .._typing import ArrayLike, RealState, SubsetReals
from .abstract_model import AbstractMeanFieldModel
from .collective_model import CollectiveModel
from .model import DickeModel
from .site_levels import bloch_vectors, levels_of, size_of

LONGER = 1e-2  # than 1: what runs at coarse tolerances leave of a conserved length
VERY_MANY = 2**20  # numbers


def _as_complex(alpha: ArrayLike) -> jax.Array:
    check_real("alpha", alpha, "numbers", or_complex=True)
    array = jnp.asarray(alpha)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        return array
    return jax.lax.complex(as_float(array), jnp.zeros_like(as_float(array)))


class MeanFieldState(eqx.Module):
    """Bloch vectors m_k = (x_k, y_k, z_k) and mode amplitudes alpha_mu = <a_mu> / sqrt(N_sp).

    - `m`: real, of shape (3, K); of sites with d levels (d^2 - 1, K), as `bloch_vectors` makes it.
    - `alpha`: of shape (M,), complex; real numbers are accepted.

    A batch of states has the same leading axes on both.

    **Example**

        >>> state = dj.MeanFieldState(m=[[0.0], [0.6], [0.8]], alpha=[0.1j])
        >>> print(dj.spin_lengths(state.m), dj.occupations(state.alpha).round(6))
        [1.] [0.01]
    """

    m: Float[Array, "*batch B K"] = eqx.field(converter=partial(as_float, name="m"))
    alpha: Complex[Array, "*batch M"] = eqx.field(converter=_as_complex)

    def __check_init__(self) -> None:
        if self.m.ndim < 2 or levels_of(self.m.shape[-2]) is None:
            refuse("m", "of shape (3, K), rows x, y and z, or (d^2 - 1, K) for d levels", f"shape {self.m.shape}")
        if self.alpha.ndim != self.m.ndim - 1 or self.alpha.shape[:-1] != self.m.shape[:-2]:
            refuse("alpha", f"of shape {self.m.shape[:-2]} + (M,), as m", f"shape {self.alpha.shape}")
        check_finite("m", self.m)
        check_finite("alpha", self.alpha)

    def to_real(self, model: AbstractMeanFieldModel) -> RealState:
        """(m, (Re alpha, Im alpha)) in the model's precision: what the solvers integrate."""
        check_shape(
            "state.m", self.m, (size_of(model.levels), model.num_subsets), "a Bloch vector for each subset of the model"
        )
        check_shape("state.alpha", self.alpha, (model.num_modes,), "an amplitude for each mode of the model")
        return self.m.astype(model.dtype), jnp.stack([self.alpha.real, self.alpha.imag]).astype(model.dtype)

    @classmethod
    def from_real(cls, y: RealState) -> "MeanFieldState":
        """The inverse of `to_real`."""
        m, (re, im) = y
        return cls(m, jax.lax.complex(re, im))


def check_spin_lengths(
    m: Float[Array | np.ndarray, "*batch B K"],
    holds: Callable[[np.ndarray], Any] | None = None,
    must_be: str = "at most 1",
) -> None:
    """Refuse known spins with an |m_k| for which `holds(|m_k|)` is false; by default one longer than 1 (NaN is not).

    Sites with d levels have at most sqrt(2 - 2 / d).
    """
    levels = levels_of(m.shape[-2]) if m.ndim > 1 else None
    if known(m) and levels is not None:
        longest = math.sqrt(2 - 2 / levels)
        must_be = f"at most {longest:.6g}" if levels > 2 and holds is None else must_be
        # of very many, where they lie: to copy them from a device takes longer than to run them
        if holds is None and isinstance(m, jax.Array) and m.size > VERY_MANY:
            with jax.ensure_compile_time_eval():  # known numbers within `jax.jit`, too
                if not _is_longer(m, longest + LONGER):
                    return
        holds = (lambda length: ~(length >= longest + LONGER)) if holds is None else holds
        check_all("|m_k|", np.linalg.norm(np.asarray(m), axis=-2), holds, must_be)


@jax.jit
def _is_longer(m: jax.Array, longest: Any) -> jax.Array:
    """Whether any is; NaN is not."""
    return jnp.any(jnp.sum(m * m, axis=-2) >= jnp.square(longest))


@checked
def overlaps(model: DickeModel | CollectiveModel, m: Float[Array, "*batch B K"]) -> Float[Array, "*batch P"]:
    """xi_mu = sum_k w_k G[mu, k] z_k, from -1 to 1: how far the spins are aligned with pattern mu (paper, Eq. 12).

    - `model`: a `DickeModel` or a `CollectiveModel`; `m`: (..., 3, K), Bloch vectors.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> print(dj.overlaps(model, -dj.stored_pattern(model, pattern=0).m))
        [-1.  0.  0.  0.]
    """
    return jnp.vectorize(model.project, signature="(k)->(m)")(m[..., 2, :])


@checked
def occupations(alpha: Complex[Array, "*batch M"]) -> Float[Array, "*batch M"]:
    """|alpha_mu|^2 = <a_mu^dag a_mu> / N_sp, photons per spin. The paper's Fig. 3(b) shows 2^(M-1) times this.

    - `alpha`: (..., M), complex amplitudes <a_mu> / sqrt(N_sp).

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> print(dj.occupations(jnp.array([3.0 + 4.0j])))
        [25.]
    """
    return jnp.real(alpha) ** 2 + jnp.imag(alpha) ** 2


@checked
def spin_lengths(m: Float[Array, "*batch B K"]) -> Float[Array, "*batch K"]:
    """|m_k|, conserved by the equations; 1 where all spins of a subset are alike and pure.

    Of sites with d levels sqrt(2 - 2 / d) where they are.

    - `m`: (..., 3, K), Bloch vectors.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> print(dj.spin_lengths(jnp.array([[0.6], [0.0], [0.8]])))
        [1.]
    """
    squared = jnp.sum(m**2, axis=-2)
    there = squared > 0  # elsewhere the derivative is 0, not NaN
    return jnp.where(there, jnp.sqrt(jnp.where(there, squared, 1)), 0)


@eqx.filter_jit
def _without_photons(model: DickeModel, z: SubsetReals, x: Any = 0.0, y: Any = 0.0) -> MeanFieldState:
    return MeanFieldState(jnp.stack(jnp.broadcast_arrays(x, y, z)), jnp.zeros(model.num_modes, model.dtype))


def pattern_signs(model: DickeModel, pattern: ArrayLike) -> SubsetReals:
    """G[nu, k], one row of the couplings. `pattern` may be traced, to `jax.vmap` over patterns."""
    return pattern_row(model, as_pattern_index(pattern, model.num_modes))


@eqx.filter_jit
def pattern_row(model: DickeModel, index: Int[Array, ""]) -> SubsetReals:
    """`pattern_signs` of an index that was checked."""
    return model.spins.field((jnp.arange(model.num_modes) == index).astype(model.dtype))


@checked
def stored_pattern(model: DickeModel, pattern: ArrayLike = 0) -> MeanFieldState:
    """z_k = G[nu, k], x_k = y_k = 0, no photons: xi_nu = 1, the initial state of the paper's Fig. 3.

    - `model`: a `DickeModel`; `pattern`: nu, from 0, which may be traced.

    **Returns** a `MeanFieldState`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> print(dj.overlaps(model, dj.stored_pattern(model, pattern=2).m))
        [0. 0. 1. 0.]
    """
    return _without_photons(model, pattern_signs(model, pattern))


@checked
def corrupted_pattern(
    key: PRNGKeyArray, model: DickeModel, pattern: ArrayLike = 0, flip: ArrayLike = 0.1
) -> MeanFieldState:
    """z_k = (1 - 2 p_k) G[nu, k], where the share p_k of the spins of subset k is flipped.

    Every spin is flipped independently with probability `flip`: p_k is binomial with the subset's own size, and exactly
    `flip` in the thermodynamic limit, where `key` has nothing to decide. Without single-spin dissipation |m_k| < 1 is
    conserved: |xi_nu| never exceeds 1 - 2 flip. For a deviation that the model then corrects see `tilted_pattern`.

    - `key`: decides which are flipped; `model`: a `DickeModel`; `pattern`: nu, from 0; `flip`: from 0 to 1.

    **Returns** a `MeanFieldState` without photons. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> cue = dj.corrupted_pattern(jax.random.key(0), model, pattern=1, flip=0.1)
        >>> print(dj.overlaps(model, cue.m).round(6), dj.spin_lengths(cue.m)[0])
        [0.  0.8 0.  0. ] 0.8
    """
    probability = as_probability("flip", flip).astype(model.dtype)
    z = pattern_signs(model, pattern)
    share = probability
    if model.spins.num_spins is not None:
        sizes = model.spins.subset_sizes.astype(model.dtype)
        share = jax.random.binomial(key, sizes, probability, dtype=model.dtype) / jnp.maximum(sizes, 1)
    return _without_photons(model, (1 - 2 * share) * z)


@checked
def tilted_pattern(
    key: PRNGKeyArray, model: DickeModel, pattern: ArrayLike = 0, angle: ArrayLike = 0.3
) -> MeanFieldState:
    """m_k = G[nu, k] (sin(theta) cos(phi_k), sin(theta) sin(phi_k), cos(theta)), |m_k| = 1, no photons.

    All spins of a subset are turned away from the pattern by theta = `angle` (radians), coherently, in a random
    direction phi_k for each subset. xi_nu = cos(angle).

    - `key`: decides the phi_k; `model`: a `DickeModel`; `pattern`: nu, from 0; `angle`: in radians.

    **Returns** a `MeanFieldState`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> cue = dj.tilted_pattern(jax.random.key(0), model, pattern=1, angle=0.6)
        >>> print(dj.overlaps(model, cue.m).round(4))
        [0.     0.8253 0.     0.    ]
    """
    theta = jnp.asarray(angle, model.dtype)
    check_finite("angle", theta)
    z = pattern_signs(model, pattern)
    phi = jax.random.uniform(key, z.shape, model.dtype, maxval=2 * jnp.pi)
    side = z * jnp.sin(theta)
    return _without_photons(model, z * jnp.cos(theta), side * jnp.cos(phi), side * jnp.sin(phi))


@checked
def random_state(key: PRNGKeyArray, model: DickeModel | CollectiveModel, amplitude: ArrayLike = 0.0) -> MeanFieldState:
    """Spin directions uniform on the sphere; Re and Im alpha_mu normal with standard deviation `amplitude`.

    Sites of d levels are in pure states, uniform among these.

    - `key`: decides them; `model`: a `DickeModel` or a `CollectiveModel`; `amplitude`: not negative.

    **Returns** a `MeanFieldState`, |m_k| = 1. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> state = dj.random_state(jax.random.key(0), model)
        >>> print(state.m.shape, state.alpha.shape)
        (3, 8) (4,)
    """
    scale = jnp.asarray(amplitude, model.dtype)
    check_all("amplitude", scale, lambda a: a >= 0, "not negative")
    spin_key, mode_key = jax.random.split(key)
    re, im = scale * jax.random.normal(mode_key, (2, model.num_modes), model.dtype)
    if model.levels > 2:
        parts = jax.random.normal(spin_key, (2, model.num_subsets, model.levels), model.dtype)
        kets = jax.lax.complex(*(parts / jnp.sqrt(jnp.sum(parts**2, axis=(0, 2)))[None, :, None]))
        return MeanFieldState(bloch_vectors(kets[:, :, None] * kets[:, None].conj()), jax.lax.complex(re, im))
    m = jax.random.normal(spin_key, (3, model.num_subsets), model.dtype)
    return MeanFieldState(m / jnp.linalg.norm(m, axis=0, keepdims=True), jax.lax.complex(re, im))
