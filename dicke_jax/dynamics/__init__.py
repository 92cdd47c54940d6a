"""The course in time: trajectories, and where they end."""

from ._loop import ReplayAdjoint as ReplayAdjoint
from .attractor_kind import Attractor as Attractor
from .attractor_kind import AttractorKind as AttractorKind
from .attractor_kind import attractor as attractor
from .ensemble import EnsembleSolution as EnsembleSolution
from .ensemble import solve_ensemble as solve_ensemble
from .lyapunov import LyapunovExponent as LyapunovExponent
from .lyapunov import lyapunov_exponent as lyapunov_exponent
from .steady_state import SteadyState as SteadyState
from .steady_state import check_reaches_steady as check_reaches_steady
from .steady_state import steadystate as steadystate
from .taylor_solver import BilinearTaylor as BilinearTaylor
from .trajectory import MFSolution as MFSolution
from .trajectory import mfsolve as mfsolve
