"""The model: what is stored, and the rates."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._checks import check_all, check_finite, refuse
from ._typing import ArrayLike
from .couplings import LargeSpins
from .dissipation import LocalDissipation
from .schedules import PiecewiseLinear, Schedule, is_schedule, kinks, value_at


class DickeModel(eqx.Module):
    """An open multimode Dicke model (paper, Eqs. 1 and 2).

        H = Omega sum_k sigma_x^(k) + sum_mu Omega_mu a_mu^dag a_mu
            + (g0 / sqrt(N_sp)) sum_mu,k G[mu, k] (a_mu + a_mu^dag) sigma_z^(k)

    and photon loss at rates kappa_mu. Pauli matrices: the level splitting of a spin is 2 Omega, and an amplitude decays
    at kappa_mu / 2. Rates may be in any one unit; the paper's is kappa.

    **Arguments**

    - `spins`: the `LargeSpins` with the couplings G.
    - `omega_spin`: Omega.
    - `omega_mode`: Omega_mu, of shape (M,), or one number for all modes.
    - `kappa`: kappa_mu >= 0, of shape (M,), or one number for all modes.
    - `g0`: the coupling strength.
    - `dissipation`: single-spin jumps, a `LocalDissipation`, or None. Spins that were gauged allow only such as the
      gauge leaves unchanged.

    Every rate, also of a jump, may depend on time: a function of time, a `PiecewiseLinear` or a diffrax path in place
    of the number. The paper's theorem covers that too.

    Their common precision is the model's, and that of every run with it: one float32 array among Python numbers makes
    a float32 model. To vary a rate, `dataclasses.replace(model, g0=...)`, also inside `jax.vmap` and `jax.grad`.
    """

    spins: LargeSpins
    omega_spin: Any  # Float[Array, ""], or a schedule
    omega_mode: Any  # ModeReals, or a schedule
    kappa: Any  # ModeReals, or a schedule
    g0: Any  # Float[Array, ""], or a schedule
    dissipation: LocalDissipation | None
    dtype: jnp.dtype = eqx.field(static=True, init=False)

    def __init__(
        self,
        spins: LargeSpins,
        omega_spin: ArrayLike | Schedule,
        omega_mode: ArrayLike | Schedule,
        kappa: ArrayLike | Schedule,
        g0: ArrayLike | Schedule,
        dissipation: LocalDissipation | None = None,
    ) -> None:
        if not isinstance(spins, LargeSpins):
            refuse("spins", "LargeSpins", f"{type(spins).__name__}")
        self.dtype = dtype = _common_float(omega_spin=omega_spin, omega_mode=omega_mode, kappa=kappa, g0=g0)
        self.spins = spins
        self.omega_spin = _rate("omega_spin", omega_spin, dtype)
        self.omega_mode = _mode_rates("omega_mode", omega_mode, spins.num_modes, dtype)
        self.kappa = _mode_rates("kappa", kappa, spins.num_modes, dtype)
        self.g0 = _rate("g0", g0, dtype)
        given = self.kappa.values if isinstance(self.kappa, PiecewiseLinear) else self.kappa
        if not is_schedule(given):
            check_all("kappa", given, lambda k: k >= 0, "not negative: modes lose photons at this rate")
        self.dissipation = dissipation
        if dissipation is not None:
            _check_dissipation(dissipation, spins)

    @property
    def num_modes(self) -> int:
        """M, the number of modes and of stored patterns."""
        return self.spins.num_modes

    @property
    def num_subsets(self) -> int:
        """K, the number of large spins."""
        return self.spins.num_subsets

    @property
    def rates(self) -> dict[str, Any]:
        """Omega, Omega_mu, kappa_mu and g0 by name."""
        return {name: getattr(self, name) for name in ("omega_spin", "omega_mode", "kappa", "g0")}

    @property
    def is_time_dependent(self) -> bool:
        """Whether any rate is a schedule."""
        jumps = () if self.dissipation is None else self.dissipation.rates
        return any(is_schedule(rate) for rate in (*self.rates.values(), *jumps))

    @property
    def kinks(self) -> list[Array]:
        """Times at which a rate has a kink, onto which a solver must step."""
        jumps = () if self.dissipation is None else self.dissipation.rates
        return [times for rate in (*self.rates.values(), *jumps) for times in kinks(rate)]

    def at(self, t: ArrayLike) -> "DickeModel":
        """The model with the values that its rates have at time t."""
        if not self.is_time_dependent:
            return self
        now = {name: jnp.asarray(value_at(rate, t), self.dtype) for name, rate in self.rates.items()}
        return DickeModel(self.spins, **now, dissipation=None if self.dissipation is None else self.dissipation.at(t))


def check_model(model: Any, name: str = "model") -> None:
    """Refuse what is not a `DickeModel`."""
    if not isinstance(model, DickeModel):
        refuse(name, "a DickeModel", type(model).__name__)


def _check_dissipation(dissipation: LocalDissipation, spins: LargeSpins) -> None:
    if not isinstance(dissipation, LocalDissipation):
        refuse("dissipation", "a LocalDissipation or None", type(dissipation).__name__)
    for rate in dissipation.rates:
        if not is_schedule(rate) and rate.shape not in ((), (spins.num_subsets,)):
            refuse("rate of a jump", f"one number or of shape ({spins.num_subsets},)", f"shape {rate.shape}")
    if spins.gauged and not dissipation.is_gauge_invariant:
        refuse(
            "dissipation",
            "unchanged by a rotation of a spin by pi about x, by which these were gauged (map them with gauge=False)",
            "one that the rotation changes",
        )


def _common_float(**rates: Any) -> jnp.dtype:
    """The precision of the arrays among the rates; Python numbers and lists of them adapt to it."""
    rates = {name: rate for name, rate in rates.items() if not is_schedule(rate)}
    for name, rate in rates.items():
        if jnp.iscomplexobj(jnp.asarray(rate)):
            refuse(name, "real", "complex")
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(0.0, *(rate for rate in rates.values() if hasattr(rate, "dtype")))
    return dtype


def _rate(name: str, value: Any, dtype: jnp.dtype) -> Any:
    if is_schedule(value):
        return value
    rate = jnp.asarray(value, dtype)
    if rate.ndim != 0:
        refuse(name, "one number (vary it with jax.vmap)", f"shape {rate.shape}")
    check_finite(name, rate)
    return rate


def _mode_rates(name: str, value: Any, num_modes: int, dtype: jnp.dtype) -> Any:
    if is_schedule(value):
        return value
    rates = jnp.asarray(value, dtype)
    if rates.ndim == 0:
        rates = jnp.broadcast_to(rates, (num_modes,))
    if rates.shape != (num_modes,):
        refuse(name, f"one number or of shape ({num_modes},), one for each mode", f"shape {rates.shape}")
    check_finite(name, rates)
    return rates
