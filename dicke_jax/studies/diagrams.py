"""Diagrams: branches of stationary states along one parameter, and phases over two."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, PRNGKeyArray

from .._checks import check_count, check_real, refuse, told
from .._door import checked
from .._progress import Loop
from .._typing import ArrayLike
from ..mean_field import DickeModel, MeanFieldState
from ..phases import Branch, SpecialPoint, StateKind, StationaryStates, continuation, stationary_states
from ..phases.branch_equations import parameter_of, with_parameter
from ..phases.branches import KINDS
from .results import Progress, origin_of, provenance
from .sweeps import Sweep

Parameter = str | tuple[str, int]
SAME = 1e-5  # distance between branch points, or states, that counts as none
ALONG = 5e-3  # distance in overlap from the chords of a branch within which a state lies on it


@checked
def bifurcation_diagram(
    model: DickeModel,
    parameter: Parameter = "g0",
    *,
    limits: tuple[float, float],
    depth: int = 2,
    key: PRNGKeyArray | None = None,
    step: float = 0.05,
    max_branches: int = 100,
    progress: Progress | None = None,
) -> xr.Dataset:
    """The branches of stationary states along one parameter p, followed with `continuation`:

        all curves (state, p) with d state/dt = 0 that are connected with the normal state, and others that are found

    From the normal state at the lower limit, at every branch point the branch that crosses, and so on; then from the
    states that `stationary_states` finds at the upper limit and that lie on none of these: where patterns are not
    quite orthogonal, crossings open up, and branches of patterns end in folds without a connection.

    **Arguments**

    - `model`: a `DickeModel` with constant rates.
    - `parameter`, `limits`: as in `continuation`.
    - `depth`: how many branch points a branch may be away from where the search began. From the normal state 1 gives
      the patterns, 2 and more the mixtures, if patterns are orthogonal. 0: no branch point is followed.
    - `key`: for the search at the upper limit; `jax.random.key(0)` by default.
    - `step`: as in `continuation`.
    - `max_branches`: after which the search ends; the attribute `complete` says whether it did.
    - `progress`: called with the numbers of finished and of known branches.

    **Returns** a dataset with dimensions branch, point (filled up with NaN) and pattern: `value` of the parameter,
    `overlap`, `growth_rate`, `stable`; and with dimension special: `special_value`, `special_kind`, `special_branch`,
    `special_overlap`. Branches that are sign images of each other are shown once.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> found = dj.studies.bifurcation_diagram(model, "g0", limits=(0.5, 1.0), depth=1)
        >>> print(found.sizes["branch"], np.unique(found.special_value.values.round(4)))
        4 [0.6455 0.7289 0.7745]
    """
    check_count("depth", depth, 0)
    check_count("max_branches", max_branches)
    name, _ = parameter_of(model, parameter)
    options = {"limits": limits, "step": step, "max_points": 5000}
    normal = np.zeros(model.num_modes)
    branches = [continuation(model, normal, parameter, value=limits[0], **options)]
    visited, queue, report = [], [(point, 1) for point in branches[0].special], Loop(None, "branches", progress)

    def add(branch: Branch, level: int) -> None:
        if len(branches) < max_branches and not any(_same_branch(branch, other) for other in branches):
            branches.append(branch)
            queue.extend((point, level + 1) for point in branch.special)

    def follow_crossings() -> None:
        while queue and len(branches) < max_branches:
            point, level = queue.pop(0)
            report(len(branches), len(branches) + len(queue) + 1)
            if point.kind != "branch point" or level > depth or any(_same_point(point, other) for other in visited):
                continue
            visited.append(point)
            for direction in (1, -1):
                add(continuation(model, point, parameter, direction=direction, **options), level)

    follow_crossings()
    top = with_parameter(model, parameter, jnp.asarray(limits[1], model.dtype))
    for xi in np.asarray(stationary_states(jax.random.key(0) if key is None else key, top).overlaps):
        ends = [b.overlaps[i] for b in branches for i in (0, -1) if abs(b.parameter[i] - limits[1]) < SAME]
        if not any(_apart(xi, end) < SAME for end in ends):
            add(continuation(model, xi, parameter, value=limits[1], direction=-1, **options), 0)
            if depth:
                follow_crossings()
    report(len(branches), len(branches))
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
    start, end = old.parameter[:-1], old.parameter[1:]
    inside = (np.minimum(start, end) <= p) & (p <= np.maximum(start, end)) & (start != end)
    share = ((p - start[inside]) / (end - start)[inside])[:, None]
    between = (1 - share) * np.abs(old.overlaps[:-1][inside]) + share * np.abs(old.overlaps[1:][inside])
    return bool(np.any(np.max(np.abs(between - xi), axis=1) < ALONG))


def _diagram(model: DickeModel, name: str, branches: list[Branch], complete: bool) -> xr.Dataset:
    longest = max(branch.parameter.size for branch in branches)

    def fill(values: Callable[[Branch], np.ndarray]) -> np.ndarray:
        rows = [np.asarray(values(branch), dtype=float) for branch in branches]
        filled = np.full((len(rows), longest, *rows[0].shape[1:]), np.nan)
        for place, row in zip(filled, rows, strict=True):
            place[: len(row)] = row
        return filled

    special = [(i, point) for i, branch in enumerate(branches) for point in branch.special]
    kind_names = " ".join(kind.replace(" ", "_") for kind in KINDS)
    kinds = {"flag_values": np.arange(len(KINDS), dtype=np.int8), "flag_meanings": kind_names}
    along, overlaps = ("branch", "point"), np.array([point.overlaps for _, point in special])
    return xr.Dataset(
        {
            "value": (along, fill(lambda b: b.parameter), {"long_name": name}),
            "overlap": ((*along, "pattern"), fill(lambda b: b.overlaps)),
            "growth_rate": (along, fill(lambda b: b.growth_rate), {"units": "unit of the rates"}),
            "stable": (along, fill(lambda b: b.is_stable), {"long_name": "1 where nothing grows"}),
            "ended": ("branch", [branch.ended for branch in branches]),
            "special_value": ("special", np.array([point.parameter for _, point in special])),
            "special_kind": ("special", np.array([KINDS.index(p.kind) for _, p in special], np.int8), kinds),
            "special_branch": ("special", np.array([i for i, _ in special], int)),
            "special_overlap": (("special", "pattern"), overlaps.reshape(len(special), model.num_modes)),
        },
        coords={"pattern": np.arange(model.num_modes)},
        attrs={"title": "Branches of stationary states", "parameter": name, "complete": int(complete)}
        | provenance(model),
    )


@checked
def phase_diagram(
    key: PRNGKeyArray,
    model: DickeModel,
    x: tuple[Parameter, ArrayLike],
    y: tuple[Parameter, ArrayLike],
    *,
    num_starts: int | None = None,
    max_states: int = 64,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Which patterns exist, which are stable, and which mixtures are, over two parameters, by `stationary_states`:

        exists: d state/dt = 0 has a solution of this pattern    stable: no mode of its spectrum has Re lambda > 0

    **Arguments**

    - `key`: for the starts of the searches.
    - `model`: a `DickeModel` with constant rates.
    - `x`, `y`: a parameter, as in `continuation`, and its values; `("g0", [0.5, 1.0])`, `(("omega_mode", 1), [...])`.
    - `num_starts`, `max_states`: as in `stationary_states`.
    - `progress`: called with the numbers of finished and of all points.

    **Returns** a dataset with dimensions y, x (and pattern): `exists`, `stable`, `overlap` of each pattern's own state
    (0 where there is none); `stable_mixtures`, `states`, their numbers up to signs; `normal_stable`; `complete`,
    whether the search supports that these are all.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> found = dj.studies.phase_diagram(jax.random.key(0), model, ("g0", [0.5, 0.7, 1.0]), ("omega_spin", [0.5]))
        >>> print(found.exists.values[0].sum(axis=-1), found.normal_stable.values[0])
        [0 1 2] [ True False False]
    """
    (x_name, xs), (y_name, ys) = (_axis(model, *axis) for axis in (("x", x), ("y", y)))
    if x_name == y_name:
        refuse("y", "another parameter than x", repr(y[0]))
    check_count("max_states", max_states)
    sweep = Sweep(model, {y_name: ys, x_name: xs}, _Phases(key, num_starts, max_states), title="Phases")
    found = sweep.run(progress=progress)
    found.attrs = origin_of(found) | {"key": np.asarray(jax.random.key_data(key))}
    found = found.rename({y_name: "y", x_name: "x", "mode": "pattern", "looks_complete": "complete"})
    told = {"overlap": "|xi| of the pattern's own state", "stable_mixtures": "stable mixtures, up to signs"}
    for name, text in {**told, "states": "stationary states, up to signs", "x": x_name, "y": y_name}.items():
        found[name].attrs = {"long_name": text}
    return found


def _axis(model: DickeModel, axis: str, given: tuple[Parameter, ArrayLike]) -> tuple[str, np.ndarray]:
    must_be = "a named parameter and a one-dimensional array of finite values"
    if not isinstance(given, list | tuple) or len(given) != 2 or not isinstance(given[0], str | tuple):
        refuse(axis, must_be, told(given))
    check_real(axis, given[1], must_be)
    (name, present), grid = parameter_of(model, given[0]), np.asarray(given[1], dtype=float)
    if present is None or grid.ndim != 1 or grid.size < 1 or not np.isfinite(grid).all():
        refuse(axis, must_be, f"shape {grid.shape}")
    return name, grid


class _Phases(eqx.Module):
    """What is told of a point: which patterns have states of their own, which of them are stable, and what else is."""

    one_by_one: ClassVar = True  # searches side by side wait for the longest, and take twice as long

    key: PRNGKeyArray
    num_starts: int | None
    max_states: int

    def __call__(self, model: DickeModel, cue: MeanFieldState) -> dict[str, Array]:
        states = stationary_states(self.key, model, num_starts=self.num_starts, max_states=self.max_states)
        assert isinstance(states, StationaryStates)  # as those of a DickeModel are
        normal, pure, mixed = (
            (states.kind == kind) & states.found for kind in (StateKind.normal, StateKind.pure, StateKind.mixed)
        )
        sizes = jnp.where(states.found[:, None], jnp.abs(states.overlaps), 0)
        mine = pure[:, None] & (jnp.argmax(sizes, axis=1)[:, None] == jnp.arange(model.num_modes)[None, :])
        return {
            "exists": jnp.any(mine, axis=0),
            "stable": jnp.any(mine & states.is_stable[:, None], axis=0),
            "overlap": jnp.max(jnp.where(mine, sizes, 0), axis=0),
            "normal_stable": jnp.any(normal & states.is_stable),
            "stable_mixtures": jnp.sum(mixed & states.is_stable),
            "states": states.num_found,
            "looks_complete": states.looks_complete,
        }
