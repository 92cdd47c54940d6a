"""Pictures of results. Every function draws into given matplotlib Axes, or into new ones, and returns them.

`result.plot()` is the one that suits a result, and `picture_of(result)` says which that is.
"""

from .animations import animate_mending as animate_mending
from .comparisons import plot_exactness as plot_exactness
from .comparisons import plot_fit as plot_fit
from .ends import plot_end as plot_end
from .ends import plot_ensemble as plot_ensemble
from .ends import plot_lyapunov as plot_lyapunov
from .ends import plot_outcomes as plot_outcomes
from .ends import plot_states as plot_states
from .fluctuations import plot_moments as plot_moments
from .fluctuations import plot_theorem as plot_theorem
from .memory import plot_hysteresis as plot_hysteresis
from .memory import plot_mapping as plot_mapping
from .memory import plot_mending as plot_mending
from .memory import plot_overlaps as plot_overlaps
from .memory import plot_transition as plot_transition
from .orbits import plot_branch as plot_branch
from .orbits import plot_orbit as plot_orbit
from .orbits import plot_orbit_branch as plot_orbit_branch
from .orbits import plot_phase_portrait as plot_phase_portrait
from .phases import plot_basins as plot_basins
from .phases import plot_branches as plot_branches
from .phases import plot_phases as plot_phases
from .planes import plot_cue_plane as plot_cue_plane
from .results import picture_of as picture_of
from .searches import plot_location as plot_location
from .searches import plot_posterior as plot_posterior
from .searches import plot_search as plot_search
from .spectra import plot_multipliers as plot_multipliers
from .spectra import plot_output_spectrum as plot_output_spectrum
from .spectra import plot_spectrum as plot_spectrum
from .spheres import plot_bloch as plot_bloch
from .style import pattern_style as pattern_style
from .sweeps import plot_sweep as plot_sweep
from .wigner import plot_wigner as plot_wigner
