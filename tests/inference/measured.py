"""Measurements that SciPy simulates, spin by spin, and models to begin their fits with."""

import jax
import numpy as np
from problems import paper, rates_of, spin_by_spin

import dicke_jax as dj

KEY = jax.random.key(0)
FREE = ("omega_spin", "omega_mode", "kappa", "g0")
TRUTH = paper(1.2, 2, omega_spin=0.55, omega_mode=[1.4, 2.1], kappa=[0.9, 1.1])
RATES = np.concatenate([np.atleast_1d(rate) for rate in rates_of(TRUTH)])
START = paper(1.05, 2)
NEAR = paper(1.15, 2, omega_spin=0.58, omega_mode=[1.35, 2.2], kappa=1.0)
STATE, GIVEN = (dj.tilted_pattern(jax.random.key(1), TRUTH, 0, angle) for angle in (0.6, 0.5))
TIMES = np.linspace(0.0, 12.0, 25)
NOISE = 0.01
G0 = np.linspace(0.52, 1.5, 21)


def simulated():
    """The overlaps of both patterns, without noise, by SciPy."""
    G = np.asarray(TRUTH.spins.couplings, dtype=float)
    bloch, _ = spin_by_spin(G, rates_of(TRUTH), STATE.m, STATE.alpha, TIMES)
    return np.einsum("mk,tk->tm", G, bloch[:, 2]) / G.shape[1]


def noisy(values, seed, noise=NOISE):
    return values + noise * np.random.default_rng(seed).normal(size=np.shape(values))


def curve(g0, g_crit=0.7):
    """Eq. 12 of the paper, in NumPy."""
    return np.sqrt(np.maximum(0.0, 1 - (g_crit / g0) ** 4))
