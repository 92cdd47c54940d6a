"""What can be inferred: gradients put to work on thresholds and on measurements."""

from .descent import InferenceStatus as InferenceStatus
from .design import DesignResult as DesignResult
from .design import design as design
from .fit import fit as fit
from .information import Information as Information
from .invert import Inversion as Inversion
from .invert import invert_critical_coupling as invert_critical_coupling
from .locate import LocatedCoupling as LocatedCoupling
from .locate import locate_critical_coupling as locate_critical_coupling
from .measurements import Measurements as Measurements
from .measurements import StationaryCurve as StationaryCurve
from .measurements import TimeTrace as TimeTrace
from .objectives import basin_proxy as basin_proxy
from .objectives import stability_margin as stability_margin
from .parameters import FREE as FREE
from .parameters import FreeRates as FreeRates
from .parameters import free_rates as free_rates
from .posterior import PosteriorSamples as PosteriorSamples
from .posterior import sample_posterior as sample_posterior
from .result import FitResult as FitResult
from .unknowns import Unknowns as Unknowns
