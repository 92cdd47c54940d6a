"""The phases of the memory: which states exist, which are stable, from which coupling on."""

from .basins import retrieval_probability as retrieval_probability
from .branches import Branch as Branch
from .branches import SpecialPoint as SpecialPoint
from .branches import continuation as continuation
from .collective_search import CollectiveStates as CollectiveStates
from .critical_couplings import critical_coupling as critical_coupling
from .cue_outcome import CueOutcome as CueOutcome
from .cue_outcome import CueOutcomes as CueOutcomes
from .end_shares import BasinShares as BasinShares
from .end_shares import basin_shares as basin_shares
from .hopf_branches import Bifurcations as Bifurcations
from .hopf_branches import bifurcations as bifurcations
from .orbit_branches import OrbitBranch as OrbitBranch
from .orbit_branches import SpecialOrbit as SpecialOrbit
from .orbit_branches import orbit_continuation as orbit_continuation
from .periodic_orbits import PeriodicOrbit as PeriodicOrbit
from .periodic_orbits import periodic_orbit as periodic_orbit
from .retrieval_states import retrieval_overlap as retrieval_overlap
from .retrieval_states import retrieval_state as retrieval_state
from .stability_spectrum import Stability as Stability
from .stability_spectrum import stability as stability
from .stationary_search import StateKind as StateKind
from .stationary_search import StationaryStates as StationaryStates
from .stationary_search import stationary_state as stationary_state
from .stationary_search import stationary_states as stationary_states
