"""Which picture a result has: what `result.plot()` looks up."""

from collections.abc import Callable
from typing import Any

import jax

from .._checks import known, refuse
from .._door import checked
from .._labelled import Labelled, batch_axes
from ..dynamics import Attractor, EnsembleSolution, LyapunovExponent, MFSolution, SteadyState
from ..finite_size import (
    MasterSolution,
    Moments,
    OutputSpectrum,
    StationaryCovariance,
    TheoremCheck,
    TrajectorySolution,
    WignerSolution,
)
from ..inference import DesignResult, FitResult, Inversion, LocatedCoupling, PosteriorSamples
from ..phases import (
    BasinShares,
    Bifurcations,
    Branch,
    CollectiveStates,
    CueOutcomes,
    OrbitBranch,
    PeriodicOrbit,
    Stability,
    StationaryStates,
)
from .comparisons import plot_fit
from .ends import plot_end, plot_ensemble, plot_lyapunov, plot_outcomes, plot_shares, plot_states
from .fluctuations import plot_moments, plot_theorem
from .memory import plot_overlaps
from .orbits import plot_bifurcations, plot_branch, plot_orbit, plot_orbit_branch
from .searches import plot_location, plot_posterior, plot_search
from .spectra import plot_output_spectrum, plot_spectrum
from .wigner import plot_wigner

PICTURES: dict[type, Callable[..., Any]] = {
    MFSolution: plot_overlaps,
    EnsembleSolution: plot_ensemble,
    SteadyState: plot_end,
    Attractor: plot_end,
    LyapunovExponent: plot_lyapunov,
    Stability: plot_spectrum,
    StationaryStates: plot_states,
    CollectiveStates: plot_states,
    Branch: plot_branch,
    PeriodicOrbit: plot_orbit,
    OrbitBranch: plot_orbit_branch,
    Bifurcations: plot_bifurcations,
    CueOutcomes: plot_outcomes,
    BasinShares: plot_shares,
    FitResult: plot_fit,
    PosteriorSamples: plot_posterior,
    Inversion: plot_search,
    DesignResult: plot_search,
    LocatedCoupling: plot_location,
    Moments: plot_moments,
    MasterSolution: plot_moments,
    TrajectorySolution: plot_moments,
    WignerSolution: plot_moments,
    StationaryCovariance: plot_wigner,
    TheoremCheck: plot_theorem,
    OutputSpectrum: plot_output_spectrum,
}


@checked
def picture_of(result: Labelled) -> Callable[..., Any]:
    """The function that draws a result of this kind: its `result.plot()`.

    **Raises** ValueError where there is no one picture: of a batch, of a result that is traced, and of a class of
    results that has none.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.9)
        >>> found = dj.stability(model, dj.retrieval_state(model, 0))
        >>> print(dj.plotting.picture_of(found).__name__)
        plot_spectrum
    """
    name = type(result).__name__
    picture = next((PICTURES[kind] for kind in type(result).__mro__ if kind in PICTURES), None)
    if picture is None:
        refuse("result", "of a class that has a picture (those of the package's functions have one)", name)
    if not all(map(known, jax.tree.leaves(result))):
        refuse("result", "one with numbers, not within jax.jit, jax.vmap or jax.grad", f"a traced {name}")
    if axes := batch_axes(result):
        one = "one row of a batch (jax.tree.map(lambda x: x[0], result) is the first)"
        refuse("result", one, f"{name} with {axes} leading {'axes' if axes > 1 else 'axis'}")
    return picture
