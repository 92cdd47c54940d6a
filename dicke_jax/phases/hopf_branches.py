"""`bifurcations`: a branch of states at rest with the periodic orbits that are born at its Hopf points."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._checks import as_array, refuse
from .._door import checked
from .._labelled import Labelled
from .._summary import summary
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState
from .branch_equations import parameter_of, with_parameter
from .branches import Branch, SpecialPoint
from .orbit_branches import OrbitBranch, check_steps, orbit_continuation
from .stationary_search import stationary_state


class Bifurcations(Labelled):
    """What a bifurcation diagram shows.

    - `states`: the `Branch` of states at rest.
    - `orbits`: the `OrbitBranch`es that begin at its Hopf points, whose `lowest` and `highest` overlaps stand beside
      the overlaps of the states.
    - `hopf`: the `SpecialPoint` at which each begins.
    - `without`: Hopf points from which no orbit was found, as those of two states that take each other's place;
      `reasons`: why, one for each.
    """

    states: Branch
    orbits: tuple[OrbitBranch, ...]
    hopf: tuple[SpecialPoint, ...]
    without: tuple[SpecialPoint, ...]
    reasons: tuple[str, ...]

    @property
    def successful(self) -> bool:
        """Whether orbits were found from every Hopf point, and followed to where they were to end."""
        return not self.without and all(orbits.successful for orbits in self.orbits)

    def __repr__(self) -> str:
        name = self.states.name
        rows = [("states", f"{self.states.parameter.size}, {int(self.states.is_stable.sum())} stable")]
        for point, orbits in zip(self.hopf, self.orbits, strict=True):
            end = f"{name} = {orbits.parameter[-1]:.6g}, {orbits.ended}"
            rows.append(("orbits", f"{orbits.parameter.size} from {name} = {point.parameter:.10g} to {end}"))
        for point, reason in zip(self.without, self.reasons, strict=True):
            rows.append(("no orbits", f"from {name} = {point.parameter:.10g}: {reason}"))
        return summary(f"Bifurcations: {len(self.orbits)} branch{'es' * (len(self.orbits) != 1)} of orbits", rows)


@checked
def bifurcations(
    model: DickeModel | CollectiveModel,
    branch: Branch,
    parameter: str | tuple[str, int] | Callable[[Array], DickeModel | CollectiveModel] = "g0",
    *,
    limits: tuple[float, float] | None = None,
    step: float = 0.1,
    max_points: int = 200,
    amplitude: float = 0.01,
) -> Bifurcations:
    """A branch of states at rest, and from each of its Hopf points on the orbits that are born there.

        A v = i w v   ->   y(T) = y(0),  T = 2 pi / w at first

    **Arguments**

    - `model`, `parameter`: those of the branch.
    - `branch`: what `continuation` gave.
    - `limits`: values of the parameter at which branches of orbits end; by default those that the branch spans.
    - `step`, `max_points`, `amplitude`: as in `orbit_continuation`.

    **Returns** `Bifurcations`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.gallery.unbalanced_dicke(omega=1.0, omega0=1.0, rotating=0.8, counter=1.0, kappa=1.0)
        >>> m = np.array([[0.94], [0.06], [-0.33]])
        >>> rest, found = dj.stationary_state(model, dj.MeanFieldState(m / np.linalg.norm(m), [-0.68 - 0.34j]))
        >>> states = dj.continuation(model, rest, "counter", limits=(0.9, 1.1))
        >>> diagram = dj.bifurcations(model, states, "counter")
        >>> print([round(float(point.parameter), 4) for point in diagram.hopf], diagram.orbits[0].ended)
        [1.0485] limit
    """
    given = (float(branch.parameter.min()), float(branch.parameter.max())) if limits is None else limits
    pair = check_steps(given, 1, step, max_points, amplitude)
    name, _ = parameter_of(model, parameter)
    if name != branch.name:
        refuse("parameter", f"that of the branch, {branch.name}", name)
    if (branch.components is None) != isinstance(model, DickeModel):
        refuse("branch", "one of this model", "one of another")
    orbits, born, without, reasons, ends = [], [], [], list[str](), (float(pair[0]), float(pair[1]))
    for point in (point for point in branch.special if point.kind == "hopf"):
        value = float(np.clip(point.parameter, *pair))
        here = with_parameter(model, parameter, as_array(value, model.dtype))
        how: dict[str, Any] = dict(step=step, max_points=max_points, amplitude=amplitude, value=value)
        try:
            orbits.append(orbit_continuation(here, _state_of(here, point), parameter, limits=ends, **how))
            born.append(point)
        except ValueError as error:
            without.append(point)
            reasons.append(str(error))
    return Bifurcations(branch, tuple(orbits), tuple(born), tuple(without), tuple(reasons))


def _state_of(model: DickeModel | CollectiveModel, point: SpecialPoint) -> MeanFieldState:
    """The state at rest that a point of a branch stands for."""
    if point.components is None:
        return stationary_state(model, jnp.asarray(point.overlaps))[0]
    spins, modes = np.split(point.components, [point.components.size - 2 * model.num_modes])
    re, im = modes.reshape(2, -1)
    return MeanFieldState(spins.reshape(-1, model.num_subsets), re + 1j * im)
