"""Models from their energies: the equations against those of `DickeModel`, and what is refused."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import config
from problems import generic_state

import dicke_jax as dj

KEY = jax.random.key(0)
JUMP = np.random.default_rng(0).normal(size=(2, 2, 2)) @ [1, 1j]


class Wave(eqx.Module):
    """A rate of time with a parameter of its own."""

    size: jax.Array

    def __call__(self, t):
        return 0.8 + self.size * jnp.sin(jnp.asarray(t, float))


def empty_subset():
    spins = dj.LargeSpins.hypercube(3, gauge=False)
    return dj.LargeSpins(spins.operator, [0.0, 0.3, 0.1, 0.2, 0.1, 0.1, 0.2, 0.0])


MAPPINGS = {
    "hypercube": lambda: dj.LargeSpins.hypercube(3),
    "without gauge": lambda: dj.LargeSpins.hypercube(3, gauge=False),
    "distribution": lambda: dj.LargeSpins.from_distribution((-1.0, 0.0, 1.0), (0.2, 0.5, 0.3), 2),
    "patterns": lambda: dj.map_to_large_spins(dj.random_patterns(KEY, 3, 40)).spins,
    "single spins": lambda: dj.LargeSpins.individual(dj.random_patterns(KEY, 2, 7)),
    "empty subset": empty_subset,
}
RATES_IN_TIME = {
    "constant": lambda M: {},
    "function": lambda M: dict(g0=lambda t: 0.8 + 0.3 * jnp.cos(jnp.asarray(t, float))),
    "module": lambda M: dict(omega_spin=Wave(jnp.asarray(0.2))),
    "ramps": lambda M: dict(
        g0=dj.PiecewiseLinear([0.0, 2.0], [0.3, 1.2]), kappa=dj.PiecewiseLinear([0.0, 1.0, 3.0], [0.3, 1.2, 0.4])
    ),
    "modes": lambda M: dict(omega_mode=lambda t: jnp.asarray(t, float) * jnp.arange(1.0, M + 1), kappa=lambda t: 0.7),
}
DISSIPATION = {
    "none": lambda spins: None,
    "gauge invariant": lambda spins: dj.LocalDissipation([("decay_x", 0.3), ("dephasing_z", 0.1)]),
    "of each subset": lambda spins: dj.LocalDissipation([("dephasing_x", np.linspace(0.1, 0.4, spins.num_subsets))]),
    "random": lambda spins: dj.LocalDissipation([("decay_x" if spins.gauged else JUMP, lambda t: 0.1 + 0.2 * t)]),
}


def agree(mapping, dissipation, in_time):
    spins = MAPPINGS[mapping]()
    mu = np.arange(spins.num_modes)
    rates = dict(omega_spin=0.43, omega_mode=1.3 + 0.37 * mu - 3.1 * (mu == 1), kappa=0.6 + 0.2 * mu, g0=0.83)
    rates |= RATES_IN_TIME[in_time](spins.num_modes)
    model = dj.DickeModel(spins, **rates, dissipation=DISSIPATION[dissipation](spins))
    twin = model.as_collective()
    assert (twin.num_modes, twin.num_subsets, twin.dtype) == (model.num_modes, model.num_subsets, model.dtype)
    assert twin.is_time_dependent == model.is_time_dependent and len(twin.kinks) == len(model.kinks)

    @jax.jit
    def deviation(t, y):
        pairs = zip(model.rate_of_change(t, y), twin.rate_of_change(t, y), strict=True)
        return jnp.stack([jnp.max(jnp.abs(a - b)) for a, b in pairs])

    state = generic_state(model, seed=3)
    assert np.max(np.asarray(deviation(0.7, state.to_real(model)))) < 1e-12
    np.testing.assert_allclose(dj.overlaps(twin, state.m), dj.overlaps(model, state.m), atol=1e-14)


@settings(max_examples=8)
@given(st.sampled_from(list(MAPPINGS)), st.sampled_from(list(DISSIPATION)), st.sampled_from(list(RATES_IN_TIME)))
def test_the_dicke_model_s_equations_follow_from_its_energy(mapping, dissipation, in_time):
    agree(mapping, dissipation, in_time)


@pytest.mark.slow
def test_they_do_for_every_mapping_dissipation_and_schedule():
    for case in itertools.product(MAPPINGS, DISSIPATION, RATES_IN_TIME):
        agree(*case)


def two_photon_loss(s):
    return s.alpha**2


def test_two_photon_loss_is_what_its_jump_says():
    """L = sqrt(r / N) a^2: alpha' = -r |alpha|^2 alpha."""
    model = dj.CollectiveModel(lambda s: 0.0 * s.z[0], [dj.collective(two_photon_loss, 0.9)], num_modes=1)
    alpha = 0.7 + 0.2j
    state = dj.MeanFieldState([[0.0], [0.0], [1.0]], [alpha])
    _, (re, im) = model.rate_of_change(0.0, state.to_real(model))
    np.testing.assert_allclose(np.asarray(re) + 1j * np.asarray(im), [-0.9 * abs(alpha) ** 2 * alpha], atol=1e-15)


class Driven(dj.Energy):
    g: jax.Array
    push: jax.Array
    p: int = eqx.field(static=True)

    def __call__(self, s):
        return self.g * s.x[0] ** self.p + jnp.real(self.push * s.alpha[0]) * s.z[0]


def test_parameters_are_arrays_of_the_model_s_precision_and_change_by_name():
    model = dj.CollectiveModel(Driven(1, 0.5 + 1j, 3), num_modes=1)
    assert model.dtype == jnp.float64 and model.energy.g.dtype == jnp.float64
    assert model.energy.push.dtype == jnp.complex128
    assert float(model.replace(g=2.5).energy.g) == 2.5
    single = dj.CollectiveModel(Driven(jnp.float32(1), 0.5 + 0j, 3), [dj.photon_loss(1.0)], num_modes=1)
    assert single.dtype == single.jumps[0].rate.dtype == single.weights.dtype == jnp.float32
    state = dj.MeanFieldState([[0.0], [0.6], [0.8]], [0.1])
    assert all(x.dtype == jnp.float32 for x in single.rate_of_change(0.0, state.to_real(single)))
    ramp = dj.CollectiveModel(Driven(dj.PiecewiseLinear([0.0, 1.0], [0.0, 2.0]), 0.5 + 0j, 3), num_modes=1)
    assert ramp.is_time_dependent and len(ramp.kinks) == 1 and float(ramp.at(0.5).energy.g) == 1.0
    clock = dj.CollectiveModel(lambda s: s.z[0] * jnp.abs(s.t))  # only what depends on the state has to be smooth
    assert clock.is_time_dependent and not clock.at(1.0).is_time_dependent


def of(energy=lambda s: s.z[0], **rest):
    return lambda: dj.CollectiveModel(energy, **rest)


REFUSED = {
    "unknown name": (of(lambda s: s.bloch[0]), r"energy must be a function of s.x, .*; got s.bloch"),
    "complex": (of(lambda s: s.alpha[0] ** 2, num_modes=1), "energy must be real .*; got complex"),
    "shape": (of(lambda s: s.z), r"energy must be one real number; got shape \(1,\)"),
    "nothing": (of(lambda s: None), "energy must be a function that returns numbers; got one that returns NoneType"),
    "not callable": (of(1.0), "energy must be an Energy, or a function of the intensive variables; got 1.0"),
    "a class": (of(Driven), "energy must be an Energy, or a function"),
    "abs": (of(lambda s: jnp.abs(s.alpha[0]) ** 2, num_modes=1), "energy must be smooth, .*; got one with abs"),
    "max": (of(lambda s: jax.jit(jnp.maximum)(s.z[0], s.x[0])), "energy must be smooth, .*; got one with max"),
    "no such mode": (
        of(lambda s: s.photons[1], num_modes=1),
        "energy must be a function of 1 ensembles of spins and 1",
    ),
    "no such ensemble": (of(lambda s: s.z[1]), "energy must be a function of 1 ensembles of spins and 0 modes"),
    "not finite": (of(Driven(np.nan, 1.0, 2), num_modes=1), "energy.g must be finite; got nan"),
    "complex in time": (of(Driven(lambda t: 1j * t, 1j, 2), num_modes=1), "energy.g must be real at all times; got a"),
    "weights": (of(weights=[0.5, 0.4]), "weights must be of sum 1; got sum 0.9"),
    "negative weights": (of(weights=[1.5, -0.5]), "weights must be not negative; got -0.5"),
    "modes": (of(num_modes=-1), "num_modes must be a whole number of at least 0; got -1"),
    "jumps": (of(jumps=dj.photon_loss(1.0)), "jumps must be a list of such as photon_loss"),
    "jump": (of(jumps=[abs]), "jumps must be a list of such as photon_loss"),
    "jump's shape": (of(jumps=[dj.collective(lambda s: s.m)]), r"jumps\[0\] must be one complex number, .*\(3, 1\)"),
    "jump's name": (of(jumps=[dj.collective(lambda s: s.a)]), r"jumps\[0\] must be a function of .*; got s.a"),
    "loss of no mode": (of(jumps=[dj.photon_loss(1.0)]), r"num_modes must be at least 1 for jumps\[0\]"),
    "rate's shape": (of(jumps=[dj.photon_loss([1.0, 2.0])], num_modes=1), r"rate of jumps\[0\] must be one number or"),
    "negative loss": (lambda: dj.photon_loss(-1.0), "kappa must be not negative; got -1.0"),
    "no function": (lambda: dj.collective(1.0), "l must be a function of the intensive variables; got float"),
    "bad rate": (lambda: dj.collective(lambda s: s.z[0], "fast"), "rate must be real numbers; got 'fast'"),
    "dissipation": (of(dissipation=0.1), "dissipation must be a LocalDissipation, .* or None; got float"),
    "patterns": (of(patterns=[[1.0, 1.0]]), r"patterns must be of shape \(P, 1\); got shape \(1, 2\)"),
    "a name": (
        lambda: of(Driven(1.0, 1j, 2), num_modes=1)().replace(h=1),
        "name of a change must be one of .*; got 'h'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_model_is_refused_in_a_line_that_names_the_argument(case):
    make, line = REFUSED[case]
    config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=line) as error:
            make()
    finally:
        config.update("jaxtyping_disable", False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("transform", [jax.grad, jax.jit])
def test_what_closes_over_a_traced_number_is_refused(transform):
    """Its derivative was zero, and no error."""
    hold = "must be an Equinox module whose fields hold what it is traced .*; got a function that closes over a traced"
    with pytest.raises(ValueError, match="energy " + hold):
        transform(lambda w: w * of(lambda s: w * s.z[0])().num_subsets)(1.0)
    with pytest.raises(ValueError, match=r"jumps\[0\] " + hold):
        transform(lambda w: w * of(jumps=[dj.collective(lambda s: w * s.z[0])])().num_subsets)(1.0)
    allowed = transform(lambda w: of(Driven(w, 1j, 2), num_modes=1)().weights[0] * w)
    assert float(allowed(1.0)) == 1.0
