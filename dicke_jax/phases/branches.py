"""Branches of stationary states, followed in any parameter through folds, with what happens along them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .._checks import as_array, check_count, check_finite, check_shape, refuse
from .._door import checked
from .._summary import summary
from .._typing import ArrayLike
from ..mean_field import DickeModel, MeanFieldState, check_constant_rates
from .arclength import Point, Problem, describe, first_point, next_point, other_direction, state_at
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
    - `direction`: at a branch point, (M + 1,): that of the other branch, in overlaps and in the scaled parameter.
    """

    kind: str
    parameter: float
    overlaps: np.ndarray
    after: int
    direction: np.ndarray


class Branch(eqx.Module):
    """Stationary states along a parameter, in the order in which they were followed.

    - `name`: the parameter's; `parameter`: (P,), its values, not monotonic where the branch folds.
    - `overlaps`: (P, M), xi_mu.
    - `growth_rate`: (P,), the largest real part among deviations that modes see; `num_growing`: (P,), how many grow.
    - `special`: the `SpecialPoint`s.
    - `ended`: "limit", "max_points", "closed" on itself, or "lost", where no step was short enough.
    """

    name: str = eqx.field(static=True)
    parameter: np.ndarray
    overlaps: np.ndarray
    growth_rate: np.ndarray
    num_growing: np.ndarray
    special: tuple[SpecialPoint, ...]
    ended: str = eqx.field(static=True)

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
    model: DickeModel,
    start: MeanFieldState | ArrayLike | SpecialPoint,
    parameter: str | tuple[str, int] | Callable[[Array], DickeModel] = "g0",
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

    Special points are located by bisection along the branch, to round-off.

    **Arguments**

    - `model`: a `DickeModel` with constant rates.
    - `start`: a stationary `MeanFieldState`, or overlaps (M,) near one; or a `SpecialPoint` of kind "branch point", to
      go on along the branch that crosses there.
    - `parameter`: "g0", "omega_spin", or a rate of one mode as ("omega_mode", 1) or ("kappa", 0); or a function of the
      parameter that makes the model.
    - `limits`: values of the parameter at which the branch ends. Their distance is `scale`.
    - `value`: the parameter's at the start; by default the model's own, and needed where a function makes it.
    - `direction`: +1 or -1, in which the parameter changes first; at a branch point, which half of the other branch.
    - `spin_length`: s_k, as in `stationary_states`. A state brings its own.
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
        value = start.parameter
    name, present = parameter_of(model, parameter)
    value = present if value is None else value
    if value is None or not pair[0] <= value <= pair[1]:
        refuse("value", f"the parameter's at the start, from {pair[0]:g} to {pair[1]:g}", value)

    lengths = signed_spin_lengths(model, spin_length, None)
    scale = float(pair[1] - pair[0])
    problem = Problem(model, lengths, as_array(scale, model.dtype), parameter, num_rows(model) <= DENSE)
    number = partial(np.asarray, dtype=model.dtype)  # of the precision for which the steps are compiled
    if isinstance(start, SpecialPoint):
        at, leaving = number(np.append(start.overlaps, value / scale)), number(direction * start.direction)
        points = [jax.device_get(describe(problem, at, leaving, np.array(True)))]
        points.append(_step(problem, points[0], step / 10))
        if not points[1].good:
            refuse("start", "a branch point from which another branch leaves", "one from which none is found")
    else:
        if isinstance(start, MeanFieldState):
            check_shape("start.m", start.m, (3, model.num_subsets), "a Bloch vector for each subset of the model")
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
    branch = _follow(problem, points, pair / scale, step, max_points, name)
    if not isinstance(start, SpecialPoint):
        return branch
    # round-off at the crossing where it began is no news
    news = [p for p in branch.special if np.linalg.norm(p.overlaps - branch.overlaps[0]) > step / 100]
    return dataclasses.replace(branch, special=tuple(news))


def parameter_of(model: DickeModel, parameter: Any) -> tuple[str, float | None]:
    """Its name, and its value in the model where it has one."""
    check_constant_rates(model)
    if callable(parameter):
        return getattr(parameter, "__name__", "parameter").replace("<lambda>", "parameter"), None
    if isinstance(parameter, str) and parameter in ("g0", "omega_spin"):
        return parameter, float(getattr(model, parameter))
    if isinstance(parameter, tuple) and len(parameter) == 2 and parameter[0] in ("omega_mode", "kappa"):
        if parameter[1] not in range(model.num_modes):
            refuse("parameter", f"of a mode from 0 to {model.num_modes - 1}", parameter)
        return f"{parameter[0]}[{parameter[1]}]", float(np.asarray(getattr(model, parameter[0]))[parameter[1]])
    must_be = "'g0', 'omega_spin', ('omega_mode', mode), ('kappa', mode) or a function that makes a model"
    refuse("parameter", must_be, repr(parameter))


def _follow(problem: Problem, points: list[Point], limits: np.ndarray, longest: float, most: int, name: str) -> Branch:
    special, ds, ended = [], longest / 4, "max_points"

    def within(point: Point) -> bool:
        return bool(limits[0] <= float(point.u[-1]) <= limits[1])

    while len(points) < most:
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
    return Branch(name, u[:, -1] * float(problem.scale), u[:, :-1], growth, growing, tuple(special), ended)


def _step(problem: Problem, last: Point, ds: float) -> Point:
    """The next point, with its numbers on the host."""
    return jax.device_get(next_point(problem, last.u, last.tangent, np.asarray(ds, last.u.dtype)))


def _goes_on(last: Point, new: Point) -> bool:
    """Whether a point is a solution on the same branch: one that crosses has another tangent."""
    return bool(new.good) and float(np.sum(new.tangent * last.tangent)) > STRAIGHT


def _special(problem: Problem, last: Point, new: Point, ds: float, index: int) -> list[SpecialPoint] | None:
    """What lies between two points; None where a sign changed without a zero, which betrays a jump."""
    found = []

    def locate(value: Callable[[Point], Any]) -> Point:
        """The last point before `value` changes its sign."""
        sign = np.sign(value(last))
        return _last_point(problem, last, ds, lambda p: _goes_on(last, p) and bool(np.sign(value(p)) == sign))

    def note(kind: str, point: Point, direction: Array | None = None) -> None:
        u = np.asarray(point.u)
        other = np.zeros_like(u) if direction is None else np.asarray(direction)
        found.append(SpecialPoint(kind, float(u[-1]) * float(problem.scale), u[:-1], index, other))

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


def _last_point(problem: Problem, last: Point, ds: float, holds: Callable[[Point], bool]) -> Point:
    """The last point of a step for which something holds, by halving the step."""
    low, high, at = 0.0, ds, last
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        point = _step(problem, last, middle)
        if holds(point):
            low, at = middle, point
        else:
            high = middle
    return at


def _spectra(problem: Problem, points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    if problem.spectral:
        return np.array([float(p.growth) for p in points]), np.array([int(p.num_growing) for p in points])
    spectra = [stability(*state_at(problem, point.u)) for point in points]
    growth = [float(np.real(np.asarray(spectrum.eigenvalues)[0])) for spectrum in spectra]
    return np.array(growth), np.array([int(spectrum.num_growing) for spectrum in spectra])
