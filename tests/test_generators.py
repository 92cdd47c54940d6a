"""All mappings, single-spin dissipation and time-dependent rates, against evolution spin by spin and QuTiP."""

import dataclasses
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, generic_state, max_rate_of_change, paper, rates_of, spin_by_spin, uneven

import dicke_jax as dj
from dicke_jax.dissipation import JUMPS

TIMES = np.linspace(0.0, 5.0, 6)
TIGHT = dict(rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["gauge", "no gauge", "three values", "individual"])
def test_every_mapping_is_exact_spin_by_spin(kind):
    rng = np.random.default_rng(5)
    G = rng.choice([-1.0, 0.5, 2.0], size=(2, 24)) if kind == "three values" else rng.choice([-1, 1], size=(2, 24))
    bloch = rng.normal(size=(3, 24))
    bloch /= np.linalg.norm(bloch, axis=0)
    alpha = np.array([0.2 - 0.1j, 0.3j])
    if kind == "individual":
        spins, to_large = dj.LargeSpins.individual(G), lambda vectors: vectors
    else:
        mapped = dj.map_to_large_spins(G, gauge=kind == "gauge")
        spins, to_large = mapped.spins, mapped.to_large
    model = uneven(2, spins)
    exact, exact_alpha = spin_by_spin(G, rates_of(model), bloch, alpha, TIMES)
    sol = dj.mfsolve(model, dj.MeanFieldState(to_large(bloch), alpha), TIMES, **TIGHT)
    np.testing.assert_allclose(sol.m, np.stack([to_large(vectors) for vectors in exact]), atol=1e-9)
    np.testing.assert_allclose(sol.alpha, exact_alpha, atol=1e-9)


def test_distribution_of_couplings_has_product_weights():
    spins = dj.LargeSpins.from_distribution(values=(-1.0, 0.0, 1.0), probabilities=(0.2, 0.5, 0.3), num_patterns=2)
    G, w = np.asarray(spins.couplings), np.asarray(spins.weights)
    assert G.shape == (2, 9)
    probability = {-1.0: 0.2, 0.0: 0.5, 1.0: 0.3}
    np.testing.assert_allclose(w, [probability[a] * probability[b] for a, b in G.T])
    assert len(set(map(tuple, G.T))) == 9 and np.all(np.diff(G[0]) >= 0)
    signs = dj.LargeSpins.from_distribution((1.0, -1.0), (0.3, 0.7), 3)
    assert isinstance(signs.operator, dj.HypercubeCouplings)
    np.testing.assert_allclose(signs.weights[0], 0.3**3)
    np.testing.assert_array_equal(signs.couplings, dj.LargeSpins.hypercube(3, gauge=False).couplings)


def test_a_distribution_evolves_as_spins_drawn_in_just_its_proportions():
    spins = dj.LargeSpins.from_distribution((2.0, -1.0), (0.25, 0.75), 2)
    G = np.repeat(np.asarray(spins.couplings), np.round(16 * np.asarray(spins.weights)).astype(int), axis=1)
    assert G.shape == (2, 16)
    model = uneven(2, spins)
    state = generic_state(model)
    subset = np.repeat(np.arange(4), np.round(16 * np.asarray(spins.weights)).astype(int))
    exact, _ = spin_by_spin(G, rates_of(model), np.asarray(state.m)[:, subset], state.alpha, TIMES)
    sol = dj.mfsolve(model, state, TIMES, **TIGHT)
    np.testing.assert_allclose(np.asarray(sol.m)[:, :, subset], exact, atol=1e-9)


def test_a_large_sample_approaches_its_distribution():
    rng = np.random.default_rng(0)
    values, p = np.array([-1.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.3])
    sampled = dj.map_to_large_spins(rng.choice(values, p=p, size=(2, 200_000)), gauge=False).spins
    limit = dj.LargeSpins.from_distribution(values[::-1], p[::-1], 2)  # the mapping puts the largest value first
    np.testing.assert_array_equal(sampled.couplings, limit.couplings)
    np.testing.assert_allclose(sampled.weights, limit.weights, atol=5 / np.sqrt(200_000))


def test_spins_that_start_differently_are_read_out_one_by_one():
    """Refined by initial state: every single spin exactly, where the coarse mapping gives the mean of its subset."""
    G = np.asarray(dj.random_patterns(jax.random.key(4), 3, 40))
    rng = np.random.default_rng(1)
    z = G[1] * np.where(rng.random(40) < 0.2, -1, 1)
    bloch = np.stack([np.zeros(40), np.zeros(40), z])
    coarse, fine = dj.map_to_large_spins(G), dj.map_to_large_spins(G, bloch=bloch)
    assert coarse.spins.num_subsets < fine.spins.num_subsets <= 2 * coarse.spins.num_subsets
    model = uneven(3, fine.spins)
    exact, _ = spin_by_spin(G, rates_of(model), bloch, np.zeros(3), TIMES)
    sol = dj.mfsolve(model, dj.MeanFieldState(fine.to_large(bloch), np.zeros(3)), TIMES, **TIGHT)
    np.testing.assert_allclose(np.stack([fine.to_spins(m) for m in sol.m]), exact, atol=1e-9)


RANDOM_JUMPS = {f"random {i}": np.random.default_rng(i).normal(size=(2, 2, 2)) @ [1, 1j] for i in range(4)}
RANDOM_JUMP = RANDOM_JUMPS["random 0"]


@pytest.mark.parametrize("jump", [*JUMPS, *RANDOM_JUMPS])
def test_bloch_terms_are_qutip_s_master_equation(jump):
    """One spin in H = b sigma_x + c sigma_z with one jump operator."""
    import qutip

    L = RANDOM_JUMPS[jump] if jump in RANDOM_JUMPS else JUMPS[jump]
    sigma = [qutip.sigmax(), qutip.sigmay(), qutip.sigmaz()]
    start = np.array([0.3, -0.5, 0.6])
    rho = (qutip.qeye(2) + sum(float(v) * s for v, s in zip(start, sigma, strict=True))) / 2
    times, rate, omega, field = np.linspace(0, 2, 5), 0.37, 0.45, 0.8
    exact = qutip.mesolve(
        omega * sigma[0] + field * sigma[2],
        rho,
        times,
        [np.sqrt(rate) * qutip.Qobj(L)],
        e_ops=sigma,
        options=dict(atol=1e-12, rtol=1e-12, nsteps=100_000),
    ).expect

    dissipation = dj.LocalDissipation([(jump if jump in JUMPS else L, rate)])
    T, c = (np.asarray(term)[..., 0] for term in dissipation.terms(jnp.dtype(float)))
    b = np.array([omega, 0.0, field])
    generator = T + 2 * np.array([[0, -b[2], b[1]], [b[2], 0, -b[0]], [-b[1], b[0], 0]])
    from scipy.linalg import expm

    affine = np.block([[generator, c[:, None]], [np.zeros((1, 4))]])
    bloch = np.array([(expm(affine * t) @ np.append(start, 1))[:3] for t in times]).T
    np.testing.assert_allclose(bloch, exact, atol=1e-8)


def test_named_jumps_have_the_printed_terms():
    def terms(name):
        T, c = (np.asarray(term)[..., 0] for term in dj.LocalDissipation([(name, 1.0)]).terms(jnp.dtype(float)))
        return T, c

    for name, diagonal, constant in (
        ("decay_x", [-1, -0.5, -0.5], [-1, 0, 0]),
        ("dephasing_x", [0, -2, -2], [0, 0, 0]),
        ("dephasing_z", [-2, -2, 0], [0, 0, 0]),
        ("sigma_minus", [-0.5, -0.5, -1], [0, 0, -1]),
    ):
        T, c = terms(name)
        np.testing.assert_allclose(T, np.diag(diagonal), atol=1e-14)
        np.testing.assert_allclose(c, constant, atol=1e-14)


def dissipative_scipy(G, model, terms, bloch, alpha, times):
    """Spin by spin with T_i m + c_i for each spin."""
    T, c = terms
    num_modes, num_spins = np.shape(G)
    omega, omega_mode, kappa, g0 = (np.asarray(rate, dtype=float) for rate in rates_of(model))

    def right_hand_side(t, flat):
        s, a = flat[: 3 * num_spins].reshape(3, -1), flat[3 * num_spins :][:num_modes] + 1j * flat[-num_modes:]
        h = 2 * a.real @ G
        ds = np.array([-2 * g0 * h * s[1], 2 * g0 * h * s[0] - 2 * omega * s[2], 2 * omega * s[1]])
        ds += np.einsum("abk,bk->ak", T, s) + c
        da = -(1j * omega_mode + kappa / 2) * a - 1j * g0 * (G @ s[2]) / num_spins
        return np.concatenate([ds.ravel(), da.real, da.imag])

    from scipy.integrate import solve_ivp

    start = np.concatenate([np.ravel(bloch), np.real(alpha), np.imag(alpha)])
    sol = solve_ivp(
        right_hand_side, (times[0], times[-1]), start, method="DOP853", t_eval=times, rtol=1e-12, atol=1e-12
    )
    return sol.y.T[:, : 3 * num_spins].reshape(len(times), 3, num_spins)


def test_trajectories_with_dissipation_agree_with_scipy():
    """Several jumps, one with a rate for each subset, no gauge, all spins one by one."""
    G = np.random.default_rng(2).choice([-1, 1], size=(2, 20))
    mapped = dj.map_to_large_spins(G, gauge=False)
    per_subset = np.linspace(0.05, 0.3, mapped.spins.num_subsets)
    dissipation = dj.LocalDissipation([("sigma_minus", per_subset), (RANDOM_JUMP, 0.03), ("dephasing_y", 0.02)])
    model = dataclasses.replace(uneven(2, mapped.spins), dissipation=dissipation)
    bloch = np.random.default_rng(3).uniform(-0.5, 0.5, size=(3, 20))
    alpha = np.array([0.1, 0.2j])
    sol = dj.mfsolve(model, dj.MeanFieldState(mapped.to_large(bloch), alpha), TIMES, **TIGHT)
    terms = [np.asarray(term)[..., np.asarray(mapped.subset)] for term in dissipation.terms(jnp.dtype(float))]
    exact = dissipative_scipy(G, model, terms, bloch, alpha, TIMES)
    np.testing.assert_allclose(sol.m, np.stack([mapped.to_large(vectors) for vectors in exact]), atol=1e-9)
    lengths = np.asarray(sol.spin_lengths)
    assert np.abs(lengths[-1] - lengths[0]).max() > 0.05  # not conserved, and nothing renormalises it


def test_an_invariant_dissipator_commutes_with_the_gauge():
    G = np.asarray(dj.random_patterns(jax.random.key(0), 3, 20))
    dissipation = dj.LocalDissipation([("decay_x", 0.1), ("dephasing_z", 0.05), ("dephasing_x", 0.02)])
    bloch = np.random.default_rng(0).uniform(-0.5, 0.5, size=(3, 20))
    results = []
    for gauge in (True, False):
        mapped = dj.map_to_large_spins(G, gauge=gauge)
        model = dataclasses.replace(uneven(3, mapped.spins), dissipation=dissipation)
        sol = dj.mfsolve(model, dj.MeanFieldState(mapped.to_large(bloch), np.zeros(3)), TIMES, **TIGHT)
        results.append(sol.overlaps)
    np.testing.assert_allclose(*results, atol=1e-9)


@pytest.mark.parametrize("jump", ["sigma_minus", "sigma_plus", "random"])
def test_the_gauge_is_refused_for_a_dissipator_that_it_changes(jump):
    dissipation = dj.LocalDissipation([(RANDOM_JUMP if jump == "random" else jump, 0.1)])
    with pytest.raises(ValueError, match="dissipation must be unchanged by a rotation .* gauge=False"):
        dataclasses.replace(paper(), dissipation=dissipation)
    free = dataclasses.replace(paper(), spins=dj.LargeSpins.hypercube(4, gauge=False), dissipation=dissipation)
    assert free.dissipation is dissipation


def test_jumps_that_only_together_are_invariant_are_allowed():
    both = dj.LocalDissipation([("sigma_minus", 0.1), ("sigma_plus", 0.1)])
    assert both.is_gauge_invariant and not dj.LocalDissipation([("sigma_minus", 0.1)]).is_gauge_invariant


def test_gradient_in_the_rate_of_a_jump():
    model = uneven(2)
    state = generic_state(model)

    def value(rates):
        at = dataclasses.replace(
            model, dissipation=dj.LocalDissipation([("decay_x", rates[0]), ("dephasing_z", rates[1])])
        )
        return dj.mfsolve(at, state, jnp.array([0.0, 2.0]), rtol=1e-11, atol=1e-11).overlaps[-1].sum()

    rates = jnp.array([0.2, 0.1])
    np.testing.assert_allclose(jax.grad(value)(rates), differences(jax.jit(value), rates), atol=1e-8)


def test_thresholds_with_decay_agree_with_a_spectrum_from_scipy():
    """The normal state x = -1 loses stability where a seed starts to grow: by SciPy's spectrum, and by running."""
    decay = 0.2

    def at(g0):
        model = paper(g0, num_patterns=2)
        return dataclasses.replace(model, dissipation=dj.LocalDissipation([("decay_x", decay)]))

    def growth(g0):
        model = at(g0)
        omega, omega_mode, kappa, g = (np.asarray(rate, dtype=float) for rate in rates_of(model))
        G = np.asarray(model.spins.couplings, dtype=float)

        def f(u):
            s, a = u[:6].reshape(3, 2), u[6:8] + 1j * u[8:]
            h = 2 * a.real @ G
            ds = np.array([-2 * g * h * s[1], 2 * g * h * s[0] - 2 * omega * s[2], 2 * omega * s[1]])
            ds += decay * (np.array([[-1], [-0.5], [-0.5]]) * s + np.array([[-1], [0], [0]]))
            da = -(1j * omega_mode + kappa / 2) * a - 1j * g * (G @ s[2]) / 2
            return np.concatenate([ds.ravel(), da.real, da.imag])

        normal = np.concatenate([[-1, -1], np.zeros(8)])
        jacobian = np.array([(f(normal + 1e-6 * e) - f(normal - 1e-6 * e)) / 2e-6 for e in np.eye(10)]).T
        return np.linalg.eigvals(jacobian).real.max()

    from scipy.optimize import brentq

    threshold = brentq(growth, 0.3, 1.5)
    assert threshold > float(dj.critical_coupling(paper(num_patterns=2), 0)) * 1.001  # decay shifts it up

    def ends(g0):
        model = at(g0)
        seed = dj.MeanFieldState(jnp.array([[-1.0, -1.0], [0, 0], [0.01, 0.01]]), jnp.zeros(2))
        return dj.steadystate(model, seed, tol=1e-8, max_time=20_000.0)

    couplings = threshold * np.array([0.99, 1.01, 1.02, 1.03, 1.04])
    runs = jax.jit(jax.vmap(ends))(jnp.asarray(couplings))
    assert runs.converged.all()
    xi = np.abs(np.asarray(runs.overlaps[:, 0]))
    assert xi[0] < 1e-5 and (xi[1:] > 0.05).all()
    # the retrieval state, followed down to where its overlap vanishes, meets the normal state's spectrum
    onset = np.polynomial.Polynomial.fit(couplings[1:], xi[1:] ** 2, 2).roots()
    assert np.abs(onset - threshold).min() < 1e-4 * threshold


def scheduled_scipy(model, bloch, alpha, times, rates):
    """DOP853 on the dense equations with rates(t), from kink to kink."""
    from scipy.integrate import solve_ivp

    G, K = np.asarray(model.spins.couplings, dtype=float), model.num_subsets

    def right_hand_side(t, flat):
        omega, omega_mode, kappa, g0, decay = rates(t)
        s, a = flat[: 3 * K].reshape(3, K), flat[3 * K :][: len(G)] + 1j * flat[-len(G) :]
        h = 2 * a.real @ G
        ds = np.array([-2 * g0 * h * s[1], 2 * g0 * h * s[0] - 2 * omega * s[2], 2 * omega * s[1]])
        ds += decay * (np.array([[-1], [-0.5], [-0.5]]) * s + np.array([[-1], [0], [0]]))
        da = -(1j * omega_mode + kappa / 2) * a - 1j * g0 * (G @ s[2]) / K
        return np.concatenate([ds.ravel(), da.real, da.imag])

    state, path = np.concatenate([np.ravel(bloch), np.real(alpha), np.imag(alpha)]), []
    for start, stop in itertools.pairwise(times):
        path.append(state)
        state = solve_ivp(right_hand_side, (start, stop), state, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    return np.array([*path, state])[:, : 3 * K].reshape(len(times), 3, K)


def test_trajectories_with_every_rate_in_time_agree_with_scipy():
    """A function, a ramp with kinks, a diffrax path, and the rate of a jump; saved on the kinks."""
    import diffrax as dfx

    times = np.array([0.0, 1.0, 2.5, 4.0, 5.0])
    frequencies = np.array([[1.5, 2.0], [2.5, 1.0], [0.5, 3.0]])
    model = dj.DickeModel(
        dj.LargeSpins.hypercube(2),
        omega_spin=lambda t: 0.5 + 0.2 * jnp.sin(3 * t),
        omega_mode=dfx.LinearInterpolation(ts=jnp.array([0.0, 2.5, 5.0]), ys=jnp.array(frequencies)),
        kappa=lambda t: 1.0 + 0.3 * jnp.cos(2 * t) * jnp.array([1.0, -1.0]),
        g0=dj.PiecewiseLinear([1.0, 2.5, 4.0], [0.3, 1.6, 0.7]),
        dissipation=dj.LocalDissipation([("decay_x", dj.PiecewiseLinear([1.0, 4.0], [0.0, 0.3]))]),
    )
    state = generic_state(paper(num_patterns=2))
    sol = dj.mfsolve(model, state, times, rtol=1e-11, atol=1e-11)

    def rates(t):
        modes = np.array([np.interp(t, [0.0, 2.5, 5.0], column) for column in frequencies.T])
        g0, decay = np.interp(t, [1.0, 2.5, 4.0], [0.3, 1.6, 0.7]), np.interp(t, [1.0, 4.0], [0.0, 0.3])
        kappa = 1.0 + 0.3 * np.cos(2 * t) * np.array([1.0, -1.0])
        return 0.5 + 0.2 * np.sin(3 * t), modes, kappa, g0, decay

    np.testing.assert_allclose(sol.m, scheduled_scipy(model, state.m, state.alpha, times, rates), atol=1e-9)


def test_a_solver_steps_onto_the_kinks():
    """With kinks known, tightening the tolerance costs no burst of rejected steps at an unsaved kink."""
    state = generic_state(paper(num_patterns=2))
    ramp = dj.PiecewiseLinear([0.0, 1.2345, 3.0], [0.2, 3.0, 0.2])
    one, other = (dataclasses.replace(paper(num_patterns=2), g0=g0) for g0 in (ramp, lambda t: ramp(t)))
    known, unknown = (dj.mfsolve(m, state, jnp.array([0.0, 3.0]), rtol=1e-12, atol=1e-12) for m in (one, other))
    np.testing.assert_allclose(known.m, unknown.m, atol=1e-9)
    assert known.stats["num_rejected_steps"] < unknown.stats["num_rejected_steps"]


def test_gradient_in_the_parameters_of_a_schedule():
    state = generic_state(paper(num_patterns=2))

    def value(p):
        model = dataclasses.replace(paper(num_patterns=2), g0=dj.PiecewiseLinear(p[:3], p[3:]))
        return dj.mfsolve(model, state, jnp.array([0.0, 3.0]), rtol=1e-11, atol=1e-11).overlaps[-1, 0]

    parameters = jnp.array([0.5, 1.3, 2.7, 0.3, 1.4, 0.8])
    np.testing.assert_allclose(jax.grad(value)(parameters), differences(jax.jit(value), parameters), atol=2e-7)


def test_what_needs_constant_rates_says_so():
    ramp = dj.PiecewiseLinear([0.0, 1.0], [0.5, 1.0])
    model = dataclasses.replace(paper(), g0=ramp)
    state = dj.stored_pattern(model)
    with pytest.raises(ValueError, match="model must be one with constant rates for a stationary"):
        dj.steadystate(model, state)
    with pytest.raises(ValueError, match="model must be one with constant rates for this closed form"):
        dj.retrieval_overlap(model)
    with pytest.raises(ValueError, match="solver must be .* depend on time"):
        dj.mfsolve(model, state, jnp.array([0.0, 1.0]), solver=dj.BilinearTaylor())
    assert float(dj.retrieval_overlap(model.at(1.0))) == float(dj.retrieval_overlap(paper(1.0)))


BAD = {
    "probabilities: sign": (
        lambda: dj.LargeSpins.from_distribution((1, 0), (1.5, -0.5), 2),
        "probabilities must be not neg",
    ),
    "probabilities: sum": (
        lambda: dj.LargeSpins.from_distribution((1, 0), (0.5, 0.4), 2),
        "probabilities must be of sum 1",
    ),
    "probabilities: shape": (
        lambda: dj.LargeSpins.from_distribution((1, 0), (1.0,), 2),
        "probabilities must be of shape",
    ),
    "values": (lambda: dj.LargeSpins.from_distribution((1, 1), (0.5, 0.5), 2), "values must be all different"),
    "d^M": (
        lambda: dj.LargeSpins.from_distribution((1, 0, -1), (0.2, 0.3, 0.5), 30),
        r"num_patterns must be .*3\^30 = .*GB",
    ),
    "2^M": (lambda: dj.LargeSpins.hypercube(41), r"num_patterns must be .*2\^40 = 1099511627776 subsets.* GB"),
    "jumps": (lambda: dj.LocalDissipation([]), "jumps must be pairs"),
    "jump: name": (lambda: dj.LocalDissipation([("decay", 1.0)]), "jump must be one of 'decay_x'.*'decay'"),
    "jump: shape": (lambda: dj.LocalDissipation([(np.eye(3), 1.0)]), "jump must be a 2x2 matrix"),
    "rate: sign": (lambda: dj.LocalDissipation([("decay_x", -1.0)]), "rate of a jump must be not negative"),
    "rate: shape": (
        lambda: dataclasses.replace(paper(), dissipation=dj.LocalDissipation([("decay_x", jnp.ones(3))])),
        r"rate of a jump must be one number or of shape \(8,\)",
    ),
    "closed form": (
        lambda: dj.retrieval_overlap(dataclasses.replace(paper(), dissipation=dj.LocalDissipation([("decay_x", 0.1)]))),
        "model must be without single-spin dissipation",
    ),
    "times": (lambda: dj.PiecewiseLinear([1.0, 0.0], [1.0, 2.0]), "times must be strictly increasing"),
    "values: schedule": (lambda: dj.PiecewiseLinear([0.0, 1.0], [1.0]), "values must be one value or row"),
    "bloch": (lambda: dj.map_to_large_spins([[1, -1]], bloch=np.ones((3, 3))), r"bloch must be of shape \(3, 2\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_decay_to_minus_x_leaves_the_normal_state_stationary():
    model = dataclasses.replace(paper(0.4), dissipation=dj.LocalDissipation([("decay_x", 0.1)]))
    normal = dj.retrieval_state(paper(0.4), 0)
    assert max_rate_of_change(paper(0.4), normal) < 1e-14
    assert np.abs(model.dissipation.rate_of_change(normal.m)).max() < 1e-14


@pytest.mark.slow
def test_twenty_patterns_take_the_memory_of_their_state_not_of_a_matrix():
    """M = 20, 524,288 subsets: the right-hand side needs less than half of what a dense G alone would take."""
    code = """
import resource, jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
import dicke_jax as dj
spins = dj.LargeSpins.hypercube(20)
model = dj.DickeModel(spins, omega_spin=0.5, omega_mode=jnp.linspace(1.5, 3.0, 20), kappa=1.0, g0=1.0)
cue = dj.tilted_pattern(jax.random.key(0), model, 7, angle=0.4)
rhs = jax.jit(dj.mean_field_equations).lower(0.0, cue.to_real(model), model).compile().memory_analysis()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sol = dj.mfsolve(model, cue, jnp.array([0.0, 1.0]))
assert bool(sol.successful) and sol.m.shape == (2, 3, 524288)
assert float(abs(sol.spin_lengths - 1).max()) < 1e-9
state = 3 * 524288 * 8
print(rhs.temp_size_in_bytes / state, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / state)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr
    right_hand_side, whole_run = map(float, run.stdout.split())  # in states of 12.6 MB; a dense G is 6.7 of them
    assert right_hand_side < 3.3
    assert whole_run < 100  # the series keeps 14 coefficients and their sums; its compilation is in here too
