"""Motion that does not end, and the states that it leaves or goes round: portraits, orbits, branches of both."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._checks import as_pattern_index, as_whole, refuse
from .._door import checked
from .._status import worst_text
from ..dynamics import MFSolution
from ..phases import Bifurcations, Branch, OrbitBranch, PeriodicOrbit
from .style import COLOURS, legend_beside, new_axes, parameter_label, pattern_style, solid_where_stable

SPECIAL = {  # markers of what happens along a branch
    "fold": "s", "branch point": "o", "hopf": "^", "period doubling": "D", "torus": "P",
}  # fmt: skip
QUANTITIES = {
    "overlap": (lambda run: run.overlaps, r"overlap $\xi_{%d}$"),
    "photons": (lambda run: run.occupations, r"photons per spin $|\alpha_{%d}|^2$"),
    "x": (lambda run: run.m[:, 0], "$m_{x,%d}$"),
    "y": (lambda run: run.m[:, 1], "$m_{y,%d}$"),
    "z": (lambda run: run.m[:, 2], "$m_{z,%d}$"),
    "re": (lambda run: np.real(run.alpha), r"Re $\alpha_{%d}$"),
    "im": (lambda run: np.imag(run.alpha), r"Im $\alpha_{%d}$"),
}
TIME = r"time $t$ (inverse unit of the rates)"


@checked
def plot_phase_portrait(
    result: MFSolution | PeriodicOrbit,
    ax: Axes | None = None,
    *,
    x: Any = None,
    y: Any = None,
    label: str | None = None,
) -> Axes:
    r"""One quantity of a run or an orbit against another, without time.

    The open circle is where a run begins, the dot where it ends. Drawn into the same Axes, each has its own colour.

    - `x`, `y`: what is along the axes, a name and a number from 0: ("overlap", 0), ("photons", 0) of a mode, ("x", 0),
      ("y", 0), ("z", 0) of a subset's mean spin, ("re", 0), ("im", 0) of an amplitude. By default the
      overlaps with the two patterns that were nearest; of one pattern overlap and photons, without modes two of a spin.
    - `label`: what the legend calls it.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.9)
        >>> run = dj.mfsolve(model, dj.stored_pattern(model), [0.0, 1.0])
        >>> print(dj.plotting.plot_phase_portrait(run, y=("re", 0)).get_xlabel())
        overlap $\xi_{1}$
    """
    if np.ndim(result.t) != 1:
        refuse("result", "one run or orbit, not a batch", f"times of shape {np.shape(result.t)}")
    default = _telling(result)
    (along, x_label), (up, y_label) = (
        _quantity(result, name, first if given is None else given)
        for name, given, first in (("x", x, default[0]), ("y", y, default[1]))
    )
    (ax,) = new_axes(ax, 1)
    drawn = sum(line.get_gid() == "portrait" for line in ax.lines)
    colour = COLOURS[1 + drawn % (len(COLOURS) - 1)]
    if isinstance(result, PeriodicOrbit):
        along, up = np.append(along, along[0]), np.append(up, up[0])
    ax.plot(along, up, color=colour, lw=1.1, label=label, gid="portrait")
    if isinstance(result, MFSolution):
        ax.plot(along[0], up[0], "o", color=colour, mfc="white", ms=5)
        ax.plot(along[-1], up[-1], "o", color=colour, ms=5)
    ax.set(xlabel=x_label, ylabel=y_label)
    if label is not None:
        ax.legend(frameon=False)
    return ax


def _telling(result: Any) -> tuple[tuple[str, int], tuple[str, int]]:
    """What is worth a look: the two patterns that were nearest, or a pattern and its light, or a spin."""
    xi, modes = np.asarray(result.overlaps), result.alpha.shape[1]
    if xi.shape[1] > 1:
        first, second = sorted(np.argsort(-np.max(np.abs(xi), axis=0), kind="stable")[:2].tolist())
        return ("overlap", first), ("overlap", second)
    return (("overlap", 0), ("photons", 0)) if modes else (("y", 0), ("z", 0))


def _quantity(result: Any, name: str, given: Any) -> tuple[np.ndarray, str]:
    must_be = f"a name and a number, as ('overlap', 0), of {', '.join(QUANTITIES)}"
    if not isinstance(given, tuple) or len(given) != 2 or given[0] not in QUANTITIES:
        refuse(name, must_be, repr(given))
    values, text = QUANTITIES[given[0]]
    all_ = np.asarray(values(result))
    i = as_whole(name, given[1], must_be)
    if not 0 <= i < all_.shape[1]:
        refuse(name, f"{given[0]} with a number from 0 to {all_.shape[1] - 1}", i)
    return all_[:, i], text % (i + 1)


@checked
def plot_orbit(orbit: PeriodicOrbit, ax: Axes | None = None) -> Axes:
    """The overlaps along one period of a `PeriodicOrbit`."""
    if np.ndim(orbit.period):
        refuse("orbit", "one orbit, not a batch", f"periods of shape {np.shape(orbit.period)}")
    if not bool(orbit.successful):
        refuse("orbit", "one that was found", f"none, {worst_text(orbit.status)}")
    (ax,) = new_axes(ax, 1)
    period, t = float(orbit.period), np.asarray(orbit.t)
    for nu, overlap in enumerate(np.asarray(orbit.overlaps).T):
        ax.plot(np.append(t, period), np.append(overlap, overlap[0]), **pattern_style(nu), label=f"pattern {nu + 1}")
    ax.set(xlabel=TIME, ylabel=r"overlap $\xi_\mu$")
    ax.set_xlim(0, period)
    fate = "stable" if bool(orbit.is_stable) else "unstable"
    ax.set_title(f"period {period:.5g}, {fate}", loc="left", fontsize="medium")
    if orbit.overlaps.shape[1] > 1:
        ax.legend(frameon=False)
    return ax


@checked
def plot_orbit_branch(branch: OrbitBranch, ax: Axes | None = None, *, pattern: int = 0) -> Axes:
    """The least and the largest overlap with a pattern along every orbit of `orbit_continuation`.

    Solid where the orbit is stable, dashed where it is not. Drawn into the Axes of `plot_branch`, orbits stand beside
    the states that they are born from.

    - `pattern`: which overlap, from 0.
    """
    nu = int(as_pattern_index(pattern, branch.lowest.shape[1]))
    (ax,) = new_axes(ax, 1, room=2.0)
    colour = COLOURS[2]
    ax.fill_between(branch.parameter, branch.lowest[:, nu], branch.highest[:, nu], color=colour, alpha=0.12, lw=0)
    edges = [_stable_and_not(ax, branch, edge[:, nu], colour) for edge in (branch.lowest, branch.highest)]
    if "orbits, least and largest" not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], color=colour, label="orbits, least and largest")
    for point, *at in zip(branch.special, *edges, strict=True):
        at = [float(np.mean(at))] if point.kind == "hopf" else at  # where an orbit has shrunk to a state
        _labelled_once(ax, [point.parameter] * len(at), at, point.kind, colour)
    ax.set(xlabel=parameter_label(branch.name), ylabel=rf"overlap $\xi_{{{nu + 1}}}$")
    legend_beside(ax, title="solid: stable")
    return ax


@checked
def plot_branch(branch: Branch, ax: Axes | None = None, *, pattern: int = 0) -> Axes:
    """The overlap with a pattern along one branch of `continuation`: solid where the state is stable, else dashed.

    - `pattern`: which overlap, from 0.
    """
    nu = int(as_pattern_index(pattern, branch.overlaps.shape[1]))
    (ax,) = new_axes(ax, 1, room=2.0)
    colour = COLOURS[1]
    at_special = _stable_and_not(ax, branch, branch.overlaps[:, nu], colour, nu)
    if "states" not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], color=colour, label="states")
    for point, value in zip(branch.special, at_special, strict=True):
        _labelled_once(ax, [point.parameter], [value], point.kind, colour)
    ax.set(xlabel=parameter_label(branch.name), ylabel=rf"overlap $\xi_{{{nu + 1}}}$")
    legend_beside(ax, title="solid: stable")
    return ax


@checked
def plot_bifurcations(diagram: Bifurcations, ax: Axes | None = None, *, pattern: int = 0) -> Axes:
    """A branch of states at rest, and the least and largest overlap with a pattern along the orbits born on it.

    - `pattern`: which overlap, from 0.
    """
    ax = plot_branch(diagram.states, ax, pattern=pattern)
    for orbits in diagram.orbits:
        plot_orbit_branch(orbits, ax, pattern=pattern)
    return ax


def _stable_and_not(ax: Axes, branch: Any, y: np.ndarray, colour: str, nu: int | None = None) -> list[float]:
    """Solid and dashed lines, and the values at special points: overlap nu, or between neighbours."""
    x, values = branch.parameter, list[float]()
    for point in branch.special:
        before, after = point.after, min(point.after + 1, x.size - 1)
        step = x[after] - x[before]
        share = np.clip((point.parameter - x[before]) / step, 0, 1) if step else 0.0
        values.append(float(y[before] + share * (y[after] - y[before])) if nu is None else float(point.overlaps[nu]))
    special = [(point.after, point.parameter, value) for point, value in zip(branch.special, values, strict=True)]
    solid_where_stable(ax, x, y, branch.is_stable, special, color=colour)
    return values


def _labelled_once(ax: Axes, x: Any, y: Any, kind: str, colour: str) -> None:
    label = None if kind in ax.get_legend_handles_labels()[1] else kind
    ax.plot(x, y, SPECIAL[kind], color=colour, mfc="white", ms=5, zorder=5, label=label)
