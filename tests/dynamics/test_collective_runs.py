"""Runs, ends, ensembles, spectra and derivatives of models that are given by their energy."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from problems import differences, generic_state, paper, uneven
from scipy.integrate import solve_ivp

import dicke_jax as dj

TIMES = np.linspace(0.0, 6.0, 4)
TIGHT = dict(rtol=1e-12, atol=1e-12)
CRYSTAL = dj.gallery.boundary_time_crystal
UP = dj.MeanFieldState([[0.0], [0.0], [1.0]], [])


def period(omega0, kappa, length=1.0):
    return 2 * np.pi / np.sqrt(omega0**2 - (kappa * length) ** 2)


def written_out(t, m, omega0, kappa):
    x, y, z = m
    return [kappa * x * z, (kappa * y - omega0) * z, omega0 * y - kappa * (x**2 + y**2)]


def test_a_boundary_time_crystal_is_scipy_s_and_returns_after_its_period():
    """Orbits through all starts, of pure and of mixed spins: |m| stays, and the period is closed."""
    starts = np.array([[0.0, 0.3, -0.5], [0.0, -0.1, 0.6], [1.0, 0.4, 0.2]])
    omega0, kappa = 1.5, 1.0
    for m in starts.T:
        length = np.linalg.norm(m)
        times = period(omega0, kappa, length) * np.array([0.0, 0.37, 1.0])
        sol = dj.mfsolve(CRYSTAL(omega0, kappa), dj.MeanFieldState(m[:, None], []), times, **TIGHT)
        exact = solve_ivp(
            written_out, (0, times[1]), m, method="DOP853", rtol=1e-12, atol=1e-12, args=(omega0, kappa)
        ).y[:, -1]
        np.testing.assert_allclose(sol.m[1, :, 0], exact, atol=1e-10)
        np.testing.assert_allclose(sol.m[2, :, 0], m, atol=1e-10)
        np.testing.assert_allclose(sol.spin_lengths, length, atol=1e-11)
        np.testing.assert_allclose(sol.overlaps[:, 0], sol.m[:, 2, 0])  # the mean of z, where no patterns are given
    assert sol.occupations.shape == (3, 0) and "photons" not in repr(sol)
    with compilations() as second:
        dj.mfsolve(CRYSTAL(1.4, 0.9), UP, np.array([0.0, 1.0, 3.0]), **TIGHT)
    assert second == []


def test_it_comes_to_rest_below_its_threshold_only():
    def end(omega0):
        found = dj.steadystate(CRYSTAL(omega0, 1.0), UP, max_time=500.0)
        return found.overlaps[0], found

    (_, still), slope = jax.value_and_grad(end, has_aux=True)(jnp.asarray(0.6))
    assert still.successful
    np.testing.assert_allclose(still.state.m[:, 0], [0.0, 0.6, -0.8], atol=1e-8)
    np.testing.assert_allclose(slope, 0.6 / 0.8, atol=1e-7)  # of -sqrt(1 - omega0^2)
    spectrum = dj.stability(CRYSTAL(0.6, 1.0), still.state)  # dy = kappa z dy, both ways
    np.testing.assert_allclose(spectrum.eigenvalues, [-0.8, -0.8], atol=1e-7)
    (_, moving), slope = jax.value_and_grad(end, has_aux=True)(jnp.asarray(1.5))
    assert moving.status == dj.Status.oscillating and np.isnan(slope)


def test_the_dicke_model_and_its_twin_go_the_same_way():
    """With constant rates; with ramps, functions of time and local jumps."""
    ramp = dj.PiecewiseLinear([0.0, 2.0, 3.0], [0.3, 1.2, 0.5])
    rates = dict(g0=ramp, omega_spin=dj.RateFunction(lambda t: 0.5 + 0.1 * jnp.sin(2 * t), 1.0))
    for model in (uneven(3), paper(num_patterns=2, dissipation=dj.LocalDissipation([("decay_x", 0.1)]), **rates)):
        state = generic_state(model, seed=1)
        one, other = (dj.mfsolve(m, state, TIMES, **TIGHT) for m in (model, model.as_collective()))
        for name in ("m", "alpha", "overlaps", "occupations"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-9)


@pytest.mark.parametrize("decay", [None, 0.1])
def test_spectra_are_the_twin_s(decay):
    model = paper(1.2, 2)
    state = dj.retrieval_state(model)
    if decay:
        model = model.replace(dissipation=dj.LocalDissipation([("decay_x", decay)]))
        state, good = dj.stationary_state(model, [1.0, 0.0])
        assert good
    one, other = dj.stability(model, state), dj.stability(model.as_collective(), state)
    left = list(np.asarray(one.eigenvalues))
    for value in np.asarray(other.eigenvalues):
        nearest = np.argmin(np.abs(np.array(left) - value))
        assert abs(left.pop(nearest) - value) < 1e-8
    assert not left and int(one.num_neutral) == int(other.num_neutral)


@pytest.mark.slow
def test_ends_are_the_twin_s():
    for dissipation in (None, dj.LocalDissipation([("decay_x", 0.1)])):
        model = paper(1.2, 2, dissipation=dissipation)
        start = dj.tilted_pattern(jax.random.key(0), model)
        one, other = dj.steadystate(model, start), dj.steadystate(model.as_collective(), start)
        assert one.successful and other.successful
        np.testing.assert_allclose(other.overlaps, one.overlaps, atol=1e-7)
        np.testing.assert_allclose(other.state.alpha, one.state.alpha, atol=1e-7)


def test_what_a_collective_model_cannot_is_refused():
    twin = paper(1.2, 2).as_collective()
    state = dj.MeanFieldState(np.full((3, 2), 0.5), np.zeros(2))
    with pytest.raises(ValueError, match="method must be 'dense' for a CollectiveModel"):
        dj.stability(twin, state, method="krylov")
    with pytest.raises(ValueError, match="solver must be another one, .* for a CollectiveModel"):
        dj.mfsolve(twin, state, TIMES, solver=dj.BilinearTaylor(8))
    with pytest.raises(ValueError, match="model must be one with jumps for a stationary state"):
        dj.steadystate(dj.CollectiveModel(twin.energy, num_modes=2, weights=twin.weights), state)
    with pytest.raises(ValueError, match="model must be a DickeModel; got CollectiveModel"):
        dj.critical_coupling(twin)


def test_ensembles_of_states_and_of_models_are_their_rows():
    states = dj.MeanFieldState(np.array([[[0.0], [0.6], [0.8]], [[0.0], [0.0], [1.0]]]), np.zeros((2, 0)))
    models = jax.vmap(CRYSTAL)(jnp.array([0.5, 1.5]), jnp.ones(2))
    many = dj.solve_ensemble(models, states, TIMES)
    assert many.successful.all() and many.overlaps.shape == (2, 4, 1) and many.alpha.shape == (2, 4, 0)
    for row, omega0 in enumerate((0.5, 1.5)):
        exact = solve_ivp(
            written_out, (0, 6), states.m[row, :, 0], method="DOP853", rtol=1e-12, atol=1e-12, args=(omega0, 1.0)
        ).y[:, -1]
        np.testing.assert_allclose(many.m[row, -1, :, 0], exact, atol=1e-8)


class Squeezing(dj.Energy):
    """Twisting about two axes and a pull."""

    twist: jax.Array
    pull: jax.Array

    def __call__(self, s):
        return self.twist[0] * s.z[0] ** 2 + self.twist[1] * s.x[0] ** 2 * s.y[1] + self.pull * s.y[0]


def lowering(s):
    return jax.lax.complex(s.x[0], -s.y[1])


def test_derivatives_in_the_energy_s_own_parameters():
    state = dj.MeanFieldState([[0.0, 0.6], [0.6, 0.0], [0.8, 0.8]], [])
    model = dj.CollectiveModel(Squeezing([0.7, 0.4], 0.3), [dj.collective(lowering, 0.5)], weights=[0.4, 0.6])
    sol = lambda twist: dj.mfsolve(model.replace(twist=twist), state, [0.0, 2.0], **TIGHT)  # noqa: E731
    end = lambda twist: sol(twist).overlaps[-1, 0]  # noqa: E731
    np.testing.assert_allclose(jax.grad(end)(model.energy.twist), differences(end, [0.7, 0.4], 1e-3), rtol=1e-7)


def test_a_stiff_model_is_left_to_an_implicit_solver():
    from dicke_jax.dynamics.trajectory import default_solver

    fast = paper(1.0, 2, kappa=1e4, omega_mode=1e4).as_collective()
    assert isinstance(default_solver(fast), dfx.Kvaerno5)
    assert isinstance(default_solver(paper(1.0, 2).as_collective()), dfx.Dopri8)


@pytest.mark.slow
def test_an_energy_that_looks_at_the_time_is_seen_to():
    """A pulse of which a step would not know: x turns by its area, 2 int h."""
    model = dj.CollectiveModel(lambda s: s.z[0] * jnp.exp(-(((s.t - 5.0) / 0.05) ** 2)))
    start = dj.MeanFieldState([[1.0], [0.0], [0.0]], [])
    angle = 2 * 0.05 * np.sqrt(np.pi)
    sol = dj.mfsolve(model, start, [0.0, 10.0])
    np.testing.assert_allclose(sol.m[-1, :, 0], [np.cos(angle), np.sin(angle), 0.0], atol=1e-8)


def test_float32_runs_in_float32():
    model = CRYSTAL(jnp.float32(0.6), 1.0)
    assert model.dtype == jnp.float32
    sol = dj.mfsolve(model, UP, [0.0, 1.0, 2.0])
    assert sol.m.dtype == jnp.float32
    np.testing.assert_allclose(sol.m[-1], dj.mfsolve(CRYSTAL(0.6, 1.0), UP, [0.0, 2.0]).m[-1], atol=1e-5)


@pytest.mark.slow
def test_finite_crystals_approach_the_mean_field_like_one_over_n():
    """QuTiP's master equation of N = 20, 40, 80 spins, H = omega0 S_x and L = sqrt(kappa / S) S_-."""
    import qutip

    omega0, kappa, times = 1.5, 1.0, np.linspace(0.0, 3.0, 4)
    theta, phi = 0.8, 0.3
    start = [[np.sin(theta) * np.cos(phi)], [np.sin(theta) * np.sin(phi)], [np.cos(theta)]]
    mean_field = np.asarray(dj.mfsolve(CRYSTAL(omega0, kappa), dj.MeanFieldState(start, []), times).m[:, :, 0]).T

    def error(N):
        S = N / 2
        spin = [qutip.jmat(S, axis) for axis in "xyz"]
        jump = np.sqrt(kappa / S) * qutip.jmat(S, "-")
        exact = qutip.mesolve(
            omega0 * spin[0], qutip.spin_coherent(S, theta, phi), times, [jump],
            e_ops=[s / S for s in spin], options=dict(atol=1e-10, rtol=1e-9),
        ).expect  # fmt: skip
        return N * np.max(np.abs(np.array(exact) - mean_field))

    small, middle, large = (error(N) for N in (20, 40, 80))
    assert abs(large / small - 1) < 0.1 and abs(large / middle - 1) < 0.05


def test_eqx_modules_as_amplitudes_have_parameters_too():
    class Loss(eqx.Module):
        share: jax.Array

        def __call__(self, s):
            return self.share.astype(complex) * s.alpha

    model = dj.CollectiveModel(lambda s: s.photons[0], [dj.collective(Loss(2.0), 0.25)], num_modes=1)
    sol = dj.mfsolve(model, dj.MeanFieldState([[0.0], [0.0], [1.0]], [1.0]), [0.0, 1.0])
    np.testing.assert_allclose(sol.occupations[-1], np.exp(-1.0), rtol=1e-9)


@pytest.mark.slow
def test_rows_of_a_large_ensemble_are_those_of_small_ones():
    """More of them are taken at once."""
    model = dj.gallery.unbalanced_dicke(1.2, 0.9, 0.9, 0.8, 0.5)
    states = jax.vmap(lambda key: dj.random_state(key, model, 0.3))(jax.random.split(jax.random.key(0), 300))
    many = dj.solve_ensemble(model, states, TIMES)
    few = dj.solve_ensemble(model, jax.tree.map(lambda x: x[250:290], states), TIMES)
    np.testing.assert_allclose(many.m[250:290], few.m, atol=1e-13)
    np.testing.assert_array_equal(many.num_steps[250:290], few.num_steps)
    chunked = dj.solve_ensemble(model, states, TIMES, chunk=64)
    np.testing.assert_allclose(chunked.m, many.m, atol=1e-13)  # other vector instructions: an ulp
    np.testing.assert_array_equal(chunked.num_steps, many.num_steps)
