"""The phases of the memory: which states exist, and from which coupling on."""

from .critical import critical_coupling as critical_coupling
from .retrieval import retrieval_overlap as retrieval_overlap
from .retrieval import retrieval_state as retrieval_state
