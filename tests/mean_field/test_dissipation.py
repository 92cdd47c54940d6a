"""Single-spin dissipation, against QuTiP and SciPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences, generic_state, max_rate_of_change, paper, rates_of, uneven

import dicke_jax as dj
from dicke_jax.mean_field.dissipation import JUMPS
from dicke_jax.mean_field.stationary_equations import stationary_spins

TIMES = np.linspace(0.0, 5.0, 6)
TIGHT = dict(rtol=1e-12, atol=1e-12)

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


@pytest.mark.slow
def test_gradient_in_the_rate_of_a_jump():
    model = uneven(2)
    state = generic_state(model)

    def value(rates):
        at = dataclasses.replace(
            model, dissipation=dj.LocalDissipation([("decay_x", rates[0]), ("dephasing_z", rates[1])])
        )
        options = dict(solver=dj.BilinearTaylor(8), rtol=1e-11, atol=1e-11)  # a low order compiles quickly
        return dj.mfsolve(at, state, jnp.array([0.0, 2.0]), **options).overlaps[-1].sum()

    rates = jnp.array([0.2, 0.1])
    np.testing.assert_allclose(jax.jit(jax.grad(value))(rates), differences(jax.jit(value), rates), atol=1e-8)


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


def test_decay_to_minus_x_leaves_the_normal_state_stationary():
    model = dataclasses.replace(paper(0.4), dissipation=dj.LocalDissipation([("decay_x", 0.1)]))
    normal = dj.retrieval_state(paper(0.4), 0)
    assert max_rate_of_change(paper(0.4), normal) < 1e-14
    assert np.abs(model.dissipation.rate_of_change(normal.m)).max() < 1e-14


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", [1.0, 1e-14, 1e14])
def test_spins_at_rest_solve_their_three_equations(dtype, scale):
    """2 B x m + T m + c = 0 by NumPy, for jumps of any direction and size, in fields of any size, in any unit."""
    rng, K = np.random.default_rng(0), 64
    jumps = [(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)), rng.uniform(0.1, 3, K) * scale) for _ in range(2)]
    operator = dj.DenseCouplings(np.ones((1, K)))
    rates = (dtype(rate * scale) for rate in (0.5, 1.0, 1.0, 1.0))
    dissipation = dj.LocalDissipation([(L, rate.astype(dtype)) for L, rate in jumps])
    model = dj.DickeModel(dj.LargeSpins(operator, np.ones(K) / K), *rates, dissipation=dissipation)
    b = (scale * rng.normal(size=K) * 10.0 ** rng.uniform(-3, 3, K)).astype(dtype)
    found = stationary_spins(model, jnp.asarray(b), jnp.ones(K, dtype))
    linear, constant = (np.asarray(part, float) for part in dissipation.terms(jnp.dtype(dtype)))
    for k in range(K):
        turn = 2 * np.array([[0, -b[k], 0], [b[k], 0, -model.omega_spin], [0, model.omega_spin, 0]], float)
        right = np.linalg.solve(turn + linear[..., k], -constant[..., k])
        np.testing.assert_allclose(found[:, k], right, atol=3e4 * np.finfo(dtype).eps * np.max(np.abs(right)))


def test_spins_at_rest_ask_no_library():
    """Batches of small matrices, two at once, are what XLA's CPU backend can wait for for ever on two cores."""
    dissipation = dj.LocalDissipation([("decay_x", 0.1), ("dephasing_z", 0.2)])
    model = dataclasses.replace(paper(num_patterns=2), dissipation=dissipation)
    rest = lambda b: jax.jvp(lambda b: stationary_spins(model, b, jnp.ones(2)), (b,), (b,))  # noqa: E731
    program = jax.jit(jax.vmap(rest)).lower(jnp.ones((5, 2))).as_text()
    assert "custom_call" not in program
