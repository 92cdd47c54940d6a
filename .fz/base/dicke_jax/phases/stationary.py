"""Stationary states: all that a search of the M self-consistent equations finds."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray

from .._checks import check_all, check_count, check_shape, known, refuse
from .._typing import ArrayLike, ModeReals, SubsetReals
from ..model import DickeModel, check_model
from ..observables import occupations
from ..self_consistency import follow, self_consistency, state_of_overlaps
from ..state import MeanFieldState
from .linearised import residual
from .search import newton, same, search_roots
from .stability import DENSE, Stability, stability, towards

PURE = 0.1  # a state is a pattern's own if no other overlap is larger than this share of its largest
MOST_STATES = 64  # kept where sizes must be known beforehand, under jax.jit and jax.vmap


class StateKind(eqx.Enumeration):
    """What a stationary state remembers."""

    normal = "normal: no overlap with any pattern"
    pure = "pure: one pattern"
    mixed = "mixed: several patterns at once"


KINDS = ("normal", "pure", "mixed")


class StationaryStates(eqx.Module):
    """Stationary states, one a row: the normal one first, then pure ones by pattern, then mixtures.

    A state and its sign images (all overlaps reversed, or one of them where the couplings allow it) are one row.

    - `overlaps` (S, M), `m` (S, 3, K), `alpha` (S, M): as in `MeanFieldState`; `state(i)` is the i-th.
    - `kind`: a `StateKind` for each row; `StateKind[kind]` is its text.
    - `growth_rate`, `num_growing`, `num_neutral`, `directions` (S, M): as in `stability`, the direction being that of
      the eigenvalue that grows fastest.
    - `multiplicity`: how many sign images a row stands for.
    - `index`: the sign of det(1 - P'), 0 where degenerate.
    - `hits`: how many starts ended in it.
    - `residual`: max |dy/dt| of the full equations, in units of the largest rate.
    - `found`: true. Under `jax.jit` and `jax.vmap`, where sizes must be known beforehand, false for rows of filling.
    - `num_starts`, `num_failed`: starts, and those that ended nowhere.
    - `num_found`: how many rows there would be; above S, `max_states` was too small.
    """

    overlaps: Float[Array, "*batch S M"]
    m: Float[Array, "*batch S 3 K"]
    alpha: Complex[Array, "*batch S M"]
    kind: StateKind
    growth_rate: Float[Array, "*batch S"]
    num_growing: Int[Array, "*batch S"]
    num_neutral: Int[Array, "*batch S"]
    directions: Float[Array, "*batch S M"]
    multiplicity: Int[Array, "*batch S"]
    index: Int[Array, "*batch S"]
    hits: Int[Array, "*batch S"]
    residual: Float[Array, "*batch S"]
    found: Bool[Array, "*batch S"]
    num_found: Int[Array, "*batch"]
    num_failed: Int[Array, "*batch"]
    num_starts: int = eqx.field(static=True)

    def __len__(self) -> int:
        return self.overlaps.shape[-2]

    @property
    def occupations(self) -> Float[Array, "*batch S M"]:
        """Photons per spin, |alpha_mu|^2."""
        return occupations(self.alpha)

    @property
    def is_stable(self) -> Bool[Array, "*batch S"]:
        """Whether nothing grows, as in `stability`."""
        return self.found & (self.num_growing == 0)

    @property
    def index_sum(self) -> Int[Array, "*batch"]:
        """The sum of the indices over all sign images: 1 if none is missing, for P is bounded.

        Two missing states can make up for each other: 1 supports completeness and does not prove it.
        """
        return jnp.sum(jnp.where(self.found, self.index * self.multiplicity, 0), axis=-1)

    @property
    def looks_complete(self) -> Bool[Array, "*batch"]:
        """Index sum 1, no state hit only once, none dropped."""
        once = jnp.any(self.found & (self.hits < 2), axis=-1)
        return (self.index_sum == 1) & ~once & (self.num_found <= len(self))

    def state(self, i: int) -> MeanFieldState:
        """The i-th state."""
        return MeanFieldState(self.m[..., i, :, :], self.alpha[..., i, :])

    def __repr__(self) -> str:
        if not known(self.growth_rate) or self.growth_rate.ndim != 1:
            return eqx.tree_pformat(self)
        sum_, failed = int(self.index_sum), int(self.num_failed)
        rows = [f"StationaryStates: {len(self)} up to signs, {int(jnp.sum(self.is_stable))} stable"]
        rows.append(f"  search  {self.num_starts} starts, {failed} failed, index sum {sum_} (complete: 1)")
        for i in range(len(self)):
            kind = next(name for name in KINDS if (self.kind == getattr(StateKind, name))[i])
            values = ", ".join(f"{v:.4f}" for v in np.asarray(self.overlaps[i]) + 0.0)
            rate = f"grows at {float(self.growth_rate[i]):.3g} towards {towards(self.directions[i])}"
            fate = "stable" if self.is_stable[i] else rate
            rows.append(f"  {kind:6}  [{values}] x{int(self.multiplicity[i])}, {int(self.hits[i])} hits, {fate}")
        return "\n".join(rows)


def stationary_states(
    model: DickeModel,
    key: PRNGKeyArray,
    *,
    spin_length: ArrayLike = 1.0,
    side: int | None = None,
    num_starts: int | None = None,
    max_states: int | None = None,
) -> StationaryStates:
    """All roots that Newton's method finds from many starts, each checked on the full equations.

        xi_mu = sum_k w_k G[mu, k] z_k(b_k),   b_k = sum_mu G[mu, k] c_mu xi_mu
        z_k = -s_k b_k / sqrt(Omega^2 + b_k^2),   c_mu = -2 g0^2 Omega_mu / (Omega_mu^2 + kappa_mu^2 / 4)

    M equations for the overlaps alone. With dissipation z_k(b_k) is the rest position of the damped spin. Starts are
    random overlaps that make no field on a few subsets: there the unstable states lie at large g0.

    **Main arguments**

    - `model`: a `DickeModel` with constant rates.
    - `key`: for the starts.

    **Other arguments**

    - `spin_length`: s_k, one number or one for each subset. Dissipation decides on its own lengths.
    - `side`: +1, spins antiparallel to their field, as at low energy; -1, parallel. By default +1, or -1 where all
      Omega_mu are negative. With mixed signs both sides have states: ask for each. Spins of both sides at once, 2^K
      combinations, are not looked for.
    - `num_starts`: 128 * 2^M by default, at least 1024 and at most 65,536.
    - `max_states`: rows under `jax.jit` and `jax.vmap`, 64 by default; otherwise all that are found are kept.

    **Returns** `StationaryStates`, differentiable in the model by implicit differentiation. `index_sum` and `hits` tell
    how far to trust that they are all.

    **Raises** ValueError for arguments that do not fit, or for rates that depend on time.
    """
    lengths = signed_spin_lengths(model, spin_length, side)
    M = model.num_modes
    num_starts = min(max(1024, 128 * 2**M), 65536) if num_starts is None else num_starts
    check_count("num_starts", num_starts)
    if max_states is not None:
        check_count("max_states", max_states)
    search = search_roots(jax.lax.stop_gradient(model), jax.lax.stop_gradient(lengths), key, num_starts)
    number = search[-2]
    size = min(MOST_STATES if max_states is None else max_states, num_starts)
    if known(number):
        size = int(number) if max_states is None else min(int(number), max_states)
    return _described(model, lengths, search, size, num_starts)


def stationary_state(
    model: DickeModel, guess: ArrayLike, *, spin_length: ArrayLike = 1.0, side: int | None = None
) -> tuple[MeanFieldState, Bool[Array, ""]]:
    """The stationary state near overlaps `guess`, of shape (M,), and whether Newton's method found one.

        xi = P(xi)

    Differentiable in the model by implicit differentiation, and made for `jax.vmap`: to follow a known state through
    parameters. Arguments as in `stationary_states`; NaN where there is none.
    """
    lengths = signed_spin_lengths(model, spin_length, side)
    start = jnp.asarray(guess, model.dtype)
    check_shape("guess", start, (model.num_modes,), "an overlap for each pattern")
    return _polish(model, lengths, start)


@eqx.filter_jit
def _polish(model: DickeModel, lengths: SubsetReals, start: ModeReals) -> tuple[MeanFieldState, Bool[Array, ""]]:
    fixed = jax.lax.stop_gradient((model, lengths))
    xi, good = newton(start, fixed)
    xi = follow(jnp.where(good, xi, jnp.nan), good, model, lengths)
    return state_of_overlaps(model, xi, lengths), good


def signed_spin_lengths(model: DickeModel, spin_length: ArrayLike, side: int | None) -> SubsetReals:
    """s_k, with the sign of the side of their field on which the spins are; see `stationary_spins`."""
    check_model(model)
    if model.is_time_dependent:
        refuse("model", "one with constant rates (model.at(t) has those of time t)", "one with rates that change")
    lengths = jnp.asarray(spin_length, model.dtype)
    if lengths.shape not in ((), (model.num_subsets,)):
        refuse("spin_length", f"one number or of shape ({model.num_subsets},)", f"shape {lengths.shape}")
    check_all("spin_length", lengths, lambda s: (s >= 0) & (s <= 1), "from 0 to 1")
    if side not in (None, 1, -1):
        refuse("side", "+1, -1 or None", side)
    sign = jnp.where(jnp.all(model.omega_mode < 0), -1, 1) if side is None else side
    return jnp.broadcast_to(lengths * sign, (model.num_subsets,))


def _described(
    model: DickeModel, lengths: SubsetReals, search: tuple[Any, ...], size: int, num_starts: int
) -> StationaryStates:
    """The first `size` roots in reading order, with all that is told of them."""
    *_, number, failed = search
    # the number of rows is rounded up, so that searches with other results share a compilation
    rows = min(2 ** max(size - 1, 3).bit_length(), num_starts) if known(number) else size
    xi, state, kind, index, rest, images, hits, found = _describe(model, lengths, search, rows)
    told = _stabilities(model, state, found)
    sizes = jnp.abs(xi)
    several = jnp.sum(sizes > PURE * jnp.max(sizes, axis=1, keepdims=True), axis=1)
    several = jnp.where(kind == StateKind.normal, 0, several)
    order = jnp.lexsort((-jnp.max(sizes, axis=1), jnp.argmax(sizes, axis=1), several, ~found))
    xi, m, alpha, growth = jax.tree.map(  # rows of filling are no states
        lambda x: jnp.where(found.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.nan),
        (xi, state.m, state.alpha, told.growth_rate),
    )
    each = {
        "overlaps": xi,
        "m": m,
        "alpha": alpha,
        "kind": kind,
        "growth_rate": growth,
        "num_growing": told.num_growing,
        "num_neutral": told.num_neutral,
        "directions": told.directions[:, 0],
        "multiplicity": images,
        "index": index,
        "hits": hits,
        "residual": rest,
        "found": found,
    }
    each = jax.tree.map(lambda x: x[order[:size]], each)
    return StationaryStates(**each, num_found=number, num_failed=failed, num_starts=num_starts)


@eqx.filter_jit
def _describe(model: DickeModel, lengths: SubsetReals, search: tuple[Any, ...], rows: int) -> tuple[Any, ...]:
    roots, hits, images, number, _ = search
    found = jnp.arange(rows) < number

    def describe(xi: ModeReals, valid: Array) -> tuple[Any, ...]:
        xi = follow(jnp.where(valid, xi, 0), valid, model, lengths)
        state = state_of_overlaps(model, xi, lengths)
        fixed, args = jax.lax.stop_gradient((xi, (model, lengths)))
        sign, _ = jnp.linalg.slogdet(jax.jacfwd(self_consistency)(fixed, args))
        sizes = jnp.sort(jnp.append(jnp.abs(fixed), 0))
        kind = StateKind.where(sizes[-2] <= PURE * sizes[-1], StateKind.pure, StateKind.mixed)
        kind = StateKind.where(sizes[-1] < same(xi.dtype), StateKind.normal, kind)
        return xi, state, kind, sign.astype(int), residual(model, state)

    return *jax.vmap(describe)(roots[:rows], found), images[:rows], hits[:rows], found


def _stabilities(model: DickeModel, states: MeanFieldState, found: Bool[Array, " S"]) -> Stability:
    dimension = (2 if model.dissipation is None else 3) * model.num_subsets + 2 * model.num_modes
    if dimension <= DENSE or not known(states.m):
        return _stabilities_at_once(model, states)
    rows = [stability(model, jax.tree.map(lambda x, i=i: x[i], states)) for i in range(int(jnp.sum(found)))]
    rows += rows[-1:] * (found.size - len(rows))
    first = [
        eqx.tree_at(lambda s: (s.eigenvalues, s.directions), row, (row.eigenvalues[:1], row.directions[:1]))
        for row in rows
    ]
    return jax.tree.map(lambda *each: jnp.stack(each), *first)


@eqx.filter_jit
def _stabilities_at_once(model: DickeModel, states: MeanFieldState) -> Stability:
    return jax.vmap(lambda state: stability(model, state, method="dense"))(states)
