"""What rates do in time is followed at finite N, too: against closed forms of a spin that a pulse turns."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import paper

import dicke_jax as dj
from dicke_jax.finite_size.wigner_steps import STEPS_PER_RADIAN, steps_between

AREA = np.pi / 8  # of Omega: the spin turns by pi / 4
TURNED = np.array([0.0, -np.sin(2 * AREA), np.cos(2 * AREA)])
KEY, TIMES = jax.random.key(5), np.array([0.0, 100.0])


class Pulse(eqx.Module):
    """A Gaussian of area `area`."""

    area: jax.Array
    centre: jax.Array
    width: jax.Array

    def __call__(self, t):
        return self.area / (float(np.sqrt(np.pi)) * self.width) * jnp.exp(-(((t - self.centre) / self.width) ** 2))


def pulsed(area=AREA, centre=50.0, width=0.5, dtype=float):
    """No coupling: a pulse of Omega alone turns the spins."""
    pulse = Pulse(*(jnp.asarray(x, dtype) for x in (area, centre, width)))
    return dj.DickeModel(dj.LargeSpins.hypercube(1), pulse, *(jnp.asarray(x, dtype) for x in (1.0, 1.0, 0.0)))


def up(dtype=float):
    zero = jnp.zeros(1, dtype)
    return dj.MeanFieldState(jnp.array([[0.0], [0.0], [1.0]], dtype), jax.lax.complex(zero, zero))


ROUTES = {
    "mesolve": lambda model, state, **how: dj.mesolve(model, state, TIMES, 2, levels=2, **how).moments,
    "gaussian_moments": lambda model, state, **how: dj.gaussian_moments(model, state, TIMES, **how),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_pulse_between_two_steps_is_seen(name):
    for centre, width in ((50.0, 0.5), (23.4, 0.2), (71.0, 1.0)):
        moments = ROUTES[name](pulsed(centre=centre, width=width), up())
        np.testing.assert_allclose(moments.m[-1, :, 0], TURNED, atol=1e-7)
        np.testing.assert_allclose(moments.covariance[-1, :3, :3], np.eye(3) - np.outer(TURNED, TURNED), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTES)
def test_a_pulse_in_float32_and_its_derivatives(name):
    moments = ROUTES[name](pulsed(dtype=jnp.float32), up(jnp.float32))
    assert moments.m.dtype == jnp.float32
    np.testing.assert_allclose(moments.m[-1, :, 0], TURNED, atol=1e-4)

    def z(area, **how):
        return ROUTES[name](pulsed(area), up(), **how).m[-1, 2, 0]

    slope = -2 * np.sin(2 * AREA)
    np.testing.assert_allclose(jax.grad(z)(AREA), slope, rtol=1e-6)
    _, forward = jax.jvp(lambda area: z(area, adjoint=dfx.ForwardMode()), (AREA,), (1.0,))
    np.testing.assert_allclose(forward, slope, rtol=1e-6)


@pytest.mark.slow
def test_trajectories_see_a_pulse():
    pytest.importorskip("dynamiqs")
    run = dj.mcsolve(KEY, pulsed(), up(), TIMES, 2, num_trajectories=2, levels=2)
    assert run.successful
    np.testing.assert_allclose(run.moments.m[-1, :, 0], TURNED, atol=1e-5)


@pytest.mark.slow
def test_samples_see_a_pulse_or_say_that_they_did_not():
    run = dj.wigner_moments(KEY, pulsed(), up(), TIMES, 10**6, num_samples=1000)
    assert run.successful and run.step_error.max() < 1e-2
    spread = 4.5 * np.sqrt(2 / 1000)
    np.testing.assert_allclose(run.moments.covariance[-1, :3, :3], np.eye(3) - np.outer(TURNED, TURNED), atol=spread)
    over = dj.wigner_moments(KEY, pulsed(), up(), TIMES, 10**6, num_samples=1000, dt=3.0)
    assert over.status == dj.Status.coarse_steps and "coarse steps" in repr(over)


@pytest.mark.slow
def test_samples_that_start_late_have_the_noise_of_the_vacuum():
    """Steps of 0.005 at 1e7, where time itself has digits left for 1e-9."""
    model, variances = paper(0.0, num_patterns=1), []
    for begin in (0.0, 1e7):
        times = begin + np.array([0.0, 1.0, 2.0])
        run = dj.wigner_moments(KEY, model, dj.stored_pattern(model), times, 100, num_samples=1000, dt=0.005)
        assert run.successful
        variances.append(np.diagonal(run.moments.covariance[-1])[-2:])
    np.testing.assert_array_equal(*variances)
    np.testing.assert_allclose(variances[1], 0.25, atol=4.5 * 0.25 * np.sqrt(2 / 1000))
    coarse = dj.wigner_moments(KEY, model, dj.stored_pattern(model), times, 100, num_samples=1000, dt=1.0)
    assert coarse.status == dj.Status.coarse_steps


def steps_of(times, model, dt=None):
    steps = steps_between(np.asarray(times, float), model, up().to_real(model), dt, 2000)
    begin, size, count = (np.asarray(x) for x in (steps.begin, steps.size, steps.number))
    np.testing.assert_allclose(begin[1:], (begin + size * count)[:-1], atol=1e-9)  # one after the other
    np.testing.assert_array_equal(np.append(begin, times[-1])[steps.first], times)
    return begin, size


def test_steps_follow_the_rates():
    ramp = paper(1.0, num_patterns=1).replace(g0=dj.PiecewiseLinear([0.0, 2.0, 2.3, 5.0], [0.3, 0.3, 10.0, 10.0]))
    begin, size = steps_of([0.0, 1.0, 5.0], ramp)
    fastest = 4 * 10.0 * 10.0 / np.hypot(1.5, 0.5)  # the field of a mode at 10 / |i 1.5 + 0.5|
    assert size[begin >= 2.3].max() <= 1 / (STEPS_PER_RADIAN * fastest)
    assert size[begin < 1.9].max() > 50 * size.min()
    assert {2.0, 2.3} <= set(begin.tolist())
    begin, size = steps_of([0.0, 1.0, 5.0], ramp, dt=0.5)
    np.testing.assert_array_equal(begin, [0.0, 1.0, 2.0, 2.3])  # onto kinks, also in steps of a given size
    # a pulse of 0.5 is stepped through, and one of 1e-3 that has declared itself
    for width, rate in ((0.5, pulsed()), (1e-3, pulsed(width=1e-3))):
        rate = rate.replace(omega_spin=dj.RateFunction(rate.omega_spin, shortest=width))
        begin, size = steps_of(TIMES, rate)
        assert size[np.abs(begin - 50.0) < 1].min() < 0.3 * width and size.max() > 0.02


def test_steps_that_would_never_end_are_refused():
    with pytest.raises(ValueError, match="dt must be so long that a run has at most 2147483647 steps; got 1e\\+14"):
        steps_of(TIMES, pulsed(), dt=1e-12)


@pytest.mark.slow
def test_a_ramp_to_a_strong_coupling_does_not_run_away():
    """Steps right at the start are 30 times too long at the end."""
    model = paper(1.0, num_patterns=1).replace(g0=dj.PiecewiseLinear([0.0, 5.0], [0.3, 10.0]))
    state = dj.tilted_pattern(jax.random.key(0), model, angle=0.4)
    run = dj.wigner_moments(KEY, model, state, [0.0, 2.5, 5.0], 16, num_samples=500)
    assert run.successful and np.isfinite(run.moments.covariance).all() and np.isfinite(run.final_overlaps).all()
    finer = dj.wigner_moments(KEY, model, state, [0.0, 2.5, 5.0], 16, num_samples=500, dt=4e-5)
    assert finer.successful and finer.step_error.max() < run.step_error.max()
    rule = dj.wigner_moments(KEY, model, state, [0.0, 2.5, 5.0], 16, num_samples=500, dt=0.004)
    assert not rule.successful


@pytest.mark.slow
def test_the_default_cut_off_keeps_its_promise():
    """Case of a strong coupling: 1e-6 for means and covariances, beside many levels."""
    for model, size in ((paper(1.2, num_patterns=1), 8), (paper(0.8, num_patterns=1), 3)):
        state = dj.random_state(jax.random.key(0), model, amplitude=0.1)
        times = np.array([0.0, 0.4, 1.1])
        run, many = (dj.mesolve(model, state, times, size, levels=levels) for levels in (None, 48))
        assert run.successful and many.successful
        np.testing.assert_allclose(run.moments.m, many.moments.m, atol=1e-6)
        np.testing.assert_allclose(run.moments.covariance, many.moments.covariance, atol=1e-6)
        few = dj.mesolve(model, state, times, size, levels=14)
        off = np.abs(few.moments.covariance - many.moments.covariance).max()
        assert off < 1e-6 or few.status == dj.Status.cut_off
