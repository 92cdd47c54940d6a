"""Every parameter of every model of the gallery, traced and differentiated, against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import differences

import dicke_jax as dj

G = dj.gallery
MODELS = {  # of numbers of its own, how many, M and K
    "boundary_time_crystal": (lambda p: G.boundary_time_crystal(*p), 2, 0, 1),
    "collective_noise": (lambda p: G.collective_noise(jax.lax.complex(p[:6], p[6:12]).reshape(2, 3), p[12:]), 15, 0, 1),
    "dicke_ring": (
        lambda p: G.dicke_ring(3, *p[:4], hopping=p[4], phase=p[5], kerr=p[6], drive=p[7], field=p[8]), 9, 3, 3
    ),
    "dissipative_xyz": (lambda p: G.dissipative_xyz(p[:3], p[3]), 4, 0, 1),
    "multilevel_dicke": (lambda p: G.multilevel_dicke(p[0], p[1:4], p[4:13].reshape(3, 3), p[13]), 14, 1, 1),
    "nonlinear_dicke": (lambda p: G.nonlinear_dicke(*p), 5, 1, 1),
    "p_spin": (lambda p: G.p_spin(3, *p), 3, 0, 1),
    "polynomial_spins": (lambda p: G.polynomial_spins([(0, 1, 2), (1, 0, 0), (3, 1, 1)], p), 3, 0, 1),
    "quadrature_dicke": (lambda p: G.quadrature_dicke(*p), 4, 1, 2),
    "spin_exchange": (lambda p: G.spin_exchange(*p), 4, 0, 1),
    "two_ensemble_dicke": (lambda p: G.two_ensemble_dicke(p[0], p[1], p[2:4], p[4], p[5]), 6, 1, 2),
    "two_photon_dicke": (lambda p: G.two_photon_dicke(*p), 5, 1, 1),
    "unbalanced_dicke": (lambda p: G.unbalanced_dicke(*p), 5, 1, 1),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(G.__all__))
def test_derivatives_in_all_parameters(name):
    model_of, number, M, K = MODELS[name]
    at = 0.3 + 0.5 * np.cos(1 + 1.3 * np.arange(number)) ** 2
    B = model_of(at).levels ** 2 - 1
    m = jnp.asarray(0.6 * np.sin(1 + np.arange(B * K)).reshape(B, K))
    quadratures = jnp.asarray(0.4 * np.cos(2 + np.arange(2 * M)).reshape(2, M))

    @jax.jit
    def looked_at(p):
        rates = model_of(p).rate_of_change(0.0, (m, quadratures))
        return sum(jnp.sum(jnp.sin(3 * rate)) for rate in rates)

    gradient = jax.jit(jax.grad(looked_at))(jnp.asarray(at))
    assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)
    np.testing.assert_allclose(gradient, differences(looked_at, at, 1e-3), atol=1e-8)
