"""Models and states that tests, benchmarks, notebooks and commands share."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int8, PRNGKeyArray

from ._typing import ArrayLike
from .couplings import LargeSpins, image_patterns
from .mean_field import DickeModel, MeanFieldState, random_state


def paper_model(g0: ArrayLike = 1.0, num_patterns: int = 4, **rates: Any) -> DickeModel:
    """The rates of the paper's Fig. 3, Omega = 1/2, Omega_mu = (mu + 2) / 2 and kappa = 1, for any number of patterns.

    `rates`, also `dissipation` and `spins`, take the place of the paper's.
    """
    spins = rates.pop("spins", None) or LargeSpins.hypercube(num_patterns)
    omega_mode = [0.5 * (mu + 3) for mu in range(spins.num_modes)]
    rates = dict(omega_spin=0.5, omega_mode=omega_mode, kappa=1.0, g0=g0) | rates
    return DickeModel(spins, **rates)


def pictures(size: int = 20) -> Int8[Array, "3 size size"]:
    """A disc, two quadrants and stripes, as patterns that are nearly orthogonal: +-1 for `size` times `size` pixels."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return image_patterns(np.stack([np.hypot(x, y) < 0.8, x * y > 0, np.floor(2 * (x + 1)) % 2 == 0]).astype(float))


def uneven_model(num_patterns: int = 3, spins: LargeSpins | None = None) -> DickeModel:
    """Rates that are all different and of no special value, a negative mode frequency among them."""
    spins = spins or LargeSpins.hypercube(num_patterns)
    mu = range(spins.num_modes)
    omega_mode = [1.3 + 0.37 * nu - 3.1 * (nu == 2) for nu in mu]
    return DickeModel(spins, omega_spin=0.43, omega_mode=omega_mode, kappa=[0.6 + 0.21 * nu for nu in mu], g0=0.83)


def generic_state(key: PRNGKeyArray, model: DickeModel) -> MeanFieldState:
    """Random directions, spin lengths from 0.4 to 1, photons in every mode: a state that nothing is special about."""
    directions, lengths = jax.random.split(key)
    state = random_state(directions, model, amplitude=0.3)
    size = jax.random.uniform(lengths, (1, model.num_subsets), model.dtype, minval=0.4, maxval=1.0)
    return MeanFieldState(state.m * size, state.alpha)


def random_states(key: PRNGKeyArray, model: DickeModel, number: int) -> MeanFieldState:
    """Pure states of random directions, one a row, without photons."""
    return jax.vmap(lambda own: random_state(own, model))(jax.random.split(key, number))
