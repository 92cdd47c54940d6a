"""Branches of stationary states, followed in any parameter through folds, with what happens along them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._checks import check_count, check_finite, refuse
from .._typing import ArrayLike
from ..model import DickeModel, check_model
from ..observables import overlaps as overlaps_of
from ..self_consistency import signed_lengths, state_of_overlaps
from ..state import MeanFieldState
from .arclength import Point, Problem, first_point, known_point, next_point, other_direction
from .search import newton
from .stability import DENSE, stability
from .stationary import signed_spin_lengths

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

    def __repr__(self) -> str:
        low, high, ends = self.parameter.min(), self.parameter.max(), self.overlaps[[0, -1]].round(4) + 0.0
        rows = [f"Branch: {self.parameter.size} states, {self.name} from {low:.6g} to {high:.6g}, ended: {self.ended}"]
        rows.append(f"  stable        {int(self.is_stable.sum())} of {self.parameter.size}")
        rows.append(f"  overlaps      {ends[0].tolist()} -> {ends[1].tolist()}")
        rows += [f"  {point.kind:12}  {self.name} = {point.parameter:.10g}" for point in self.special]
        return "\n".join(rows)


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

    **Main arguments**

    - `model`: a `DickeModel` with constant rates.
    - `start`: a stationary `MeanFieldState`, or overlaps (M,) near one; or a `SpecialPoint` of kind "branch point", to
      go on along the branch that crosses there.
    - `parameter`: "g0", "omega_spin", or a rate of one mode as ("omega_mode", 1) or ("kappa", 0); or a function of the
      parameter that makes the model.

    **Other arguments**

    - `limits`: values of the parameter at which the branch ends. Their distance is `scale`.
    - `value`: the parameter's at the start; by default the model's own, and needed where a function makes it.
    - `direction`: +1 or -1, in which the parameter changes first; at a branch point, which half of the other branch.
    - `spin_length`: s_k, as in `stationary_states`. A state brings its own.
    - `step`: the largest ds, in overlaps and in shares of the limits' distance.
    - `max_points`: after which the branch ends.

    **Returns** a `Branch`. **Raises** ValueError for arguments that do not fit, or a start that leads to no state.
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
    name, own = parameter_of(model, parameter)
    value = own if value is None else value
    if value is None or not pair[0] <= value <= pair[1]:
        refuse("value", f"the parameter's at the start, from {pair[0]:g} to {pair[1]:g}", value)

    lengths = signed_spin_lengths(model, spin_length, None)
    scale = float(pair[1] - pair[0])
    rows = (2 if model.dissipation is None else 3) * model.num_subsets + 2 * model.num_modes
    problem = Problem(model, lengths, jnp.asarray(scale, model.dtype), parameter, rows <= DENSE)
    if isinstance(start, SpecialPoint):
        at = jnp.asarray(np.append(start.overlaps, value / scale), model.dtype)
        leaving = jnp.asarray(direction * start.direction, model.dtype)
        first = next_point(problem, at, leaving, jnp.asarray(step / 10, model.dtype))
        if not first.good:
            refuse("start", "a branch point from which another branch leaves", "one from which none is found")
        points = [known_point(problem, at, leaving), first]
    else:
        here = problem.model_at(jnp.asarray([value / scale], model.dtype))
        if isinstance(start, MeanFieldState):
            problem = eqx.tree_at(lambda p: p.lengths, problem, signed_lengths(here, start))
            start = overlaps_of(here, start.m)
        xi = jnp.asarray(start, model.dtype)
        if xi.shape != (model.num_modes,):
            refuse("start", f"a state, a branch point or overlaps of shape ({model.num_modes},)", f"shape {xi.shape}")
        check_finite("start", xi)
        xi, good = eqx.filter_jit(newton)(xi, (here, problem.lengths))
        if not good:
            refuse("start", "near a stationary state", "one from which none is found")
        towards = jnp.zeros(model.num_modes + 1, model.dtype).at[-1].set(direction)
        points = [first_point(problem, jnp.append(xi, value / scale), towards)]
    branch = _follow(problem, points, pair / scale, step, max_points, name)
    if not isinstance(start, SpecialPoint):
        return branch
    # round-off at the crossing where it began is no news
    news = [p for p in branch.special if np.linalg.norm(p.overlaps - branch.overlaps[0]) > step / 100]
    return dataclasses.replace(branch, special=tuple(news))


def parameter_of(model: DickeModel, parameter: Any) -> tuple[str, float | None]:
    """Its name, and its value in the model where it has one."""
    check_model(model)
    if model.is_time_dependent:
        refuse("model", "one with constant rates (model.at(t) has those of time t)", "one with rates that change")
    if callable(parameter):
        return getattr(parameter, "__name__", "parameter").replace("<lambda>", "parameter"), None
    if isinstance(parameter, str) and parameter in ("g0", "omega_spin"):
        return parameter, float(getattr(model, parameter))
    if isinstance(parameter, tuple) and len(parameter) == 2 and parameter[0] in ("omega_mode", "kappa"):
        if parameter[1] not in range(model.num_modes):
            refuse("parameter", f"of a mode from 0 to {model.num_modes - 1}", parameter)
        return f"{parameter[0]}[{parameter[1]}]", float(getattr(model, parameter[0])[parameter[1]])
    must_be = "'g0', 'omega_spin', ('omega_mode', mode), ('kappa', mode) or a function that makes a model"
    refuse("parameter", must_be, repr(parameter))


def _follow(problem: Problem, points: list[Point], limits: np.ndarray, longest: float, most: int, name: str) -> Branch:
    special, ds, ended = [], longest / 4, "max_points"
    while len(points) < most:
        last = points[-1]
        new = next_point(problem, last.u, last.tangent, jnp.asarray(ds, last.u.dtype))
        found = _special(problem, last, new, ds, len(points) - 1) if _goes_on(last, new) else None
        if found is None:  # the step was too long, or led to another branch
            ds /= 2
            if ds < SHORTEST * longest:
                ended = "lost"
                break
            continue
        if not limits[0] <= float(new.u[-1]) <= limits[1]:
            points.append(_at_limit(problem, last, ds, limits))
            special += [point for point in found if limits[0] < point.parameter / float(problem.scale) < limits[1]]
            ended = "limit"
            break
        special += found
        points.append(new)
        if len(points) > 3 and float(jnp.linalg.norm(new.u - points[0].u)) < ds / 2:
            ended = "closed"
            break
        ds = min(1.3 * ds, longest)
    u = np.stack([np.asarray(point.u) for point in points])
    growth, growing = _spectra(problem, points)
    return Branch(name, u[:, -1] * float(problem.scale), u[:, :-1], growth, growing, tuple(special), ended)


def _goes_on(last: Point, new: Point) -> bool:
    """Whether a point is a solution on the same branch: one that crosses has another tangent."""
    return bool(new.good) and float(jnp.sum(new.tangent * last.tangent)) > STRAIGHT


def _special(problem: Problem, last: Point, new: Point, ds: float, index: int) -> list[SpecialPoint] | None:
    """What lies between two points; None where a sign changed without a zero, which betrays a jump."""
    found = []

    def locate(value: Callable[[Point], float]) -> Point:
        """The last point before `value` changes its sign, by halving the step."""
        sign, low, high, at = np.sign(value(last)), 0.0, ds, last
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            point = next_point(problem, last.u, last.tangent, jnp.asarray(middle, last.u.dtype))
            if _goes_on(last, point) and np.sign(value(point)) == sign:
                low, at = middle, point
            else:
                high = middle
        return at

    def note(kind: str, point: Point, direction: Array | None = None) -> None:
        u = np.asarray(point.u)
        other = np.zeros_like(u) if direction is None else np.asarray(direction)
        found.append(SpecialPoint(kind, float(u[-1] * problem.scale), u[:-1], index, other))

    if float(new.crossing) * float(last.crossing) < 0:
        point = locate(lambda p: float(p.crossing))
        if float(point.singular) > SINGULAR:
            return None
        note("branch point", point, other_direction(problem, point.u, point.tangent))
    slopes = float(last.tangent[-1]), float(new.tangent[-1])
    if slopes[0] * slopes[1] < 0 and min(map(abs, slopes)) > FLAT:  # not where it starts at a crossing, with slope 0
        note("fold", locate(lambda p: float(p.tangent[-1])))
    if problem.spectral and float(new.swing) * float(last.swing) < 0:
        point = locate(lambda p: float(p.swing))
        if abs(float(point.swing)) < SINGULAR * abs(float(new.swing) - float(last.swing)) + 1e-12:
            note("hopf", point)
    return found


def _at_limit(problem: Problem, last: Point, ds: float, limits: np.ndarray) -> Point:
    """The point of the last step that lies on the limit."""
    low, high, at = 0.0, ds, last
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        point = next_point(problem, last.u, last.tangent, jnp.asarray(middle, last.u.dtype))
        if limits[0] <= float(point.u[-1]) <= limits[1]:
            low, at = middle, point
        else:
            high = middle
    return at


def _spectra(problem: Problem, points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    if problem.spectral:
        return np.array([float(p.growth) for p in points]), np.array([int(p.num_growing) for p in points])
    told = []
    for point in points:
        model = problem.model_at(point.u)
        told.append(stability(model, state_of_overlaps(model, point.u[:-1], problem.lengths)))
    return np.array([float(s.eigenvalues[0].real) for s in told]), np.array([int(s.num_growing) for s in told])
