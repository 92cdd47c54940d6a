"""What can be inferred: gradients put to work on thresholds and on measurements."""

from .designing import DesignResult as DesignResult
from .designing import basin_proxy as basin_proxy
from .designing import design as design
from .designing import stability_margin as stability_margin
from .fit_parameters import FitParameters as FitParameters
from .fit_result import FitResult as FitResult
from .fit_result import Information as Information
from .fitting import fit as fit
from .free_parameters import FREE as FREE
from .free_parameters import FreeRates as FreeRates
from .free_parameters import free_rates as free_rates
from .measurements import Measurements as Measurements
from .measurements import StationaryCurve as StationaryCurve
from .measurements import TimeTrace as TimeTrace
from .posterior import PosteriorSamples as PosteriorSamples
from .posterior import sample_posterior as sample_posterior
from .threshold_inversion import Inversion as Inversion
from .threshold_inversion import invert_critical_coupling as invert_critical_coupling
from .threshold_location import LocatedCoupling as LocatedCoupling
from .threshold_location import locate_critical_coupling as locate_critical_coupling
