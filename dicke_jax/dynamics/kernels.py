"""What XLA's CPU backend needs to be told to make a step fast. Elsewhere everything is left as it is."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

try:
    from jax.experimental.xla_metadata import set_xla_metadata
except ImportError:  # experimental: without it the solver is slower on a CPU, not wrong
    set_xla_metadata: Any = None


def as_one_kernel(function: Callable[..., Any], fuses: bool = True) -> Callable[..., Any]:
    """On a CPU keep `function` a call of its own, which XLA emits as one kernel.

    Otherwise XLA's CPU backend fuses the recurrence of the series into every one of its consumers, and computes it
    again in each: tens of times slower. There is no public way to ask for this. Elsewhere, and where a function holds
    matrix products, which the backend cannot emit so, it is left as it is.

    The backend aborts the process for an argument that is not used, or handed back as it is: there must be none.
    """
    if not fuses or set_xla_metadata is None or jax.default_backend() != "cpu":
        return function

    def call(*args: Any) -> Any:
        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):
            return eqx.filter_jit(function)(*args)

    return call
