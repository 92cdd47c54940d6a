"""Stationary states of a model that is given by its energy: least squares from many starts, and what is one state."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray

from .._checks import as_array, known
from .._implicit import implicit, smallest_solution
from .._status import Status, where
from .._summary import AbstractResult, Rows
from ..mean_field import CollectiveModel, MeanFieldState, occupations
from ..mean_field.at_rest import AtRest, flat, index_of_all, keeps_length, kept_of, misses
from .collective_starts import random_starts
from .linearisation import largest_rate, push
from .roots import merge_distance
from .stability_spectrum import stability

MOST_STEPS = 128
POLISHING = 4  # steps of Newton's method after least squares, which ends early where a direction is free
FREE = 1e-6  # a singular value, against the largest, of a direction that nothing restores
OUTSIDE = 1e-6  # by which |m_k| may exceed 1, or a population be negative
POWERS = 4  # of the Jacobian, whose traces tell states apart
MOST_STATES = 64  # kept where sizes must be known beforehand, under jax.jit and jax.vmap


class CollectiveStates(AbstractResult):
    """Stationary states of a `CollectiveModel`, one a row: stable ones first, and among alike the lower energy first.

    States are one row that a symmetry of the model takes into each other, a rotation or reflection of all spins, an
    exchange of ensembles, a phase of the modes: those with the same spectrum, energy, jumps, photons and lengths. No
    symmetry has to be named; two states that agree in all of these by chance would be taken for one.

    - `m` (S, 3, K), of d levels (S, d^2 - 1, K), `alpha` (S, M): one of them, as in `MeanFieldState`; `state(i)` is the
      i-th. `overlaps`: (S, P).
    - `energy`: (S,), h.
    - `growth_rate`, `num_growing`, `num_neutral`, `directions` (S, P): as in `StationaryStates`.
    - `multiplicity`: (S,), how many images of it were found; 1 for a continuous orbit, such as that of a U(1) symmetry.
    - `num_free`: (S,), directions that nothing holds, conserved lengths apart: 1 for an orbit. Also at a bifurcation.
    - `index`: (S,), the sign of det(-A), 0 where a direction is free.
    - `hits`: (S,), how many starts ended in it.
    - `residual`: (S,), max |dy/dt|, in units of the largest rate.
    - `found`: (S,), true. Under `jax.jit` and `jax.vmap`, where sizes must be known, false for rows of filling.
    - `num_starts`, `num_failed`: starts, and those that ended nowhere or where no site can be, as at |m_k| > 1.
    - `num_found`: how many rows there would be; above S, `max_states` was too small.
    - `index_of_all`: what `index_sum` is if no state is missing, 2 for each conserved length and d for each ensemble of
      pure sites with d levels, multiplied, where modes of large amplitude are damped more than they are driven.
    - `status`: a `Status`: incomplete where a state was hit only once, rows were left out, or the indices of a model
      without modes do not add up. A search from many starts proves nothing complete.
    """

    overlaps: Float[Array, "*batch S P"]
    m: Float[Array, "*batch S B K"]
    alpha: Complex[Array, "*batch S M"]
    energy: Float[Array, "*batch S"]
    growth_rate: Float[Array, "*batch S"]
    num_growing: Int[Array, "*batch S"]
    num_neutral: Int[Array, "*batch S"]
    directions: Float[Array, "*batch S P"]
    multiplicity: Int[Array, "*batch S"]
    num_free: Int[Array, "*batch S"]
    index: Int[Array, "*batch S"]
    hits: Int[Array, "*batch S"]
    residual: Float[Array, "*batch S"]
    found: Bool[Array, "*batch S"]
    num_found: Int[Array, "*batch"]
    num_failed: Int[Array, "*batch"]
    index_of_all: Int[Array, "*batch"]
    status: Status
    num_starts: int = eqx.field(static=True)

    def __len__(self) -> int:
        return self.overlaps.shape[-2]

    @property
    def occupations(self) -> Float[Array, "*batch S M"]:
        """Photons per spin, |alpha_mu|^2."""
        return occupations(self.alpha)

    @property
    def is_stable(self) -> Bool[Array, "*batch S"]:
        """Whether nothing grows, as in `stability`; along an orbit a state is free."""
        return self.found & (self.num_growing == 0)

    @property
    def index_sum(self) -> Int[Array, "*batch"]:
        """The sum of the indices of all images; of an orbit that is a circle it is 0."""
        return jnp.sum(jnp.where(self.found, self.index * self.multiplicity, 0), axis=-1)

    def state(self, i: int) -> MeanFieldState:
        """The i-th state."""
        return MeanFieldState(self.m[..., i, :, :], self.alpha[..., i, :])

    def _heading(self) -> str:
        return f"CollectiveStates: {len(self)} up to symmetries, {np.sum(np.asarray(self.is_stable))} stable"

    def _rows(self) -> Rows:
        if self.growth_rate.ndim != 1:
            return
        indices = f"index sum {np.asarray(self.index_sum)} ({np.asarray(self.index_of_all)} if all are there)"
        yield "search", f"{self.num_starts} starts, {np.asarray(self.num_failed)} failed, {indices}; proves nothing"
        here = jax.tree.map(np.asarray, self)
        for i in range(len(self)):
            spins = "; ".join(", ".join(f"{v:.4f}" for v in m.round(4) + 0.0) for m in here.m[i].T[:4])
            photons = np.abs(here.alpha[i][:4]) ** 2
            light = "".join(f", |alpha|^2 {n:.4g}" for n in np.where(photons > np.finfo(photons.dtype).eps, photons, 0))
            rate = abs(here.growth_rate[i])
            decays = "stable, neutral" if here.num_neutral[i] else f"stable, decays at {rate:.3g}"
            fate = f"grows at {rate:.3g}" if here.num_growing[i] else decays
            many = "orbit" if here.num_free[i] else f"x{here.multiplicity[i]}"
            yield f"{i}", f"[{spins}]{light} {many}, {here.hits[i]} hits, {fate}"


class Found(NamedTuple):
    """The first `number` of `components` are different states; the rest is filling."""

    components: Float[Array, "starts D"]
    hits: Int[Array, " starts"]
    places: Int[Array, " starts"]
    number: Int[Array, ""]
    failed: Int[Array, ""]


def collective_states(
    key: PRNGKeyArray, model: CollectiveModel, kept: Array, num_starts: int | None, max_states: int | None
) -> CollectiveStates:
    """`stationary_states`, the arguments having been checked."""
    if num_starts is None:
        num_starts = min(max(512, 128 * model.levels**model.num_subsets * 2**model.num_modes), 8192)
    found = _search(*jax.lax.stop_gradient((model, kept)), key, num_starts)
    rows = size = min(MOST_STATES if max_states is None else max_states, num_starts)
    if known(found.number):
        number = int(found.number)
        size = number if max_states is None else min(number, max_states)
        # the number of rows is rounded up, so that searches with other results share a compilation
        rows = min(max(2 ** (size - 1).bit_length(), MOST_STATES), num_starts) if size else 1
    described, status, complete = _described(model, kept, found, rows, jnp.asarray(size))
    if rows > size:
        described = jax.tree.map(lambda x: as_array(np.asarray(x)[:size]) if known(x) else x[:size], described)
    numbers = dict(num_found=found.number, num_failed=found.failed, index_of_all=complete)
    return CollectiveStates(**described, **numbers, status=status, num_starts=num_starts)


@eqx.filter_jit
def collective_state(model: CollectiveModel, guess: MeanFieldState) -> tuple[MeanFieldState, Bool[Array, ""]]:
    """`stationary_state` of a `CollectiveModel`: near a guess, of its lengths where they are conserved."""
    y = guess.to_real(model)
    kept = kept_of(y[0])
    fixed = jax.lax.stop_gradient((model, kept, largest_rate(model)))
    components, good = _solve(jax.lax.stop_gradient(flat(y)), fixed)
    equations, args = AtRest(model.num_subsets, model.levels), (model, kept, fixed[2])
    components = implicit(equations, jnp.where(good, components, jnp.nan), args, good, smallest_solution)
    return MeanFieldState.from_real(equations.state(components)), good


def _scaled(components: Array, args: Any) -> Array:
    """The equations of rest in units of the largest rate."""
    return AtRest(args[0].num_subsets, args[0].levels)(components, args) / args[2]


def _in_default_precision(components: Array, args: Any) -> Array:
    """The same, in the precision in which optimistix damps its steps, whatever the model's is."""
    return _scaled(components.astype(args[0].dtype), args).astype(components.dtype)


def _solve(start: Float[Array, " D"], args: Any) -> tuple[Float[Array, " D"], Bool[Array, ""]]:
    """Where least squares lead from a start, and whether that is a state at rest of the lengths that it is to have."""
    eps = float(jnp.finfo(start.dtype).eps)
    solver = optx.LevenbergMarquardt(rtol=eps**0.5, atol=eps**0.5)
    end = optx.least_squares(
        _in_default_precision, solver, start.astype(float), args, max_steps=MOST_STEPS, throw=False
    )
    end = end.value.astype(start.dtype)

    def improve(_: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        components, _ = carry
        inverse = jnp.linalg.pinv(jax.jacfwd(_scaled)(components, args), rtol=FREE)
        step = jnp.matmul(inverse, _scaled(components, args), precision="highest")
        return components - step, jnp.max(jnp.abs(step))

    end = jnp.where(jnp.all(jnp.isfinite(end)), end, start)
    end, last = jax.lax.fori_loop(0, POLISHING, improve, (end, jnp.full_like(end[0], jnp.inf)))
    m, _ = AtRest(args[0].num_subsets, args[0].levels).state(end)
    near = misses(m, args[1], keeps_length(args[0])) < OUTSIDE
    size = 1 + jnp.max(jnp.abs(end))
    at_rest = (jnp.max(jnp.abs(_scaled(end, args))) < eps**0.6 * size) & (last < eps**0.4 * size)
    return end, at_rest & jnp.all(near)


@eqx.filter_jit
def _search(model: CollectiveModel, kept: Float[Array, "kept K"], key: PRNGKeyArray, num_starts: int) -> Found:
    """The states in which all starts end, those that a symmetry takes into each other side by side."""
    args = model, kept, largest_rate(model)
    components, good = jax.vmap(lambda start: _solve(start, args))(random_starts(model, kept, key, num_starts))
    components = jnp.where(good[:, None], components, 0)
    traits = jax.vmap(lambda one: _traits(one, args))(components)
    close = merge_distance(model.dtype)

    def along(rows: Array) -> Array:
        """Positions on a line of no special direction: rows that agree come next to each other."""
        return rows @ jnp.cos(jnp.arange(1.0, rows.shape[1] + 1, dtype=rows.dtype) ** 2)

    def differs(rows: Array) -> Array:
        """From the row before, at all."""
        size = 1 + jnp.max(jnp.abs(rows[1:]), axis=1)
        return jnp.append(jnp.array([True]), jnp.max(jnp.abs(jnp.diff(rows, axis=0)), axis=1) > close * size)

    order = jnp.argsort(jnp.where(good, along(traits), jnp.inf))
    components, traits, good = components[order], traits[order], good[order]
    label = jnp.cumsum(good & differs(traits)) - 1
    order = jnp.lexsort((along(components), jnp.where(good, label, num_starts)))  # within a state by place
    components, label, good = components[order], label[order], good[order]
    new = jnp.append(jnp.array([True]), jnp.diff(label) > 0)
    one = good.astype(int)
    hits = jnp.zeros(num_starts, int).at[label].add(one)
    places = jnp.zeros(num_starts, int).at[label].add(jnp.where(new | differs(components), one, 0))
    first = jnp.full(num_starts, num_starts - 1).at[label].min(jnp.arange(num_starts))
    number = jnp.max(jnp.where(good, label + 1, 0))
    return Found(components[first], hits, places, number, num_starts - jnp.sum(good))


def _traits(components: Float[Array, " D"], args: Any) -> Float[Array, " traits"]:
    """Numbers that no symmetry changes: traces of powers of the Jacobian, energy, jumps, photons, lengths."""
    model, _, unit = args
    y = AtRest(model.num_subsets, model.levels).state(components)
    A = push(model, y, jnp.eye(components.size, dtype=components.dtype)) / unit
    powers = [A]
    for _ in range(POWERS - 1):
        powers.append(jnp.matmul(powers[-1], A, precision="highest"))
    h, amplitudes = model.functions(0.0, y)
    jumps = [jnp.sum(jump.rate * (re**2 + im**2)) for jump, (re, im) in zip(model.jumps, amplitudes, strict=True)]
    others = [h / unit, sum(jumps, jnp.zeros_like(h)) / unit, jnp.sum(y[1] ** 2)]
    lengths = jnp.sum(model.shares * jnp.sum(y[0] ** 2, axis=0))
    return jnp.stack([*(jnp.trace(power) / components.size for power in powers), *others, lengths])


@eqx.filter_jit
def _described(
    model: CollectiveModel, kept: Float[Array, "kept K"], states: Found, rows: int, size: Int[Array, ""]
) -> tuple[dict[str, Any], Status, Int[Array, ""]]:
    """The first rows with all that is told of them, how the search ended, and the index sum that is to be."""
    found = jnp.arange(rows) < states.number
    args = model, kept, largest_rate(model)
    equations = AtRest(model.num_subsets, model.levels)
    here = keeps_length(model)
    # states of one ensemble that have what is conserved make up a space of an even number of dimensions
    odd = jnp.sum(~here) * (model.levels**2 - 1) % 2

    def describe(components: Array, valid: Array, hits: Array, places: Array) -> dict[str, Any]:
        fixed = jax.lax.stop_gradient(args)
        slopes = jax.jacfwd(_scaled)(components, fixed)
        sizes = jnp.linalg.svd(slopes, compute_uv=False)
        free = jnp.sum(sizes < FREE * sizes[0])
        # of det(-A) among what can move; the rest adds a positive factor to the determinant
        sign = jnp.linalg.slogdet(slopes)[0].astype(int) * jnp.where(odd == 1, -1, 1)
        y = equations.state(implicit(equations, components, args, valid, smallest_solution))
        state, spectrum = MeanFieldState.from_real(y), stability(model, MeanFieldState.from_real(y))
        row = {"overlaps": model.project(y[0][2]), "m": state.m, "alpha": state.alpha}
        row |= {"energy": model.functions(0.0, y)[0], "growth_rate": spectrum.growth_rate}
        row = {name: jnp.where(valid, x, jnp.nan) for name, x in row.items()}
        row |= {name: getattr(spectrum, name) for name in ("num_growing", "num_neutral", "residual")}
        row |= {"directions": spectrum.directions[0], "num_free": free, "index": jnp.where(free > 0, 0, sign)}
        return row | {"multiplicity": jnp.where(free > 0, 1, places), "hits": hits, "found": valid}

    some = (x[:rows] for x in (states.components, states.hits, states.places))
    components, hits, places = some
    described = jax.vmap(describe)(components, found, hits, places)
    order = jnp.lexsort((described["energy"], jnp.where(found, described["num_growing"], components.shape[1] + 1)))
    described = jax.tree.map(lambda x: x[order], described)
    complete = index_of_all(kept, here)
    indices = jnp.sum(jnp.where(found, described["index"] * described["multiplicity"], 0))
    wrong = (indices != complete) & jnp.all(described["num_free"] <= 1) & (model.num_modes == 0)
    wrong |= jnp.any(found & (hits < 2)) | (states.number > size) | (states.number == 0)
    return described, where(wrong, Status.incomplete, Status.successful), complete
