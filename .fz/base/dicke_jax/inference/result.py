"""`FitResult`: rates with their uncertainties, and what the data leave open."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from .._checks import known, refuse
from ..model import DickeModel
from .descent import InferenceStatus
from .information import WIDE, Information
from .measurements import Measurements
from .parameters import Vector
from .unknowns import Unknowns


class FitResult(eqx.Module):
    """Rates fitted to measurements.

    - `rates`: (F,), the free ones, of `names`, initial overlaps last; NaN where the data do not determine one.
    - `model`: a model that fits best; where a rate is not determined, one of many.
    - `loss`: at these rates; `losses` (steps, R), of every restart before each step, the first being the model's own.
    - `restart_rates` (R, F), `restart_losses` (R,): where each restart ended.
    - `gradient_norm`: of the loss in the log rates; `gain`, how much lower a Gauss-Newton step expects the loss to be.
    - `information`: an `Information`: covariance, and the combinations of rates that are determined or not. It
      assumes Gaussian noise of the size told, and the loss "chi-square".
    - `residuals`: of all points, in units of the noise; 0 where missing. `num_points` are not.
    - `data`: the measurements, with the initial states found.
    - `unknowns`, `vector`: an `Unknowns`, and the numbers that stand for the rates found in it.
    - `status`: an `InferenceStatus`, converged where `gain` is below the tolerance.
    """

    model: DickeModel
    rates: Vector
    loss: Float[Array, ""]
    losses: Float[Array, "steps R"]
    restart_rates: Float[Array, "R F"]
    restart_losses: Float[Array, " R"]
    gradient_norm: Float[Array, ""]
    gain: Float[Array, ""]
    information: Information
    residuals: Float[Array, " D"]
    data: tuple[Measurements, ...]
    unknowns: Unknowns
    vector: Vector
    status: InferenceStatus
    names: tuple[str, ...] = eqx.field(static=True)

    @property
    def converged(self) -> Array:
        """Whether no better rates are near."""
        return jnp.asarray(self.status == InferenceStatus.converged)

    @property
    def num_points(self) -> int:
        """Points that were measured."""
        return sum(int(jnp.sum(each.present)) for each in self.data)

    @property
    def reduced_chi_square(self) -> Float[Array, ""]:
        """sum_i r_i^2 / (points - combinations felt): near 1 where noise explains what is left."""
        felt = jnp.sum(jnp.isfinite(self.information.spreads))
        freedom = jnp.maximum(self.num_points - felt, 1).astype(self.residuals.dtype)
        return jnp.sum(self.residuals**2) / freedom

    @property
    def covariance(self) -> Float[Array, "F F"]:
        """Of the log rates; inf on the diagonal where a rate is not determined."""
        return self.information.covariance

    @property
    def standard_errors(self) -> Vector:
        """Of the log rates, which are relative errors of the rates; inf where one is not determined."""
        return jnp.sqrt(jnp.diag(self.covariance))

    @property
    def undetermined(self) -> Float[Array, "U F"]:
        """Combinations sum_i d_i log p_i that the data leave open, a row each."""
        return self.information.directions[np.asarray(self.information.spreads) > WIDE]

    def intervals(self, confidence: float = 0.95) -> Float[Array, "2 F"]:
        """Lower and upper ends p exp(-+ q sigma) for each rate, NaN where one is not determined."""
        if not known(confidence) or not 0 < confidence < 1:
            refuse("confidence", "between 0 and 1", confidence)
        reach = float(ndtri((1 + confidence) / 2)) * self.standard_errors
        return jnp.sort(jnp.stack([self.rates * jnp.exp(-reach), self.rates * jnp.exp(reach)]), axis=0)

    def __repr__(self) -> str:
        if not known(self.rates):
            return eqx.tree_pformat(self)
        rows = [f"FitResult: {InferenceStatus[self.status]}"]
        total, failed = self.restart_losses.size, int(np.sum(~np.isfinite(np.asarray(self.restart_losses))))
        reduced = float(self.reduced_chi_square)
        rows.append(
            f"  loss {float(self.loss):.6g}, {total} restart{'s' * (total > 1)}"
            + (f", {failed} ended at no finite loss" if failed else "")
        )
        rows.append(
            f"  {self.num_points} points, {len(self.names)} rates, reduced chi-square {reduced:.3g}"
            + (": more than noise explains" if reduced > 2 else "")
        )
        determined = np.asarray(self.information.determined)
        for name, rate, error, good in zip(self.names, self.rates, self.standard_errors, determined, strict=True):
            rows.append(
                f"  {name:14} " + (f"{float(rate):.6g} +- {abs(float(rate * error)):.2g}" if good else "not determined")
            )
        for spread, direction in zip(self.information.spreads, self.information.directions, strict=True):
            name = product(np.asarray(direction), self.names)
            if not determined.all() and spread <= WIDE:
                rows.append(f"  determined to {100 * float(spread):.2g} %: {name}")
            if spread > WIDE:
                how = "at all" if np.isinf(spread) else f"(to a factor {float(np.exp(spread)):.3g})"
                rows.append(f"  not determined {how}: {name}")
        return "\n".join(rows)


def product(direction: np.ndarray, names: tuple[str, ...], least: float = 0.02) -> str:
    """A combination of log rates as a product of powers."""
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    return " ".join(f"{name}^{d:.2f}" for name, d in zip(names, direction, strict=True) if abs(d) > least)
