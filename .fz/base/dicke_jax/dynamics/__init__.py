"""The course in time: trajectories, and where they end."""

from .attractors import Attractor as Attractor
from .attractors import AttractorKind as AttractorKind
from .attractors import attractor as attractor
from .chaos import LyapunovExponent as LyapunovExponent
from .chaos import lyapunov_exponent as lyapunov_exponent
from .ensemble import EnsembleSolution as EnsembleSolution
from .ensemble import solve_ensemble as solve_ensemble
from .replay import ReplayAdjoint as ReplayAdjoint
from .solve import MFSolution as MFSolution
from .solve import mfsolve as mfsolve
from .steady import SteadyState as SteadyState
from .steady import SteadyStatus as SteadyStatus
from .steady import check_reaches_steady as check_reaches_steady
from .steady import steadystate as steadystate
from .taylor import BilinearTaylor as BilinearTaylor
