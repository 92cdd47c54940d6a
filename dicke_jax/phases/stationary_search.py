"""Stationary states: all that a search of the M self-consistent equations finds."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray

from .._checks import as_array, check_count, check_shape, known, refuse, renamed, told
from .._door import checked
from .._labelled import Labelled
from .._summary import summary
from .._typing import ArrayLike, ModeReals, SubsetReals
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, check_constant_rates, occupations
from ..mean_field.stationary_equations import as_spin_lengths, follow, self_consistency, state_of_overlaps
from .collective_search import CollectiveStates, collective_state, collective_states
from .collective_starts import as_kept
from .linearisation import residual
from .roots import Roots, merge_distance, newton, search_roots
from .stability_spectrum import DENSE, num_rows, stability, towards

PURE = 0.1  # a state is a pattern's own if no other overlap is larger than this share of its largest
CHEAP = 40  # rows of a matrix of which 64 spectra cost nothing
MOST_STATES = 64  # kept where sizes must be known beforehand, under jax.jit and jax.vmap


class StateKind(eqx.Enumeration):
    """What a stationary state remembers."""

    normal = "normal: no overlap with any pattern"
    pure = "pure: one pattern"
    mixed = "mixed: several patterns at once"


class StationaryStates(Labelled):
    """Stationary states, one a row: the normal one first, then pure ones by pattern, then mixtures.

    A state and its sign images (all overlaps reversed, or one of them where the couplings allow it) are one row.

    - `overlaps` (S, M), `m` (S, 3, K), `alpha` (S, M): as in `MeanFieldState`; `state(i)` is the i-th.
    - `kind`: a `StateKind` for each row; `StateKind[kind]` is its text.
    - `growth_rate`, `num_growing`, `num_neutral`, `directions` (S, M): as in `stability`, the direction being that of
      the eigenvalue that grows fastest.
    - `multiplicity`: (S,), how many sign images a row stands for.
    - `index`: (S,), the sign of det(1 - P'), 0 where degenerate.
    - `hits`: (S,), how many starts ended in it.
    - `residual`: (S,), max |dy/dt| of the full equations, in units of the largest rate.
    - `found`: (S,), true. Under `jax.jit` and `jax.vmap`, where sizes must be known, false for rows of filling.
    - `num_starts`, `num_failed`: starts, and those that ended nowhere.
    - `num_found`: how many rows there would be; above S, `max_states` was too small.
    """

    overlaps: Float[Array, "*batch state M"]
    m: Float[Array, "*batch state 3 K"]
    alpha: Complex[Array, "*batch state M"]
    kind: StateKind
    growth_rate: Float[Array, "*batch state"]
    num_growing: Int[Array, "*batch state"]
    num_neutral: Int[Array, "*batch state"]
    directions: Float[Array, "*batch state M"]
    multiplicity: Int[Array, "*batch state"]
    index: Int[Array, "*batch state"]
    hits: Int[Array, "*batch state"]
    residual: Float[Array, "*batch state"]
    found: Bool[Array, "*batch state"]
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
        """Whether nothing speaks against these being all states: index sum 1, no state hit only once, none dropped."""
        once = jnp.any(self.found & (self.hits < 2), axis=-1)
        return (self.index_sum == 1) & ~once & (self.num_found <= len(self))

    successful = looks_complete

    def state(self, i: int) -> MeanFieldState:
        """The i-th state."""
        return MeanFieldState(self.m[..., i, :, :], self.alpha[..., i, :])

    def __repr__(self) -> str:
        if not known(self.growth_rate) or self.growth_rate.ndim != 1:
            return eqx.tree_pformat(self)
        here = jax.tree.map(np.asarray, self)  # to print compiles next to nothing
        stable, total = here.found & (here.num_growing == 0), np.sum(here.found * here.index * here.multiplicity)
        rows = [("search", f"{self.num_starts} starts, {self.num_failed} failed, index sum {total} (complete: 1)")]
        for i in range(len(self)):
            kind = StateKind[jax.tree.map(lambda x, i=i: np.asarray(x[i]), here.kind)].partition(":")[0]
            values = ", ".join(f"{v:.4f}" for v in here.overlaps[i] + 0.0)
            rate = f"grows at {here.growth_rate[i]:.3g}{towards(here.directions[i])}"
            fate = "stable" if stable[i] else rate
            rows.append((kind, f"[{values}] x{here.multiplicity[i]}, {here.hits[i]} hits, {fate}"))
        return summary(f"StationaryStates: {len(self)} up to signs, {np.sum(stable)} stable", rows)


@checked
def stationary_states(
    key: PRNGKeyArray,
    model: DickeModel | CollectiveModel,
    *,
    spin_length: ArrayLike = 1.0,
    populations: ArrayLike | None = None,
    spin_alignment: int | None = None,
    num_starts: int | None = None,
    max_states: int | None = None,
    side: int | None = None,
) -> StationaryStates | CollectiveStates:
    """All roots that Newton's method finds from many starts, each checked on the full equations.

        xi_mu = sum_k w_k G[mu, k] z_k(b_k),   b_k = sum_mu G[mu, k] c_mu xi_mu
        z_k = -s_k b_k / sqrt(Omega^2 + b_k^2),   c_mu = -2 g0^2 Omega_mu / (Omega_mu^2 + kappa_mu^2 / 4)

    M equations for the overlaps alone. With dissipation z_k(b_k) is the rest position of the damped spin. Starts are
    random overlaps that make no field on a few subsets: there the unstable states lie at large g0.

    Of a `CollectiveModel` all components at rest, by least squares from random directions and amplitudes; where no
    local jump acts on an ensemble, |m_k| = s_k. Of sites with d levels the populations, the eigenvalues of rho_k, are
    those of s_k |psi><psi| + (1 - s_k) / d, or as given.

    **Arguments**

    - `key`: for the starts.
    - `model`: a `DickeModel` or a `CollectiveModel` with constant rates.
    - `spin_length`: s_k, one number or one for each subset. Dissipation decides on its own lengths.
    - `populations`: (d,), or (d, K), of sum 1, in place of s_k; of a `CollectiveModel`.
    - `spin_alignment`: +1, spins antiparallel to their field, as at low energy; -1, parallel. By default +1, or -1
      where all Omega_mu are negative. With mixed signs both have states: ask for each. Some spins of this kind and some
      of that, 2^K combinations, are not looked for.
      Not of a `CollectiveModel`, of which all are.
    - `num_starts`: 128 * 2^M by default, at least 1024 and at most 65,536; of a `CollectiveModel` 128 * d^K * 2^M, at
      least 512 and at most 8192.
    - `max_states`: rows under `jax.jit` and `jax.vmap`, 64 by default; otherwise all that are found are kept.
    - `side`: what `spin_alignment` was called.

    **Returns** `StationaryStates`, or `CollectiveStates`, differentiable in the model by implicit differentiation.
    `index_sum` and `hits` tell how far to trust that they are all.

    **Raises** ValueError for arguments that do not fit, or for rates that depend on time.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0, num_patterns=2)
        >>> states = dj.stationary_states(jax.random.key(0), model)
        >>> print(abs(states.overlaps).round(4))
        [[0.     0.    ]
         [0.9091 0.    ]
         [0.     0.8472]
         [0.3372 0.5398]]
    """
    spin_alignment = renamed("spin_alignment", spin_alignment, "side", side)
    for name, count in (("num_starts", num_starts), ("max_states", max_states)):
        if count is not None:
            check_count(name, count)
    if isinstance(model, CollectiveModel):
        if spin_alignment is not None:
            must_be = "left out for a CollectiveModel, of which all states are looked for"
            refuse("spin_alignment", must_be, spin_alignment)
        check_constant_rates(model)
        return collective_states(key, model, as_kept(model, spin_length, populations), num_starts, max_states)
    if populations is not None:
        refuse("populations", "left out for a DickeModel, of which spin_length says all", told(populations))
    lengths = signed_spin_lengths(model, spin_length, spin_alignment)
    num_starts = min(max(1024, 128 * 2**model.num_modes), 65536) if num_starts is None else num_starts
    roots = search_roots(*jax.lax.stop_gradient((model, lengths)), key, num_starts)
    rows = size = min(MOST_STATES if max_states is None else max_states, num_starts)
    if known(roots.number):
        number = int(roots.number)
        size = number if max_states is None else min(number, max_states)
        # the number of rows is rounded up, so that searches with other results share a compilation
        least = MOST_STATES if num_rows(model) <= CHEAP else 8
        rows = min(max(2 ** (size - 1).bit_length(), least), num_starts)
    spectra = num_rows(model) <= DENSE or not all(known(leaf) for leaf in jax.tree.leaves((model, roots)))
    described = _described(model, lengths, roots, rows, spectra)
    if rows > size:
        described = jax.tree.map(lambda x: as_array(np.asarray(x)[:size]) if known(x) else x[:size], described)
    if not spectra:
        described |= _large_spectra(model, described)
    return StationaryStates(**described, num_found=roots.number, num_failed=roots.failed, num_starts=num_starts)


@checked
def stationary_state(
    model: DickeModel | CollectiveModel,
    guess: ArrayLike | MeanFieldState,
    *,
    spin_length: ArrayLike = 1.0,
    spin_alignment: int | None = None,
    side: int | None = None,
) -> tuple[MeanFieldState, Bool[Array, ""]]:
    """The stationary state near overlaps `guess`, of shape (M,), and whether Newton's method found one.

        xi = P(xi)

    Differentiable in the model by implicit differentiation, and made for `jax.vmap`: to follow a known state through
    parameters. `model`, `spin_length` and `spin_alignment` as in `stationary_states`; NaN where there is none. Of a
    `CollectiveModel` `guess` is a `MeanFieldState`, which brings its spin lengths or populations. **Raises** ValueError
    for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0)
        >>> state, found = dj.stationary_state(model, jnp.array([0.9, 0.0, 0.0, 0.0]))
        >>> print(dj.overlaps(model, state.m).round(4), bool(found))
        [0.9091 0.     0.     0.    ] True
    """
    if isinstance(model, CollectiveModel):
        check_constant_rates(model)
        if not isinstance(guess, MeanFieldState):
            refuse("guess", "a MeanFieldState for a CollectiveModel", told(guess))
        if spin_alignment is not None or side is not None:
            refuse("spin_alignment", "left out for a CollectiveModel, the guess of which has it", spin_alignment)
        return collective_state(model, guess)
    if isinstance(guess, MeanFieldState):
        refuse("guess", "overlaps for a DickeModel", "a MeanFieldState")
    lengths = signed_spin_lengths(model, spin_length, renamed("spin_alignment", spin_alignment, "side", side))
    start = as_array(guess, model.dtype)
    check_shape("guess", start, (model.num_modes,), "an overlap for each pattern")
    return _polish(model, lengths, start)


@eqx.filter_jit
def _polish(model: DickeModel, lengths: SubsetReals, start: ModeReals) -> tuple[MeanFieldState, Bool[Array, ""]]:
    fixed = jax.lax.stop_gradient((model, lengths))
    xi, good = newton(start, fixed)
    xi = follow(jnp.where(good, xi, jnp.nan), good, model, lengths)
    return state_of_overlaps(model, xi, lengths), good


def signed_spin_lengths(model: DickeModel, spin_length: ArrayLike, spin_alignment: int | None) -> SubsetReals:
    """s_k, with the sign that says how spins stand to their field; see `stationary_spins`."""
    check_constant_rates(model)
    lengths = as_spin_lengths(model, spin_length, positive=False)
    if spin_alignment not in (None, 1, -1):
        refuse("spin_alignment", "+1, -1 or None", spin_alignment)
    return _signed(model.omega_mode, lengths, spin_alignment, model.num_subsets)


@eqx.filter_jit
def _signed(omega_mode: ModeReals, lengths: Array, spin_alignment: int | None, num_subsets: int) -> SubsetReals:
    sign = jnp.where(jnp.all(omega_mode < 0), -1, 1) if spin_alignment is None else spin_alignment
    return jnp.broadcast_to(lengths * sign, (num_subsets,))


@eqx.filter_jit
def _described(model: DickeModel, lengths: SubsetReals, roots: Roots, rows: int, spectra: bool) -> dict[str, Any]:
    """The first rows in reading order, with all that is told of them; their stability only where `spectra`."""
    xi = roots.xi[:rows]
    found = jnp.arange(rows) < roots.number
    sizes = jnp.abs(jnp.where(found[:, None], xi, 0))
    largest = jnp.max(sizes, axis=1)
    number = jnp.sum(sizes > PURE * largest[:, None], axis=1)  # of overlaps that count
    number = jnp.where(largest < merge_distance(xi.dtype), 0, number)
    kinds = jnp.where(found, number, model.num_modes + 1)  # filling comes last
    reading = kinds * model.num_modes + jnp.argmax(sizes, axis=1)
    order = jnp.lexsort((-largest, reading))
    xi, found, number = xi[order], found[order], number[order]

    def describe(xi: ModeReals, valid: Array, number: Array) -> dict[str, Any]:
        xi = follow(jnp.where(valid, xi, 0), valid, model, lengths)
        state = state_of_overlaps(model, xi, lengths)
        fixed, args = jax.lax.stop_gradient((xi, (model, lengths)))
        sign, _ = jnp.linalg.slogdet(jax.jacfwd(self_consistency)(fixed, args))
        kind = StateKind.where(number == 0, StateKind.normal, StateKind.mixed)
        kind = StateKind.where(number == 1, StateKind.pure, kind)
        row = {"overlaps": xi, "m": state.m, "alpha": state.alpha, "index": sign.astype(int), "kind": kind}
        row |= _spectrum(model, state) if spectra else {"residual": residual(model, state)}
        states = ("overlaps", "m", "alpha", "growth_rate")  # which rows of filling are not
        return {name: jnp.where(valid, x, jnp.nan) if name in states else x for name, x in row.items()}

    described = jax.vmap(describe)(xi, found, number)
    hits, images = roots.hits[:rows][order], roots.images[:rows][order]
    return described | {"multiplicity": images, "hits": hits, "found": found}


def _spectrum(model: DickeModel, state: MeanFieldState) -> dict[str, Any]:
    spectrum = stability(model, state)
    names = ("growth_rate", "num_growing", "num_neutral", "residual")
    return {name: getattr(spectrum, name) for name in names} | {"directions": spectrum.directions[0]}


def _large_spectra(model: DickeModel, described: dict[str, Any]) -> dict[str, Any]:
    """The stability of states too large for a matrix, one after the other."""
    states = zip(np.asarray(described["m"]), np.asarray(described["alpha"]), strict=True)
    spectra = [_spectrum(model, MeanFieldState(m, alpha)) for m, alpha in states]
    return jax.tree.map(lambda *numbers: as_array(np.stack([np.asarray(x) for x in numbers])), *spectra)
