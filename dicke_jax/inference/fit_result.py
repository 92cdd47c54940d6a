"""`FitResult`: rates with their uncertainties, and what the data leave open by the Fisher information."""

from statistics import NormalDist

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._checks import as_array, known, refuse
from .._status import Status
from .._summary import AbstractResult, Rows
from ..mean_field import CollectiveModel, DickeModel
from .fit_parameters import FitParameters
from .free_parameters import Vector
from .measurements import Measurements

WIDE = 1.0  # of log p: a rate known to a factor e only is not determined
REACH = NormalDist().inv_cdf(0.975)  # standard deviations to the ends of a 95 % interval
BEND = 2.0  # the factor by which the loss there may be less high than the curvature says
RARE = 5.0  # standard deviations beyond which a chi-square is no accident
OUTLYING = 2.0  # the size from which a robust loss counts a residual no further
TOUCHING = 1e-3  # the distance from a bound, relative, at which a rate is at it


class Information(eqx.Module):
    """The Fisher information F = J^T J of log rates, J the slopes of residuals in units of their noise.

    - `spreads`: (F,), the standard deviation of each independent combination sum_i d_i log p_i, the smallest first;
      inf where the data do not feel it.
    - `directions`: (F, F), the d of each, a row.
    - `covariance`: (F, F), of the log rates; inf for a rate that is not determined, NaN with others.
    - `determined`: (F,), whether each rate is.
    """

    spreads: Vector
    directions: Float[Array, "F F"]
    covariance: Float[Array, "F F"]
    determined: Bool[Array, " F"]


def information(slopes: Float[np.ndarray, "D F"]) -> Information:
    """From the slopes of the residuals in the log rates."""
    F, dtype = slopes.shape[1], slopes.dtype
    padded = np.concatenate([slopes, np.zeros((max(F - slopes.shape[0], 0), F), dtype)])
    _, sizes, rows = np.linalg.svd(padded, full_matrices=False)
    felt = sizes > unfelt(dtype) * np.max(sizes)
    spreads = np.where(felt, 1 / np.where(felt, sizes, 1), np.inf).astype(dtype)
    wide = np.where(np.abs(rows) > np.sqrt(unfelt(dtype)), spreads[:, None], 0)
    determined = np.sum(rows**2 * wide**2, axis=0) < WIDE**2
    covariance = rows.T @ (np.where(felt, spreads, 0)[:, None] ** 2 * rows)
    unknown = np.where(np.eye(F, dtype=bool), np.inf, np.nan)
    covariance = np.where(np.outer(determined, determined), covariance, unknown).astype(dtype)
    return Information(*(as_array(part) for part in (spreads, rows, covariance, determined)))


def unfelt(dtype: np.dtype) -> float:
    """The share of the largest slope below which one is round-off."""
    return 1e-8 if dtype == np.float64 else 1e-4


def gain(slopes: Float[np.ndarray, "D F"], gradient: Float[np.ndarray, " F"]) -> float:
    """How much a Gauss-Newton step would lower the loss: g^T F^+ g / 2. Where the data feel nothing, unknown: inf."""
    _, sizes, rows = np.linalg.svd(slopes, full_matrices=False)
    felt = sizes > unfelt(slopes.dtype) * np.max(sizes)
    along = (rows @ gradient)[felt] / sizes[felt]
    return float(np.sum(along**2) / 2) if felt.any() else float("inf")


def interval_ends(found: Information) -> Float[np.ndarray, "2 F F"]:
    """The ends of the 95 % interval of each rate, a row each: how far all log rates are from the best ones there.

    On the way the other rates are the best ones that go with it: C e_i / sigma_i.
    """
    spreads, rows = np.asarray(found.spreads), np.asarray(found.directions)
    covariance = rows.T @ (np.where(np.isfinite(spreads), spreads, 0)[:, None] ** 2 * rows)
    errors = np.sqrt(np.diag(covariance))[:, None]
    reach = REACH * covariance / np.where(errors > 0, errors, 1)
    return np.stack([-reach, reach])


def supported(
    r: Float[np.ndarray, " D"],
    predicted: Float[np.ndarray, "2 F D"],
    there: Float[np.ndarray, "2 F D"],
    telling: Bool[np.ndarray, " D"],
) -> Bool[np.ndarray, " F"]:
    """Whether the loss at both ends of each interval has risen as slopes predict, to a factor: else it is too narrow.

    A loss that rises faster, as at a threshold, makes an interval wider than need be, and not wrong.
    """
    expected = np.sum((predicted**2 - r**2)[..., telling], axis=-1)  # of points whose slopes the intervals are made of
    rise = np.sum(there**2 - r**2, axis=-1)
    return np.all(rise > expected / BEND, axis=0)


def misfits(r: Float[np.ndarray, " D"], num_free: int, robust: bool) -> bool:
    """Whether noise of the size told makes residuals so large once in millions of data (Wilson and Hilferty)."""
    number = max(r.size - num_free, 1)
    sizes = np.minimum(np.abs(r), OUTLYING) if robust else r
    least = 1 - 2 / (9 * number) + RARE * np.sqrt(2 / (9 * number))
    return bool(np.sum(sizes**2) > number * least**3)


def touches(parameters: FitParameters, rates: Float[np.ndarray, " F"], pull: Float[np.ndarray, " F"]) -> np.ndarray:
    """Which rates are at a bound that was given, and pulled towards it by the slope of the loss in their logarithm."""
    sizes, hit = np.abs(rates), np.zeros(rates.size, bool)
    limits = np.stack([parameters.parameters.lower, parameters.parameters.upper], axis=1)
    for i, (low, high) in enumerate(limits.tolist()):
        reach = TOUCHING * (high - low if np.isfinite(high) else low)
        hit[i] = (low > 0 and sizes[i] - low < reach and pull[i] > 0) or (high - sizes[i] < reach and pull[i] < 0)
    return hit


class FitResult(AbstractResult):
    """Rates fitted to measurements.

    - `rates`: (F,), the free ones, of `names`, initial overlaps last; NaN where the data do not determine one.
    - `model`: a model that fits best; where a rate is not determined, one of many.
    - `loss`: at these rates; `losses` (steps, R), of every restart before each step, the first being the model's own.
    - `restart_rates` (R, F), `restart_losses` (R,): where each restart ended.
    - `gradient_norm`: of the loss in the log rates; `gain`, how much lower a Gauss-Newton step expects the loss to be.
    - `information`: an `Information`: covariance, and the combinations of rates that are determined or not. It
      assumes Gaussian noise of the size told, and the loss "chi-square".
    - `residuals`: (D,), of all points, in units of the noise; 0 where missing. `num_points` are not.
    - `data`: the measurements, with the initial states found.
    - `parameters`, `vector` (F,): `FitParameters`, and the numbers that stand for the rates found in them.
    - `at_bound`: (F,), which rates are at a bound that was given, the loss being lower beyond.
    - `is_supported`: (F,), whether the loss at the ends of a rate's 95 % interval is as high as the curvature says, to
      a factor of 2; for the loss "chi-square".
    - `status`: a `Status`, successful where `gain` is below the tolerance (no better rates are near), residuals are as
      large as noise makes them (else `misfit`), and all intervals that are given are supported (else `uncertain`).
    """

    model: DickeModel | CollectiveModel
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
    parameters: FitParameters
    vector: Vector
    at_bound: Bool[Array, " F"]
    is_supported: Bool[Array, " F"]
    status: Status
    names: tuple[str, ...] = eqx.field(static=True)

    @property
    def num_points(self) -> int:
        """Points that were measured."""
        return sum(int(np.sum(np.asarray(measured.present))) for measured in self.data)

    @property
    def reduced_chi_square(self) -> Float[Array, ""]:
        """sum_i r_i^2 / (points - combinations felt): near 1 where noise explains what is left."""
        felt = np.sum(np.isfinite(np.asarray(self.information.spreads)))
        return jnp.asarray(np.sum(np.asarray(self.residuals) ** 2) / max(self.num_points - felt, 1))

    @property
    def covariance(self) -> Float[Array, "F F"]:
        """Of the log rates; inf on the diagonal where a rate is not determined."""
        return self.information.covariance

    @property
    def standard_errors(self) -> Vector:
        """Of the log rates, which are relative errors of the rates; inf where one is not determined."""
        return jnp.asarray(np.sqrt(np.diag(np.asarray(self.covariance))))

    @property
    def undetermined(self) -> Float[Array, "U F"]:
        """Combinations sum_i d_i log p_i that the data leave open, a row each."""
        return self.information.directions[np.asarray(self.information.spreads) > WIDE]

    def intervals(self, confidence: float = 0.95) -> Float[Array, "2 F"]:
        """Lower and upper ends p exp(-+ q sigma) for each rate, NaN where one is not determined."""
        if not known(confidence) or not 0 < confidence < 1:
            refuse("confidence", "between 0 and 1", confidence)
        reach = NormalDist().inv_cdf((1 + float(confidence)) / 2) * self.standard_errors
        return jnp.sort(jnp.stack([self.rates * jnp.exp(-reach), self.rates * jnp.exp(reach)]), axis=0)

    def _heading(self) -> str:
        return f"FitResult: {len(self.names)} rates from {self.num_points} points"

    def _rows(self) -> Rows:
        total, failed = self.restart_losses.size, int(np.sum(~np.isfinite(np.asarray(self.restart_losses))))
        ended = f", {failed} ended at no finite loss" if failed else ""
        yield "loss", f"{float(self.loss):.6g}, {total} restart{'s' * (total > 1)}{ended}"
        reduced = float(self.reduced_chi_square)
        wrong = misfits(np.asarray(self.residuals), self.residuals.size - self.num_points + len(self.names), False)
        yield "chi-square", f"{reduced:.3g} reduced" + (": more than noise explains" if wrong else "")
        rates, errors = np.asarray(self.rates), np.asarray(self.standard_errors)
        found = jax.tree.map(np.asarray, self.information)
        for i, name in enumerate(self.names):
            how = " (at its bound)" if self.at_bound[i] else "" if self.is_supported[i] else " (by curvature alone)"
            known = f"{rates[i]:.6g} +- {abs(rates[i] * errors[i]):.2g}{how}"
            yield name, known if found.determined[i] else "not determined"
        for spread, direction in zip(found.spreads, found.directions, strict=True):
            if spread > WIDE:
                how = "at all" if np.isinf(spread) else f"(to a factor {np.exp(spread):.3g})"
                yield "", f"not determined {how}: {product(direction, self.names)}"
            elif not found.determined.all():
                yield "", f"determined to {100 * spread:.2g} %: {product(direction, self.names)}"


def product(direction: np.ndarray, names: tuple[str, ...], least: float = 0.02) -> str:
    """A combination of log rates as a product of powers."""
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    return " ".join(f"{name}^{d:.2f}" for name, d in zip(names, direction, strict=True) if abs(d) > least)
