"""How many programs the first call compiles, and that a second one of the same shapes compiles none."""

import jax
import numpy as np
import pytest
from compilations import compilations
from problems import paper

import dicke_jax as dj


def count(call, most, *cases):
    """Programs of the first call, `most` of them, and none of those after it."""
    with compilations(fresh=True) as first:
        call(cases[0])
    assert 0 < len(first) <= most, first
    for case in cases[1:]:
        with compilations() as again:
            call(case)
        assert not again


def measured(seed):
    """Two patterns' overlaps, of a run that has not begun to relax, with noise."""
    times = np.linspace(0.0, 5.0, 11)
    noise = 0.01 * np.random.default_rng(seed).normal(size=(times.size, 2))
    state = dj.tilted_pattern(jax.random.key(1), paper(1.2, 2), 0, 0.6)
    return dj.TimeTrace(times, np.array([0.8, 0.0]) + noise, 0.01, state)


def test_a_fit_of_time_traces_is_a_handful_of_programs():
    traces = [measured(seed) for seed in range(3)]
    starts = [paper(g0, 2, kappa=kappa) for g0, kappa in ((1.1, 0.9), (1.0, 1.1), (1.3, 1.0))]
    count(lambda case: dj.fit(*case, free=("g0", "kappa"), num_steps=8), 8, *zip(starts, traces, strict=True))


@pytest.mark.parametrize("loss", ["chi-square", "huber"])
def test_a_fit_of_a_curve_is_a_handful_of_programs(loss):
    curves = [dj.StationaryCurve([0.8, 1.0, 1.2], values, 0.1) for values in ([0.5, 0.8, 0.9], [0.6, 0.7, 0.9])]
    model = paper(1.0, 2)
    count(lambda curve: dj.fit(model, curve, free=("omega_spin",), loss=loss, num_steps=8), 8, *curves)


def test_inversion_location_and_design_are_a_handful_of_programs():
    models = [paper(g0, 2) for g0 in (1.0, 1.1)]
    count(lambda case: dj.invert_critical_coupling(case[0], *case[1:]), 7, (models[0], 0, 0.7), (models[1], 1, 0.8))
    count(lambda case: dj.locate_critical_coupling(*case), 6, (models[0], 0), (models[1], 1))
    count(lambda model: dj.design(dj.stability_margin, model, free=("omega_mode",), num_steps=3), 4, *models)
