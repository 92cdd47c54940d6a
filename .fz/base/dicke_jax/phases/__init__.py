"""The phases of the memory: which states exist, which are stable, from which coupling on."""

from .basins import retrieval_probability as retrieval_probability
from .continuation import Branch as Branch
from .continuation import SpecialPoint as SpecialPoint
from .continuation import continuation as continuation
from .critical import critical_coupling as critical_coupling
from .ends import CueEnd as CueEnd
from .ends import RetrievalEnds as RetrievalEnds
from .retrieval import retrieval_overlap as retrieval_overlap
from .retrieval import retrieval_state as retrieval_state
from .stability import Stability as Stability
from .stability import stability as stability
from .stationary import StateKind as StateKind
from .stationary import StationaryStates as StationaryStates
from .stationary import stationary_state as stationary_state
from .stationary import stationary_states as stationary_states
