"""Thresholds, stationary states and stability: the first call in a process, and calls after it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import dicke_jax as dj
from dicke_jax.examples import paper_model

from .sizes import Size
from .timing import called


def measure(size: Size) -> list[dict[str, Any]]:
    return [called(name, job, size.rounds) for name, job in jobs(size.stability_patterns).items()]


def sampled(num_patterns: int, num_spins: int, g0: float) -> dj.DickeModel:
    """Random patterns, with the subset sizes that they have."""
    patterns = dj.random_patterns(jax.random.key(0), num_patterns, num_spins)
    return paper_model(g0, spins=dj.map_to_large_spins(patterns).spins)


def jobs(largest: int) -> dict[str, Callable[[], Any]]:
    """Name and call; each call makes all that it needs from rates."""
    models = {
        "closed form": paper_model(),
        "1000 spins": sampled(4, 1000, 1.0),
        "with decay": paper_model(dissipation=dj.LocalDissipation([("decay_x", 0.2)])),
    }
    many, uneven = paper_model(2.0, largest), sampled(largest, 100_000, 2.0)
    found = [dj.stationary_state(uneven, jnp.eye(largest)[2])[0]]
    rows = {
        f"threshold, {kind}, {name}": lambda kind=kind, model=model: dj.critical_coupling(model, 2, kind=kind)
        for name, model in models.items()
        for kind in ("normal", "existence", "stability")
    }
    rows["all stationary states, M = 4"] = lambda: dj.stationary_states(jax.random.key(0), paper_model(1.2))
    rows[f"stability, M = {largest}"] = lambda: dj.stability(many, dj.retrieval_state(many, 2))
    rows[f"stability, M = {largest}, 100,000 spins"] = lambda: dj.stability(uneven, found[0])
    return rows
