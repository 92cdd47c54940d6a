"""The course in time: trajectories, and where they end."""

from .solve import MFSolution as MFSolution
from .solve import mfsolve as mfsolve
from .steady import SteadyState as SteadyState
from .steady import SteadyStatus as SteadyStatus
from .steady import check_reaches_steady as check_reaches_steady
from .steady import steadystate as steadystate
from .taylor import BilinearTaylor as BilinearTaylor
