"""Thresholds by hand, and models whose thresholds no formula gives."""

import jax
import numpy as np

import dicke_jax as dj


def existence(omega, omega_mode, kappa):
    """g_nu below Eq. 12 of the paper, in NumPy."""
    return np.sqrt(omega * (np.asarray(omega_mode) ** 2 + np.asarray(kappa) ** 2 / 4) / (2 * np.asarray(omega_mode)))


def sampled(num_patterns=2, num_spins=101, damping=None, **rates):
    """Subsets of unequal size, with or without decay of single spins: no closed form."""
    spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(5), num_patterns, num_spins)).spins
    values = dict(omega_spin=0.5, omega_mode=1.5 + 0.5 * np.arange(num_patterns), kappa=1.0, g0=1.2) | rates
    jumps = None if damping is None else dj.LocalDissipation([("decay_x", damping)])
    return dj.DickeModel(spins, **values, dissipation=jumps)
