"""Shape names of the annotations, read as in the source paper.

    M  modes, which are the stored patterns      K  subsets (large spins)
    N  single spins, N_sp of the paper           T  saved times
    B  components of a mean vector: 3 of spins, d^2 - 1 of sites with d levels

A batch is a leading axis that `jax.vmap` puts in front; the physics never sees it. The annotations are executed in
the tests by jaxtyping with beartype and cost users nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import jaxtyping
from jaxtyping import Array, Float

if TYPE_CHECKING:
    ArrayLike: TypeAlias = jaxtyping.ArrayLike | Sequence[Any]
else:

    class _ArrayLike(type):
        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, (*get_args(jaxtyping.ArrayLike), Sequence))

    class ArrayLike(metaclass=_ArrayLike):
        """Arrays, numbers, lists of them. A class, so that `help` has one word for what is a union of ten."""


ModeReals: TypeAlias = Float[Array, " M"]
SubsetReals: TypeAlias = Float[Array, " K"]
SpinVectors: TypeAlias = Float[Array, "B K"]
Quadratures: TypeAlias = Float[Array, "2 M"]
RealState: TypeAlias = tuple[SpinVectors, Quadratures]
RealStates: TypeAlias = tuple[Float[Array, "T B K"], Float[Array, "T 2 M"]]
