"""Parameters of an energy, from traces that SciPy integrates from equations written out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences
from scipy.integrate import solve_ivp

import dicke_jax as dj
from dicke_jax.inference.fit_parameters import fit_parameters
from dicke_jax.inference.fit_steps import FitProblem, chi_square

CRYSTAL = dj.gallery.boundary_time_crystal
UP, TIMES, NOISE = dj.MeanFieldState([[0.0], [0.6], [0.8]], []), np.linspace(0.0, 6.0, 13), 0.01
OMEGA0, KAPPA = 1.4, 0.9


def trace(seed=0):
    def rates(t, m):
        x, y, z = m
        return [KAPPA * x * z, (KAPPA * y - OMEGA0) * z, OMEGA0 * y - KAPPA * (x**2 + y**2)]

    z = solve_ivp(rates, (0, 6), [0.0, 0.6, 0.8], "DOP853", TIMES, rtol=1e-11, atol=1e-11).y[2]
    noise = NOISE * np.random.default_rng(seed).normal(size=z.shape)
    return dj.TimeTrace(TIMES, (z + noise)[:, None], NOISE, UP)


def test_what_is_free_is_named_as_in_the_energy():
    model = dj.gallery.dissipative_xyz([1.0, -2.0, 3.0], 0.4)
    free = dj.free_rates(model, (("J", 1), "jump"))
    assert free.names == ("J[1]", "jump[0]")
    moved = free.to_model(free.to_vector(model) + jnp.log(2.0))
    np.testing.assert_allclose(moved.energy.J, [1.0, -4.0, 3.0])
    np.testing.assert_allclose(moved.dissipation.rates[0], 0.8)
    loss = dj.free_rates(CRYSTAL(1.0, 0.5), ("omega0", "jumps[0]"), {"omega0": (0.5, 2.0)})
    np.testing.assert_allclose(loss.to_model(loss.to_vector(loss.model) + 30.0).energy.omega0, 2.0)
    assert float(loss.to_model(loss.to_vector(loss.model) + 1.0).jumps[0].rate) == pytest.approx(0.5 * np.e)
    curve = dj.StationaryCurve([0.5], [0.1], 0.1)
    two = CRYSTAL(1.0, 0.5).replace(patterns=[[1.0], [1.0]])
    for call, line in (
        (lambda: dj.free_rates(model, ("g0",)), r"free must be names out of 'J', 'jump', or pairs as .*; got 'g0'"),
        (lambda: dj.free_rates(model, (("J", 3),)), r"free must be names out of .*; got \('J', 3\)"),
        (lambda: dj.fit(model, curve, free=("J",)), "data must be time traces"),
        (lambda: dj.fit(two, trace(), free=("omega0",)), "values must be"),
    ):
        with pytest.raises(ValueError, match=line):
            call()


@pytest.mark.slow
def test_a_trace_tells_the_energy_s_parameter_and_the_jump_s_rate():
    start, free = CRYSTAL(1.25, 1.0), ("omega0", "jumps[0]")
    problem = FitProblem(fit_parameters(start, trace(), free, None), chi_square)
    vector = problem.parameters.start()
    expected = differences(problem.loss, vector, 1e-3)
    np.testing.assert_allclose(problem.linearized(vector).gradient, expected, rtol=1e-6)
    found = dj.fit(start, trace(), free=free, num_restarts=2)
    assert found.successful and found.names == ("omega0", "jumps[0]")
    away = np.log(np.asarray(found.rates) / np.array([OMEGA0, KAPPA]))
    assert np.all(np.abs(away) < 4 * np.sqrt(np.diag(found.information.covariance)))
    assert float(found.model.energy.omega0) == pytest.approx(OMEGA0, rel=0.02)
