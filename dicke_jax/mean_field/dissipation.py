"""Single-spin dissipation: jump operators on every spin, as affine terms of the Bloch equations."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_float, check_all, check_choice, check_finite, known, refuse, told
from .._typing import ArrayLike, SpinVectors
from .rates import as_schedule, is_schedule, value_at
from .site_levels import generators

SIGMA_X = np.array([[0, 1], [1, 0]], complex)
SIGMA_Y = np.array([[0, -1j], [1j, 0]])
SIGMA_Z = np.array([[1, 0], [0, -1]], complex)
JUMPS = {
    "decay_x": (SIGMA_Y - 1j * SIGMA_Z) / 2,  # towards the -x state, the ground state of Omega sigma_x
    "sigma_minus": (SIGMA_X - 1j * SIGMA_Y) / 2,
    "sigma_plus": (SIGMA_X + 1j * SIGMA_Y) / 2,
    "dephasing_x": SIGMA_X,
    "dephasing_y": SIGMA_Y,
    "dephasing_z": SIGMA_Z,
}
GAUGE = np.diag([1.0, -1.0, -1.0])  # the rotation by pi about x, on Bloch vectors


class LocalDissipation(eqx.Module):
    """Jump operators L_j at rates r_j on every single spin.

        m' = sum_j r_j (T_j m + c_j),   L = l_0 + l . sigma
        T = 2 Re(l l^dag) - 2 |l|^2 - 2 [Im(conj(l_0) l)]_x,   c = 4 Re l x Im l

    with [v]_x m = v x m. The paper's theorem covers such processes; mean field stays exact with them. Spin lengths are
    no longer conserved.

    **Argument**

    - `jumps`: pairs (jump, rate). A jump is a 2x2 matrix in the basis in which sigma_z = diag(1, -1), or a name:
      "decay_x" (towards the -x state), "sigma_minus", "sigma_plus", "dephasing_x", "dephasing_y", "dephasing_z", the
      latter three with L = sigma. A rate is not negative: one number, or one for each subset, of shape (K,); or it
      depends on time, as the rates of `DickeModel` may. For sites of d levels all jumps are dxd matrices:
      T_ca = Tr(lambda_a D(lambda_c)) / 2 and c_c = Tr D(lambda_c) / d, D(X) = L^+ X L - (L^+ L X + X L^+ L) / 2.

    Kept as `linear`, T_j of shape (J, 3, 3), `constant`, c_j of shape (J, 3), and the `rates`. `is_gauge_invariant`:
    whether the rotation by pi about x leaves all of it as it is.

    **Raises** ValueError for jumps and rates that are none.

    **Example**

        >>> decay = dj.LocalDissipation([("decay_x", 0.1)])
        >>> print(decay.rate_of_change(jnp.array([[0.0], [0.0], [1.0]]))[:, 0].round(6))
        [-0.1   0.   -0.05]
    """

    linear: Float[Array, "J B B"]
    constant: Float[Array, "J B"]
    rates: tuple[Any, ...]  # each Float[Array, "*K"], or a schedule
    is_gauge_invariant: bool = eqx.field(static=True)

    def __init__(self, jumps: Sequence[tuple[Any, Any]]) -> None:
        if not len(jumps):
            refuse("jumps", "pairs (jump, rate), at least one", "none")
        if isinstance(jumps, str) or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in jumps):
            refuse("jumps", "pairs, [(jump, rate), ...]", told(jumps))
        terms = [_bloch_terms(jump) for jump, _ in jumps]
        if len(sizes := {len(constant) for _, constant in terms}) > 1:
            refuse("jumps", "matrices of one size (a name is one of 2x2)", f"{len(sizes)} sizes")
        self.linear = jnp.array([linear for linear, _ in terms], float)
        self.constant = jnp.array([constant for _, constant in terms], float)
        name = "rate of a jump"
        self.rates = tuple(as_schedule(name, r) if is_schedule(r) else as_float(r, name) for _, r in jumps)
        for rate in (rate for rate in self.rates if not is_schedule(rate)):
            if rate.ndim > 1:
                refuse("rate of a jump", "one number or of shape (K,)", f"shape {rate.shape}")
            check_finite("rate of a jump", rate)
            check_all("rate of a jump", rate, lambda r: r >= 0, "not negative")
        self.is_gauge_invariant = _is_gauge_invariant(terms, self.rates)

    @property
    def levels(self) -> int:
        """d, of the sites that these jumps act on."""
        return math.isqrt(self.constant.shape[-1] + 1)

    def at(self, t: ArrayLike) -> "LocalDissipation":
        """The dissipation with the values that its rates have at time t."""
        return eqx.tree_at(lambda d: d.rates, self, tuple(jnp.asarray(value_at(rate, t)) for rate in self.rates))

    def terms(self, dtype: jnp.dtype) -> tuple[Float[Array, "B B *K"], Float[Array, " B *K"]]:
        """T and c of all jumps together; their last axis has one entry, or one for each subset."""
        rates = [jnp.atleast_1d(rate).astype(dtype)[None, :] for rate in self.rates]
        linear = sum(T[:, :, None] * r[None] for T, r in zip(self.linear.astype(dtype), rates, strict=True))
        constant = sum(c[:, None] * r for c, r in zip(self.constant.astype(dtype), rates, strict=True))
        return jnp.asarray(linear), jnp.asarray(constant)

    def rate_of_change(self, m: SpinVectors) -> SpinVectors:
        """T m + c."""
        linear, constant = self.terms(m.dtype)
        return apply_terms(linear, m) + constant


def check_dissipation(dissipation: Any, num_subsets: int, levels: int = 2) -> None:
    """Refuse what is not a `LocalDissipation` of so many subsets and levels."""
    if not isinstance(dissipation, LocalDissipation):
        must_be = "a LocalDissipation, such as LocalDissipation([('decay_x', 0.05)]), or None"
        refuse("dissipation", must_be, type(dissipation).__name__)
    if dissipation.levels != levels:
        n = dissipation.levels
        refuse("dissipation", f"of {levels}x{levels} matrices for sites of {levels} levels", f"{n}x{n} ones")
    for rate in dissipation.rates:
        if not is_schedule(rate) and rate.shape not in ((), (num_subsets,)):
            refuse("rate of a jump", f"one number or of shape ({num_subsets},)", f"shape {rate.shape}")


def _is_gauge_invariant(terms: list[tuple[np.ndarray, np.ndarray]], rates: tuple[Any, ...]) -> bool:
    """Whether the gauge of the mapping, a rotation by pi about x, changes nothing: all jumps, or else their sum."""

    def unchanged(linear: np.ndarray, constant: np.ndarray) -> bool:
        return (
            len(constant) == len(GAUGE)
            and np.allclose(GAUGE @ linear @ GAUGE, linear)
            and np.allclose(GAUGE @ constant, constant)
        )

    if all(unchanged(*term) for term in terms):
        return True
    if any(is_schedule(rate) or not known(rate) for rate in rates):
        return False
    each = np.stack(np.broadcast_arrays(*(np.atleast_1d(np.asarray(rate)) for rate in rates)))
    linear = np.einsum("jk,jab->kab", each, np.stack([term[0] for term in terms]))
    constant = np.einsum("jk,ja->ka", each, np.stack([term[1] for term in terms]))
    return all(unchanged(*sums) for sums in zip(linear, constant, strict=True))


def apply_terms(linear: Float[Array, "B B *K"], m: SpinVectors) -> SpinVectors:
    """T m, of spins written out: nine products that a compiler fuses."""
    if m.shape[0] != 3:
        return jnp.sum(linear * m[None], axis=1)
    return jnp.stack([sum((linear[a, b] * m[b] for b in (1, 2)), linear[a, 0] * m[0]) for a in range(3)])


def _bloch_terms(jump: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(jump, str):
        check_choice("jump", jump, tuple(JUMPS))
        jump = JUMPS[jump]
    L = np.asarray(jump, dtype=complex)
    if L.ndim != 2 or L.shape[0] != L.shape[1] or len(L) < 2:
        refuse("jump", "a matrix, 2x2 of spins and dxd of sites with d levels, or a name", f"shape {L.shape}")
    check_finite("jump", L)
    watched, lost = generators(len(L)), L.conj().T @ L
    changed = L.conj().T @ watched @ L - (lost @ watched + watched @ lost) / 2
    linear = np.real(np.einsum("aij,cji->ca", watched, changed)) / 2
    return linear, np.real(np.trace(changed, axis1=1, axis2=2)) / len(L)
