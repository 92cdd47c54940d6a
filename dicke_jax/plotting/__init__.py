"""Pictures of results. Every function draws into given matplotlib Axes, or into new ones, and returns them."""

from .comparisons import plot_exactness as plot_exactness
from .comparisons import plot_fit as plot_fit
from .memory import plot_hysteresis as plot_hysteresis
from .memory import plot_mapping as plot_mapping
from .memory import plot_mending as plot_mending
from .memory import plot_overlaps as plot_overlaps
from .memory import plot_transition as plot_transition
from .phases import plot_basins as plot_basins
from .phases import plot_branches as plot_branches
from .phases import plot_phases as plot_phases
from .style import pattern_style as pattern_style
from .sweeps import plot_sweep as plot_sweep
