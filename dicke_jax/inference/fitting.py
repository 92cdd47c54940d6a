"""`fit`: rates from measurements, by gradient descent or least squares."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix as optx
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import as_array, check_choice, check_count, check_known, known, refuse
from .._door import checked
from .._progress import Loop
from .._status import Status
from ..mean_field import CollectiveModel, DickeModel
from .fit_parameters import FitParameters, fit_parameters, model_and_names
from .fit_result import FitResult, gain, information, interval_ends, misfits, supported, touches
from .fit_steps import LOSSES, FitProblem, GradientSteps, LeastSquaresSteps, Loss, Stepper, advance, begin, chi_square
from .free_parameters import Bounds, RateName
from .measurements import Measurements
from .optimise import Descent, outcome
from .threshold_inversion import check_reachable

Progress = Callable[[int, int], Any] | None
ADAM = optax.adam(0.02)  # the same one for every fit, which is compiled once
BATCH = 8  # restarts side by side: more fall out of a processor's cache
STALLED, PATIENCE = 1e-10, 2  # of the loss, relative: so many looks at less than that end a fit


@checked
def fit(
    model: DickeModel | CollectiveModel | Callable[..., Any],
    data: Measurements | Sequence[Measurements],
    *,
    free: Sequence[RateName] | Mapping[str, Any] = ("omega_spin", "omega_mode", "kappa", "g0"),
    bounds: Bounds | None = None,
    loss: str | Loss = "chi-square",
    optimizer: optax.GradientTransformation | optx.AbstractGaussNewton | None = None,
    num_restarts: int = BATCH,
    spread: float = 0.3,
    key: PRNGKeyArray | None = None,
    num_steps: int | None = None,
    tol: float | None = None,
    progress: Progress = None,
) -> FitResult:
    """The rates under which measurements are likeliest, and how well they are known.

        min_p  sum_i r_i(p)^2 / 2,   r_i = (predicted_i - measured_i) / noise_i

    Uncertainties are those of the Fisher information F = J^T J, J = dr / dlog p; combinations of rates that it does
    not determine are told. (The stationary overlap alone fixes g_crit and nothing else.)

    **Main arguments**

    - `model`: a `DickeModel` or a `CollectiveModel` to start from; or a function that makes one of numbers by name,
      where rates hang together: then these are what is free, and `free` has each with the value to start from.
    - `data`: a `StationaryCurve` or `TimeTrace`, or several; of a `CollectiveModel` traces alone.

    **Other arguments**

    - `free`, `bounds`: which rates or parameters of an energy are fitted, as in `free_rates`; "overlap" for the initial
      overlap of every trace, ("overlap", i) for that of data set i, whose spins are then turned towards z or away.
    - `loss`: "chi-square", "huber", or a function of the residuals.
    - `optimizer`: an optimistix solver of Gauss and Newton's family, Levenberg and Marquardt's by default for
      "chi-square"; or an optax optimiser, by default Adam for other losses.
    - `num_restarts`, `spread`, `key`: starts, the model's own and others that deviate from it by `spread` at random (in
      the log rates), the same ones each time where there is no key. Of more than eight, the default, all make a few
      steps (4 of least squares, 25 of descent), and the best eight go on.
    - `num_steps`: at most, 80 of least squares, 2000 of descent.
    - `tol`: the loss that a Gauss-Newton step may still expect to gain, 1e-6 in float64 and 1e-2 in float32: of a
      standard deviation, the rates are within its square root.
    - `progress`: called every few steps with the numbers of steps done and of steps at most; what it raises ends the
      fit.

    **Returns** a `FitResult`, whose status tells a misfit, a bound that was hit, and intervals that the curvature does
    not support. KeyboardInterrupt ends with the best so far. Restarts that meet a loss that is not finite stop, and are
    told.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> g0 = np.linspace(0.7, 1.5, 9)
        >>> curve = dj.StationaryCurve(g0, np.sqrt(1 - (0.6 / g0) ** 4), noise=0.01)  # a threshold of 0.6
        >>> found = dj.fit(model, curve, free=["omega_spin"])
        >>> print(f"threshold {dj.critical_coupling(found.model, 0):.4f}", bool(found.successful))
        threshold 0.6000 True
        >>> def alike(omega):  # one frequency of all modes
        ...     return model.replace(omega_mode=omega)
        >>> found = dj.fit(alike, curve, free={"omega": 2.0})
        >>> print(found.names, f"threshold {dj.critical_coupling(found.model, 1):.4f}")
        ('omega',) threshold 0.6000
    """
    start, names = model_and_names(model, free)
    check_known("model and data", (start, data), "for a fit decides step by step; a loss of your own can be traced")
    parameters = fit_parameters(start, data, names, bounds)
    if isinstance(loss, str):
        check_choice("loss", loss, tuple(LOSSES))
    measure = LOSSES[loss] if isinstance(loss, str) else loss
    if optimizer is None:
        fine = 1e-12 if start.dtype == jnp.float64 else 1e-6
        optimizer = optx.LevenbergMarquardt(rtol=fine, atol=fine) if measure is chi_square else ADAM
    if isinstance(optimizer, optx.AbstractGaussNewton):
        if measure is not chi_square:
            refuse("loss", "'chi-square' for least squares (an optax optimiser takes any)", repr(loss))
        stepper = LeastSquaresSteps(optimizer)
    else:
        stepper = GradientSteps(optimizer)
    check_count("num_restarts", num_restarts)
    if not known(spread) or not spread > 0:
        refuse("spread", "positive", spread)
    num_steps = stepper.most if num_steps is None else num_steps
    check_count("num_steps", num_steps)
    tol = check_reachable(tol, 1e-6, 1e-2, start)

    vectors = np.asarray(parameters.start())[None, :]
    if num_restarts > 1:
        shape, dtype = (num_restarts, vectors.size), vectors.dtype
        drawn = np.random.default_rng(0).normal(size=shape) if key is None else jax.random.normal(key, shape, dtype)
        vectors = vectors + float(spread) * np.asarray(drawn, dtype) * (np.arange(num_restarts) > 0)[:, None]
    return _run(FitProblem(parameters, measure), stepper, vectors, num_steps, tol, progress)


def _run(
    problem: FitProblem, stepper: Stepper, vectors: np.ndarray, num_steps: int, tol: float, progress: Progress
) -> FitResult:
    """A few steps for every restart, batch after batch; then the best batch of them goes on until it is settled."""
    number, batch, chunk = len(vectors), min(BATCH, len(vectors)), min(stepper.chunk, num_steps)
    first = chunk if number == batch else -(-chunk // 2)  # enough to tell the poor starts
    vectors, losses = np.array(vectors), [np.full((first, number), np.nan)]
    least, idle, interrupted = np.full(number, np.inf), 0, False

    def go_on(rows: np.ndarray, steps: int, restarts: Descent | None = None) -> tuple[Descent, np.ndarray]:
        if restarts is None:
            restarts = begin(stepper, as_array(vectors[rows]), problem.parameters.num_values)
        restarts, history = advance(problem, stepper, restarts, as_array(steps), chunk)
        loss = np.asarray(restarts.best_loss)
        vectors[rows], least[rows] = restarts.best, np.where(np.isnan(loss), np.inf, loss)
        return restarts, np.asarray(history)

    report = Loop(num_steps, "steps", progress, at_most=True)
    try:
        batches = []
        for low in _starts(number, batch):
            rows = np.arange(low, low + batch) % number  # the last batch is filled up
            restarts, history = go_on(rows, first)
            losses[0][:, rows] = history[:first]
            batches.append(restarts)
        rows = np.argsort(least, kind="stable")[:batch] if number > batch else np.arange(number)
        restarts = jax.tree.map(lambda *parts: np.concatenate(parts)[rows], *batches)
        for done in range(first, num_steps + 1, chunk):
            report(done)
            settled = np.array([_look(restarts, row)[-1] < tol for row in range(batch)])
            if done == num_steps or np.all(settled | ~np.asarray(restarts.finite)):
                break
            before, losses = least[rows], [*losses, np.full((chunk, number), np.nan)]
            restarts, losses[-1][:, rows] = go_on(rows, min(chunk, num_steps - done), restarts)
            idle = 0 if np.any(before - least[rows] >= STALLED * np.abs(before)) else idle + 1
            if idle == PATIENCE:
                break
    except KeyboardInterrupt:
        interrupted = True
    best = int(np.argmin(least))

    def look_at(points: np.ndarray) -> Descent:
        """What there is at points, a batch of them, by the programs that are compiled already."""
        filled = points[np.arange(batch) % len(points)]
        restarts = begin(stepper, as_array(filled), problem.parameters.num_values)
        return advance(problem, stepper, restarts, as_array(1), chunk)[0]

    at_best = look_at(vectors[[best]])
    slopes, gradient, rest = _look(at_best, 0)
    loss, residuals = np.asarray(at_best.best_loss)[0], np.asarray(at_best.at_best.residuals)[0]
    finite = bool(np.isfinite(slopes).all() and np.isfinite(loss))
    described, data, telling, rates = _described(problem.parameters, as_array(vectors), as_array(best))
    telling = np.asarray(telling)
    found = information(np.where(finite & telling[:, None], slopes, 0))
    hit = touches(problem.parameters, np.asarray(rates)[best], gradient)
    if finite and hit.any():
        rest = 0.0 if hit.all() else gain(slopes[:, ~hit], gradient[~hit])
    good = np.ones(hit.size, bool)
    if finite and rest < tol and problem.measure is chi_square:
        ends = interval_ends(found)
        points = vectors[best] + ends.reshape(-1, hit.size) / np.asarray(at_best.at_best.stretches)[0]
        looks = [look_at(points[low : low + batch]).at_best.residuals for low in range(0, len(points), batch)]
        there = np.concatenate(looks)[: len(points)].reshape(*ends.shape[:2], -1)
        predicted = residuals + np.einsum("efi,di->efd", ends, slopes)
        good = supported(residuals, predicted, there, telling)
        good |= hit | ~np.asarray(found.determined)
    present = np.concatenate([np.asarray(measured.present).ravel() for measured in data])
    status = Status.interrupted if interrupted else outcome(rest < tol, finite)
    if not interrupted and finite and rest < tol:
        wrong = misfits(residuals[present], int(found.determined.sum()), problem.measure is not chi_square)
        judged = (wrong, Status.misfit), (hit.any(), Status.at_bound), (not good.all(), Status.uncertain)
        status = next((name for is_so, name in judged if is_so), status)
    return FitResult(
        model=described,
        rates=as_array(np.where(found.determined, np.asarray(rates)[best], np.nan)),
        loss=as_array(loss),
        losses=as_array(np.concatenate(losses)[:num_steps], vectors.dtype),
        restart_rates=rates,
        restart_losses=as_array(least, vectors.dtype),
        gradient_norm=as_array(np.linalg.norm(gradient)),
        gain=as_array(rest, vectors.dtype),
        information=found,
        residuals=as_array(residuals),
        data=data,
        parameters=problem.parameters,
        vector=as_array(vectors[best]),
        at_bound=as_array(hit),
        is_supported=as_array(good),
        status=status,
        names=problem.parameters.names,
    )


def _starts(number: int, batch: int) -> Iterator[int]:
    """The first restart of every batch; who waits is told how many have made their first steps."""
    report = Loop(number, "restarts")
    for low in range(0, number, batch):
        report(low)
        yield low


def _look(restarts: Descent, row: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Slopes and gradient in the log rates at the best vector, and what is still to be gained, inf where unknown."""
    best = jax.tree.map(lambda x: np.asarray(x)[row], restarts.at_best)
    with np.errstate(all="ignore"):
        slopes, gradient = best.slopes / best.stretches, best.gradient / best.stretches
    finite = np.isfinite(slopes).all() and np.isfinite(gradient).all()
    return slopes, gradient, gain(slopes, gradient) if finite else float("inf")


@eqx.filter_jit
def _described(parameters: FitParameters, vectors: Float[Array, "R F"], best: Array) -> tuple[Any, ...]:
    """The best model, the measurements with its initial states, which points tell its rates, and all rates."""
    model, data = parameters.at(vectors[best])
    resolved = jnp.concatenate([measured.resolved(model).ravel() for measured in data])
    return model, data, resolved, jax.vmap(parameters.rates)(vectors)
