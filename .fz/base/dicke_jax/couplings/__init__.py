"""What is stored: patterns, and the large spins that they make of the single ones."""

from .large_spins import LargeSpins as LargeSpins
from .mapping import SpinMapping as SpinMapping
from .mapping import map_to_large_spins as map_to_large_spins
from .operators import AbstractCouplings as AbstractCouplings
from .operators import DenseCouplings as DenseCouplings
from .operators import HypercubeCouplings as HypercubeCouplings
from .patterns import flip_spins as flip_spins
from .patterns import image_patterns as image_patterns
from .patterns import pattern_overlaps as pattern_overlaps
from .patterns import random_patterns as random_patterns
