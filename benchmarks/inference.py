"""Thresholds located through the overlap, and a fit with many restarts against one with one."""

from typing import Any

import jax
import jax.numpy as jnp

import dicke_jax as dj
from dicke_jax.examples import paper_model

from .sizes import Size
from .timing import called


def measure(size: Size) -> list[dict[str, Any]]:
    model, data, start = paper_model(3.0), trace(), paper_model(1.05, 2)

    def located() -> list[dj.LocatedCoupling]:
        return [dj.locate_critical_coupling(model, nu) for nu in range(4)]

    rows = [called("four thresholds located from g0 = 3", located, size.rounds)]
    exact = [float(dj.critical_coupling(model, nu)) for nu in range(4)]
    errors = [abs(float(found.g0) - g) for found, g in zip(located(), exact, strict=True)]
    rows[0]["error"] = dict(median=sorted(errors)[2], max=max(errors))
    for restarts in (1, size.restarts):

        def fitted(restarts: int = restarts) -> dj.FitResult:
            return dj.fit(start, data, num_restarts=restarts, key=jax.random.key(0))

        rows.append(called(f"fit of all rates, {restarts} restarts", fitted, size.rounds))
    return rows


def trace(noise: float = 0.01) -> dj.TimeTrace:
    """Both overlaps of a run with other rates than the paper's, at 25 times, with noise."""
    truth = paper_model(1.2, 2, omega_spin=0.55, omega_mode=jnp.array([1.4, 2.1]), kappa=jnp.array([0.9, 1.1]))
    state, times = dj.tilted_pattern(jax.random.key(1), truth, 0, 0.6), jnp.linspace(0.0, 12.0, 25)
    clean = dj.mfsolve(truth, state, times).overlaps
    return dj.TimeTrace(times, clean + noise * jax.random.normal(jax.random.key(2), clean.shape), noise, state)
