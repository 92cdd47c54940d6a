"""Branches of stationary states, followed in any parameter through folds, with what happens along them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import as_array, check_count, check_finite, refuse, told
from .._door import checked
from .._labelled import Labelled
from .._progress import Loop
from .._summary import summary
from .._typing import ArrayLike
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState
from ..mean_field.site_levels import size_of
from .arclength import Point, describe, first_point, next_point, other_direction, state_at
from .branch_equations import AbstractProblem, OverlapProblem, component_problem, parameter_of, told_of
from .stability_spectrum import DENSE, num_rows, stability
from .stationary_search import signed_spin_lengths

STRAIGHT = 0.98  # cosine of the angle between two tangents, below which a step was too long
SHORTEST = 1e-6  # step, against the longest
SINGULAR = 1e-6  # the smallest singular value, against the largest, of a matrix at a branch point
FLAT = 1e-7  # slope of the parameter that is none
BISECTIONS = 60
KINDS = ("fold", "branch point", "hopf")


class SpecialPoint(NamedTuple):
    """A point of a branch at which something happens.

    - `kind`: "fold", where the parameter turns back; "branch point", where another branch crosses; "hopf", where an
      oscillation starts to grow or ceases to.
    - `parameter`: its value there; `overlaps`: (M,), xi_mu there.
    - `after`: the index of the last point of the branch before it.
    - `direction`: at a branch point, (M + 1,): that of the other branch, in overlaps and in the scaled parameter; of a
      `CollectiveModel` in components and parameter.
    - `components`: of a `CollectiveModel`, (3 K + 2 M,), of m and of Re and Im alpha.
    """

    kind: str
    parameter: float
    overlaps: np.ndarray
    after: int
    direction: np.ndarray
    components: np.ndarray | None = None


class Branch(Labelled):
    """Stationary states along a parameter, in the order in which they were followed.

    - `name`: the parameter's; `parameter`: (P,), its values, not monotonic where the branch folds.
    - `overlaps`: (P, M), xi_mu.
    - `growth_rate`: (P,), the largest real part among deviations that modes see; `num_growing`: (P,), how many grow.
    - `components`: of a `CollectiveModel`, (P, 3 K + 2 M), M = `num_modes`, of m, Re and Im alpha; `state(i)`. With d =
      `levels` there are d^2 - 1 for each of K.
    - `special`: the `SpecialPoint`s.
    - `ended`: "limit", "max_points", "closed" on itself, or "lost", where no step was short enough.
    """

    name: str = eqx.field(static=True)
    parameter: Float[np.ndarray, " point"]
    overlaps: Float[np.ndarray, "point M"]
    growth_rate: Float[np.ndarray, " point"]
    num_growing: Int[np.ndarray, " point"]
    special: tuple[SpecialPoint, ...]
    ended: str = eqx.field(static=True)
    components: np.ndarray | None = None
    num_modes: int = eqx.field(static=True, default=0)
    levels: int = eqx.field(static=True, default=2)

    def state(self, i: int) -> MeanFieldState:
        """The i-th state of a `CollectiveModel`'s branch."""
        if self.components is None:
            refuse("the branch", "one of a CollectiveModel (stationary_state has those of overlaps)", "of a DickeModel")
        spins, modes = np.split(self.components[i], [self.components.shape[1] - 2 * self.num_modes])
        re, im = modes.reshape(2, -1)
        return MeanFieldState(spins.reshape(size_of(self.levels), -1), re + 1j * im)

    @property
    def is_stable(self) -> np.ndarray:
        """(P,), whether nothing grows."""
        return self.num_growing == 0

    @property
    def successful(self) -> bool:
        """Whether the branch was followed to where it was to end."""
        return self.ended != "lost"

    def __repr__(self) -> str:
        low, high, ends = self.parameter.min(), self.parameter.max(), self.overlaps[[0, -1]].round(4) + 0.0
        heading = f"Branch: {self.parameter.size} states, {self.name} from {low:.6g} to {high:.6g}, ended: {self.ended}"
        rows = [("stable", f"{int(self.is_stable.sum())} of {self.parameter.size}")]
        rows.append(("overlaps", f"{ends[0].tolist()} -> {ends[1].tolist()}"))
        return summary(heading, rows + [(p.kind, f"{self.name} = {p.parameter:.10g}") for p in self.special])


@checked
def continuation(
    model: DickeModel | CollectiveModel,
    start: MeanFieldState | ArrayLike | SpecialPoint,
    parameter: str | tuple[str, int] | Callable[[Array], DickeModel | CollectiveModel] = "g0",
    *,
    limits: tuple[float, float],
    value: float | None = None,
    direction: int = 1,
    spin_length: ArrayLike = 1.0,
    step: float = 0.05,
    max_points: int = 1000,
) -> Branch:
    """Follow a stationary state while a parameter changes, also around folds (pseudo-arclength).

        xi = P(xi; p),   t . (u - u_0) = ds,   u = (xi, p / scale)

    Special points are located by bisection along the branch, to round-off. Of a `CollectiveModel` the unknowns are all
    components: dy/dt = 0 at |m_k|, of d levels at the populations, of the start, where no local jump acts.

    **Arguments**

    - `model`: a `DickeModel` or a `CollectiveModel` with constant rates.
    - `start`: a stationary `MeanFieldState`, or of a `DickeModel` overlaps (M,) near one; or a `SpecialPoint` of kind
      "branch point", to go on along the branch that crosses there.
    - `parameter`: "g0", "omega_spin", or a rate of one mode as ("omega_mode", 1) or ("kappa", 0); or a function of the
      parameter that makes the model. Of a `CollectiveModel` the name of a number among the energy's parameters, or
      ("J", 1), of an entry of an array; or a function.
    - `limits`: values of the parameter at which the branch ends. Their distance is `scale`.
    - `value`: the parameter's at the start; by default the model's own, and needed where a function makes it.
    - `direction`: +1 or -1, in which the parameter changes first; at a branch point, which half of the other branch.
    - `spin_length`: s_k, as in `stationary_states`, of a `DickeModel`. A state brings its own.
    - `step`: the largest ds, in overlaps and in shares of the limits' distance.
    - `max_points`: after which the branch ends.

    **Returns** a `Branch`. **Raises** ValueError for arguments that do not fit, or a start that leads to no state.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0, num_patterns=2)
        >>> branch = dj.continuation(model, dj.retrieval_state(model, 1), limits=(0.7, 1.0), direction=-1)
        >>> print([(point.kind, round(float(point.parameter), 4)) for point in branch.special])
        [('branch point', 0.7745), ('branch point', 0.7289), ('fold', 0.7289), ('branch point', 0.7745)]
    """
    pair = np.asarray(limits, dtype=float)
    if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] < pair[1]:
        refuse("limits", "two finite numbers, the lower one first", limits)
    if direction not in (1, -1):
        refuse("direction", "+1 or -1", direction)
    if not 0 < step <= 1:
        refuse("step", "above 0 and at most 1", step)
    check_count("max_points", max_points, 2)
    if isinstance(start, SpecialPoint):
        if start.kind != "branch point":
            refuse("start", "a branch point, from which another branch leaves", f"a {start.kind}")
        size = model.num_modes if start.components is None else model.num_components
        is_other = (start.components is None) != isinstance(model, DickeModel)
        if is_other or not size == len(_unknowns(start)) == len(start.direction) - 1:
            refuse("start", "a branch point of a branch of this model", "one of another")
        value = start.parameter
    name, present = parameter_of(model, parameter)
    value = present if value is None else value
    if value is None or not pair[0] <= value <= pair[1]:
        refuse("value", f"the parameter's at the start, from {pair[0]:g} to {pair[1]:g}", value)
    scale = float(pair[1] - pair[0])
    how = as_array(scale, model.dtype), parameter, num_rows(model) <= DENSE
    if isinstance(model, CollectiveModel):
        components = start.components if isinstance(start, SpecialPoint) else None
        problem = component_problem(model, components, value, *how)
    else:
        problem = OverlapProblem(model, *how, signed_spin_lengths(model, spin_length, None))
    number = partial(np.asarray, dtype=model.dtype)  # of the precision for which the steps are compiled
    if isinstance(start, SpecialPoint):
        at, leaving = number(np.append(_unknowns(start), value / scale)), number(direction * start.direction)
        points = [jax.device_get(describe(problem, at, leaving, np.array(True)))]
        points.append(_step(problem, points[0], step / 10))
        if not points[1].good:
            refuse("start", "a branch point from which another branch leaves", "one from which none is found")
    else:
        if isinstance(start, MeanFieldState):
            jax.eval_shape(lambda: start.to_real(model))  # checks the shapes, and compiles nothing
        elif isinstance(model, CollectiveModel):
            refuse("start", "a state or a branch point, for a CollectiveModel", told(start))
        else:
            start = as_array(start, model.dtype)
            if start.shape != (model.num_modes,):
                must_be = f"a state, a branch point or overlaps of shape ({model.num_modes},)"
                refuse("start", must_be, f"shape {start.shape}")
            check_finite("start", start)
        problem, first = first_point(problem, start, number(value / scale), number(direction))
        points = [jax.device_get(first)]
        if not points[0].good:
            refuse("start", "near a stationary state", "one from which none is found")
        if isinstance(model, CollectiveModel) and float(points[0].singular) < SINGULAR:
            must_be = "a state that is isolated at all but special parameters"
            refuse("start", must_be, "one of a continuous family, or a crossing of branches")
    branch = _follow(problem, points, pair / scale, step, max_points, name)
    if not isinstance(start, SpecialPoint):
        return branch
    # round-off at the crossing where it began is no news
    news = [p for p in branch.special if np.linalg.norm(_unknowns(p) - points[0].u[:-1]) > step / 100]
    return dataclasses.replace(branch, special=tuple(news))


def _unknowns(point: SpecialPoint) -> np.ndarray:
    return point.overlaps if point.components is None else point.components


def _follow(
    problem: AbstractProblem, points: list[Point], limits: np.ndarray, longest: float, most: int, name: str
) -> Branch:
    special, ds, ended, report = [], longest / 4, "max_points", Loop(None, "points")

    def within(point: Point) -> bool:
        return bool(limits[0] <= float(point.u[-1]) <= limits[1])

    while len(points) < most:
        report(len(points))
        last = points[-1]
        new = _step(problem, last, ds)
        found = _special(problem, last, new, ds, len(points) - 1) if _goes_on(last, new) else None
        if found is None:  # the step was too long, or led to another branch
            ds /= 2
            if ds < SHORTEST * longest:
                ended = "lost"
                break
            continue
        if not within(new):
            points.append(_last_point(problem, last, ds, within))
            special += [point for point in found if limits[0] < point.parameter / float(problem.scale) < limits[1]]
            ended = "limit"
            break
        special += found
        points.append(new)
        if len(points) > 3 and float(np.linalg.norm(new.u - points[0].u)) < ds / 2:
            ended = "closed"
            break
        ds = min(1.3 * ds, longest)
    u = np.stack([np.asarray(point.u) for point in points])
    growth, growing = _spectra(problem, points)
    xi, components = told_of(problem, u)
    numbers = u[:, -1] * float(problem.scale), xi, growth, growing, tuple(special), ended
    return Branch(name, *numbers, components, problem.model.num_modes, problem.model.levels)


def _step(problem: AbstractProblem, last: Point, ds: float) -> Point:
    """The next point, with its numbers on the host."""
    return jax.device_get(next_point(problem, last.u, last.tangent, np.asarray(ds, last.u.dtype)))


def _goes_on(last: Point, new: Point) -> bool:
    """Whether a point is a solution on the same branch: one that crosses has another tangent."""
    return bool(new.good) and float(np.sum(new.tangent * last.tangent)) > STRAIGHT


def _special(problem: AbstractProblem, last: Point, new: Point, ds: float, index: int) -> list[SpecialPoint] | None:
    """What lies between two points; None where a sign changed without a zero, which betrays a jump."""
    found = []

    def locate(value: Callable[[Point], Any]) -> Point:
        """The last point before `value` changes its sign."""
        sign = np.sign(value(last))
        return _last_point(problem, last, ds, lambda p: _goes_on(last, p) and bool(np.sign(value(p)) == sign))

    def note(kind: str, point: Point, direction: Array | None = None) -> None:
        u = np.asarray(point.u)
        other = np.zeros_like(u) if direction is None else np.asarray(direction)
        xi, components = told_of(problem, u[None])
        of_one = None if components is None else components[0]
        found.append(SpecialPoint(kind, float(u[-1]) * float(problem.scale), xi[0], index, other, of_one))

    if float(new.crossing) * float(last.crossing) < 0:
        point = locate(lambda p: p.crossing)
        if float(point.singular) > SINGULAR:
            return None
        note("branch point", point, other_direction(problem, point.u, point.tangent))
    slopes = float(last.tangent[-1]), float(new.tangent[-1])
    if slopes[0] * slopes[1] < 0 and min(map(abs, slopes)) > FLAT:  # not where it starts at a crossing, with slope 0
        note("fold", locate(lambda p: p.tangent[-1]))
    if problem.spectral and float(new.swing) * float(last.swing) < 0:
        point = locate(lambda p: p.swing)
        if abs(float(point.swing)) < SINGULAR * abs(float(new.swing) - float(last.swing)) + 1e-12:
            note("hopf", point)
    return found


def _last_point(problem: AbstractProblem, last: Point, ds: float, holds: Callable[[Point], bool]) -> Point:
    """The last point of a step for which something holds, by halving the step."""
    low, high, at = 0.0, ds, last
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        point = _step(problem, last, middle)
        low, high, at = (middle, high, point) if holds(point) else (low, middle, at)
    return at


def _spectra(problem: AbstractProblem, points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    if problem.spectral:
        return np.array([float(p.growth) for p in points]), np.array([int(p.num_growing) for p in points])
    spectra = [stability(*state_at(problem, point.u)) for point in points]
    growth = [float(np.real(np.asarray(spectrum.eigenvalues)[0])) for spectrum in spectra]
    return np.array(growth), np.array([int(spectrum.num_growing) for spectrum in spectra])
