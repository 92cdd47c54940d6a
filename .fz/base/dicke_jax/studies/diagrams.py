"""Diagrams: branches of stationary states along one parameter, and phases over two."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_count, refuse
from .._typing import ArrayLike
from ..model import DickeModel, check_model
from ..phases import Branch, SpecialPoint, StateKind, continuation, stationary_states
from ..phases.arclength import with_parameter
from ..phases.continuation import KINDS, parameter_of
from .results import provenance

Parameter = str | tuple[str, int]
SAME = 1e-5  # distance between branch points, or states, that counts as none
ALONG = 5e-3  # distance in overlap from the chords of a branch within which a state lies on it
CHUNK = 16  # grid points of a phase diagram that share a call


def bifurcation_diagram(
    model: DickeModel,
    parameter: Parameter = "g0",
    *,
    limits: tuple[float, float],
    depth: int = 2,
    key: PRNGKeyArray | None = None,
    step: float = 0.05,
    max_branches: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """The branches of stationary states along one parameter, followed with `continuation`.

    From the normal state at the lower limit, at every branch point the branch that crosses, and so on; then from the
    states that `stationary_states` finds at the upper limit and that lie on none of these: where patterns are not
    quite orthogonal, crossings open up, and branches of patterns end in folds without a connection.

    **Main arguments**

    - `model`: a `DickeModel` with constant rates.
    - `parameter`, `limits`: as in `continuation`.

    **Other arguments**

    - `depth`: how many branch points a branch may be away from where the search began. From the normal state 1 gives
      the patterns, 2 and more the mixtures, if patterns are orthogonal. 0: no branch point is followed.
    - `key`: for the search at the upper limit; `jax.random.key(0)` by default.
    - `step`: as in `continuation`.
    - `max_branches`: after which the search ends; the attribute `complete` says whether it did.
    - `progress`: called with the numbers of finished and of known branches.

    **Returns** a dataset with dimensions branch, point (filled up with NaN) and pattern: `value` of the parameter,
    `overlap`, `growth_rate`, `stable`; and with dimension special: `special_value`, `special_kind`, `special_branch`,
    `special_overlap`. Branches that are sign images of each other are shown once.
    """
    check_model(model)
    check_count("depth", depth, 0)
    check_count("max_branches", max_branches)
    name, _ = parameter_of(model, parameter)
    options = {"limits": limits, "step": step, "max_points": 5000}
    normal = np.zeros(model.num_modes)
    branches = [continuation(model, normal, parameter, value=limits[0], **options)]
    visited, queue = [], [(point, 1) for point in branches[0].special]

    def add(branch: Branch, level: int) -> None:
        if len(branches) < max_branches and not any(_same_branch(branch, other) for other in branches):
            branches.append(branch)
            queue.extend((point, level + 1) for point in branch.special)

    def follow_crossings() -> None:
        while queue and len(branches) < max_branches:
            point, level = queue.pop(0)
            if progress is not None:
                progress(len(branches), len(branches) + len(queue) + 1)
            if point.kind != "branch point" or level > depth or any(_same_point(point, other) for other in visited):
                continue
            visited.append(point)
            for direction in (1, -1):
                add(continuation(model, point, parameter, direction=direction, **options), level)

    follow_crossings()
    top = with_parameter(model, parameter, jnp.asarray(limits[1], model.dtype))
    for xi in np.asarray(stationary_states(top, jax.random.key(0) if key is None else key).overlaps):
        ends = [b.overlaps[i] for b in branches for i in (0, -1) if abs(b.parameter[i] - limits[1]) < SAME]
        if not any(_apart(xi, end) < SAME for end in ends):
            add(continuation(model, xi, parameter, value=limits[1], direction=-1, **options), 0)
            if depth:
                follow_crossings()
    if progress is not None:
        progress(len(branches), len(branches))
    return _diagram(model, name, branches, not queue)


def _same_point(a: SpecialPoint, b: SpecialPoint) -> bool:
    gap = max(abs(a.parameter - b.parameter) / max(abs(b.parameter), SAME), _apart(a.overlaps, b.overlaps))
    return gap < SAME


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(np.abs(a) - np.abs(b))))


def _same_branch(new: Branch, old: Branch) -> bool:
    """Whether the middle of a branch lies on another one, up to signs."""
    middle = new.parameter.size // 2
    p, xi = new.parameter[middle], np.abs(new.overlaps[middle])
    for i, j in itertools.pairwise(range(old.parameter.size)):
        low, high = sorted((old.parameter[i], old.parameter[j]))
        if low <= p <= high and high > low:
            share = (p - old.parameter[i]) / (old.parameter[j] - old.parameter[i])
            between = (1 - share) * np.abs(old.overlaps[i]) + share * np.abs(old.overlaps[j])
            if np.max(np.abs(between - xi)) < ALONG:
                return True
    return False


def _diagram(model: DickeModel, name: str, branches: list[Branch], complete: bool) -> xr.Dataset:
    longest = max(branch.parameter.size for branch in branches)

    def fill(values: Callable[[Branch], np.ndarray]) -> np.ndarray:
        rows = [np.asarray(values(branch), dtype=float) for branch in branches]
        return np.stack(
            [np.pad(row, [(0, longest - len(row))] + [(0, 0)] * (row.ndim - 1), constant_values=np.nan) for row in rows]
        )

    special = [(i, point) for i, branch in enumerate(branches) for point in branch.special]
    kinds = {
        "flag_values": np.arange(len(KINDS), dtype=np.int8),
        "flag_meanings": " ".join(k.replace(" ", "_") for k in KINDS),
    }
    return xr.Dataset(
        {
            "value": (("branch", "point"), fill(lambda b: b.parameter), {"long_name": name}),
            "overlap": (("branch", "point", "pattern"), fill(lambda b: b.overlaps)),
            "growth_rate": (("branch", "point"), fill(lambda b: b.growth_rate), {"units": "unit of the rates"}),
            "stable": (("branch", "point"), fill(lambda b: b.is_stable), {"long_name": "1 where nothing grows"}),
            "ended": ("branch", [branch.ended for branch in branches]),
            "special_value": ("special", np.array([point.parameter for _, point in special])),
            "special_kind": ("special", np.array([KINDS.index(p.kind) for _, p in special], np.int8), kinds),
            "special_branch": ("special", np.array([i for i, _ in special], int)),
            "special_overlap": (
                ("special", "pattern"),
                np.array([point.overlaps for _, point in special]).reshape(len(special), model.num_modes),
            ),
        },
        coords={"pattern": np.arange(model.num_modes)},
        attrs={
            "title": "Branches of stationary states",
            "parameter": name,
            "complete": int(complete),
            **provenance(model),
        },
    )


def phase_diagram(
    model: DickeModel,
    key: PRNGKeyArray,
    x: tuple[Parameter, ArrayLike],
    y: tuple[Parameter, ArrayLike],
    *,
    num_starts: int | None = None,
    max_states: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Which patterns exist, which are stable, and which mixtures are, over two parameters, by `stationary_states`.

    **Main arguments**

    - `model`: a `DickeModel` with constant rates.
    - `key`: for the starts of the searches.
    - `x`, `y`: a parameter, as in `continuation`, and its values; `("g0", [0.5, 1.0])`, `(("omega_mode", 1), [...])`.

    **Other arguments**

    - `num_starts`, `max_states`: as in `stationary_states`.
    - `progress`: called with the numbers of finished and of all points.

    **Returns** a dataset with dimensions y, x (and pattern): `exists`, `stable`, `overlap` of each pattern's own state
    (0 where there is none); `stable_mixtures`, `states`, their numbers up to signs; `normal_stable`; `complete`,
    whether the search supports that these are all.
    """
    check_model(model)
    (x_name, xs), (y_name, ys) = (_axis(model, *axis) for axis in (x, y))
    if x_name == y_name:
        refuse("y", "another parameter than x", repr(y[0]))
    check_count("max_states", max_states)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    total, chunks = len(grid), []
    fill = -total % CHUNK
    padded = jnp.asarray(np.pad(grid, ((0, fill), (0, 0)), mode="edge"), model.dtype)
    if progress is not None:
        progress(0, total)
    for start in range(0, total, CHUNK):
        points = padded[start : start + CHUNK]
        chunks.append(jax.block_until_ready(_phases(model, key, points, (x[0], y[0]), num_starts, max_states)))
        if progress is not None:
            progress(min(start + CHUNK, total), total)
    told = jax.tree.map(
        lambda *parts: np.concatenate(parts)[:total].reshape(len(ys), len(xs), *parts[0].shape[1:]), *chunks
    )
    over, each = ("y", "x"), ("y", "x", "pattern")
    return xr.Dataset(
        {
            "exists": (each, told["exists"]),
            "stable": (each, told["stable"]),
            "overlap": (each, told["overlap"], {"long_name": "|xi| of the pattern's own state"}),
            "normal_stable": (over, told["normal_stable"]),
            "stable_mixtures": (over, told["stable_mixtures"], {"long_name": "stable mixtures, up to signs"}),
            "states": (over, told["states"], {"long_name": "stationary states, up to signs"}),
            "complete": (over, told["complete"]),
        },
        coords={
            "x": ("x", xs, {"long_name": x_name}),
            "y": ("y", ys, {"long_name": y_name}),
            "pattern": np.arange(model.num_modes),
        },
        attrs={"title": "Phases", "key": np.asarray(jax.random.key_data(key)), **provenance(model)},
    )


def _axis(model: DickeModel, parameter: Parameter, values: ArrayLike) -> tuple[str, np.ndarray]:
    name, own = parameter_of(model, parameter)
    grid = np.asarray(values, dtype=float)
    if own is None or grid.ndim != 1 or grid.size < 1 or not np.isfinite(grid).all():
        refuse("x and y", "a named parameter and a one-dimensional array of finite values", f"shape {grid.shape}")
    return name, grid


@eqx.filter_jit
def _phases(
    model: DickeModel,
    key: PRNGKeyArray,
    points: Float[Array, "P 2"],
    parameters: tuple[Parameter, Parameter],
    num_starts: int | None,
    max_states: int,
) -> dict[str, Array]:
    def at(point: Array) -> dict[str, Any]:
        here = model
        for parameter, value in zip(parameters, point, strict=True):
            here = with_parameter(here, parameter, value)
        states = stationary_states(here, key, num_starts=num_starts, max_states=max_states)
        own = jnp.argmax(jnp.where(states.found[:, None], jnp.abs(states.overlaps), 0), axis=1)
        pure = (states.kind == StateKind.pure) & states.found
        mine = pure[:, None] & (own[:, None] == jnp.arange(model.num_modes)[None, :])
        normal = (states.kind == StateKind.normal) & states.found
        mixed = (states.kind == StateKind.mixed) & states.found
        sizes = jnp.where(states.found[:, None], jnp.abs(states.overlaps), 0)
        return {
            "exists": jnp.any(mine, axis=0),
            "stable": jnp.any(mine & states.is_stable[:, None], axis=0),
            "overlap": jnp.max(jnp.where(mine, sizes, 0), axis=0),
            "normal_stable": jnp.any(normal & states.is_stable),
            "stable_mixtures": jnp.sum(mixed & states.is_stable),
            "states": states.num_found,
            "complete": states.looks_complete,
        }

    return jax.lax.map(at, points)
