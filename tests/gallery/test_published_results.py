"""Numbers and closed forms of the literature, each derived again where it stands, and what this package finds.

Thresholds are found by bisection on `stability`, which knows nothing of the closed forms.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import dicke_jax as dj

G = dj.gallery
OMEGA, OMEGA0, KAPPA = 1.2, 0.9, 0.5
D = OMEGA**2 + KAPPA**2 / 4
DICKE = np.sqrt(OMEGA0 * D / OMEGA) / 2  # of (2 g / sqrt(N)) (a + a^dag) S_x


def pointing(*z, x=None, modes=1):
    """Spins along z, or along x where that is given, and no photons."""
    up = np.zeros((3, len(z)))
    up[2 if x is None else 0] = z
    return dj.MeanFieldState(up, np.zeros(modes))


def left(model_of, state, low, high):
    """Where a state stops or starts being stable, between two values of a parameter."""
    stable = bool(dj.stability(model_of(low), state).is_stable)
    assert bool(dj.stability(model_of(high), state).is_stable) != stable
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        same = bool(dj.stability(model_of(middle), state).is_stable) == stable
        low, high = (middle, high) if same else (low, middle)
    return low


def ring(hopping, phase):
    """Waves k: (omega0^2 - d^2) (w^2 + kappa^2 / 4) = 4 omega0 w g^2; derived in `gallery.dicke_ring`."""
    k = 2 * np.pi * np.arange(3) / 3
    w, d = OMEGA + 2 * hopping * np.cos(phase) * np.cos(k), 2 * hopping * np.sin(phase) * np.sin(k)
    return np.sqrt((OMEGA0**2 - d**2) * (w**2 + KAPPA**2 / 4) / (4 * OMEGA0 * w)).min()


def ring_of(hopping, phase):
    return lambda g: G.dicke_ring(3, OMEGA, OMEGA0, g, KAPPA, hopping=hopping, phase=phase, kerr=0.3)


def two_ensembles(g):
    return G.two_ensemble_dicke(OMEGA, OMEGA0, np.array([g, -g]), KAPPA, 0.7)


def nonlinear(U):
    """Around z = -1 the mode has the frequency omega - U / 2."""
    w = OMEGA - U / 2
    return np.sqrt(OMEGA0 * (w**2 + KAPPA**2 / 4) / w) / 2


def unbalanced(rotating):
    """counter / rotating at the Hopf point: derived at `gallery.unbalanced_dicke`."""
    return rotating * np.sqrt((KAPPA**2 / 4 + (OMEGA + OMEGA0) ** 2) / (KAPPA**2 / 4 + (OMEGA - OMEGA0) ** 2))


DOWN, DOWN_ALL = pointing(-1.0), pointing(-1.0, -1.0, -1.0, modes=3)
RESULTS = {  # the number; where it is from; what finds it
    "balanced Dicke": (
        DICKE,
        "superradiance at 4 g^2 = omega0 (omega^2 + kappa^2 / 4) / omega, of the paper's g_crit for one mode",
        lambda: left(lambda g: G.unbalanced_dicke(OMEGA, OMEGA0, g, g, KAPPA), DOWN, 0.1, 1.0),
    ),
    "unbalanced Dicke, Hopf": (
        unbalanced(0.1),
        "Stitely et al. 2020: limit cycles where counter-rotating terms are strong",
        lambda: left(lambda counter: G.unbalanced_dicke(OMEGA, OMEGA0, 0.1, counter, KAPPA), DOWN, 0.3, 0.7),
    ),
    "nonlinear Dicke, U > 0": (
        nonlinear(0.6),
        "Grimsmo and Parkins 2013 (reference 43): U shifts the threshold",
        lambda: left(lambda g: G.nonlinear_dicke(OMEGA, OMEGA0, g, 0.6, KAPPA), DOWN, 0.1, 1.0),
    ),
    "nonlinear Dicke, U < 0": (
        nonlinear(-0.6),
        "Grimsmo and Parkins 2013 (reference 43)",
        lambda: left(lambda g: G.nonlinear_dicke(OMEGA, OMEGA0, g, -0.6, KAPPA), DOWN, 0.1, 1.0),
    ),
    "Dicke trimer": (ring(0.2, 0.0), "arXiv 2303.11758", lambda: left(ring_of(0.2, 0.0), DOWN_ALL, 0.1, 1.0)),
    "frustrated Dicke trimer": (ring(-0.2, 0.0), "arXiv 2303.11758", lambda: left(ring_of(-0.2, 0.0), DOWN_ALL, 0.1, 1.0)),
    "Dicke trimer in a flux, Hopf": (ring(0.2, 0.7), "arXiv 2303.11758", lambda: left(ring_of(0.2, 0.7), DOWN_ALL, 0.1, 1.0)),
    "two ensembles, normal state": (DICKE, "arXiv 2307.05686", lambda: left(two_ensembles, pointing(-1.0, -1.0), 0.1, 1.0)),
    "two ensembles, one inverted": (
        DICKE / np.sqrt(0.7 - 0.3),
        "arXiv 2307.05686: where the second kind of order sets in",
        lambda: left(two_ensembles, pointing(-1.0, 1.0), 0.1, 1.0),
    ),
    "dissipative XYZ": (
        0.8 + 0.4**2 / (16 * (1.3 - 0.8)),
        "reference 41: 16 (J_x - J_z) (J_z - J_y) = decay^2, for J_x",
        lambda: left(lambda Jx: G.dissipative_xyz(jnp.array([Jx, 0.3, 0.8]), 0.4), pointing(-1.0, modes=0), 0.8, 1.2),
    ),
    "p-spin, p = 2": (
        (1.0 + 2.0**2 / 4) / 4,
        "reference 42: continuous, at (B + decay^2 / (4 B)) / 4, B = 2 field",
        lambda: left(lambda J: G.p_spin(2, J, 0.5, 2.0), pointing(-1.0, x=True, modes=0), 0.3, 0.7),
    ),
    "superradiant laser": (
        2 * 0.7,
        "reference 39, with a pump: x' = (Gamma z - pump / 2) x, so that pump = 2 Gamma at z = 1",
        lambda: left(lambda pump: G.spin_exchange(0.4, 0.3, 0.7, pump), pointing(1.0, modes=0), 0.5, 2.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_a_published_threshold_is_found(name):
    number, _, found = RESULTS[name]
    np.testing.assert_allclose(found(), number, rtol=1e-7)
