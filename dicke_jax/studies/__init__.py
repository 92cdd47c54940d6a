"""Studies: questions to the memory whose answers are labelled arrays."""

from .basins import retrieval_basins as retrieval_basins
from .basins import retrieval_load as retrieval_load
from .courses import picture_mending as picture_mending
from .courses import quench as quench
from .courses import ramp_hysteresis as ramp_hysteresis
from .diagrams import bifurcation_diagram as bifurcation_diagram
from .diagrams import phase_diagram as phase_diagram
from .exactness import mean_field_exactness as mean_field_exactness
from .exactness import power_of_n as power_of_n
from .results import open_results as open_results
from .results import save_results as save_results
from .saved import load as load
from .saved import save as save
from .sweeps import Sweep as Sweep
from .sweeps import find_boundary as find_boundary
from .sweeps import open_store as open_store
from .transition import retrieval_transition as retrieval_transition
from .transition import threshold_from_overlaps as threshold_from_overlaps
