"""Numbers and closed forms of the literature, each derived again where it stands, and what this package finds.

Thresholds are found by bisection on `stability`, which knows nothing of the closed forms.
"""

import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dicke_jax as dj

G = dj.gallery
KEY = jax.random.key(0)
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
    """Counter-rotating coupling at the Hopf point: derived at `gallery.unbalanced_dicke`."""
    return rotating * np.sqrt((KAPPA**2 / 4 + (OMEGA + OMEGA0) ** 2) / (KAPPA**2 / 4 + (OMEGA - OMEGA0) ** 2))


def frequency(model, m):
    """Of the fastest small swings around spins at rest."""
    return np.max(dj.stability(model, dj.MeanFieldState(np.reshape(m, (3, 1)), [])).eigenvalues.imag)


DOWN, DOWN_ALL = pointing(-1.0), pointing(-1.0, -1.0, -1.0, modes=3)
RESULTS = {  # the number; where it is from; what finds it
    "boundary time crystal": (
        np.sqrt(1.3**2 - 0.8**2),
        "Iemini et al. 2018 (reference 38): all orbits have the period of small ones around y = kappa / omega0, z = 0",
        lambda: frequency(G.boundary_time_crystal(1.3, 0.8), [np.sqrt(1 - (0.8 / 1.3) ** 2), 0.8 / 1.3, 0.0]),
    ),
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
    "frustrated Dicke trimer": (
        ring(-0.2, 0.0),
        "arXiv 2303.11758",
        lambda: left(ring_of(-0.2, 0.0), DOWN_ALL, 0.1, 1.0),
    ),
    "Dicke trimer in a flux, Hopf": (
        ring(0.2, 0.7),
        "arXiv 2303.11758",
        lambda: left(ring_of(0.2, 0.7), DOWN_ALL, 0.1, 1.0),
    ),
    "two ensembles, normal state": (
        DICKE,
        "arXiv 2307.05686",
        lambda: left(two_ensembles, pointing(-1.0, -1.0), 0.1, 1.0),
    ),
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
}


def test_the_page_of_published_results_has_them_all():
    page = (Path(__file__).parent.parent.parent / "docs" / "published.md").read_text()
    named = re.findall(r'test_published_results.py`, "([^"]+)"', page)
    assert all(any(name.startswith(said) for name in RESULTS) for said in named)
    by_test = {"boundary time crystal", "dissipative XYZ", "p-spin", "unbalanced Dicke", "Dicke trimer", "frustrated"}
    assert [name for name in RESULTS if not any(name.startswith(said) for said in {*named, *by_test})] == []


@pytest.mark.parametrize("name", RESULTS)
def test_a_published_threshold_is_found(name):
    number, _, found = RESULTS[name]
    np.testing.assert_allclose(found(), number, rtol=1e-7)


def test_beyond_its_hopf_point_the_unbalanced_model_oscillates():
    """The pair is that of the 4 x 4 Jacobian, and a small deviation swings and grows as it says, in SciPy and here."""
    rotating, counter = 0.1, 1.05 * unbalanced(0.1)
    at = np.sqrt(OMEGA0**2 + rotating**2 - unbalanced(0.1) ** 2)  # derived at `gallery.unbalanced_dicke`
    co, anti = rotating + counter, counter - rotating
    matrix = np.array(
        [
            [0, -OMEGA0, 0, -2 * anti],
            [OMEGA0, 0, 2 * co, 0],
            [0, anti / 2, -KAPPA / 2, OMEGA],
            [-co / 2, 0, -OMEGA, -KAPPA / 2],
        ]
    )
    growing = np.linalg.eigvals(matrix)
    growing = growing[np.argmax(growing.real)]
    model = G.unbalanced_dicke(OMEGA, OMEGA0, rotating, counter, KAPPA)
    found = dj.stability(model.replace(counter=unbalanced(0.1)), DOWN).eigenvalues[0]
    np.testing.assert_allclose([abs(found.real), abs(found.imag)], [0, at], atol=1e-9)
    found = dj.stability(model, DOWN).eigenvalues[0]
    np.testing.assert_allclose([found.real, abs(found.imag)], [growing.real, abs(growing.imag)], atol=1e-9)

    def written_out(t, s):
        x, y, z, re, im = s
        bx, by, bz = co * re, anti * im, OMEGA0 / 2
        m_dot = 2 * (by * z - bz * y), 2 * (bz * x - bx * z), 2 * (bx * y - by * x)
        return *m_dot, -KAPPA / 2 * re + OMEGA * im + anti * y / 2, -KAPPA / 2 * im - OMEGA * re - co * x / 2

    times = np.linspace(0.0, 400.0, 2001)
    start = [0.01, 0.0, -np.sqrt(1 - 1e-4), 0.0, 0.0]
    run = solve_ivp(written_out, (0, 400), start, method="DOP853", t_eval=times, rtol=1e-10, atol=1e-12).y
    here = dj.mfsolve(model, dj.MeanFieldState(np.reshape(start[:3], (3, 1)), [0.0]), times)
    np.testing.assert_allclose(here.m[:, :, 0].T, run[:3], atol=1e-5)
    late = times > 300
    crossings = np.sum(np.diff(np.sign(run[0][late])) != 0)
    assert abs(crossings - 100 * abs(growing.imag) / np.pi) <= 2
    grown = np.max(np.abs(run[0][late])) / np.max(np.abs(run[0][(times > 100) & (times < 200)]))
    np.testing.assert_allclose(np.log(grown), 200 * growing.real, rtol=0.03)


@pytest.mark.slow
def test_light_goes_round_the_trimer_in_a_flux():
    """A limit cycle beyond its Hopf point (arXiv 2303.11758); the equations written out have beta = sqrt(3) alpha."""
    hopping, phase = 0.2, 1.2
    g = 1.02 * ring(hopping, phase)

    def written_out(t, s):
        m, beta = s[:9].reshape(3, 3), s[9:12] + 1j * s[12:]
        fields = np.stack([2 * g * beta.real, np.zeros(3), np.full(3, OMEGA0 / 2)])
        hops = np.exp(1j * phase) * np.roll(beta, -1) + np.exp(-1j * phase) * np.roll(beta, 1)
        b_dot = -(1j * OMEGA + KAPPA / 2) * beta - 1j * hopping * hops - 1j * g * m[0]
        return np.concatenate([2 * np.cross(fields, m, axis=0).ravel(), b_dot.real, b_dot.imag])

    z = np.array([-0.99, -0.98, -1.0])
    m, beta, times = np.stack([np.sqrt(1 - z**2), np.zeros(3), z]), np.full(6, 0.01), np.linspace(0.0, 800.0, 8001)
    run = solve_ivp(
        written_out, (0, 800), np.r_[m.ravel(), beta], method="DOP853", t_eval=times, rtol=1e-10, atol=1e-12
    )
    state = dj.MeanFieldState(m, (beta[:3] + 1j * beta[3:]) / np.sqrt(3))
    here = dj.mfsolve(ring_of(hopping, phase)(g).replace(kerr=0.0), state, times, max_steps=100_000)
    np.testing.assert_allclose(here.m[:, 0], run.y[:3].T, atol=1e-5)
    first, second = (np.asarray(here.m[at : at + 2000, 0, 0]) for at in (4000, 6000))
    assert np.max(first) > 0.2 and abs(np.max(first) - np.max(second)) < 1e-3
    late = np.asarray(here.m[4000:, 0, 0])
    up = np.nonzero((late[:-1] < 0) & (late[1:] >= 0))[0]
    crossings = times[4000:][up] - 0.1 * late[up] / (late[up + 1] - late[up])
    d = 2 * hopping * np.sin(phase) * np.sin(2 * np.pi / 3)
    np.testing.assert_allclose(2 * np.pi / np.mean(np.diff(crossings)), d, rtol=2e-3)


def dicke(g0, dephasing, decay=0.0):
    """Of the paper, whose spins split along x: "dephasing_x" is dephasing, "decay_x" decay."""
    jumps = [("dephasing_x", dephasing), ("decay_x", decay)]
    return dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, OMEGA, KAPPA, g0, dissipation=dj.LocalDissipation(jumps))


def test_dephasing_alone_kills_the_transition():
    """Kirton and Keeling, Phys. Rev. Lett. 118, 123602 (2017).

    x' = -2 g0 h y, y' = -2 Omega z + 2 g0 h x - 2 r y, z' = 2 Omega y - 2 r z. In a field h y = 0 at rest by the first,
    so that z = 0 by the third, and there is no field. So from an ordered state everything decays, however strong g0.
    """
    without = np.sqrt(0.5 * D / (2 * OMEGA))  # g_crit, Omega = 1/2
    for factor in (1.5, 4.0):
        ordered = dj.retrieval_state(dj.DickeModel(dj.LargeSpins.hypercube(1), 0.5, OMEGA, KAPPA, factor * without))
        assert abs(ordered.m[2, 0]) > 0.5
        end = dj.steadystate(dicke(factor * without, 0.1), ordered, tol=1e-6)
        assert end.successful and abs(end.overlaps[0]) < 1e-4


def test_decay_restores_the_transition():
    """The same work: around x = -1 spins lose z and y at c = decay / 2 + 2 dephasing.

    z' = 2 Omega y - c z and y' = -2 Omega z - 2 g0 h - c y with h = -2 g0 Omega_mu z / D are at rest together at
    g0^2 = (4 Omega^2 + c^2) D / (8 Omega Omega_mu).
    """
    c = 0.3 / 2 + 2 * 0.1
    threshold = np.sqrt((1 + c**2) * D / (4 * OMEGA))
    model = dicke(1.0, 0.1, 0.3)
    np.testing.assert_allclose(dj.critical_coupling(model, kind="normal"), threshold, rtol=1e-9)
    found = left(lambda g0: model.replace(g0=g0), pointing(-1.0, x=True), 0.3, 2.0)
    np.testing.assert_allclose(found, threshold, rtol=1e-7)
    states = dj.stationary_states(KEY, model.replace(g0=1.2 * threshold))
    assert list(np.abs(states.overlaps[:, 0]) > 0.1) == [False, True] and list(states.is_stable) == [False, True]


@pytest.mark.parametrize(
    "num_clusters, number",
    [
        (2, 2),
        (3, 2),
        (4, 4),
        (5, 6),
        pytest.param(6, 10, marks=pytest.mark.slow),
        pytest.param(7, 16, marks=pytest.mark.slow),
    ],
)
def test_a_chain_of_clusters_has_twice_fibonacci_stable_states(num_clusters, number):
    """Leonhardt, Müller, Lunt and Daley, arXiv:2606.13072: sign strings whose runs are at least two long.

    The strings are counted, too.
    """
    strings = ["".join(s) for s in itertools.product("+-", repeat=num_clusters)]
    assert sum(all(len(run) > 1 for run in re.findall(r"\++|-+", s)) for s in strings) == number
    couplings = np.eye(num_clusters)[:-1] + np.eye(num_clusters, k=1)[:-1]
    spins = dj.LargeSpins(dj.DenseCouplings(couplings), np.full(num_clusters, 1 / num_clusters))
    model = dj.DickeModel(spins, omega_spin=0.5, omega_mode=1.5, kappa=1.0, g0=1.0)
    states = dj.stationary_states(KEY, model.replace(g0=3 * dj.critical_coupling(model, kind="normal")))
    assert int(np.sum(states.multiplicity[states.is_stable])) == number
