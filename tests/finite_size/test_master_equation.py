"""The exact master equation against QuTiP, in the laboratory frame and from single spins where they fit."""

import ast
import dataclasses
import functools
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qutip
from problems import generic_state, paper, uneven

import dicke_jax as dj
from dicke_jax.finite_size.photon_cutoff import with_enough_levels

TIMES = np.array([0.0, 0.4, 1.1])


def pure_state(model, seed=0, amplitude=0.1):
    return dj.random_state(jax.random.key(seed), model, amplitude=amplitude)


def single_spins(num_spins):
    """sigma_a^(i) of every spin, on the space of all spins."""
    identity = [qutip.qeye(2)] * num_spins
    return [
        [qutip.tensor([*identity[:i], sigma(), *identity[i + 1 :]]) for i in range(num_spins)]
        for sigma in (qutip.sigmax, qutip.sigmay, qutip.sigmaz)
    ]


def from_single_spins(sizes, m):
    """S_a,k as sums of Pauli matrices, and independent spins of mean m_k."""
    sigma, ends = single_spins(sum(sizes)), np.cumsum([0, *sizes])
    S = [[sum(sigma[a][ends[k] : ends[k + 1]]) for k in range(len(sizes))] for a in range(3)]
    pauli = qutip.sigmax(), qutip.sigmay(), qutip.sigmaz()
    each = [(1 + sum(m[a, k] * pauli[a] for a in range(3))) / 2 for k in range(len(sizes))]
    return S, qutip.tensor([rho for rho, n in zip(each, sizes, strict=True) for _ in range(n)])


def from_large_spins(sizes, m):
    """S_a,k = 2 J_a,k, and spin coherent states as their top eigenvectors."""
    eye = [qutip.qeye(n + 1) for n in sizes]

    def at(k, matrix):
        return qutip.tensor([*eye[:k], matrix, *eye[k + 1 :]])

    S = [[at(k, 2 * qutip.jmat(n / 2, a)) for k, n in enumerate(sizes)] for a in "xyz"]
    tops = [sum(m[i, k] * qutip.jmat(n / 2, a) for i, a in enumerate("xyz")) for k, n in enumerate(sizes)]
    return S, qutip.ket2dm(qutip.tensor([top.eigenstates()[1][-1] for top in tops]))


def jumps_of_spins(sizes, jumps):
    """sqrt(rate) L on every spin; a rate for each subset."""
    identity, found = [qutip.qeye(2)] * sum(sizes), []
    for L, rates in jumps:
        for i, k in enumerate(np.repeat(np.arange(len(sizes)), sizes)):
            found.append(np.sqrt(rates[k]) * qutip.tensor([*identity[:i], qutip.Qobj(L), *identity[i + 1 :]]))
    return found


def laboratory(model, state, sizes, times, levels, spin_space, spin_jumps=()):
    """Means, symmetrised covariance times N_sp and photons in the laboratory frame, by QuTiP's mesolve."""
    m, alpha, G = np.asarray(state.m), np.asarray(state.alpha), np.asarray(model.spins.couplings, float)
    num_spins, num_modes = sum(sizes), model.num_modes
    S, spins = spin_space(sizes, m)
    one = qutip.qeye(spins.dims[0])
    lower = [
        qutip.tensor(one, *[qutip.destroy(levels) if nu == mu else qutip.qeye(levels) for nu in range(num_modes)])
        for mu in range(num_modes)
    ]
    vacuum = [qutip.qeye(levels)] * num_modes
    S = [[qutip.tensor(s, *vacuum) for s in row] for row in S]
    H = float(model.omega_spin) * sum(S[0])
    for mu, a in enumerate(lower):
        coupling = sum(G[mu, k] * S[2][k] for k in range(len(sizes)))
        H += float(model.omega_mode[mu]) * a.dag() * a
        H += float(model.g0) / np.sqrt(num_spins) * (a + a.dag()) * coupling
    light = [qutip.coherent(levels, np.sqrt(num_spins) * complex(x), method="analytic") for x in alpha]
    start = qutip.tensor(spins, *[qutip.ket2dm(ket) for ket in light])
    jumps = [np.sqrt(float(k)) * a for k, a in zip(model.kappa, lower, strict=True)]
    jumps += [qutip.tensor(L, *vacuum) for L in spin_jumps]
    v = [S[a][k] / sizes[k] for a in range(3) for k in range(len(sizes))]
    v += [(a + a.dag()) / 2 / np.sqrt(num_spins) for a in lower]
    v += [(a - a.dag()) / 2j / np.sqrt(num_spins) for a in lower]
    pairs = [(i, j) for i in range(len(v)) for j in range(i + 1)]
    asked = v + [(v[i] * v[j] + v[j] * v[i]) / 2 for i, j in pairs]
    options = dict(atol=1e-10, rtol=1e-9, nsteps=10**6, progress_bar="")
    asked += [a.dag() * a for a in lower]
    values = np.array(qutip.mesolve(H, start, times, jumps, e_ops=asked, options=options).expect).real
    values, photons = values[: -len(lower)], values[-len(lower) :].T
    mean, second = values[: len(v)].T, np.zeros((len(times), len(v), len(v)))
    for (i, j), value in zip(pairs, values[len(v) :], strict=True):
        second[:, i, j] = second[:, j, i] = value
    return mean, num_spins * (second - mean[:, :, None] * mean[:, None, :]), photons


def agree(run, mean, covariance, photons, K):
    moments = run.moments
    np.testing.assert_allclose(moments.m.reshape(-1, 3 * K), mean[:, : 3 * K], atol=1e-6)
    quadratures = np.concatenate([moments.alpha.real, moments.alpha.imag], axis=1)
    np.testing.assert_allclose(quadratures, mean[:, 3 * K :], atol=1e-6)
    np.testing.assert_allclose(moments.covariance, covariance, atol=1e-6)
    np.testing.assert_allclose(moments.photons, photons, atol=1e-6)


CASES = {
    "M = 1, N = 2": (uneven(1), 2, 16, from_single_spins),
    "M = 1, N = 3": (uneven(1), 3, 16, from_single_spins),
    "M = 1, N = 4": (uneven(1), 4, 18, from_single_spins),
    "M = 2, N = 1": (uneven(2).replace(g0=0.45), 1, 8, from_single_spins),
    "M = 2, N = 2": (uneven(2).replace(g0=0.3), 2, 8, from_large_spins),
}
SLOW = ("M = 1, N = 2", "M = 1, N = 3", "M = 2, N = 2")


@functools.cache
def exact(name):
    model, size, _, _ = CASES[name]
    return dj.mesolve(model, pure_state(model), TIMES, size, levels=26 if model.num_modes == 1 else 11)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_moments_against_qutip_in_the_laboratory_frame(name):
    model, size, levels, spin_space = CASES[name]
    state, run = pure_state(model), exact(name)
    assert run.successful
    K = model.num_subsets
    mean, *second = laboratory(model, state, (size,) * K, TIMES, levels, spin_space)
    agree(run, mean, *second, K)
    G = np.asarray(model.spins.couplings)
    np.testing.assert_allclose(run.overlaps, mean[:, 2 * K : 3 * K] @ G.T / K, atol=1e-6)  # K subsets of one size
    dimension = (size + 1) ** K * (26 if model.num_modes == 1 else 11) ** model.num_modes
    assert f"of dimension {dimension}" in repr(run)
    assert np.abs(run.moments.spin_mode_covariance[-1]).max() > 0.05  # there is something that mean field leaves out


def test_two_modes_and_two_subsets_are_within_the_bound_of_the_theorem():
    model, run = CASES["M = 2, N = 1"][0], exact("M = 2, N = 1")
    check = dj.check_theorem(model, run.moments, dj.mfsolve(model, pure_state(model), TIMES))
    assert run.successful and check.holds
    assert float(check.scaled_error[0]) == pytest.approx(6.0, rel=1e-9)


ANY_JUMP = np.array([[0.3 + 0.1j, 0.7j], [-0.4, 0.2 - 0.5j]])
DECAY_X = np.array([[-0.5j, -0.5j], [0.5j, 0.5j]])
DISSIPATIVE = {
    "one subset": (True, 2, [(DECAY_X, [0.4]), (np.diag([1.0, -1.0]), [0.15])]),
    "two subsets": (False, 1, [(ANY_JUMP, [0.3, 0.3]), ([[0, 0], [1, 0]], [0.2, 0.5])]),
    "two subsets of two": (False, 2, [(ANY_JUMP, [0.3, 0.3]), ([[0, 0], [1, 0]], [0.2, 0.5])]),
}


def dissipative(name):
    gauge, size, jumps = DISSIPATIVE[name]
    model = uneven(1, dj.LargeSpins.hypercube(1, gauge=gauge))
    return model.replace(dissipation=dj.LocalDissipation(jumps)), size, jumps


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "two subsets of two")) for n in DISSIPATIVE]
)
def test_single_spin_dissipation_against_qutip(name):
    """Two spins, mixed at the start: alike in one subset; or apart, with a complex jump and rates of their own."""
    model, size, jumps = dissipative(name)
    state, K = generic_state(model), model.num_subsets
    run = dj.mesolve(model, state, TIMES, size, levels=18)
    assert run.successful and run.moments.num_spins == size * K
    exact = laboratory(model, state, (size,) * K, TIMES, 16, from_single_spins, jumps_of_spins((size,) * K, jumps))
    agree(run, *exact, K)
    free = laboratory(model, state, (size,) * K, TIMES, 16, from_single_spins)
    assert np.abs(exact[0] - free[0]).max() > 0.1


@pytest.mark.slow
def test_single_spins_without_coupling_follow_the_mean_field_and_the_gaussian_covariance():
    """Spins are then independent, and both limits hold for any number of them; rates may depend on time."""
    model, size, _ = dissipative("one subset")
    ramp = dj.PiecewiseLinear([0.0, 0.5, 1.0], [0.0, 0.8, 0.3])
    model = dataclasses.replace(
        model, g0=0.0, dissipation=dj.LocalDissipation([("decay_x", ramp), ("dephasing_y", 0.2)])
    )
    state = generic_state(model)
    run, limit = dj.mesolve(model, state, TIMES, size, levels=14), dj.gaussian_moments(model, state, TIMES)
    np.testing.assert_allclose(run.moments.m, limit.m, atol=1e-8)
    np.testing.assert_allclose(run.moments.alpha, limit.alpha, atol=1e-8)
    np.testing.assert_allclose(run.moments.covariance, limit.covariance, atol=1e-7)


@pytest.mark.slow
def test_single_spins_that_do_not_dissipate_are_large_spins():
    model = uneven(1)
    still = model.replace(dissipation=dj.LocalDissipation([("decay_x", 0.0)]))
    alone, large = (dj.mesolve(m, pure_state(model), TIMES, 3, levels=14) for m in (still, model))
    np.testing.assert_allclose(alone.moments.m, large.moments.m, atol=1e-8)
    np.testing.assert_allclose(alone.moments.alpha, large.moments.alpha, atol=1e-8)
    np.testing.assert_allclose(alone.moments.covariance, large.moments.covariance, atol=1e-7)
    np.testing.assert_allclose(alone.top_population, large.top_population, atol=1e-12)


def test_the_exact_route_does_not_know_the_mean_field_equations():
    folder = Path(dj.__file__).parent / "finite_size"
    for name in ("master_equation", "spin_space", "photon_cutoff", "moments"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"equations", "dynamics", "observables", "phases"}


@pytest.mark.slow
def test_unequal_subsets_that_a_sample_of_patterns_has():
    """Sizes 1 and 2 from three spins, mapped; every spin by itself in QuTiP, before the mapping."""
    mapped = dj.map_to_large_spins([[1, 1, -1], [1, -1, -1]])
    assert sorted(np.asarray(mapped.spins.subset_sizes)) == [1, 2]
    model = uneven(2).replace(spins=mapped.spins, g0=0.4)
    state = pure_state(model, seed=3, amplitude=0.05)
    run = dj.mesolve(model, state, TIMES, levels=11)
    sizes = tuple(int(n) for n in mapped.spins.subset_sizes)
    mean, covariance, _ = laboratory(model, state, sizes, TIMES, 8, from_single_spins)
    assert run.successful and run.moments.num_spins == 3
    np.testing.assert_allclose(run.moments.m.reshape(3, -1), mean[:, : 3 * len(sizes)], atol=1e-6)
    np.testing.assert_allclose(run.moments.covariance, covariance, atol=1e-6)


@pytest.mark.slow
def test_a_ramp_is_followed_exactly():
    """Rates that depend on time, against QuTiP for one spin that is kicked: g0 jumps from 0 within a short ramp."""
    ramp = dj.PiecewiseLinear([0.0, 0.5, 0.6], [0.0, 0.0, 0.9])
    model = uneven(1).replace(g0=ramp)
    state = dj.MeanFieldState(jnp.array([[0.0], [0.6], [0.8]]), jnp.array([0.2 + 0.1j]))
    run = dj.mesolve(model, state, [0.0, 1.5], 1, levels=14)
    a, sigma = qutip.tensor(qutip.qeye(2), qutip.destroy(14)), [qutip.sigmax(), qutip.sigmay(), qutip.sigmaz()]
    sx, sy, sz = (qutip.tensor(s, qutip.qeye(14)) for s in sigma)
    H0 = float(model.omega_spin) * sx + float(model.omega_mode[0]) * a.dag() * a
    H = [H0, [(a + a.dag()) * sz, lambda t: float(np.interp(t, [0.0, 0.5, 0.6], [0.0, 0.0, 0.9]))]]
    spin = (0.6 * sigma[1] + 0.8 * sigma[2]).eigenstates()[1][-1]
    start = qutip.tensor(spin, qutip.coherent(14, 0.2 + 0.1j, method="analytic"))
    options = dict(atol=1e-10, rtol=1e-9, max_step=0.01, nsteps=10**6, progress_bar="")
    jumps = [np.sqrt(float(model.kappa[0])) * a]
    values = qutip.mesolve(H, start, [0.0, 1.5], jumps, e_ops=[sx, sy, sz, a], options=options).expect
    np.testing.assert_allclose(run.moments.m[-1, :, 0], np.real([v[-1] for v in values[:3]]), atol=1e-6)
    np.testing.assert_allclose(run.moments.alpha[-1, 0], values[3][-1], atol=1e-6)


def test_a_cut_off_that_is_too_low_is_told():
    weak, strong = uneven(1), uneven(1).replace(g0=2.5)
    high, low = (dj.mesolve(model, pure_state(weak), TIMES, 4, levels=26) for model in (weak, strong))
    assert low.status == dj.Status.cut_off and not low.successful
    assert "use more levels" in repr(low)
    assert high.successful and float(high.top_population.max()) < 1e-6 < 1e-4 < float(low.top_population.max())


def test_levels_are_as_many_as_it_takes():
    """None asked for: right to 1e-6 where the coupling is strong, beside QuTiP with more of them in the laboratory.

    20 levels, of which the highest holds less than 1e-6, are off by more. Where no more fit, the last run says so.
    """
    model = uneven(1).replace(g0=1.3)
    run = dj.mesolve(model, pure_state(model), TIMES, 4)
    mean, covariance, photons = laboratory(model, pure_state(model), (4,), TIMES, 44, from_large_spins)
    assert run.successful
    agree(run, mean, covariance, photons, 1)
    for levels, least in ((10, 1e-3), (20, 1e-6)):
        given = dj.mesolve(model, pure_state(model), TIMES, 4, levels=levels)
        assert given.status == dj.Status.cut_off
        assert np.abs(given.moments.covariance - covariance).max() > least
    assert float(given.top_population.max()) < 1e-6

    with pytest.raises(ValueError, match="levels must be given where arguments are traced; got None"):
        jax.eval_shape(lambda g0: dj.mesolve(model.replace(g0=g0), pure_state(model), TIMES, 4), 0.5)

    tried = []

    def attempt(levels):
        tried.append(levels)
        return types.SimpleNamespace(status=dj.Status.cut_off, top_population=np.array([[1e-3, 1e-9]]))

    two_modes = uneven(2)
    with_enough_levels(attempt, lambda levels: levels[0] < 100, two_modes, pure_state(two_modes), 1e-6)
    assert tried == [(10, 10), (20, 10), (40, 10), (80, 10)]


def test_the_frame_follows_the_mode():
    """36 photons and more, of which 26 levels hold the fluctuations."""
    model = uneven(1)
    state = dj.MeanFieldState(pure_state(model).m, jnp.array([3.0 + 0.0j]))
    run = dj.mesolve(model, state, TIMES, 4, levels=26)
    assert run.successful and float(run.top_population.max()) < 1e-8
    assert 4 * np.abs(run.moments.alpha[0, 0]) ** 2 > 35 and 4 * np.abs(run.moments.alpha[-1, 0]) ** 2 > 10


@pytest.mark.slow
def test_too_few_steps_are_a_failure():
    model = uneven(1)
    run = dj.mesolve(model, pure_state(model), TIMES, 2, levels=4, max_steps=3)
    assert run.status == dj.Status.failed and not run.successful


@pytest.mark.slow
def test_float32_runs_to_its_accuracy():
    model = paper(0.5, num_patterns=1, omega_mode=np.array([1.5], np.float32))
    exact = paper(0.5, num_patterns=1)
    runs = [dj.mesolve(m, dj.stored_pattern(m), [0.0, 2.0], 3, levels=12) for m in (model, exact)]
    assert runs[0].moments.covariance.dtype == jnp.float32 and runs[0].successful
    np.testing.assert_allclose(runs[0].moments.covariance, runs[1].moments.covariance, atol=1e-3)


def test_levels_that_a_pulse_fills_between_two_saved_times_are_seen():
    """The mode is empty again at the second, and the spins are not what they would be (draw 5:862 of the fuzzer)."""
    pulse = dj.PiecewiseLinear([0.0, 1.0, 1.2, 1.4, 8.0], [0.0, 0.0, 9.0, 0.0, 0.0])
    model = dj.examples.paper_model(num_patterns=1).replace(g0=pulse, kappa=jnp.array([6.0]))
    run = dj.mesolve(model, dj.stored_pattern(model), [0.0, 8.0], 2, levels=6)
    assert run.status == dj.Status.cut_off and run.top_population[1] > 1e-3
