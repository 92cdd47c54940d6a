"""Branches of periodic orbits, followed in any parameter from where they are born, with what happens along them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .._checks import as_array, check_count, refuse
from .._door import checked
from .._labelled import Labelled
from .._progress import Loop
from .._summary import summary
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, check_constant_rates
from .branch_equations import parameter_of
from .branches import FLAT, SHORTEST, STRAIGHT
from .linearisation import num_kept, residual
from .once_around import step_tolerance
from .orbit_step import Course, OrbitPoint, OrbitProblem, hopf_point, next_orbit
from .periodic_orbits import CLOSES, PeriodicOrbit, check_found, on_the_way

NEAR_HOPF = 0.1  # growth of an oscillation, in units of its frequency, from which on its Hopf point is not near
SHRUNK = 0.5  # of an orbit's size, below which orbits between two shrink to a state at rest
LOCATED = 1e-5  # of a test's values at the ends of a step, below which it is zero and did not jump
TURN_POINTS, TURN_ORDER = 16, 10  # orbits around such a turn, and the order of the polynomial through them
COMPLEX = 1e-3  # imaginary part of a pair of multipliers that is none on the real axis


class SpecialOrbit(NamedTuple):
    """An orbit of a branch at which something happens.

    - `kind`: "hopf", where the orbit shrinks to a state at rest; "fold", where the parameter turns back; "period
      doubling", where a multiplier is -1; "torus", where a pair of complex ones is on the unit circle; "branch point",
      where one is 1 without a fold.
    - `parameter`, `period`: there.
    - `state`: a `MeanFieldState` of the orbit.
    - `multipliers`: (n,), complex.
    - `after`: the index of the last orbit of the branch before it.
    """

    kind: str
    parameter: float
    period: float
    state: MeanFieldState
    multipliers: np.ndarray
    after: int


class OrbitBranch(Labelled):
    """Periodic orbits along a parameter, in the order in which they were followed.

    - `name`: the parameter's; `parameter`: (Q,), its values, not monotonic where the branch folds.
    - `period`: (Q,).
    - `states`: `MeanFieldState`s, one of each orbit: guesses for `periodic_orbit`.
    - `lowest`, `highest`: (Q, P), the least and the largest overlaps along each orbit.
    - `multipliers`: (Q, n), complex, as in `PeriodicOrbit`.
    - `special`: the `SpecialOrbit`s.
    - `ended`: "limit"; "max_points"; "hopf", where the orbit shrinks to a state at rest; "branch point", where it meets
      a more symmetric one, or one of half the period; or "lost", where no step was short enough, as where the period
      grows without bound.
    """

    name: str = eqx.field(static=True)
    parameter: np.ndarray
    period: np.ndarray
    states: MeanFieldState
    lowest: np.ndarray
    highest: np.ndarray
    multipliers: np.ndarray
    special: tuple[SpecialOrbit, ...]
    ended: str = eqx.field(static=True)

    @property
    def is_stable(self) -> np.ndarray:
        """(Q,), whether no multiplier is outside the unit circle."""
        return np.all(np.abs(self.multipliers) < 1 + 1e-6, axis=1)

    @property
    def successful(self) -> bool:
        """Whether the branch was followed to where it was to end."""
        return self.ended != "lost"

    def __repr__(self) -> str:
        low, high = self.parameter.min(), self.parameter.max()
        number = self.parameter.size
        heading = f"OrbitBranch: {number} orbits, {self.name} from {low:.6g} to {high:.6g}, ended: {self.ended}"
        rows = [("stable", f"{int(self.is_stable.sum())} of {number}")]
        rows.append(("period", f"{self.period[0]:.6g} -> {self.period[-1]:.6g}"))
        return summary(heading, rows + [(p.kind, f"{self.name} = {p.parameter:.10g}") for p in self.special])


@checked
def orbit_continuation(
    model: DickeModel | CollectiveModel,
    start: PeriodicOrbit | MeanFieldState,
    parameter: str | tuple[str, int] | Callable[[Array], DickeModel | CollectiveModel] = "g0",
    *,
    limits: tuple[float, float],
    value: float | None = None,
    direction: int = 1,
    step: float = 0.1,
    max_points: int = 200,
    amplitude: float = 0.01,
) -> OrbitBranch:
    """Follow a periodic orbit while a parameter changes, also around folds (pseudo-arclength).

        y(T) = y(0),   t . (u - u_0) = ds,   u = (y, log T, p / scale)

    Folds, period doublings, torus bifurcations and branch points are located by root finding along the branch; no torus
    where a pair of multipliers stays on the unit circle, as of deviations that no mode sees.

    **Arguments**

    - `model`: a `DickeModel` or a `CollectiveModel` with constant rates.
    - `start`: a `PeriodicOrbit` of this model; or a stationary `MeanFieldState` at or near a Hopf point, from which the
      branch that is born there is followed.
    - `parameter`: a rate or parameter of the energy, by name, or of one mode as ("kappa", 0); or a function of the
      parameter that makes the model.
    - `limits`: values of the parameter at which the branch ends. Their distance is `scale`.
    - `value`: the parameter's at the start; by default the model's own, and needed where a function makes it.
    - `direction`: +1 or -1, in which the parameter changes first; without a say at a Hopf point, where orbits exist on
      one side.
    - `step`: the largest ds.
    - `max_points`: after which the branch ends.
    - `amplitude`: the size of the first orbit at a Hopf point.

    **Returns** an `OrbitBranch`.

    **Raises** ValueError for arguments that do not fit, or a start that leads to no orbit.

    **Example**

        >>> model = dj.gallery.unbalanced_dicke(omega=1.0, omega0=1.0, rotating=0.8, counter=1.0485, kappa=1.0)
        >>> m = np.array([[0.927], [0.062], [-0.371]])
        >>> near = dj.MeanFieldState(m / np.linalg.norm(m), [-0.679 - 0.347j])
        >>> rest, found = dj.stationary_state(model, near)
        >>> branch = dj.orbit_continuation(model, rest, "counter", limits=(1.0, 1.2))
        >>> print(branch.ended, float(branch.period[0].round(3)), float(branch.period[-1].round(3)))
        limit 2.336 2.902
    """
    check_constant_rates(model, "for periodic orbits")
    check_found("start", start)
    pair = check_steps(limits, direction, step, max_points, amplitude)
    name, present = parameter_of(model, parameter)
    value = present if value is None else value
    if value is None or not pair[0] <= value <= pair[1]:
        refuse("value", f"the parameter's at the start, from {pair[0]:g} to {pair[1]:g}", value)

    scale = float(pair[1] - pair[0])
    kept = num_kept(model, start if isinstance(start, MeanFieldState) else start.state)
    tol = CLOSES * step_tolerance(model.dtype)
    problem = OrbitProblem(model, as_array(scale, model.dtype), tol, parameter, kept)
    p = np.asarray(value / scale, model.dtype)
    if isinstance(start, MeanFieldState):
        course, growth = hopf_point(problem, start, p)
        if not residual(problem.model_at(p), start) < 1e-6 or not abs(growth) < NEAR_HOPF:
            refuse("start", "an orbit, or a state at rest near a Hopf point", "a state that is none")
        ds = amplitude
    else:
        y = start.state.to_real(model)
        n = model.num_components
        along = np.append(np.zeros(n + 1), 1.0).astype(model.dtype)  # the parameter held
        inner = np.asarray(on_the_way(start))
        course, ds = Course(y, start.period, p, along, np.zeros(n, model.dtype), inner, np.zeros_like(inner)), 0.0
    first = jax.device_get(next_orbit(problem, jax.device_get(course), np.asarray(ds, model.dtype)))
    if not first.good:
        refuse("start", "an orbit, or a state at rest near a Hopf point", "one from which no orbit is found")
    if isinstance(start, PeriodicOrbit):
        first = first._replace(course=first.course._replace(tangent=direction * first.course.tangent))
    return _follow(problem, [first], pair / scale, step, max_points, name)


def check_steps(limits: Any, direction: int, step: float, max_points: int, amplitude: float) -> np.ndarray:
    """The limits, all that says how to go on having been looked at."""
    pair = np.asarray(limits, dtype=float)
    if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] < pair[1]:
        refuse("limits", "two finite numbers, the lower one first", limits)
    if direction not in (1, -1):
        refuse("direction", "+1 or -1", direction)
    for name, size in (("step", step), ("amplitude", amplitude)):
        if not 0 < size <= 1:
            refuse(name, "above 0 and at most 1", size)
    check_count("max_points", max_points, 2)
    return pair


def _follow(
    problem: OrbitProblem, points: list[OrbitPoint], limits: Any, longest: float, most: int, name: str
) -> OrbitBranch:
    special, ds, ended, report = [], longest / 4, "max_points", Loop(None, "orbits")
    while len(points) < most and ended == "max_points":
        report(len(points))
        last = points[-1]
        new = _step(problem, last, ds)
        if not new.good or float(np.sum(new.course.tangent * last.course.tangent)) < STRAIGHT:
            ds /= 2
            if ds < SHORTEST * longest:
                ended = "lost"
            continue
        if not limits[0] <= float(new.course.p) <= limits[1]:
            edge = limits[0] if new.course.p < limits[0] else limits[1]
            ds = _root(lambda s, last=last, edge=edge: float(_step(problem, last, s).course.p) - edge, ds)
            new, ended = _step(problem, last, ds), "limit"
        found = _special(problem, last, new, ds, len(points) - 1)
        special += found
        if found and TESTS["fold"](last) * TESTS["fold"](new) < 0 and found[0].kind in ("hopf", "branch point"):
            ended = found[0].kind
            break
        points.append(new)
        ds = min(1.3 * ds, longest)
    m, quadratures = (np.stack([point.course.y[i] for point in points]) for i in range(2))
    states = MeanFieldState(m, quadratures[:, 0] + 1j * quadratures[:, 1])
    parameter = np.array([float(point.course.p) for point in points]) * float(problem.scale)
    period = np.array([float(point.course.period) for point in points])
    lowest, highest = np.stack([point.lowest for point in points]), np.stack([point.highest for point in points])
    multipliers = np.stack([point.multipliers for point in points])
    return OrbitBranch(name, parameter, period, states, lowest, highest, multipliers, tuple(special), ended)


def _step(problem: OrbitProblem, last: OrbitPoint, ds: float) -> OrbitPoint:
    """The next orbit, with its numbers on the host."""
    return jax.device_get(next_orbit(problem, last.course, np.asarray(ds, last.course.tangent.dtype)))


def _root(value: Callable[[float], float], ds: float) -> float:
    from scipy.optimize import brentq  # half of what importing the package would take

    return float(brentq(value, 0.0, ds, xtol=1e-14, rtol=1e-14))  # pyright: ignore[reportArgumentType]


def _special(problem: OrbitProblem, last: OrbitPoint, new: OrbitPoint, ds: float, index: int) -> list[SpecialOrbit]:
    """What lies between two orbits."""
    found = []
    both = {kind: (value(last), value(new)) for kind, value in TESTS.items()}
    # what is zero all along, as where multipliers are neutral, changes its sign by round-off alone
    changes = {kind for kind, (a, b) in both.items() if a * b < 0 and max(abs(a), abs(b)) > FLAT}
    if "fold" in changes and min(map(abs, both["fold"])) < FLAT:
        changes.remove("fold")
    if "fold" in changes and "branch point" not in changes:
        found.append(_turn(problem, last, new, ds, index))
        changes.remove("fold")
    if "fold" in changes:  # where a multiplier is 1 as well
        changes.remove("branch point")
    for kind in (kind for kind in TESTS if kind in changes):
        value = TESTS[kind]
        at = _step(problem, last, _root(lambda s, value=value: value(_step(problem, last, s)), ds))
        located = at.good and abs(value(at)) <= LOCATED * max(abs(value(last)), abs(value(new)))
        if located and (kind != "torus" or _on_circle(np.asarray(at.multipliers))):
            found.append(_noted(kind, problem, at, index))
    return found


def _turn(problem: OrbitProblem, last: OrbitPoint, new: OrbitPoint, ds: float, index: int) -> SpecialOrbit:
    """Where the parameter turns without a fold: the branch meets one of higher symmetry, and goes back as its image.

    Orbits of no size, at a Hopf point, or orbits of half the period, or symmetric ones. The equations are singular
    there: a polynomial through orbits around it has the parameter.
    """
    s = ds * (1 - np.cos(np.pi * (np.arange(TURN_POINTS) + 0.5) / TURN_POINTS)) / 2
    points = [(float(at), point) for at in s if (point := _step(problem, last, float(at))).good]
    points = [(0.0, last), *points, (ds, new)]
    before, after = TESTS["fold"](last), TESTS["fold"](new)
    about, values = ds * before / (before - after), [float(point.course.p) for _, point in points]
    where, turns_at = extremum([at for at, _ in points], values, about)
    nearest = min(points, key=lambda pair: abs(pair[0] - where))[1]
    shrinks = min(float(p.size) for _, p in points) < SHRUNK * max(float(last.size), float(new.size))
    noted = _noted("hopf" if shrinks else "branch point", problem, nearest, index)
    return noted._replace(parameter=turns_at * float(problem.scale))


def extremum(x: Any, y: Any, about: float) -> tuple[float, float]:
    """Where a smooth function of these values turns, about there or just outside, and its value there."""
    course = np.polynomial.Polynomial.fit(x, y, min(TURN_ORDER, len(x) - 1))
    turns, span = course.deriv().roots(), x[-1] - x[0]
    turns = turns[np.abs(turns.imag) < 1e-9 * span].real
    turns = turns[(turns > x[0] - span / 4) & (turns < x[-1] + span / 4)]
    where = float(turns[np.argmin(np.abs(turns - about))]) if turns.size else about
    return where, float(course(where))


def _noted(kind: str, problem: OrbitProblem, at: OrbitPoint, index: int) -> SpecialOrbit:
    course, (m, quadratures) = at.course, at.course.y
    state = MeanFieldState(m, quadratures[0] + 1j * quadratures[1])
    return SpecialOrbit(
        kind, float(course.p * problem.scale), float(course.period), state, np.asarray(at.multipliers), index
    )


def _torus(point: OrbitPoint) -> float:
    """The product of all mu_i mu_j - 1, i < j: zero where a pair has the product 1."""
    values = np.asarray(point.multipliers)
    i, j = np.triu_indices(values.size, 1)
    return float(np.prod(values[i] * values[j] - 1).real)


def _on_circle(multipliers: np.ndarray) -> bool:
    """Whether it is a complex pair that has the product 1, not two real ones."""
    turning = np.abs(multipliers[np.abs(np.imag(multipliers)) > COMPLEX])
    return bool(turning.size and np.min(np.abs(turning - 1)) < 1e-6)


TESTS: dict[str, Callable[[OrbitPoint], float]] = {  # what changes its sign at each kind
    "fold": lambda point: float(point.course.tangent[-1]),
    "period doubling": lambda point: float(np.prod(point.multipliers + 1).real),
    "torus": _torus,
    "branch point": lambda point: float(np.prod(point.multipliers - 1).real),
}
