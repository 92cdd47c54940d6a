"""All-to-all models of the literature, each a `CollectiveModel` with a number or a closed form that it must give."""

from .light import NonlinearDicke as NonlinearDicke
from .light import TwoPhotonDicke as TwoPhotonDicke
from .light import UnbalancedDicke as UnbalancedDicke
from .light import nonlinear_dicke as nonlinear_dicke
from .light import two_photon_dicke as two_photon_dicke
from .light import unbalanced_dicke as unbalanced_dicke
from .spins import PSpin as PSpin
from .spins import QuadraticSpins as QuadraticSpins
from .spins import TransverseField as TransverseField
from .spins import boundary_time_crystal as boundary_time_crystal
from .spins import dissipative_xyz as dissipative_xyz
from .spins import p_spin as p_spin

__all__ = [
    "boundary_time_crystal",
    "dissipative_xyz",
    "nonlinear_dicke",
    "p_spin",
    "two_photon_dicke",
    "unbalanced_dicke",
]
