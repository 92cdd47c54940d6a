"""Every mode and every peer on one core, in one process that is pinned to it."""

from typing import Any

import jax

from dicke_jax import DickeModel, MeanFieldState, examples

from . import modes, peers
from .sizes import Size
from .timing import Mode, compare


def measure(size: Size) -> list[dict[str, Any]]:
    """All of them, in a process as a user starts it."""
    model, states, exact = _work(size)
    few = jax.tree.map(lambda x: x[: size.few], states)
    others = [
        *_by_heyoka(model, states, size),
        peers.torchdiffeq("torchdiffeq dopri8, 1e-10", model, states, size.end, "dopri8", 1e-10),
        peers.scipy_loop("SciPy DOP853, 1e-10", model, few, size.end, 1e-10),
    ]
    return compare(modes.jax_modes(model, states, size.end) + others, exact, size)


def ensembles(size: Size) -> list[dict[str, Any]]:
    """`solve_ensemble` and its nearest peer, in a process with the compiler's flags that the commands set."""
    model, states, exact = _work(size)
    return compare(modes.ensembles(model, states, size.end) + _by_heyoka(model, states, size), exact, size)


def _work(size: Size) -> tuple[DickeModel, MeanFieldState, Any]:
    model = examples.paper_model(num_patterns=size.patterns[0])
    states = examples.random_states(jax.random.key(0), model, size.batch)
    return model, states, peers.reference(model, states, size.end, size.checked)


def _by_heyoka(model: DickeModel, states: MeanFieldState, size: Size) -> list[Mode]:
    return [peers.heyoka(f"heyoka.py, {tol}", model, states, size.end, float(tol)) for tol in ("1e-9", "1e-11")]
