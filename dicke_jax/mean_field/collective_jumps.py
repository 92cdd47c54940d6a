"""Collective jumps: all sites and modes at once lose, or gain, or watch."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .._checks import as_float, check_all, check_finite, refuse
from .._door import in_short
from .._typing import ArrayLike
from .energy import IntensiveVariables
from .parameters import as_leafless
from .rates import Schedule, is_schedule, value_at


class CollectiveJump(eqx.Module):
    """Jump operators L_j = sqrt(N r_j) l_j(m, alpha): `rate` holds r_j, `amplitude` gives l_j, one or several."""

    rate: Any  # Float[Array, "*J"], or a schedule
    amplitude: Callable[[IntensiveVariables], Any]

    def at(self, t: ArrayLike, dtype: Any) -> "CollectiveJump":
        """The jump at the rate that it has at time t."""
        return CollectiveJump(jnp.asarray(value_at(self.rate, t), dtype), self.amplitude)


@in_short
def photon_loss(kappa: ArrayLike | Schedule) -> CollectiveJump:
    """L_mu = sqrt(kappa_mu) a_mu, of every mode: amplitudes decay at kappa_mu / 2.

    - `kappa`: not negative; one number for all modes, or of shape (M,), or a function of time, as in `DickeModel`.

    **Raises** ValueError for a rate that is none.

    **Returns** a `CollectiveJump`.

    **Example**

        >>> light = dj.CollectiveModel(lambda s: s.photons[0], jumps=[dj.photon_loss(0.5)], num_modes=1)
        >>> light.num_modes, len(light.jumps)
        (1, 1)
    """
    return CollectiveJump(_as_rate("kappa", kappa), as_leafless(_amplitudes))


@in_short
def collective(l: Callable[[IntensiveVariables], Any], rate: ArrayLike | Schedule = 1.0) -> CollectiveJump:  # noqa: E741
    """L = sqrt(N r) l(m, alpha), a jump of all sites at once.

        m'_k += -(2 / w_k) r Im(l^* grad_{m_k} l)  x  m_k,   alpha'_mu += i r Im(l^* dl) / d alpha_mu^*

    l = (x - i y) / 2 at the rate 2 Gamma is sqrt(Gamma / S) S_- with S = N/2; l = alpha^2 is two-photon loss,
    sqrt(r / N) a^2.

    - `l`: a function of the `IntensiveVariables`, complex; one number, or several of shape (J,) for as many jumps. An
      Equinox module for one with parameters of its own.
    - `rate`: r, not negative; one number or of shape (J,), or a function of time.

    **Raises** ValueError for arguments that do not fit.

    **Returns** a `CollectiveJump`.

    **Example**

        >>> two_photons = dj.collective(lambda s: s.alpha[0] ** 2, rate=0.1)
        >>> light = dj.CollectiveModel(lambda s: s.photons[0], jumps=[two_photons], num_modes=1)
        >>> light.num_modes, len(light.jumps)
        (1, 1)
    """
    if not callable(l):
        refuse("l", "a function of the intensive variables", type(l).__name__)
    return CollectiveJump(_as_rate("rate", rate), as_leafless(l))


def _as_rate(name: str, rate: Any) -> Any:
    if is_schedule(rate):
        return rate
    if isinstance(rate, float | int) and not isinstance(rate, bool):  # its precision is that of the model to come
        array: Any = rate
    else:
        array = as_float(rate, name)
        if array.ndim > 1:
            refuse(name, "one number or of shape (J,)", f"shape {array.shape}")
    check_finite(name, array)
    check_all(name, array, lambda r: r >= 0, "not negative")
    return array


def parts(amplitude: Any, dtype: Any) -> tuple[Array, Array]:
    """Re l and Im l."""
    array = jnp.asarray(amplitude)
    return jnp.real(array).astype(dtype), jnp.imag(array).astype(dtype)


def _amplitudes(s: IntensiveVariables) -> Any:
    return s.alpha


def is_photon_loss(jump: CollectiveJump) -> bool:
    """Whether `photon_loss` made it."""
    return getattr(jump.amplitude, "func", None) is _amplitudes
