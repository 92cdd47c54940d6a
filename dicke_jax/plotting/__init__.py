"""Pictures of results. Every function draws into given matplotlib Axes (`ax=`), or into new ones, and returns them.

`result.plot()` is the one that suits a result, and `picture_of(result)` says which that is.

Runs and their ends

    plot_overlaps         overlaps against time
    plot_photons          photons of the modes against time
    plot_phase_portrait   one quantity of a run or an orbit against another
    plot_bloch            mean spins in the unit ball
    plot_end              the overlaps at the end of a run
    plot_ensemble         the overlaps at the ends of many runs
    plot_outcomes         how many cues ended in each way
    plot_shares           at which states runs ended, and how many at each
    plot_lyapunov         the mean growth of a deviation

Patterns and pictures

    plot_mapping          patterns as they are, gauged and grouped (Fig. 2)
    plot_mending          pictures that are mended, frame by frame
    animate_mending       the same as a film

Phases

    plot_transition       overlaps and photons through the threshold (Fig. 3)
    plot_hysteresis       a coupling that is ramped up and down
    plot_states           all stationary states of a model
    plot_spectrum         eigenvalues of small deviations
    plot_branch           one branch of stationary states
    plot_branches         a diagram of branches
    plot_phases           stable patterns over two parameters
    plot_basins           the chance of retrieval against coupling or load
    plot_cue_plane        which cue ends where, over a plane of cues

Orbits

    plot_orbit            overlaps along a period
    plot_multipliers      Floquet multipliers and the unit circle
    plot_orbit_branch     orbits along a parameter
    plot_bifurcations     a branch of states with the orbits that are born on it

Finite N

    plot_exactness        the error of mean field against N
    plot_theorem          that error and the theorem's bound
    plot_moments          fluctuations against time
    plot_wigner           the Wigner function of a mode
    plot_output_spectrum  the light that leaves the modes

Fits, searches, sweeps

    plot_fit              measurements, fit and residuals
    plot_posterior        posterior samples of rates
    plot_search           the course of an inversion or a design
    plot_location         a threshold that was located
    plot_sweep            a parameter study: lines or a map

Style

    pattern_style         colour and line of a pattern, the same in every picture
"""

from .animations import animate_mending as animate_mending
from .comparisons import plot_exactness as plot_exactness
from .comparisons import plot_fit as plot_fit
from .ends import plot_end as plot_end
from .ends import plot_ensemble as plot_ensemble
from .ends import plot_lyapunov as plot_lyapunov
from .ends import plot_outcomes as plot_outcomes
from .ends import plot_shares as plot_shares
from .ends import plot_states as plot_states
from .fluctuations import plot_moments as plot_moments
from .fluctuations import plot_theorem as plot_theorem
from .memory import plot_hysteresis as plot_hysteresis
from .memory import plot_mapping as plot_mapping
from .memory import plot_mending as plot_mending
from .memory import plot_overlaps as plot_overlaps
from .memory import plot_photons as plot_photons
from .memory import plot_transition as plot_transition
from .orbits import plot_bifurcations as plot_bifurcations
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
