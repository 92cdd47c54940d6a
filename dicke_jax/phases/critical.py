"""Critical couplings: the g0 at which a retrieval state appears."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_choice
from .._typing import ArrayLike
from ..model import DickeModel
from .retrieval import as_spin_length, check_closed_form, threshold_squared


def critical_coupling(
    model: DickeModel, pattern: ArrayLike = 0, *, kind: str = "existence", spin_length: ArrayLike = 1.0
) -> Float[Array, ""]:
    """g0 at which the retrieval state of pattern nu appears.

        g_crit = sqrt(|Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu)| / s)

    Paper, below Eq. 12, for s = 1 and positive rates. Does not depend on the model's own g0.

    **Arguments**

    - `model`, `pattern`, `spin_length`: as in `retrieval_overlap`.
    - `kind`: "existence", the coupling above which the state exists.
    """
    check_choice("kind", kind, ("existence",))
    check_closed_form(model, pattern)
    return jnp.sqrt(jnp.abs(threshold_squared(model, pattern)) / as_spin_length(model, spin_length))
