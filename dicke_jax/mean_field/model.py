"""The model: what is stored, and the rates."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_all, check_choice, check_finite, check_real, known, refuse
from .._door import in_short
from .._typing import ArrayLike, ModeReals, RealState, SpinVectors, SubsetReals
from ..couplings import LargeSpins
from .abstract_model import AbstractMeanFieldModel
from .collective_jumps import photon_loss
from .collective_model import CollectiveModel
from .dicke_energy import DickeEnergy
from .dissipation import LocalDissipation, check_dissipation
from .rates import PiecewiseLinear, Schedule, as_schedule, is_rate_in_time, is_schedule, value_at


class DickeModel(AbstractMeanFieldModel):
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

    **Example**

        >>> spins = dj.LargeSpins.hypercube(2)
        >>> model = dj.DickeModel(spins, omega_spin=0.5, omega_mode=[1.5, 2.0], kappa=1.0, g0=1.2)
        >>> print(model.replace(g0=1.5).g0, model.num_modes, model.num_subsets)
        1.5 2 2
    """

    spins: LargeSpins
    omega_spin: Any  # Float[Array, ""], or a schedule
    omega_mode: Any  # ModeReals, or a schedule
    kappa: Any  # ModeReals, or a schedule
    g0: Any  # Float[Array, ""], or a schedule
    dissipation: LocalDissipation | None
    dtype: jnp.dtype = eqx.field(static=True, init=False)

    @in_short
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
            must_be = "LargeSpins (LargeSpins.hypercube(1), or map_to_large_spins(patterns).spins)"
            refuse("spins", must_be, type(spins).__name__)
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
    def levels(self) -> int:
        """2, of spins."""
        return 2

    @property
    def weights(self) -> Float[Array, "*batch K"]:
        """w_k, the share of all spins that each subset holds."""
        return self.spins.weights

    @property
    def rates(self) -> dict[str, Any]:
        """Omega, Omega_mu, kappa_mu and g0 by name."""
        return {name: getattr(self, name) for name in ("omega_spin", "omega_mode", "kappa", "g0")}

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

    def as_collective(self) -> CollectiveModel:
        """The same model as a `CollectiveModel`, whose equations are derived from the energy: slower, same numbers.

        h = Omega sum_k w_k x_k + sum_mu Omega_mu |alpha_mu|^2 + g0 sum_mu 2 Re(alpha_mu) xi_mu
        l_mu = sqrt(kappa_mu) alpha_mu
        """
        known_as_such = {
            name: rate if is_rate_in_time(rate) or not is_schedule(rate) else jax.tree_util.Partial(value_at, rate)
            for name, rate in self.rates.items()
        }
        loss = photon_loss(known_as_such.pop("kappa"))
        energy, patterns = DickeEnergy(self.spins, **known_as_such), self.spins.couplings
        return CollectiveModel(energy, [loss], self.dissipation, self.spins.weights, self.num_modes, patterns)

    def rate_of_change(self, t: ArrayLike, y: RealState) -> RealState:
        """The right-hand side of `mean_field_equations`, where it is written."""
        model = self.at(t)
        (mx, my, mz), (re, im) = y
        turn = 2 * model.g0 * model.spins.field(2 * re)
        flip = 2 * model.omega_spin
        xi = model.spins.project(mz)
        m_dot = jnp.stack([-turn * my, turn * mx - flip * mz, flip * my])
        if model.dissipation is not None:
            m_dot += model.dissipation.rate_of_change(y[0])
        omega, loss = model.omega_mode, model.kappa / 2
        return m_dot, jnp.stack([omega * im - loss * re, -omega * re - loss * im - model.g0 * xi])

    def project(self, z: SubsetReals) -> ModeReals:
        """xi_mu = sum_k w_k G[mu, k] z_k."""
        return self.spins.project(z)

    def fastest_rate(self, t: Array, y: RealState) -> Float[Array, ""]:
        """2 |Omega| + max_mu (|Omega_mu| + kappa_mu / 2) + |g0| (1 + 4 max_k |field_k|)."""
        omega_spin, omega_mode, kappa, g0 = (jnp.abs(jnp.asarray(value_at(r, t), t.dtype)) for r in self.rates.values())
        field = jnp.max(jnp.abs(self.spins.field(y[1][0])))
        return 2 * omega_spin + jnp.max(omega_mode + kappa / 2) + g0 * (1 + 4 * field)

    def spin_rate(self, t: Array, y: RealState) -> Float[Array, ""]:
        """2 |Omega| + 4 |g0| max_k |field_k| + 2 sum_mu |c_mu|, c_mu xi_mu being the field of a mode that follows."""
        omega_spin, omega_mode, kappa, g0 = (jnp.abs(jnp.asarray(value_at(r, t), t.dtype)) for r in self.rates.values())
        D = omega_mode**2 + kappa**2 / 4
        c = 2 * g0**2 * omega_mode / jnp.where(D > 0, D, 1)
        return 2 * omega_spin + 4 * g0 * jnp.max(jnp.abs(self.spins.field(y[1][0]))) + 2 * jnp.sum(c)

    def largest_rate(self) -> Float[Array, ""]:
        """The largest of |2 Omega|, |Omega_mu|, kappa_mu and |g0|."""
        rates = jnp.stack([2 * self.omega_spin, self.g0])
        return jnp.max(jnp.abs(jnp.concatenate([rates, self.omega_mode, self.kappa])))

    def stiffness(self) -> float:
        """max_mu |i Omega_mu + kappa_mu / 2| / max(2 |Omega|, 2 sum_mu |c_mu|)."""
        if self.is_time_dependent:
            return 1.0
        # where derivatives are taken outside of `jax.jit` the numbers are known, too
        rates = [rate if known(rate) else jax.lax.stop_gradient(rate) for rate in self.rates.values()]
        if not all(map(known, rates)) or np.ndim(rates[0]):
            return 1.0
        omega, omega_mode, kappa, g0 = (np.asarray(rate, float) for rate in rates)
        modes = np.hypot(omega_mode, kappa / 2)
        fields = 2 * g0**2 * np.abs(omega_mode) / np.where(modes > 0, modes, 1) ** 2
        spins = 2 * max(abs(float(omega)), float(np.sum(fields)))
        return float(np.max(modes)) / spins if spins > 0 else 1.0

    def plane_of_turning(self, y: RealState) -> tuple[SpinVectors, SpinVectors]:
        """(0, 1, 0) and (b_k, 0, -Omega) / |B_k|: at rest m_k is parallel to the field (Omega, 0, b_k)."""
        b = self.g0 * self.spins.field(2 * y[1][0])
        strength = jnp.hypot(self.omega_spin, b)
        none, one = jnp.zeros_like(b), jnp.ones_like(b)
        return jnp.stack([none, one, none]), jnp.stack([b / strength, none, -self.omega_spin / strength])


def check_model(model: Any, name: str = "model") -> None:
    """Refuse what is not a `DickeModel`."""
    if not isinstance(model, DickeModel):
        refuse(name, "a DickeModel", type(model).__name__)


def _check_dissipation(dissipation: LocalDissipation, spins: LargeSpins) -> None:
    check_dissipation(dissipation, spins.num_subsets)
    if spins.gauged and not dissipation.is_gauge_invariant:
        must_be = "unchanged by a rotation of a spin by pi about x, by which these were gauged"
        refuse(
            "dissipation",
            f"{must_be} (map them with gauge=False; decay to the ground state of Omega sigma_x is 'decay_x')",
            "one that the rotation changes",
        )


def _common_float(**rates: Any) -> jnp.dtype:
    """The precision of the arrays among the rates; Python numbers and lists of them adapt to it."""
    rates = {name: rate for name, rate in rates.items() if not is_schedule(rate)}
    for name, rate in rates.items():
        check_real(name, rate, "real numbers, or a function of time")
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(0.0, *(rate for rate in rates.values() if hasattr(rate, "dtype")))
    if dtype not in (jnp.float32, jnp.float64):
        refuse("rates", "float32 or float64", dtype)
    return dtype


def _rate(name: str, value: Any, dtype: jnp.dtype, num_modes: int | None = None) -> Any:
    """A schedule as it is; else one number, or one for each of so many modes."""
    if is_schedule(value):
        return as_schedule(name, value, () if num_modes is None else (num_modes,))
    rate = jnp.asarray(value, dtype)
    shape, must_be = (), "one number (vary it with jax.vmap)"
    if num_modes is not None:
        shape, must_be = (num_modes,), f"one number or of shape ({num_modes},), one for each mode"
        rate = jnp.broadcast_to(rate, shape) if rate.ndim == 0 else rate
    if rate.shape != shape:
        refuse(name, must_be, f"shape {rate.shape}")
    check_finite(name, rate)
    return rate
