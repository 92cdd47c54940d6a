"""How a computation ended: one vocabulary for every result.

It is diffrax's, with those of optimistix and lineax that are part of it, and what this package has to say besides.
"""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

from ._checks import known


class Status(dfx.RESULTS):  # pyright: ignore[reportGeneralTypeIssues]
    """How a computation ended; `Status[status]` is its text, which is empty where all is well."""

    successful = ""
    oscillating = "oscillating: still moving at the end, without a trend over the last half of the run"
    not_converged = "not converged: still on its way at the end; a longer max_time, or more steps, may do"
    failed = "failed: the computation broke down or met numbers that are not finite"
    interrupted = "interrupted: the best so far"
    cut_off = "cut off: the highest photon level kept is populated; use more levels"
    coarse_steps = "coarse steps: their error exceeds that of the sampling; use a smaller dt"
    non_unique = "not unique: some fluctuations never decay and remember their start"
    unstable = "unstable: some fluctuations grow"
    at_rest = "at rest: no motion, or one that does not come back to where it began"
    moving = "moving: the state is not stationary"
    unresolved_omega_spin = "unresolved: omega_spin(t) changes within a step by more than the solver sees"
    unresolved_omega_mode = "unresolved: omega_mode(t) changes within a step by more than the solver sees"
    unresolved_kappa = "unresolved: kappa(t) changes within a step by more than the solver sees"
    unresolved_g0 = "unresolved: g0(t) changes within a step by more than the solver sees"
    unresolved_dissipation = "unresolved: the rate of a jump changes within a step by more than the solver sees"
    unresolved_rate = "unresolved: a function of time changes within a step by more than the solver sees"
    misfit = "misfit: the residuals are far larger than the noise allows; another minimum, another model or more noise"
    at_bound = "at a bound: the loss is lower beyond it"
    incomplete = "incomplete: there may be more; use more starts"
    uncertain = "uncertain: the loss at the ends of an interval is lower than the curvature at the best rates says"
    record_full = "more steps than a derivative has room for: adjoint=ReplayAdjoint(max_steps=...) with a larger number"
    undecided = "undecided: still moving at the end without a trend; oscillating, or on its way too slowly to tell"
    stiff = "too many steps: modes are far faster than the spins, and solver=diffrax.Kvaerno5() lets them follow"


def worst_text(status: Any) -> str:
    """The text of the first status, of one or of a batch, that is not successful."""
    codes = np.ravel(status._value)
    bad = codes[codes != np.asarray(Status.successful._value)]
    return Status._index_to_message[int(bad[0])] if bad.size else "successful"  # pyright: ignore


def is_known_as(status: Any, one: Any) -> bool:
    """Whether a status that can be known is this one, by NumPy where it is: JAX would compile a program for it."""
    return bool(np.asarray(status._value) == np.asarray(one._value) if known(status._value) else status == one)


def counts(status: Any) -> dict[str, int]:
    """How many rows of a batch ended in each way that occurs."""
    names = list(Status._name_to_item)  # pyright: ignore[reportAttributeAccessIssue]
    codes, numbers = np.unique(status._value, return_counts=True)
    return {names[code]: int(number) for code, number in zip(codes, numbers, strict=True)}


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`; row by row of a batch."""
    if np.ndim(condition):
        return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
    return Status.where(condition, a, b)  # pyright: ignore[reportArgumentType]
