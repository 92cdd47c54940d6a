"""What a first call compiles, and that the next one, with other numbers, compiles nothing."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

import dicke_jax as dj


def end(model, pattern, times, **options):
    return dj.mfsolve(model, dj.stored_pattern(model, pattern), times, **options).overlaps[-1, 0]


def slope(model, pattern, times):
    return jax.grad(lambda g0: end(model.replace(g0=g0), pattern, times))(model.g0)


def tangent(model, pattern, times):
    of = lambda g0: end(model.replace(g0=g0), pattern, times, adjoint=dfx.ForwardMode())  # noqa: E731
    return jax.jvp(of, (model.g0,), (jnp.ones_like(model.g0),))[1]


def ensemble(model, pattern, times):
    state = dj.stored_pattern(model, pattern)
    return dj.solve_ensemble(model, jax.tree.map(lambda x: jnp.stack([x, x]), state), times, save="final").m


CALLS = {  # and how many programs at the most
    "mfsolve": (end, 10),
    "jax.grad": (slope, 24),
    "jax.jvp": (tangent, 20),
    "steadystate": (lambda model, pattern, _: dj.steadystate(model, dj.stored_pattern(model, pattern)).residual, 8),
    "solve_ensemble": (ensemble, 12),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_second_call_with_other_numbers_compiles_nothing(name):
    call, most = CALLS[name]
    most += 2 * (jax.__version_info__ < (0, 9))  # two numbers are converted by programs of their own
    small, large = np.linspace(0.0, 3.0, 5), np.linspace(0.5, 4.0, 5)
    models = [dj.examples.paper_model(g0, 2) for g0 in (0.9, 1.1, 1.3)]
    models[1] = models[1].replace(omega_spin=0.45, kappa=1.2)
    with compilations(fresh=True) as first:
        call(models[0], 0, small)
    assert 1 <= len(first) <= most, first
    with compilations() as second:
        for model, pattern, times in ((models[0], 1, small), (models[1], 0, large), (models[2], 1, large)):
            call(model, pattern, times)
    assert second == []
