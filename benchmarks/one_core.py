"""Every mode and every peer on one core, in one process that is pinned to it."""

from typing import Any

import jax

from dicke_jax import examples

from . import peers
from .modes import jax_modes
from .sizes import Size
from .timing import compare


def measure(size: Size) -> list[dict[str, Any]]:
    model = examples.paper_model(num_patterns=size.patterns[0])
    states = examples.random_states(jax.random.key(0), model, size.batch)
    few = jax.tree.map(lambda x: x[: size.few], states)
    exact = peers.reference(model, states, size.end, size.checked)
    others = [
        peers.heyoka("heyoka.py, 1e-9", model, states, size.end, 1e-9),
        peers.heyoka("heyoka.py, 1e-11", model, states, size.end, 1e-11),
        peers.torchdiffeq("torchdiffeq dopri8, 1e-10", model, states, size.end, "dopri8", 1e-10),
        peers.scipy_loop("SciPy DOP853, 1e-10", model, few, size.end, 1e-10),
    ]
    return compare(jax_modes(model, states, size.end) + others, exact, size)
