"""Rates in hertz, or in units so large that they are nearly nothing: the same run, in both precisions."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dicke_jax as dj


def run(unit, dtype, unrolled):
    """A ramp with decay of spins, between whose steps there are saved times; all rates times `unit`."""

    def rate(value):
        return jnp.asarray(value * unit, dtype)

    ramp = dj.PiecewiseLinear(jnp.asarray(np.array([0.0, 3.0, 6.0]) / unit, dtype), rate(np.array([0.6, 1.4, 1.4])))
    decay = dj.LocalDissipation([("decay_x", rate(0.05)), ("dephasing_z", rate(0.02))])
    spins = dj.LargeSpins.hypercube(2)
    model = dj.DickeModel(spins, rate(0.5), rate(np.array([1.5, 2.0])), rate(1.0), ramp, dissipation=decay)
    start = dj.tilted_pattern(jax.random.key(0), model, pattern=0, angle=0.4)
    times = jnp.asarray(np.linspace(0.0, 8.0, 9) / unit, dtype)
    order = 18 if dtype == jnp.float64 else 8
    return dj.mfsolve(model, start, times, solver=dj.BilinearTaylor(order, unrolled=unrolled))


@pytest.mark.parametrize("unrolled", [0, 8])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_rates_of_any_unit_are_the_same_run(dtype, unrolled):
    one = run(1.0, dtype, unrolled)
    rounding = 30 * float(jnp.finfo(dtype).eps)
    for unit in (2.0**30, 2.0**-30):  # powers of two: the numbers are the same to the last bit
        other = run(unit, dtype, unrolled)
        assert other.successful and other.stats["num_steps"] == one.stats["num_steps"]
        np.testing.assert_allclose(other.m, one.m, atol=rounding)
        np.testing.assert_allclose(other.alpha, one.alpha, atol=rounding)


def test_many_rows_in_hertz_run_in_float32():
    """Their first step does not hang on the unit either: a fixed one of 0.01 failed at 1e8 Hz."""
    model = dj.examples.paper_model(g0=1.2)
    rates = {name: getattr(model, name) for name in ("g0", "kappa", "omega_mode", "omega_spin")}
    hertz = model.replace(**{name: (1e8 * rate).astype(jnp.float32) for name, rate in rates.items()})
    keys = jax.random.split(jax.random.key(1), 256)
    cues = jax.vmap(lambda key: dj.tilted_pattern(key, model, angle=0.3))(keys)
    many = dj.solve_ensemble(hertz, cues, np.array([0.0, 1e-7], np.float32), save="final")
    assert many.m.dtype == np.float32 and many.successful.all()
    exact = dj.mfsolve(model, jax.tree.map(lambda x: x[7], cues), [0.0, 10.0], solver=dfx.Dopri8())
    np.testing.assert_allclose(many.m[7], exact.m[-1], atol=2e-3)
