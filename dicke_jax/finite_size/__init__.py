"""Where finite N differs: theorem, exact master equation, quantum trajectories, Gaussian and sampled fluctuations."""

from .finite_operators import FiniteOperators as FiniteOperators
from .finite_operators import to_operators as to_operators
from .gaussian import OutputSpectrum as OutputSpectrum
from .gaussian import StationaryCovariance as StationaryCovariance
from .gaussian import gaussian_moments as gaussian_moments
from .gaussian import output_spectrum as output_spectrum
from .gaussian import stationary_covariance as stationary_covariance
from .master_equation import MasterSolution as MasterSolution
from .master_equation import mesolve as mesolve
from .moments import Moments as Moments
from .moments import commutators as commutators
from .moments import product_covariance as product_covariance
from .theorem import TheoremCheck as TheoremCheck
from .theorem import TheoremConstants as TheoremConstants
from .theorem import check_theorem as check_theorem
from .theorem import initial_error as initial_error
from .theorem import scaled_error as scaled_error
from .theorem import theorem_constants as theorem_constants
from .trajectories import TrajectorySolution as TrajectorySolution
from .trajectories import mcsolve as mcsolve
from .wigner import WignerSolution as WignerSolution
from .wigner import wigner_moments as wigner_moments
