"""Modes that are far faster than the spins: known beforehand, or told by a run that took too many steps."""

from typing import Any

import diffrax as dfx
from jaxtyping import Array

from .._status import Status, where
from .._typing import RealState
from ..mean_field import AbstractMeanFieldModel

STIFF = 1000.0  # times the rates of the spins, from which on modes are left to an implicit solver
FAST = 100.0  # times the rates of the spins, from which on modes are why an explicit solver takes so many steps


def stiffness(model: AbstractMeanFieldModel) -> float:
    """How many times faster the fastest mode turns or decays than any spin does; 1 where that is not known."""
    return model.stiffness()


def or_too_stiff(
    status: Status, model: AbstractMeanFieldModel, y0: RealState, t0: Array, solver: dfx.AbstractSolver
) -> Status:
    """The status of a run with an explicit solver, which names modes as the reason where it took too many steps."""
    if isinstance(solver, dfx.AbstractImplicitSolver):
        return status
    too_many: Any = (status == Status.max_steps_reached) | (status == Status.record_full)
    fast = model.fastest_rate(t0, y0) > FAST * model.spin_rate(t0, y0)
    return where(too_many & fast, Status.stiff, status)
