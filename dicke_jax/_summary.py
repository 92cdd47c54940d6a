"""How results print: a heading, and a row for each thing worth a look."""

import abc
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._checks import known
from ._labelled import Labelled
from ._status import Status, counts, worst_text

Rows: TypeAlias = Iterable[tuple[str, Any]]


class AbstractResult(Labelled):
    """What a computation gave, with how it ended; under `jax.vmap` every array has leading batch axes."""

    if not TYPE_CHECKING:  # a type checker would take it for the first argument of every result
        status: eqx.AbstractVar[Any]  # a `Status`

    @property
    def successful(self) -> Array:
        """Whether all is well; one answer for each row of a batch."""
        return jnp.asarray(self.status == Status.successful)  # pyright: ignore[reportAttributeAccessIssue]

    @abc.abstractmethod
    def _heading(self) -> str:
        """The first line of the summary."""

    @abc.abstractmethod
    def _rows(self) -> Rows:
        """Labels and values of the lines below, after the status."""

    def __repr__(self) -> str:
        if not all(known(leaf) for leaf in jax.tree.leaves(self)):
            return eqx.tree_pformat(self)
        status = self.status  # pyright: ignore[reportAttributeAccessIssue]
        return summary(self._heading(), [("status", status), *self._rows()])


def counted(number: int, name: str) -> str:
    """So many of a name: "1 mode", "2 modes"."""
    return f"{number} {name}{'s' * (number != 1)}"


def system(overlaps: Any, m: Any) -> str:
    """What a result is of: how many patterns, unless there is one overlap, which may be the mean of z, and subsets."""
    rows, subsets = m.shape[-2:]
    of_levels = f" of {levels} levels" if (levels := math.isqrt(rows + 1)) > 2 else ""
    patterns = f"{overlaps.shape[-1]} patterns, " if overlaps.shape[-1] > 1 else ""
    return f"{patterns}{counted(subsets, 'subset')}{of_levels}"


def summary(heading: str, rows: Rows) -> str:
    """The heading, and below it labels and values in two columns."""
    shown = [(label, _shown(value)) for label, value in rows]
    width = max((len(label) for label, _ in shown), default=0)
    return "\n".join([heading, *(f"  {label:{width}}  {value}".rstrip() for label, value in shown)])


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Status):
        if not np.ndim(value._value):
            return worst_text(value)
        found = counts(value)
        good = f"{found.pop('successful', 0)} of {np.size(value._value)} successful"
        return ", ".join([good, *(f"{number} {name}" for name, number in found.items())])
    numbers = np.asarray(value)
    if numbers.ndim == 0:
        return f"{numbers.item():.6g}" if np.issubdtype(numbers.dtype, np.inexact) else f"{numbers.item()}"
    if np.issubdtype(numbers.dtype, np.inexact):
        numbers = np.round(numbers, 4) + 0.0  # no -0.
    return np.array2string(numbers, precision=4, suppress_small=True, threshold=8, separator=", ")
