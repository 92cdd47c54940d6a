"""Where something begins or ceases in a plane: points are put where the boundary is, by the package adaptive."""

import copy
from typing import Any

import numpy as np
import xarray as xr

from ..._checks import check_count, refuse
from ..._door import checked
from ..results import Progress
from .axes import BATCH, LONG_NAMES, Axes, split_name
from .labels import UNITS
from .quantity import name_of, quantity_of
from .sweep import Sweep

ELSEWHERE = 0.1  # weight of the area of a triangle that no boundary crosses


@checked
def find_boundary(
    sweep: Sweep,
    variable: Any = None,
    *,
    level: float = 0.5,
    points: int = 512,
    progress: Progress | None = None,
) -> xr.Dataset:
    """The line f(x, y) = level in the plane of a sweep's two axes, such as where retrieval ceases.

    The sweep's own values are computed first: a boundary that no two neighbours of them see is not found. Then points
    go where the line is, in triangles that it crosses, the largest first.

    **Arguments**

    - `sweep`: over two axes, each of at least two values; an axis "seed" is averaged over.
    - `variable`: what f is; by default the chance of retrieval, the overlap, or the first that there is.
    - `level`: of f. What is 0 or 1 is crossed at 0.5, halfway between the two points that differ.
    - `points`: of the plane, at least; those of the sweep's own values are counted.
    - `progress`: called with the numbers of finished and of all points.

    **Returns** a dataset: over `point` both axes and the variable; over `crossing` both as `x_crossing`, `y_crossing`
    with the axes' names, and `half_width`, that of the interval in which the line was seen, as a share of the plane.

    **Raises** ValueError for other axes; ImportError without adaptive (`pip install "dicke-jax[studies]"`).

    **Example**

        >>> axes = {"g0": np.linspace(0.3, 1.6, 5), "kappa": np.linspace(0.5, 3.0, 5)}
        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> sweep = dj.Sweep(model, axes, lambda model, state: dj.retrieval_overlap(model, 0))
        >>> line = dj.find_boundary(sweep, points=60)
        >>> print(line.sizes["crossing"] > 10)
        True
    """
    try:
        from adaptive import Learner2D
    except ImportError as error:
        raise ImportError('adaptive must be installed for boundaries: pip install "dicke-jax[studies]".') from error
    across, up = _plane(sweep)
    check_count("points", points)
    name = name_of(sweep.variables, variable)
    values = sweep.axes.values
    seeds = values["seed"].size if "seed" in values else 1
    batch = max(1, BATCH // seeds)
    first = np.stack(np.meshgrid(values[across], values[up], indexing="ij"), axis=-1).reshape(-1, 2)
    bounds = [(float(x.min()), float(x.max())) for x in (values[across], values[up])]
    learner = Learner2D(None, bounds, lambda found: _loss(found, level))  # pyright: ignore[reportArgumentType]
    report = progress or (lambda done, total: None)
    asked = first
    while True:
        report(learner.npoints, max(points, len(first)))
        found = _at(sweep, across, up, asked)
        for point, value in zip(asked, quantity_of(found, name).values.tolist(), strict=True):
            learner.tell(tuple(point), value)
        if learner.npoints >= points:
            break
        asked = np.array(learner.ask(batch)[0])
    report(learner.npoints, max(points, learner.npoints))
    return _found(learner, sweep, found, (across, up), name, level)


def _plane(sweep: Sweep) -> tuple[str, str]:
    names = [name for name in sweep.axes.values if name != "seed"]
    for name in names:
        if name == "pattern" or name in sweep._made_of:
            refuse("sweep", "over two axes of numbers that are not counted", name)
    if len(names) != 2 or sweep.axes.zipped or min(sweep.axes.values[name].size for name in names) < 2:
        refuse("sweep", "over two axes of at least two values each, and seeds", ", ".join(names) or "none")
    return names[0], names[1]


def _at(sweep: Sweep, across: str, up: str, points: np.ndarray) -> xr.Dataset:
    """The sweep at other points of its plane, by the same programs."""
    own = copy.copy(sweep)
    x, y = np.ascontiguousarray(points.T)
    own.axes = Axes(sweep.axes.values | {across: x, up: y}, ((across, up),))
    same = {name: getattr(sweep, name) for name in ("_how", "variables", "_bytes_of_row")}  # of the whole plane
    own.__dict__.update(same, _models=(sweep._models[0], [np.arange(own.axes.num_rows)]))
    return own.run(chunk=BATCH)


def _loss(found: Any, level: float) -> np.ndarray:
    """The size of a triangle that the line crosses; of another a part of its area, so that none is overlooked."""
    from adaptive.learner.learner2D import areas

    values, size = found.values[found.tri.simplices][..., 0], areas(found)
    crossed = (values.min(axis=1) < level) & (values.max(axis=1) >= level)
    return np.where(crossed, np.sqrt(size), ELSEWHERE * size)


def _found(learner: Any, sweep: Sweep, last: xr.Dataset, axes: tuple[str, str], name: str, level: float) -> xr.Dataset:
    """The points, and every edge of their triangles that the line crosses."""
    triangles = learner.interpolator(scaled=True).tri
    points, values = learner._unscale(triangles.points), np.array([learner.data[p] for p in learner.data])
    edges = np.unique(np.sort(triangles.simplices[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    edges = edges[(values[edges] < level).sum(axis=1) == 1]
    edges = edges[np.isfinite(values[edges]).all(axis=1)]
    low, high = values[edges].T
    jumps = np.isin(values[edges], (0, 1)).all(axis=1)
    where = np.where(jumps, 0.5, (level - low) / (high - low))
    ends = points[edges]
    at = ends[:, 0] + where[:, None] * (ends[:, 1] - ends[:, 0])
    width = np.linalg.norm(triangles.points[edges[:, 1]] - triangles.points[edges[:, 0]], axis=1) / 2
    told = [{"long_name": LONG_NAMES.get(split_name(n)[0], n), "units": UNITS.get(split_name(n)[0], "1")} for n in axes]
    variables = {name: ("point", values, {**quantity_of(last, name).attrs, "level": level})}
    about = {"long_name": "half of the interval in which the boundary was seen", "units": "sides of the plane"}
    variables["half_width"] = ("crossing", width, about)
    for i, axis in enumerate(axes):
        variables[f"{axis}_crossing"] = ("crossing", at[:, i], told[i])
    coords = {axis: ("point", points[:, i], told[i]) for i, axis in enumerate(axes)}
    return xr.Dataset(variables, coords=coords, attrs={**last.attrs, "title": f"Boundary of {sweep.title}"})
