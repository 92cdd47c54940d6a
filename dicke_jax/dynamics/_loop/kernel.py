"""Whether a run on a CPU becomes one kernel: what is known to fit into one, by exact types, and a switch."""

import functools
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array
from optimistix import rms_norm

from ..._door import checked
from ...couplings.operators import SMALL_MATRIX, DenseCouplings, HypercubeCouplings
from ...mean_field import DickeModel, LocalDissipation, PiecewiseLinear
from ..begin_and_end import FirstStep, IsStationary
from ..tangent_steps import TangentSteps
from ..taylor_solver import BilinearTaylor
from .marks import set_xla_metadata
from .orders_apart import orders_apart
from .replay_adjoint import ReplayAdjoint
from .whole_run import WholeRun, one_kernel

TESTED = ("0.8", "0.9", "0.10", "0.11", "0.12")  # versions of jax
VARIABLE = "DICKE_JAX_CPU_KERNEL"
SMALL = 128  # subsets up to which XLA's CPU backend sums over a state itself: a library, beyond, cannot enter a kernel
FEWEST_SUMMED = 4096  # numbers of a sum that is left to that library

_switch = {"on": os.environ.get(VARIABLE, "1").lower() not in ("0", "false", "off")}


@checked
def use_cpu_kernel(on: bool) -> None:
    """Turn the kernel on or off in this process; what has been compiled is forgotten.

    On a CPU a run of a small model is one kernel, made by marks of XLA's that are not documented. Without it results
    are the same and runs some times slower. The environment variable DICKE_JAX_CPU_KERNEL=0 turns it off as well.

    **Arguments**

    - `on`: False to run without it from now on, True to run by it again.

    **Raises** ValueError for what is neither True nor False.

    **Example**

        >>> dj.use_cpu_kernel(True)  # as it is from the start
    """
    if not isinstance(on, bool):
        raise ValueError(f"on must be True or False; got {on!r}.")
    if on != _switch["on"]:
        _switch["on"] = on
        jax.clear_caches()


def kernel_state() -> str:
    """Whether runs are kernels, and if not why."""
    if not _switch["on"]:
        return f"off (turned off by {VARIABLE} or use_cpu_kernel)"
    if (obstacle := _obstacle()) is not None:
        return f"off ({obstacle})"
    if jax.default_backend() != "cpu":
        return f"off (on {jax.default_backend()} there is none)"
    return "on"


@functools.cache
def _obstacle() -> str | None:
    found = re.match(r"\d+\.\d+", version("jax"))
    minor = found.group() if found else "unknown"
    if minor not in TESTED:
        return f"not tested with jax {minor}, but with {', '.join(TESTED)}"
    return "this jax has no marks" if set_xla_metadata is None else None


def compiler_flags() -> tuple[str, ...]:
    """What XLA_FLAGS may hold before JAX computes anything: XLA ends a process for a flag that it does not know.

    Loops over a few spins then stay loops, which vectors can take, and vectors may be as wide as the processor has.
    """
    flags = "--xla_backend_extra_options=xla_cpu_disable_loop_unrolling", "--xla_cpu_prefer_vector_width=512"
    return flags if _obstacle() is None else ()


def as_fast_as_known(
    adjoint: dfx.AbstractAdjoint, model: DickeModel, solver: dfx.AbstractSolver, controller: Any, event: Any
) -> tuple[dfx.AbstractAdjoint, dfx.AbstractSolver]:
    """Both, with the run as one kernel where every part of its loop is known to fit into one."""
    inside = _in_a_kernel(adjoint, model, solver, controller, event)
    return (adjoint, orders_apart(model, solver)) if inside is None else (inside, solver)


def _in_a_kernel(
    adjoint: dfx.AbstractAdjoint, model: DickeModel, solver: dfx.AbstractSolver, controller: Any, event: Any
) -> dfx.AbstractAdjoint | None:
    fits = kernel_state() == "on" and type(solver) is BilinearTaylor and _fits(model) and _steps_fit(controller)
    fits = fits and _sums_fit(model, solver)
    if not fits or (event is not None and type(event.cond_fn) is not IsStationary):
        return None
    if type(adjoint) is ReplayAdjoint and type(adjoint.run) is dfx.ForwardMode:
        return ReplayAdjoint(adjoint.max_steps, WholeRun())
    return WholeRun() if type(adjoint) is dfx.ForwardMode else None


def as_small_as_known(function: Callable[..., Any], model: DickeModel, *given: Any) -> Any:
    """function(model, *given) as one kernel where the model fits into one: many small ones take long to compile.

    All results are real, and computed.
    """
    arrays, rest = eqx.partition((model, given), eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    fits = kernel_state() == "on" and _fits(model)
    # a column of its own may stand beside those of a leaf in a sum: of 256 samples of 15 overlaps there are 4096 then
    if not fits or any(leaf.size + len(leaf) >= FEWEST_SUMMED for leaf in leaves if jnp.ndim(leaf)):
        return function(model, *given)

    def of(leaves: list[Array]) -> Any:
        model, given = eqx.combine(jax.tree.unflatten(structure, leaves), rest)
        return function(model, *given)

    return one_kernel(lambda many: of, leaves)


def _fits(model: DickeModel) -> bool:
    """Whether all that is the model's has a type that is known, and numbers that a float of its precision holds."""
    operator = model.spins.operator
    small = model.num_subsets <= SMALL
    if type(operator) is DenseCouplings:
        kind = operator.matrix.dtype
        small &= jnp.issubdtype(kind, jnp.floating) or kind in (jnp.int8, jnp.int16)
        small &= operator.matrix.size <= SMALL_MATRIX
    jumps = () if model.dissipation is None else model.dissipation.rates
    known = type(model) is DickeModel and type(operator) in (DenseCouplings, HypercubeCouplings)
    known &= model.dissipation is None or type(model.dissipation) is LocalDissipation
    rates = (*model.rates.values(), *jumps)
    return small and known and all(type(r) is PiecewiseLinear or isinstance(r, Array) for r in rates)


def _sums_fit(model: DickeModel, solver: Any) -> bool:
    """Whether XLA itself sums over the orders of a state, where they are a loop; orders written out are added."""
    looped = (solver.unrolled or 0) < solver.series_order
    return not looped or (solver.series_order + 1) * max(3 * model.num_subsets, 2 * model.num_modes) < FEWEST_SUMMED


def _steps_fit(controller: Any) -> bool:
    """A `PIDController` with its default norm, or constant steps; clipped to times, fit for derivatives, or begun."""
    if type(controller) in (FirstStep, TangentSteps):
        return _steps_fit(controller.controller)
    if type(controller) is dfx.ClipStepSizeController:
        plain = controller.jump_ts is None and controller.store_rejected_steps is None
        return plain and controller.callback_on_reject is None and _steps_fit(controller.controller)
    if type(controller) is dfx.PIDController:
        return controller.norm is rms_norm
    return type(controller) is dfx.ConstantStepSize
