"""Shape names of the annotations, read as in the source paper.

    M  modes, which are the stored patterns      K  subsets (large spins)
    N  single spins, N_sp of the paper           T  saved times
    B  components of a mean vector: 3 of spins, d^2 - 1 of sites with d levels

A batch is a leading axis that `jax.vmap` puts in front; the physics never sees it. The annotations are executed in
the tests by jaxtyping with beartype and cost users nothing.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import jaxtyping
from jaxtyping import Array, Float

ArrayLike: TypeAlias = jaxtyping.ArrayLike | Sequence[Any]  # at the door: arrays, numbers, lists of them
ModeReals: TypeAlias = Float[Array, " M"]
SubsetReals: TypeAlias = Float[Array, " K"]
SpinVectors: TypeAlias = Float[Array, "B K"]
Quadratures: TypeAlias = Float[Array, "2 M"]
RealState: TypeAlias = tuple[SpinVectors, Quadratures]
RealStates: TypeAlias = tuple[Float[Array, "T B K"], Float[Array, "T 2 M"]]
