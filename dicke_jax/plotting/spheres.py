"""Large spins in their Bloch balls."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from .._checks import as_whole, refuse
from .._door import checked
from ..dynamics import MFSolution
from ..mean_field import MeanFieldState
from ..phases import PeriodicOrbit
from .style import COLOURS

MOST = 6  # subsets that a picture shows unless it is told which


@checked
def plot_bloch(
    result: MFSolution | PeriodicOrbit | MeanFieldState, ax: Any = None, *, subsets: int | Sequence[int] | None = None
) -> Any:
    """The mean spins m_k in the unit ball: where they go in a run, an orbit, or where they are in a state.

    Open circles are where a run begins, dots where it ends. The ball's axes are x, y and z: stored patterns lie along
    +z and -z, the normal state at -x. Points within the ball are large spins that are not fully polarised. Runs of one
    subset that are drawn into the same Axes have each their own colour.

    - `ax`: an Axes with `projection="3d"`; by default a new one.
    - `subsets`: which, from 0; by default the first six.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.9)
        >>> run = dj.mfsolve(model, dj.stored_pattern(model), [0.0, 1.0])
        >>> print(dj.plotting.plot_bloch(run, subsets=0).name)
        3d
    """
    m = np.asarray(result.m)
    if m.ndim != (2 if isinstance(result, MeanFieldState) else 3):
        refuse("result", "one run, orbit or state, not a batch", f"spins of shape {m.shape}")
    if m.shape[-2] != 3:
        refuse("result", "of spins, whose mean vectors have three components", f"one of {m.shape[-2]} components")
    m = m[None] if m.ndim == 2 else m
    number = m.shape[2]
    wanted = range(min(MOST, number)) if subsets is None else np.atleast_1d(subsets)
    shown = [as_whole("subsets", k, f"numbers from 0 to {number - 1}") for k in wanted]
    if not shown or not all(0 <= k < number for k in shown):
        refuse("subsets", f"numbers from 0 to {number - 1}", subsets)
    if ax is None:
        ax = plt.figure(figsize=(4.6, 4.4), layout="constrained").add_subplot(projection="3d")
    elif getattr(ax, "name", "") != "3d":
        refuse("ax", 'an Axes with projection="3d"', type(ax).__name__)
    if not any(line.get_gid() == "ball" for line in ax.lines):
        _ball(ax)
    before = sum(line.get_gid() == "way" for line in ax.lines) if len(shown) == 1 else 0
    for i, k in enumerate(shown, before):
        x, y, z = np.concatenate([m[:, :, k], m[:1, :, k]]).T if isinstance(result, PeriodicOrbit) else m[:, :, k].T
        style = {"color": COLOURS[(i + 1) % len(COLOURS)]}
        if isinstance(result, MeanFieldState):
            x, y, z = ([0, *along] for along in (x, y, z))
        ax.plot(x, y, z, lw=1.2, gid="way", **style)
        if isinstance(result, MFSolution):
            ax.plot(x[:1], y[:1], z[:1], "o", ms=5, mfc="white", **style)
        ax.plot(x[-1:], y[-1:], z[-1:], "o", ms=5, label=f"subset {k + 1}", **style)
    if number > 1:
        title = f"of {number} subsets" if len(shown) < number else None
        ax.legend(frameon=False, fontsize="small", title=title, loc="upper left", bbox_to_anchor=(-0.08, 1.02))
    return ax


def _ball(ax: Any) -> None:
    turn = np.linspace(0, 2 * np.pi, 121)
    c, s, zero = np.cos(turn), np.sin(turn), np.zeros_like(turn)
    turns, rise = np.meshgrid(turn, np.linspace(0, np.pi, 61))
    ball = np.cos(turns) * np.sin(rise), np.sin(turns) * np.sin(rise), np.cos(rise)
    ax.plot_surface(*ball, color="0.5", alpha=0.07, lw=0, shade=False, zorder=0)
    for circle in ((c, s, zero), (c, zero, s), (zero, c, s)):
        ax.plot(*circle, color="0.75", lw=0.7, zorder=0, gid="ball")
    for direction, name in zip(np.eye(3), "xyz", strict=True):
        ax.plot(*zip(-direction, direction, strict=True), color="0.75", lw=0.7, ls=":", zorder=0)
        ax.text(*(1.17 * direction), f"${name}$", color="0.35", ha="center", va="center")
    ax.set_axis_off()
    ax.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8))
    ax.set_box_aspect((1, 1, 1))
    ax.set_proj_type("ortho")
    ax.view_init(elev=18, azim=-50)
