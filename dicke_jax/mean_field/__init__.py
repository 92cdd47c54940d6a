"""The physics: the model, its states, the mean-field equations and what one looks at."""

from .abstract_model import AbstractMeanFieldModel as AbstractMeanFieldModel
from .abstract_model import check_constant_rates as check_constant_rates
from .collective_jumps import CollectiveJump as CollectiveJump
from .collective_jumps import collective as collective
from .collective_jumps import photon_loss as photon_loss
from .collective_model import CollectiveModel as CollectiveModel
from .dissipation import LocalDissipation as LocalDissipation
from .energy import Energy as Energy
from .energy import IntensiveVariables as IntensiveVariables
from .equations import mean_field_equations as mean_field_equations
from .model import DickeModel as DickeModel
from .model import check_model as check_model
from .rates import PiecewiseLinear as PiecewiseLinear
from .rates import RateFunction as RateFunction
from .state import MeanFieldState as MeanFieldState
from .state import check_spin_lengths as check_spin_lengths
from .state import corrupted_pattern as corrupted_pattern
from .state import occupations as occupations
from .state import overlaps as overlaps
from .state import random_state as random_state
from .state import spin_lengths as spin_lengths
from .state import stored_pattern as stored_pattern
from .state import tilted_pattern as tilted_pattern
from .symmetry import SymmetryReduction as SymmetryReduction
from .symmetry import reduce_symmetry as reduce_symmetry
