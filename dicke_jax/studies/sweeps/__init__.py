"""Sweeps: parameter studies as one object, with a store that outlives the night."""

from .axes import Plan as Plan
from .store import Store as Store
from .store import open_store as open_store
from .sweep import Sweep as Sweep
