"""Open multimode Dicke models as associative memories: GPU-accelerated, differentiable mean-field dynamics.

After Carollo and Lesanovsky, "Exactness of mean-field equations for open Dicke models with an application to pattern
retrieval dynamics" (2021). This page is the table of contents, in the order in which one learns the subject.
"""

from . import _interrupts as _interrupts  # before all that takes long
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import _renamed

# fmt: off
# What is stored
from .couplings import LargeSpins, SpinMapping, flip_spins, image_patterns, map_to_large_spins
from .couplings import AbstractCouplings, DenseCouplings, HypercubeCouplings, pattern_overlaps, random_patterns
# The physics
from .mean_field import DickeModel, LocalDissipation, MeanFieldState, PiecewiseLinear, RateFunction, SymmetryReduction
from .mean_field import corrupted_pattern, random_state, stored_pattern, tilted_pattern
from .mean_field import mean_field_equations, occupations, overlaps, reduce_symmetry, spin_lengths
from .mean_field import CollectiveJump, CollectiveModel, Energy, IntensiveVariables, collective, photon_loss
from .mean_field import bloch_vectors, density_matrices, gell_mann
from . import examples
# How far a computation is, how it ended, and what ran it
from ._progress import show_progress
from ._status import Status
from ._versions import show_versions
from .dynamics._gpu import use_gpu_kernel
from .dynamics._loop import use_cpu_kernel
# Its course in time
from .dynamics import BilinearTaylor, MFSolution, ReplayAdjoint, SteadyState, mfsolve, steadystate
from .dynamics import EnsembleSolution, LyapunovExponent, lyapunov_exponent, solve_ensemble
from .dynamics import Attractor, AttractorKind, attractor

if _TYPE_CHECKING:  # loaded when a name is first asked for: __getattr__ below
    from . import finite_size, gallery, inference, phases, plotting, studies

    __version__: str
    # Its phases
    from .phases import CollectiveStates, StateKind, StationaryStates, stationary_state, stationary_states
    from .phases import Branch, SpecialPoint, Stability, continuation, critical_coupling, stability
    from .phases import OrbitBranch, PeriodicOrbit, SpecialOrbit, orbit_continuation, periodic_orbit
    from .phases import BasinShares, Bifurcations, basin_shares, bifurcations
    from .phases import CueOutcome, CueOutcomes, retrieval_overlap, retrieval_probability, retrieval_state
    # What can be inferred
    from .inference import FreeRates, Inversion, LocatedCoupling, Measurements, StationaryCurve, TimeTrace
    from .inference import free_rates, invert_critical_coupling, locate_critical_coupling
    from .inference import DesignResult, FitResult, PosteriorSamples, design, fit, sample_posterior
    from .inference import basin_proxy, stability_margin
    # Where finite N differs
    from .finite_size import MasterSolution, Moments, TrajectorySolution, mcsolve, mesolve
    from .finite_size import TheoremCheck, TheoremConstants, check_theorem, theorem_constants
    from .finite_size import initial_error, scaled_error
    from .finite_size import OutputSpectrum, StationaryCovariance, output_spectrum, stationary_covariance
    from .finite_size import WignerSolution, commutators, gaussian_moments, product_covariance, wigner_moments
    from .finite_size import FiniteOperators, to_operators
    # Studies
    from .studies import Sweep, find_boundary, load, save

__all__ = [
    "AbstractCouplings", "DenseCouplings", "HypercubeCouplings", "LargeSpins", "SpinMapping", "flip_spins",
    "image_patterns", "map_to_large_spins", "pattern_overlaps", "random_patterns",
    "DickeModel", "LocalDissipation", "MeanFieldState", "PiecewiseLinear", "RateFunction", "SymmetryReduction",
    "corrupted_pattern", "random_state", "stored_pattern", "tilted_pattern", "mean_field_equations", "occupations",
    "overlaps", "reduce_symmetry", "spin_lengths",
    "CollectiveJump", "CollectiveModel", "Energy", "IntensiveVariables", "collective", "photon_loss",
    "bloch_vectors", "density_matrices", "gell_mann", "examples",
    "Status", "show_progress", "show_versions", "use_cpu_kernel", "use_gpu_kernel", "__version__",
    "BilinearTaylor", "MFSolution", "ReplayAdjoint", "SteadyState", "mfsolve", "steadystate",
    "EnsembleSolution", "LyapunovExponent", "lyapunov_exponent", "solve_ensemble",
    "Attractor", "AttractorKind", "attractor",
    "phases", "CollectiveStates", "StateKind", "StationaryStates", "stationary_state", "stationary_states",
    "Branch", "SpecialPoint", "Stability", "continuation", "critical_coupling", "stability",
    "OrbitBranch", "PeriodicOrbit", "SpecialOrbit", "orbit_continuation", "periodic_orbit",
    "BasinShares", "Bifurcations", "basin_shares", "bifurcations",
    "CueOutcome", "CueOutcomes", "retrieval_overlap", "retrieval_probability", "retrieval_state",
    "inference", "FreeRates", "Inversion", "LocatedCoupling", "Measurements", "StationaryCurve", "TimeTrace",
    "free_rates", "invert_critical_coupling", "locate_critical_coupling", "DesignResult", "FitResult",
    "PosteriorSamples", "design", "fit", "sample_posterior", "basin_proxy", "stability_margin",
    "finite_size", "MasterSolution", "Moments", "TrajectorySolution", "mcsolve", "mesolve", "TheoremCheck",
    "TheoremConstants", "check_theorem", "theorem_constants", "initial_error", "scaled_error", "OutputSpectrum",
    "StationaryCovariance", "output_spectrum", "stationary_covariance", "WignerSolution", "commutators",
    "gaussian_moments", "product_covariance", "wigner_moments", "FiniteOperators", "to_operators",
    "studies", "Sweep", "find_boundary", "load", "save", "plotting", "gallery",
]
# fmt: on
# what loads when it is first asked for: in the contents, the names of a room stand after it
_starts = [__all__.index(room) for room in ("phases", "inference", "finite_size", "studies", "plotting", "gallery")]
_LATE = {__all__[i]: __all__[i + 1 : j] for i, j in zip(_starts, [*_starts[1:], len(__all__)], strict=True)}
_ROOM_OF = {name: room for room, names in _LATE.items() for name in (room, *names)}


def __getattr__(name: str) -> _Any:
    if name in _ROOM_OF:
        room = _import_module(f".{_ROOM_OF[name]}", __name__)
        return room if name in _LATE else getattr(room, name)
    if name in _renamed.RENAMED:
        return _renamed.found(__name__, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("dicke-jax")
    from difflib import get_close_matches

    near = get_close_matches(name, __all__, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
