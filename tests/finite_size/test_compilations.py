"""How many programs a first call of each route compiles: a handful; and a second one with other numbers: none."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

import dicke_jax as dj
from dicke_jax.examples import paper_model


def problem(number):
    """One of two problems of the same shapes, with other numbers in them."""
    model, times = paper_model([0.4, 0.5][number], num_patterns=1), np.array([0.0, 0.3, 0.6 + 0.1 * number])
    state = dj.tilted_pattern(jax.random.key(number), model, angle=0.4)
    reference = dj.MeanFieldState(np.zeros((3, 3, 1)) + times[:, None, None], np.zeros((3, 1)))
    covariance = jnp.asarray(np.broadcast_to(np.eye(5), (3, 5, 5)) + times[:, None, None])
    moments = dj.Moments(jnp.asarray(times), reference.m, reference.alpha, covariance, 4)
    return SimpleNamespace(**locals(), key=jax.random.key(number))


ROUTES = {
    "mesolve": (8, lambda p: dj.mesolve(p.model, p.state, p.times, 2, levels=5)),
    "wigner_moments": (  # most of them are those of `mfsolve`
        12,
        lambda p: dj.wigner_moments(p.key, p.model, p.state, p.times, 4, num_samples=20, dt=0.1),
    ),
    "gaussian_moments": (8, lambda p: dj.gaussian_moments(p.model, p.state, p.times)),
    "stationary_covariance": (4, lambda p: dj.stationary_covariance(p.model, p.state)),
    "output_spectrum": (6, lambda p: dj.output_spectrum(p.model, p.state, p.times)),
    "check_theorem": (8, lambda p: dj.check_theorem(p.model, p.moments, p.reference)),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_first_call_compiles_a_handful_and_a_second_nothing(name):
    most, call = ROUTES[name]
    first, second = problem(0), problem(1)
    with compilations(fresh=True) as programs:
        jax.block_until_ready(call(first))
    assert 1 <= len(programs) <= most
    with compilations() as programs:
        jax.block_until_ready(call(second))
    assert not programs
