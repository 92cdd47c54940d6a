"""Which cue ends where, over a plane of cues."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from .._checks import as_pattern_index, refuse
from .._door import checked
from ..dynamics import EnsembleSolution, MFSolution, SteadyState
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, overlaps
from ..phases.cue_outcome import FINITE, INVOLVED
from .style import COLOURS, new_axes

NOWHERE, MIXED, UNKNOWN = (0.93, 0.93, 0.93), (0.55, 0.55, 0.55), (1.0, 1.0, 1.0)


@checked
def plot_cue_plane(
    ends: EnsembleSolution | SteadyState | MFSolution,
    cues: MeanFieldState,
    model: DickeModel | CollectiveModel,
    ax: Axes | None = None,
    *,
    patterns: tuple[int, int] = (0, 1),
) -> Axes:
    """The basins of attraction in a plane of cues: every cue has the colour of the pattern at which it ended.

    A paler colour is the pattern's negative. A state is a pattern if that overlap is at least 0.1 and more than three
    times any other; several such overlaps are a mixture, none is "forgotten". Runs that failed are white.

    - `ends`: of `solve_ensemble` (`save="final"` or until nothing moves) or of `steadystate` under two `jax.vmap`s,
      with two leading axes.
    - `cues`: a `MeanFieldState` with the same two leading axes: where the runs began.
    - `patterns`: the two whose overlaps with the cue are along x and y, from 0.

    **Example**

        >>> spins = dj.LargeSpins.hypercube(2)
        >>> model = dj.DickeModel(spins, omega_spin=0.5, omega_mode=[1.5, 1.5], kappa=1.0, g0=1.0)
        >>> z = jnp.stack(jnp.meshgrid(*2 * [jnp.array([-0.9, 0.2, 0.8])]), axis=-1)
        >>> m = jnp.stack([-jnp.sqrt(1 - z**2), jnp.zeros_like(z), z], axis=-2)
        >>> cues = dj.MeanFieldState(m, jnp.zeros(z.shape))
        >>> ends = dj.solve_ensemble(model, cues, [0.0, 1.0], save="final")
        >>> print(dj.plotting.plot_cue_plane(ends, cues, model).get_xlabel())
        overlap of the cue with pattern 1
    """
    found = np.asarray(ends.overlaps if ends.overlaps is not None else np.zeros(0))
    rows = np.shape(ends.successful)
    found = found[..., -1, :] if found.ndim == 4 else found
    if len(rows) != 2 or found.ndim != 3:
        refuse("ends", "of a plane of cues, with two leading axes and overlaps", f"leading axes {rows}")
    if cues.m.shape[:-2] != rows:
        refuse("cues", f"of leading axes {rows}, as ends", f"leading axes {cues.m.shape[:-2]}")
    if len(patterns) != 2:
        refuse("patterns", "two numbers", f"{len(patterns)}")
    along, up = (int(as_pattern_index(nu, found.shape[-1])) for nu in patterns)
    starts = np.asarray(overlaps(model, cues.m))
    (ax,) = new_axes(ax, 1, room=1.4)
    picture, seen = _coloured(found)
    mesh = ax.pcolormesh(starts[..., along], starts[..., up], picture, shading="nearest")
    mesh.set_rasterized(True)
    for name, nu in (("x", along), ("y", up)):
        getattr(ax, f"set_{name}label")(f"overlap of the cue with pattern {nu + 1}")
    ax.set_aspect("equal")
    legend = [Patch(facecolor=colour, edgecolor="0.4", lw=0.5, label=name) for name, colour in seen.items()]
    ax.legend(handles=legend, frameon=False, title="ends at", alignment="left", loc="upper left",
                bbox_to_anchor=(1.0, 1.0))  # fmt: skip
    return ax


def _coloured(found: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """A colour for every end, and which ones occur."""
    size = np.abs(found)
    leading, top = np.argmax(np.nan_to_num(size), axis=-1), np.max(np.nan_to_num(size), axis=-1)
    several = np.sum((size >= FINITE) & (size >= INVOLVED * top[..., None]), axis=-1) > 1
    negative = np.take_along_axis(found, leading[..., None], axis=-1)[..., 0] < 0
    failed, forgotten = ~np.isfinite(found).all(axis=-1), top < FINITE
    pure = ~failed & ~forgotten & ~several
    picture = np.full((*found.shape[:2], 3), UNKNOWN[0])
    seen = dict[str, Any]()
    for nu in range(found.shape[-1]):
        colour = np.array(to_rgb(COLOURS[(nu + 1) % len(COLOURS)]))
        for sign, name in ((False, f"pattern {nu + 1}"), (True, rf"$-$ pattern {nu + 1}")):
            here = pure & (leading == nu) & (negative == sign)
            own = tuple(colour + 0.55 * (1 - colour)) if sign else tuple(colour)
            if here.any():
                picture[here], seen[name] = own, own
    for name, colour, here in (
        ("a mixture", MIXED, several & ~failed & ~forgotten),
        ("none: forgotten", NOWHERE, forgotten & ~failed),
        ("failed", UNKNOWN, failed),
    ):
        if here.any():
            picture[here], seen[name] = colour, colour
    return picture, seen
