"""Open multimode Dicke models as associative memories: GPU-accelerated, differentiable mean-field dynamics.

After Carollo and Lesanovsky, "Exactness of mean-field equations for open Dicke models with an application to pattern
retrieval dynamics" (2021). This page is the table of contents, in the order in which one learns the subject.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

# What is stored
from .couplings import AbstractCouplings as AbstractCouplings
from .couplings import DenseCouplings as DenseCouplings
from .couplings import HypercubeCouplings as HypercubeCouplings
from .couplings import LargeSpins as LargeSpins
from .couplings import SpinMapping as SpinMapping
from .couplings import flip_spins as flip_spins
from .couplings import image_patterns as image_patterns
from .couplings import map_to_large_spins as map_to_large_spins
from .couplings import pattern_overlaps as pattern_overlaps
from .couplings import random_patterns as random_patterns
from .dissipation import LocalDissipation as LocalDissipation
from .dynamics import Attractor as Attractor
from .dynamics import AttractorKind as AttractorKind

# Its course in time
from .dynamics import BilinearTaylor as BilinearTaylor
from .dynamics import EnsembleSolution as EnsembleSolution
from .dynamics import LyapunovExponent as LyapunovExponent
from .dynamics import MFSolution as MFSolution
from .dynamics import ReplayAdjoint as ReplayAdjoint
from .dynamics import SteadyState as SteadyState
from .dynamics import SteadyStatus as SteadyStatus
from .dynamics import attractor as attractor
from .dynamics import lyapunov_exponent as lyapunov_exponent
from .dynamics import mfsolve as mfsolve
from .dynamics import solve_ensemble as solve_ensemble
from .dynamics import steadystate as steadystate
from .equations import mean_field_equations as mean_field_equations
from .model import DickeModel as DickeModel
from .observables import occupations as occupations
from .observables import overlaps as overlaps
from .observables import spin_lengths as spin_lengths
from .phases import Branch as Branch
from .phases import CueEnd as CueEnd
from .phases import RetrievalEnds as RetrievalEnds
from .phases import SpecialPoint as SpecialPoint
from .phases import Stability as Stability
from .phases import StateKind as StateKind
from .phases import StationaryStates as StationaryStates
from .phases import continuation as continuation
from .phases import critical_coupling as critical_coupling

# Its phases
from .phases import retrieval_overlap as retrieval_overlap
from .phases import retrieval_probability as retrieval_probability
from .phases import retrieval_state as retrieval_state
from .phases import stability as stability
from .phases import stationary_state as stationary_state
from .phases import stationary_states as stationary_states

# The physics
from .schedules import PiecewiseLinear as PiecewiseLinear
from .state import MeanFieldState as MeanFieldState
from .state import corrupted_pattern as corrupted_pattern
from .state import random_state as random_state
from .state import stored_pattern as stored_pattern
from .state import tilted_pattern as tilted_pattern
from .symmetry import SymmetryReduction as SymmetryReduction
from .symmetry import reduce_symmetry as reduce_symmetry

if _TYPE_CHECKING:  # these rooms, with what they need, are loaded when one of their names is first asked for
    # What can be inferred
    from .finite_size import CovarianceStatus as CovarianceStatus
    from .finite_size import MasterSolution as MasterSolution
    from .finite_size import MasterStatus as MasterStatus

    # Where finite N differs
    from .finite_size import Moments as Moments
    from .finite_size import OutputSpectrum as OutputSpectrum
    from .finite_size import StationaryCovariance as StationaryCovariance
    from .finite_size import TheoremCheck as TheoremCheck
    from .finite_size import TheoremConstants as TheoremConstants
    from .finite_size import TrajectorySolution as TrajectorySolution
    from .finite_size import WignerSolution as WignerSolution
    from .finite_size import check_theorem as check_theorem
    from .finite_size import commutators as commutators
    from .finite_size import gaussian_moments as gaussian_moments
    from .finite_size import initial_error as initial_error
    from .finite_size import mcsolve as mcsolve
    from .finite_size import mesolve as mesolve
    from .finite_size import output_spectrum as output_spectrum
    from .finite_size import product_covariance as product_covariance
    from .finite_size import scaled_error as scaled_error
    from .finite_size import stationary_covariance as stationary_covariance
    from .finite_size import theorem_constants as theorem_constants
    from .finite_size import wigner_moments as wigner_moments
    from .inference import DesignResult as DesignResult
    from .inference import FitResult as FitResult
    from .inference import FreeRates as FreeRates
    from .inference import InferenceStatus as InferenceStatus
    from .inference import Inversion as Inversion
    from .inference import LocatedCoupling as LocatedCoupling
    from .inference import Measurements as Measurements
    from .inference import PosteriorSamples as PosteriorSamples
    from .inference import StationaryCurve as StationaryCurve
    from .inference import TimeTrace as TimeTrace
    from .inference import basin_proxy as basin_proxy
    from .inference import design as design
    from .inference import fit as fit
    from .inference import free_rates as free_rates
    from .inference import invert_critical_coupling as invert_critical_coupling
    from .inference import locate_critical_coupling as locate_critical_coupling
    from .inference import sample_posterior as sample_posterior
    from .inference import stability_margin as stability_margin


_ROOMS = ("inference", "finite_size")
_FOLDERS = ("studies", "plotting")  # these load xarray and matplotlib


def __getattr__(name: str) -> _Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dicke-jax")
    if name in (*_ROOMS, *_FOLDERS):
        return _import_module(f".{name}", __name__)
    if not name.startswith("_"):
        for room in _ROOMS:
            if hasattr(module := _import_module(f".{room}", __name__), name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    later = [name for room in _ROOMS for name in vars(_import_module(f".{room}", __name__)) if not name.startswith("_")]
    return sorted({*globals(), *later, *_FOLDERS, "__version__"})
