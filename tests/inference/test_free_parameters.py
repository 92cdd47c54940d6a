"""Free rates, and the numbers that stand for them."""

import jax.numpy as jnp
import numpy as np
from problems import uneven

import dicke_jax as dj


def test_free_rates_go_to_numbers_without_bounds_and_back():
    """A frequency keeps its sign, bounds are never met, and what is not free is left alone."""
    model = uneven(3).replace(dissipation=dj.LocalDissipation([("decay_x", 0.2), ("dephasing_x", 0.1)]))
    free = ("omega_mode", ("kappa", 1), ("jump", 1))
    rates = dj.free_rates(model, free, {("kappa", 1): (0.1, 2.0), ("jump", 1): (0.05, np.inf)})
    assert rates.names == ("omega_mode[0]", "omega_mode[1]", "omega_mode[2]", "kappa[1]", "jump[1]")
    vector = rates.to_vector(model)
    for name, rate in rates.to_model(vector).rates.items():
        np.testing.assert_allclose(rate, model.rates[name], rtol=1e-14)
    moved = rates.to_model(vector + jnp.array([1.0, -2.0, 30.0, 20.0, -25.0]))
    expected = np.array([1.0, 1.0, 1.0]) * model.omega_mode * np.exp([1.0, -2.0, 30.0])
    np.testing.assert_allclose(moved.omega_mode, expected, rtol=1e-12)
    assert moved.omega_mode[2] < 0 and 1.99 < moved.kappa[1] < 2 and 0.05 < moved.dissipation.rates[1] < 0.0501
    assert moved.kappa[0] == model.kappa[0] and moved.dissipation.rates[0] == 0.2
    np.testing.assert_allclose(rates.to_vector(rates.to_model(vector + 0.3)), vector + 0.3, rtol=1e-13)
