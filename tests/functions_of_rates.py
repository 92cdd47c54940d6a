"""Numbers that the package computes, as functions of four rates: the rows of test_derivatives_everywhere.py."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from problems import generic_state

import dicke_jax as dj

AT = np.array([0.5, 1.1, 0.9, 1.2])  # Omega, factors of Omega_mu and of kappa_mu, g0
ONE, TWO = dj.LargeSpins.hypercube(1), dj.LargeSpins.hypercube(2)
UNEQUAL = dj.map_to_large_spins(dj.random_patterns(jax.random.key(5), 2, 101)).spins
KEY = jax.random.key(0)


def model(p, spins=ONE, decay=None):
    jumps = None if decay is None else dj.LocalDissipation([("decay_x", decay)])
    modes = jnp.array([1.5, 2.0])[: spins.num_modes]
    return dj.DickeModel(spins, p[0], modes * p[1], p[2] * jnp.ones_like(modes), p[3], dissipation=jumps)


START = dj.tilted_pattern(KEY, model(AT), 0, 0.5)
MIXED = generic_state(model(AT, TWO))
REST = dj.retrieval_state(model(AT))
TIMES = jnp.array([0.0, 2.0])


SERIES = dj.BilinearTaylor(8, dense=False)  # a low order compiles quickly


def course(p, solver: dfx.AbstractSolver = SERIES):
    return dj.mfsolve(model(p), START, TIMES, solver=solver, throw=False).overlaps[-1, 0]


def resting(p):
    """At rest where it is looked at, so that no error of the state bounds the steps."""
    return dj.mfsolve(model(p), REST, TIMES, solver=SERIES, throw=False).overlaps[-1, 0]


class Own(dj.Energy):
    """One that a user writes: spins twisted in a field, and a mode."""

    omega_spin: jax.Array
    omega_mode: jax.Array
    g0: jax.Array

    def __call__(self, s):
        light = self.omega_mode * s.photons[0] + 2 * self.g0 * jnp.real(s.alpha[0]) * s.z[0]
        return light + self.omega_spin * s.x[0] + 0.2 * self.g0 * s.y[0] ** 2


def own(p):
    return dj.CollectiveModel(Own(p[0], 1.5 * p[1], p[3]), [dj.photon_loss(p[2])], num_modes=1)


def own_rest(p):
    at = own(p)
    state, found = dj.stationary_state(at, REST)
    return at, jax.tree.map(lambda x: jnp.where(found, x, jnp.nan), state)


def own_course(p):
    return dj.mfsolve(own(p), START, TIMES, throw=False).overlaps[-1, 0]


def own_end(p):
    end = dj.steadystate(own(p), START)
    return end.overlaps[0] + end.occupations[0]


def own_stationary(p):
    _, state = own_rest(p)
    return state.m[2, 0] + state.m[0, 0] ** 2 + jnp.imag(state.alpha[0])


def own_growth(p):
    return dj.stability(*own_rest(p)).growth_rate


def own_fluctuations(p):
    return dj.stationary_covariance(*own_rest(p)).moments.covariance[0, 1, 2]


def own_light(p):
    out = dj.output_spectrum(*own_rest(p), [0.3, 1.4])
    return out.photons[0, 0] + out.quadratures[1, 0, 0, 1, 0].real


def own_rates(p):
    m, quadratures = dj.mean_field_equations(0.0, START.to_real(own(AT)), own(p))
    return jnp.sum(m**3) + jnp.sum(quadratures**2)


def weighted(p):
    """Of the shares of the subsets."""
    spins = dj.LargeSpins(TWO.operator, jnp.stack([p[1], p[2]]) / (p[1] + p[2]))
    at = dj.DickeModel(spins, p[0], jnp.array([1.5, 2.0]), jnp.ones(2), p[3])
    return dj.mfsolve(at, MIXED, TIMES, solver=SERIES, throw=False).overlaps[-1, 0]


def weighted_rest(p):
    spins = dj.LargeSpins(TWO.operator, jnp.stack([p[1], p[2]]) / (p[1] + p[2]))
    at = dj.DickeModel(spins, p[0], jnp.array([1.5, 2.0]), jnp.ones(2), p[3])
    state, found = dj.stationary_state(at, [0.8, 0.1])
    return jnp.where(found, state.m[2, 0], jnp.nan)


def at_times(p):
    """Of the saved times too, and of what lies between; p[0] moves the start."""
    state = dj.MeanFieldState(START.m * p[1], START.alpha + jax.lax.complex(0 * p[2], 0.1 * p[2]))
    times = jnp.array([0.0, 0.7, 2.0]) * p[3] + p[0]
    out = dj.mfsolve(model(AT), state, times, solver=dj.BilinearTaylor(8), throw=False)
    return out.overlaps[1, 0] + out.occupations[2, 0]


def ramped(p):
    ramp = dj.PiecewiseLinear([0.0, 1.1, 2.5], jnp.stack([p[3] / 2, p[3], p[0]]))
    changing = dj.DickeModel(ONE, 0.5, 1.5 * p[1], p[2], ramp)
    return dj.mfsolve(changing, START, TIMES, solver=SERIES, throw=False).overlaps[-1, 0]


def retrieval(p):
    return dj.retrieval_state(model(p, TWO), 1, spin_length=0.9)


def moments(p, **options):
    out = dj.gaussian_moments(model(p), START, [0.0, 0.5], **options)
    return out.covariance[-1, 1, 2] + out.m[-1, 2, 0]


def threshold(kind, method=None, spins=TWO, decay=None):
    return lambda p: dj.critical_coupling(model(p, spins, decay), 1, kind=kind, method=method)


def stationary(p):
    at = model(p, TWO, 0.1)
    state, found = dj.stationary_state(at, [0.8, 0.1])
    return jnp.where(found, dj.overlaps(at, state.m)[0] + state.m[0, 1], jnp.nan)


def steady(p):
    end = dj.steadystate(model(p), dj.stored_pattern(model(AT)))
    return end.overlaps[0] + end.occupations[0]


def margin(p):
    return dj.stability_margin(model(p, TWO))


def growth(p):
    at = model(p, TWO)
    return dj.stability(at, dj.retrieval_state(at, 1)).growth_rate


def ended_fluctuations(p):
    at = model(p)
    return dj.stationary_covariance(at, dj.retrieval_state(at)).moments.covariance[0, 1, 2]


def light(p):
    at = model(p)
    out = dj.output_spectrum(at, dj.retrieval_state(at), [0.3, 1.4])
    return out.photons[0, 0] + out.quadratures[1, 0, 0, 1, 0].real


def curve_loss(p):
    data = dj.StationaryCurve([1.0, 1.4], [0.7, 0.9], 0.05)
    return jnp.sum((data.predict(model(p)) - data.values) ** 2)


def right_hand_side(p):
    m, quadratures = dj.mean_field_equations(0.0, MIXED.to_real(model(AT, TWO)), model(p, TWO))
    return jnp.sum(m**3) + jnp.sum(quadratures**2)
