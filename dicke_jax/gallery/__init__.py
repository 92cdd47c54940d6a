"""All-to-all models of the literature, each a `CollectiveModel` with a number or a closed form that it must give."""

from .ensembles import DickeRing as DickeRing
from .ensembles import EnsemblesInOneMode as EnsemblesInOneMode
from .ensembles import dicke_ring as dicke_ring
from .ensembles import quadrature_dicke as quadrature_dicke
from .ensembles import two_ensemble_dicke as two_ensemble_dicke
from .levels import LevelsInOneMode as LevelsInOneMode
from .levels import multilevel_dicke as multilevel_dicke
from .light import NonlinearDicke as NonlinearDicke
from .light import TwoPhotonDicke as TwoPhotonDicke
from .light import UnbalancedDicke as UnbalancedDicke
from .light import nonlinear_dicke as nonlinear_dicke
from .light import two_photon_dicke as two_photon_dicke
from .light import unbalanced_dicke as unbalanced_dicke
from .spins import Field as Field
from .spins import Polynomial as Polynomial
from .spins import PSpin as PSpin
from .spins import QuadraticSpins as QuadraticSpins
from .spins import SpinExchange as SpinExchange
from .spins import TransverseField as TransverseField
from .spins import boundary_time_crystal as boundary_time_crystal
from .spins import collective_noise as collective_noise
from .spins import dissipative_xyz as dissipative_xyz
from .spins import p_spin as p_spin
from .spins import polynomial_spins as polynomial_spins
from .spins import spin_exchange as spin_exchange

__all__ = [
    "boundary_time_crystal",
    "collective_noise",
    "dicke_ring",
    "dissipative_xyz",
    "multilevel_dicke",
    "nonlinear_dicke",
    "p_spin",
    "polynomial_spins",
    "quadrature_dicke",
    "spin_exchange",
    "two_ensemble_dicke",
    "two_photon_dicke",
    "unbalanced_dicke",
]
