"""Exact symmetry reduction: the smaller model that a run stays in, where its start allows one."""

from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Num

from .._checks import check_shape, known, refuse
from .._door import checked
from .._summary import summary
from ..couplings import DenseCouplings, HypercubeCouplings, LargeSpins
from ..couplings.mapping import turned
from .model import DickeModel
from .rates import PiecewiseLinear, is_schedule, value_at
from .state import MeanFieldState

Classes: TypeAlias = tuple[Int[np.ndarray, " K"], Int[np.ndarray, " K"], Int[np.ndarray, " L"]]  # see `_alike`
ROUND_OFF = 1e-14  # up to which a sum of K weights of sum 1 counts as zero, times K


class SymmetryReduction(eqx.Module):
    """A smaller model whose solution is exactly that of the full one, and the way back.

        m_k = R(sign_k) m'_{subset_k},   alpha_mu = alpha'_nu for active modes mu, else 0

    R(-1) is the rotation by pi about x.

    - `model`, `state`: the smaller `DickeModel` and its `MeanFieldState`.
    - `active`: (M',), the modes that it keeps, from 0, of `num_modes` = M.
    - `subset`: (K,), to which of the K' subsets each of the K belongs; `sign`: (K,), +-1.

    What lies outside is out of sight: a run of the smaller model cannot leave the invariant subspace that it starts in,
    although in the full model the least admixture of another pattern may grow and take over.
    """

    model: DickeModel
    state: MeanFieldState
    active: Int[np.ndarray, " A"]
    subset: Int[np.ndarray, " K"]
    sign: Int[np.ndarray, " K"]
    num_modes: int = eqx.field(static=True)

    def restore(self, state: MeanFieldState) -> MeanFieldState:
        """The state of the full model, from one of the smaller; leading axes (times, batches) are allowed."""
        shape = (*state.m.shape[:-2], 3, self.model.num_subsets)
        check_shape("state.m", state.m, shape, "subsets of the smaller model")
        m = turned(state.m[..., self.subset], self.sign)
        alpha = jnp.zeros((*state.alpha.shape[:-1], self.num_modes), state.alpha.dtype)
        return MeanFieldState(m, alpha.at[..., self.active].set(state.alpha))

    def __repr__(self) -> str:
        before = f"{self.num_modes} modes and {self.subset.size} subsets"
        heading = f"SymmetryReduction: {before} become {self.model.num_modes} and {self.model.num_subsets}"
        unseen = "whatever breaks the symmetry: instabilities towards other patterns do not show"
        return summary(heading, [("active modes", f"{self.active.tolist()} (from 0)"), ("out of sight", unseen)])


@checked
def reduce_symmetry(model: DickeModel, state: MeanFieldState) -> SymmetryReduction:
    """The smallest exact model of this kind for all that follows from `state`.

    Modes are inactive that start empty and that nothing ever drives: every subset of the smaller model has

        sum_{k in subset} w_k sign_k G[mu, k] = 0

    for each of them. Subsets of the full model are one where they couple alike to the active modes, start alike and are
    damped alike, up to the rotation by pi about x (y, z -> -y, -z and G -> -G), where dissipation allows it. From a
    stored pattern of the hypercube one spin and one mode remain; of A active modes 2^(A-1) subsets; g0 and
    alpha = a / sqrt(N_sp) stay as they are. Where nothing can be left out, the model comes back as it is.

    - `model`: a `DickeModel`; `state`: the `MeanFieldState` that the run begins with. Both known, not traced.

    **Raises** ValueError for arguments that do not fit.

    **Returns** a `SymmetryReduction`.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.5)
        >>> small = dj.reduce_symmetry(model, dj.stored_pattern(model, pattern=2))
        >>> print(model.num_subsets, "subsets become", small.model.num_subsets)
        8 subsets become 1
    """
    if not all(known(leaf) for leaf in jax.tree.leaves(eqx.filter((model, state), eqx.is_array))):
        refuse("model and state", "known: which subsets are alike depends on the numbers", "traced")
    state.to_real(model)  # checks the shapes
    m, alpha = np.array(state.m), np.array(state.alpha)
    G, w = np.array(model.spins.couplings, dtype=float), np.array(model.spins.weights, dtype=float)
    may_turn = model.dissipation is None or model.dissipation.is_gauge_invariant
    own = () if model.dissipation is None else model.dissipation.rates
    own = [np.asarray(rate) for rate in own if not is_schedule(rate) and np.ndim(rate) == 1]
    damping = np.array(own, dtype=float).reshape(len(own), w.size)  # what tells subsets apart in their dissipation

    active = np.abs(alpha) > 0
    while True:
        subset, sign, first = _alike(G[active], m, damping, may_turn)
        moves = np.any(m[1:, first] != 0, axis=0) | np.any(G[np.ix_(active, first)] != 0, axis=0) | (not may_turn)
        drive = np.array([np.bincount(subset, row, first.size) for row in w * sign * G])
        driven = np.any(np.abs(drive[:, moves]) > ROUND_OFF * w.size, axis=1)
        if not np.any(driven & ~active):
            break
        active |= driven
    if not active.any():  # nothing drives anything: one mode stays, and stays empty
        active[0] = True
    return _smaller(model, state, active, _alike(G[active], m, damping, may_turn))


def _alike(
    G: Num[np.ndarray, "A K"], m: Float[np.ndarray, "3 K"], damping: Float[np.ndarray, "D K"], may_turn: bool
) -> Classes:
    """The class of every subset, the sign that turns it into its class's first member, and those first members."""
    straight = np.vstack([G, m[1:]])
    leading = straight[np.argmax(straight != 0, axis=0), np.arange(m.shape[1])]
    sign = np.where((leading < 0) & may_turn, -1, 1)
    keys = np.vstack([straight * sign, m[:1], damping]) + 0.0  # no negative zeros
    _, first, subset = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    order = np.argsort(first)  # classes in the order in which the subsets come
    return np.argsort(order)[subset.ravel()], sign, first[order]


def _smaller(
    model: DickeModel, state: MeanFieldState, active: Bool[np.ndarray, " M"], classes: Classes
) -> SymmetryReduction:
    (subset, sign, first), modes = classes, np.flatnonzero(active)
    if active.all() and first.size == subset.size:
        return SymmetryReduction(model, state, modes, np.arange(subset.size), np.ones(subset.size, int), active.size)
    G = np.array(model.spins.couplings)[np.ix_(active, first)] * sign[first]
    weights = np.bincount(subset, np.array(model.spins.weights, dtype=float), first.size)
    cube = HypercubeCouplings(modes.size)
    is_cube = first.size == cube.num_subsets and np.array_equal(G, cube.signs)
    gauged = model.spins.gauged or bool(np.any(sign < 0))
    spins = LargeSpins(cube if is_cube else DenseCouplings(G), weights, model.spins.num_spins, gauged)
    dissipation = model.dissipation
    if dissipation is not None:
        rates = tuple(r if is_schedule(r) or r.ndim == 0 else r[first] for r in dissipation.rates)
        dissipation = eqx.tree_at(lambda d: d.rates, dissipation, rates)
    of_modes = {name: _of_modes(getattr(model, name), modes, active.size) for name in ("omega_mode", "kappa")}
    smaller = DickeModel(spins, **(model.rates | of_modes), dissipation=dissipation)
    start = MeanFieldState(turned(state.m[:, first], sign[first]), state.alpha[modes])
    return SymmetryReduction(smaller, start, modes, subset, sign, active.size)


def _of_modes(rate: Any, modes: Int[np.ndarray, " A"], num_modes: int) -> Any:
    """The rates of some modes, constant or not."""
    if isinstance(rate, PiecewiseLinear):
        return rate if rate.values.ndim == 1 else PiecewiseLinear(rate.times, rate.values[:, modes])
    if is_schedule(rate):
        return lambda t: jnp.broadcast_to(value_at(rate, t), (num_modes,))[modes]
    return rate[modes]
