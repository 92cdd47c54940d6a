"""Studies: questions to the memory whose answers are labelled arrays."""

from .results import open_results as open_results
from .results import save_results as save_results
from .transition import retrieval_transition as retrieval_transition
from .transition import threshold_from_overlaps as threshold_from_overlaps
