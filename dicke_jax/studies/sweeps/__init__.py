"""Sweeps: parameter studies as one object, with a store that outlives the night."""

from .boundary import find_boundary as find_boundary
from .planning import Plan as Plan
from .quantity import name_of as name_of
from .quantity import quantity_of as quantity_of
from .running import open_store as open_store
from .store import Store as Store
from .sweep import Sweep as Sweep
