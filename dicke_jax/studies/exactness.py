"""How exact mean field is: E_N(t) against N, from the master equation, sampled trajectories and the Gaussian limit."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, PRNGKeyArray

from .._checks import as_times, check_count, refuse
from .._door import checked
from .._progress import Loop
from .._typing import ArrayLike
from ..dynamics import mfsolve
from ..finite_size import check_theorem, gaussian_moments, mesolve, scaled_error, theorem_constants, wigner_moments
from ..mean_field import DickeModel, MeanFieldState
from .results import Progress, provenance
from .sweeps import Sweep
from .sweeps.rows import code_of


@checked
def mean_field_exactness(
    model: DickeModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    *,
    exact_sizes: Sequence[int] = (4, 8, 16, 32),
    sampled_sizes: Sequence[int] = (16, 100, 1000, 10_000, 100_000),
    levels: int | Sequence[int] | None = None,
    num_samples: int = 20_000,
    key: PRNGKeyArray | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """N E_N(t) of the paper's Eq. 9 for several N, its limit, its bound, and the power of N with which E_N falls.

    The theorem bounds E_N(t) by exp(C t) E_N(0). What really happens is a 1/N law,

        E_N(t) = (1/N) lim N E_N(t) + O(1/N^2)

    of which three routes that know nothing of each other give account: the master equation, which needs no mean field;
    the truncated Wigner equations, for any N; and the Gaussian limit.

    **Arguments**

    - `model`: infinitely many spins in equal subsets, such as `LargeSpins.hypercube` has; kappa > 0.
    - `state`: of pure spins, |m_k| = 1.
    - `tsave`: times, at least two.
    - `exact_sizes`, `sampled_sizes`: N, spins per subset, for the master equation and for the samples.
    - `levels`: photon levels, as in `mesolve`; `num_samples`, `key`: as in `wigner_moments`.
    - `progress`: called with the numbers of finished and of all runs.

    **Returns** a dataset with dimensions time, N_exact and N_sampled: `scaled_error_exact`, `scaled_error_sampled` with
    its standard error `scaled_error_sem`, `scaled_error_gaussian`, `log_scaled_bound`, all for N E_N(t); for the exact
    runs `largest_deviation` of a mean (S6), `top_population` and `status`; and the fitted powers `exponent_exact` and
    `exponent_sampled` of N with their standard errors `..._se`.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0, num_patterns=1)
        >>> sizes = dict(exact_sizes=(4, 8), sampled_sizes=(100, 1000), num_samples=2000)
        >>> found = dj.studies.mean_field_exactness(model, dj.stored_pattern(model), [0.0, 1.0], **sizes)
        >>> print(found.scaled_error_exact.values[:, -1].round(3), found.scaled_error_gaussian.values[-1].round(3))
        [3.828 3.865] 3.905
    """
    if model.spins.num_spins is not None:
        refuse("model.spins", "infinitely many, whose number is varied", f"{model.spins.num_spins}")
    for name, sizes in (("exact_sizes", exact_sizes), ("sampled_sizes", sampled_sizes)):
        if len(sizes) < 2 or any(b <= a for a, b in pairwise(sizes)):
            refuse(name, "at least two increasing numbers", f"{list(sizes)}")
        for size in sizes:
            check_count(name, size)
    as_times(tsave)
    check_count("num_samples", num_samples, 2)
    theorem_constants(model, state)  # refuses what the bound does not cover
    keys = jax.random.split(jax.random.key(0) if key is None else key, len(sampled_sizes))
    reference = mfsolve(model, state, tsave)
    limit = gaussian_moments(model, state, tsave)
    bound = check_theorem(model, limit, reference)
    report = Loop(len(exact_sizes) + len(sampled_sizes), "runs", progress)  # of both sweeps, one after the other
    how = dict[str, Any](cue=_Given(state), title="Exactness of mean field")
    kept = levels if levels is None or isinstance(levels, int) else tuple(levels)
    by_equation = _ByMasterEquation(np.asarray(reference.t), kept)
    by_samples = _BySamples(np.asarray(reference.t), keys, tuple(int(size) for size in sampled_sizes), num_samples)
    so_far = 0

    def told(done: int, total: int) -> None:
        report(so_far + done)

    exact = Sweep(model, {"subset_size": list(exact_sizes)}, by_equation, **how).run(progress=told)
    so_far = len(exact_sizes)
    sampled = Sweep(model, {"subset_size": list(sampled_sizes)}, by_samples, **how).run(progress=told)
    errors_exact, errors_sampled, sem = (x.values for x in (exact.scaled_error, sampled.scaled_error, sampled.sem))
    powers_exact = power_of_n(exact_sizes, errors_exact)
    powers_sampled = power_of_n(sampled_sizes, errors_sampled, sem)
    by_exact, by_sampled, named = ("N_exact", "time"), ("N_sampled", "time"), "N E_N(t) of Eq. 9"
    gaussian, log_bound = np.asarray(scaled_error(model, limit, reference)), np.asarray(bound.log_scaled_bound)
    within = {"long_name": "largest deviation of a mean from mean field, at most sqrt(E_N)"}
    spins_per_subset, power = {"long_name": "spins per subset"}, {"long_name": "power of N in E_N"}
    return xr.Dataset(
        {
            "scaled_error_exact": (by_exact, errors_exact, {"long_name": f"{named}, master equation"}),
            "scaled_error_sampled": (by_sampled, errors_sampled, {"long_name": f"{named}, truncated Wigner"}),
            "scaled_error_sem": (by_sampled, sem, {"long_name": "its standard error"}),
            "scaled_error_gaussian": ("time", gaussian, {"long_name": f"limit of {named}"}),
            "log_scaled_bound": ("time", log_bound, {"long_name": "log(N E_N(0)) + C t of the theorem"}),
            "largest_deviation": (by_exact, exact.deviation.values, within),
            "top_population": ("N_exact", exact.top_population.values),
            "status": ("N_exact", exact.status.values, exact.status.attrs),
            "exponent_exact": ("time", powers_exact[0], power),
            "exponent_exact_se": ("time", powers_exact[1]),
            "exponent_sampled": ("time", powers_sampled[0], power),
            "exponent_sampled_se": ("time", powers_sampled[1]),
        },
        coords={
            "time": ("time", np.asarray(reference.t), {"units": "inverse unit of the rates"}),
            "N_exact": ("N_exact", np.asarray(exact_sizes), spins_per_subset),
            "N_sampled": ("N_sampled", np.asarray(sampled_sizes), spins_per_subset),
        },
        attrs={
            "title": "Exactness of mean field",
            "source": "Carollo and Lesanovsky (2021), Eqs. 9 and 11, supplement",
            "C": float(bound.constants.C),
            "g0": float(model.g0),
            "num_samples": num_samples,
            **provenance(model),
        },
    )


class _Given(eqx.Module):
    """A cue that is known."""

    state: MeanFieldState

    def __call__(self, model: DickeModel, row: Mapping[str, Any]) -> MeanFieldState:
        return self.state


class _ByMasterEquation(eqx.Module):
    """N E_N(t) of so many spins, exactly, with the largest deviation of a mean."""

    on_host: ClassVar = True  # every size is a space of its own

    times: np.ndarray
    levels: tuple[int, ...] | int | None

    def variables(self, model: DickeModel) -> dict[str, Any]:
        course, real = (self.times.size,), np.dtype(model.dtype)
        numbers = dict(top_population=((), real), status=((), np.dtype(np.int8)))
        return numbers | dict.fromkeys(("scaled_error", "deviation"), (course, real))

    def __call__(self, model: DickeModel, state: MeanFieldState, subset_size: int) -> dict[str, Any]:
        run = mesolve(model, state, self.times, subset_size, levels=self.levels)
        check = check_theorem(model, run.moments, mfsolve(model, state, self.times))
        found = {"scaled_error": check.scaled_error, "deviation": check.deviation}
        return found | {"top_population": np.max(run.top_population), "status": code_of(run.status)}


class _BySamples(eqx.Module):
    """N E_N(t) of so many spins, by samples of the truncated Wigner equations, with its standard error."""

    on_host: ClassVar = True  # which steps are taken is decided there

    times: np.ndarray
    keys: Array  # one for each of the
    sizes: tuple[int, ...]
    num_samples: int

    def variables(self, model: DickeModel) -> dict[str, Any]:
        course = (self.times.size,), np.dtype(model.dtype)
        return dict(scaled_error=course, sem=course)

    def __call__(self, model: DickeModel, state: MeanFieldState, subset_size: int) -> dict[str, Any]:
        key = self.keys[self.sizes.index(subset_size)]
        run = wigner_moments(key, model, state, self.times, subset_size, num_samples=self.num_samples)
        return {"scaled_error": run.scaled_error, "sem": run.scaled_error_sem}


@checked
def power_of_n(
    sizes: Sequence[int], scaled_errors: ArrayLike, sem: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The power p with which an error falls, by least squares over N, for every time:

        min_{p, c} sum_N (log E_N - c - p log N)^2

    The standard error of p is that of the residuals, or that which the standard errors of E_N make, if larger. Two
    sizes leave no residual: without `sem` it is then NaN.

    **Arguments**

    - `sizes`: (S,), the numbers N of spins per subset, at least two different ones.
    - `scaled_errors`: (S, T), N E_N(t) > 0 of the paper's Eq. 9.
    - `sem`: (S, T), their standard errors, where they are means of samples.

    **Returns** p (T,), -1 where the 1/N law holds, and its standard error (T,).

    **Raises** ValueError for arguments of shapes that do not fit.

    **Example**

        >>> sizes = np.array([4, 8, 16])
        >>> power, error = dj.studies.power_of_n(sizes, np.full((3, 1), 0.7))  # N E_N does not depend on N
        >>> print(power.round(6), error.round(6))
        [-1.] [0.]
    """
    for size in sizes:
        check_count("sizes", size)
    if len(set(sizes)) < 2:
        refuse("sizes", "at least two different numbers", f"{list(sizes)}")
    errors, sems = np.asarray(scaled_errors, float), None if sem is None else np.asarray(sem, float)
    for name, given in (("scaled_errors", errors), ("sem", sems)):
        if given is not None and (given.ndim != 2 or len(given) != len(sizes)):
            refuse(name, f"of shape ({len(sizes)}, times), a row for each size", f"shape {given.shape}")
    x = np.log(np.asarray(sizes, float))
    y = np.log(errors) - x[:, None]
    x = x - x.mean()
    slope = x @ y / np.sum(x**2)
    rest = y - y.mean(axis=0) - x[:, None] * slope
    freedom = len(x) - 2
    variance = np.sum(rest**2, axis=0) / freedom if freedom else np.full(y.shape[1], np.nan)
    error = np.sqrt(variance / np.sum(x**2))
    if sems is None:
        return slope, error
    return slope, np.fmax(error, np.sqrt(x**2 @ (sems / errors) ** 2) / np.sum(x**2))
