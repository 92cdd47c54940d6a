"""The model: what is stored, and the rates."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._checks import check_all, check_choice, check_finite, check_real, refuse
from .._typing import ArrayLike
from ..couplings import LargeSpins
from .dissipation import LocalDissipation
from .rates import PiecewiseLinear, Schedule, check_schedule, is_schedule, kinks, value_at


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
    a float32 model. To vary a rate, `model.replace(g0=...)`, also inside `jax.vmap` and `jax.grad`.
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
        self.omega_mode = _rate("omega_mode", omega_mode, dtype, spins.num_modes)
        self.kappa = _rate("kappa", kappa, dtype, spins.num_modes)
        self.g0 = _rate("g0", g0, dtype)
        given = self.kappa.values if isinstance(self.kappa, PiecewiseLinear) else self.kappa
        if not is_schedule(given):
            check_all("kappa", given, lambda k: k >= 0, "not negative: modes lose photons at this rate")
        self.dissipation = dissipation
        if dissipation is not None:
            _check_dissipation(dissipation, spins)

    def __setstate__(self, fields: dict[str, Any]) -> None:
        """What was float64 is read as float32 where JAX has no other."""
        vars(self).update(fields, dtype=jnp.dtype(jax.dtypes.canonicalize_dtype(fields["dtype"])))

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

    def replace(self, **changes: Any) -> "DickeModel":
        """The model with some arguments changed, as `model.replace(g0=1.5)`."""
        names = [field.name for field in dataclasses.fields(self) if field.init]
        for name in changes:
            check_choice("name of a change", name, tuple(names))
        return dataclasses.replace(self, **changes)

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


def check_constant_rates(model: DickeModel, purpose: str = "") -> None:
    """Refuse a model with a rate that depends on time, for a purpose such as "for a stationary state"."""
    check_model(model)
    if model.is_time_dependent:
        must_be = " ".join(["one with constant rates", purpose]).strip() + " (model.at(t) has those of time t)"
        refuse("model", must_be, "one with rates that change")


def _check_dissipation(dissipation: LocalDissipation, spins: LargeSpins) -> None:
    if not isinstance(dissipation, LocalDissipation):
        refuse("dissipation", "a LocalDissipation or None", type(dissipation).__name__)
    for rate in dissipation.rates:
        if not is_schedule(rate) and rate.shape not in ((), (spins.num_subsets,)):
            refuse("rate of a jump", f"one number or of shape ({spins.num_subsets},)", f"shape {rate.shape}")
    if spins.gauged and not dissipation.is_gauge_invariant:
        must_be = "unchanged by a rotation of a spin by pi about x, by which these were gauged"
        refuse("dissipation", f"{must_be} (map them with gauge=False)", "one that the rotation changes")


def _common_float(**rates: Any) -> jnp.dtype:
    """The precision of the arrays among the rates; Python numbers and lists of them adapt to it."""
    rates = {name: rate for name, rate in rates.items() if not is_schedule(rate)}
    for name, rate in rates.items():
        check_real(name, rate, "real numbers, or a function of time")
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(0.0, *(rate for rate in rates.values() if hasattr(rate, "dtype")))
    return dtype


def _rate(name: str, value: Any, dtype: jnp.dtype, num_modes: int | None = None) -> Any:
    """A schedule as it is; else one number, or one for each of so many modes."""
    if is_schedule(value):
        check_schedule(name, value)
        return value
    rate = jnp.asarray(value, dtype)
    shape, must_be = (), "one number (vary it with jax.vmap)"
    if num_modes is not None:
        shape, must_be = (num_modes,), f"one number or of shape ({num_modes},), one for each mode"
        rate = jnp.broadcast_to(rate, shape) if rate.ndim == 0 else rate
    if rate.shape != shape:
        refuse(name, must_be, f"shape {rate.shape}")
    check_finite(name, rate)
    return rate
