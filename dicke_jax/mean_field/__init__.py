"""The physics: the model, its states, the mean-field equations and what one looks at."""

from .dissipation import LocalDissipation as LocalDissipation
from .equations import mean_field_equations as mean_field_equations
from .model import DickeModel as DickeModel
from .model import check_constant_rates as check_constant_rates
from .model import check_model as check_model
from .rates import PiecewiseLinear as PiecewiseLinear
from .rates import RateFunction as RateFunction
from .state import MeanFieldState as MeanFieldState
from .state import corrupted_pattern as corrupted_pattern
from .state import occupations as occupations
from .state import overlaps as overlaps
from .state import random_state as random_state
from .state import spin_lengths as spin_lengths
from .state import stored_pattern as stored_pattern
from .state import tilted_pattern as tilted_pattern
from .symmetry import SymmetryReduction as SymmetryReduction
from .symmetry import reduce_symmetry as reduce_symmetry
