"""`fit`: rates from measurements, by gradient descent or least squares."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix as optx
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_choice, check_count, known, refuse
from ..model import DickeModel
from .descent import Descent, InferenceStatus, start, steps
from .information import gain, information
from .invert import check_reachable
from .losses import LOSSES, Residuals, chi_square, residuals
from .measurements import Measurements, as_measurements
from .parameters import Bounds, FreeRates, RateName, Vector, free_rates
from .result import FitResult

Optimizer = optax.GradientTransformation | optx.AbstractLeastSquaresSolver
CHUNK = {"least squares": 8, "descent": 50}  # steps between two looks at the progress
BATCH = 8  # restarts side by side: more fall out of a processor's cache
STALLED = 1e-10  # of the loss, relative, in such a number of steps


def fit(
    model: DickeModel,
    data: Measurements | Sequence[Measurements],
    *,
    free: Sequence[RateName] = ("omega_spin", "omega_mode", "kappa", "g0"),
    bounds: Bounds | None = None,
    loss: str | Callable[[Residuals], Float[Array, ""]] = "chi-square",
    optimizer: Optimizer | None = None,
    num_restarts: int = 1,
    spread: float = 0.3,
    key: PRNGKeyArray | None = None,
    num_steps: int | None = None,
    tol: float | None = None,
    progress: Callable[[int, float], Any] | None = None,
) -> FitResult:
    """The rates under which measurements are likeliest, and how well they are known.

        min_p  sum_i r_i(p)^2 / 2,   r_i = (predicted_i - measured_i) / noise_i

    Uncertainties are those of the Fisher information F = J^T J, J = dr / dlog p; combinations of rates that it does
    not determine are told. (The stationary overlap alone fixes g_crit and nothing else.)

    **Main arguments**

    - `model`: a `DickeModel` to start from.
    - `data`: a `StationaryCurve` or `TimeTrace`, or several.

    **Other arguments**

    - `free`, `bounds`: which rates are fitted, as in `free_rates`.
    - `loss`: "chi-square", "huber", or a function of the residuals.
    - `optimizer`: an optimistix least-squares solver, Levenberg and Marquardt's by default for "chi-square"; or an
      optax optimiser, by default Adam for other losses.
    - `num_restarts`, `spread`, `key`: starts, the model's own and others that deviate from it by `spread` at random (in
      the log rates). All make a few steps (8 of least squares, 50 of descent); the best eight of them go on.
    - `num_steps`: at most, 80 of least squares, 2000 of descent.
    - `tol`: the loss that a Gauss-Newton step may still expect to gain, 1e-6 in float64 and 1e-2 in float32: of a
      standard deviation, the rates are within its square root.
    - `progress`: called every few steps with their number and the least loss; what it raises ends the fit.

    **Returns** a `FitResult`. KeyboardInterrupt ends with the best so far. Restarts that meet a loss that is not
    finite stop, and are told.

    **Raises** ValueError for arguments that do not fit.
    """
    parameters = free_rates(model, free, bounds)
    sets = as_measurements(data, model)
    if isinstance(loss, str):
        check_choice("loss", loss, tuple(LOSSES))
    measure = LOSSES[loss] if isinstance(loss, str) else loss
    if optimizer is None:
        fine = 1e-12 if model.dtype == jnp.float64 else 1e-6
        optimizer = optx.LevenbergMarquardt(rtol=fine, atol=fine) if measure is chi_square else optax.adam(0.02)
    kind = "least squares" if isinstance(optimizer, optx.AbstractLeastSquaresSolver) else "descent"
    if kind == "least squares" and measure is not chi_square:
        refuse("loss", "'chi-square' for least squares (an optax optimiser takes any)", repr(loss))
    check_count("num_restarts", num_restarts)
    if num_restarts > 1 and key is None:
        refuse("key", "given for restarts, which start at random", "None")
    if not known(spread) or not spread > 0:
        refuse("spread", "positive", spread)
    num_steps = {"least squares": 80, "descent": 2000}[kind] if num_steps is None else num_steps
    check_count("num_steps", num_steps)
    tol = check_reachable(tol, 1e-6, 1e-2, model)

    problem = _Problem(parameters, sets, measure)
    first = parameters.to_vector(model)
    noise = jax.random.normal(jax.random.key(0) if key is None else key, (num_restarts, first.size), first.dtype)
    vectors = first[None, :] + float(spread) * noise.at[0].set(0)
    return _run(problem, optimizer, vectors, num_steps, CHUNK[kind], tol, progress)


def _run(
    problem: "_Problem",
    optimizer: Optimizer,
    vectors: Float[Array, "R F"],
    num_steps: int,
    chunk: int,
    tol: float,
    progress: Callable[[int, float], Any] | None,
) -> FitResult:
    """A few steps for every restart, batch after batch; then the best batch of them goes on until it is settled."""
    number, batch = len(vectors), min(BATCH, len(vectors))
    losses = [np.full((min(chunk, num_steps), number), np.nan)]
    least, interrupted = np.full(number, np.inf), False
    try:
        batches = []
        for low in range(0, number, batch):
            rows = np.arange(low, low + batch) % number  # the last one is filled up
            state, some = _advance(problem, optimizer, _begin(optimizer, vectors[rows]), len(losses[0]))
            vectors = vectors.at[rows].set(state.best)
            losses[0][:, rows], least[rows] = some, state.least
            batches.append((rows, state))
        rows, state = batches[0]
        if number > batch:
            every = jax.tree.map(lambda *x: jnp.concatenate(x), *(state for _, state in batches))
            rows = np.argsort(least, kind="stable")[:batch]
            state = jax.tree.map(lambda x: x[rows], every)
        for done in range(chunk, num_steps + 1, chunk):
            if progress is not None:
                progress(done, float(least.min()))
            settled = np.asarray(_look(problem, state.best)[-1]) < tol
            if done >= num_steps or bool(jnp.all(settled | ~state.alive)):
                break
            state, some = _advance(problem, optimizer, state, min(chunk, num_steps - done))
            vectors = vectors.at[rows].set(state.best)
            losses.append(np.full((len(some), number), np.nan))
            losses[-1][:, rows] = some
            now = np.asarray(state.least)
            stalled = least[rows] - now < STALLED * np.abs(least[rows])
            least[rows] = now
            if bool(np.all(stalled)):
                break
    except KeyboardInterrupt:
        interrupted = True
    best = int(np.argmin(least))
    slopes, r, gradient, rest = (x[0] for x in _look(problem, vectors[np.full(batch, best)]))
    values, status = _described(problem, vectors[best], slopes, r, gradient, rest, tol)
    if interrupted:
        status = InferenceStatus.interrupted
    rates = jax.vmap(problem.parameters.rates)(vectors)
    ends = {"restart_rates": rates, "restart_losses": jnp.asarray(least, vectors.dtype)}
    every_loss = jnp.asarray(np.concatenate(losses), vectors.dtype)
    told = {"losses": every_loss, "data": problem.data, "names": problem.parameters.names}
    return FitResult(**values, **ends, **told, status=status)


class _Problem(eqx.Module):
    parameters: FreeRates
    data: tuple[Measurements, ...]
    measure: Callable[[Residuals], Float[Array, ""]]

    def residuals(self, vector: Vector) -> Residuals:
        return residuals(self.parameters.to_model(vector), self.data)

    def loss(self, vector: Vector) -> Float[Array, ""]:
        return self.measure(self.residuals(vector))

    def slopes(self, vector: Vector) -> tuple[Float[Array, "D F"], Residuals, Vector]:
        """Of the residuals in the log rates, the residuals, and the gradient of the loss in the log rates."""

        def both(v: Vector) -> tuple[Array, Array]:
            r = self.residuals(v)
            return r, r

        slopes, r = jax.jacfwd(both, has_aux=True)(vector)
        slopes = slopes / self.parameters.stretches(vector)[None, :]
        return slopes, r, jax.grad(self.measure)(r) @ slopes


@eqx.filter_jit
def _begin(optimizer: Any, vectors: Float[Array, "R F"]) -> Descent:
    """At the starts; least squares begins anew every few steps and has no memory."""
    if isinstance(optimizer, optx.AbstractLeastSquaresSolver):
        optimizer = optax.identity()
    return jax.vmap(lambda v: start(optimizer, v))(vectors)


@eqx.filter_jit
def _advance(problem: _Problem, optimizer: Any, state: Descent, number: int) -> tuple[Descent, Float[Array, "steps R"]]:
    if isinstance(optimizer, optx.AbstractLeastSquaresSolver):
        return jax.vmap(lambda at: _least_squares_steps(problem, optimizer, at, number), out_axes=(0, 1))(state)
    return jax.vmap(lambda at: steps(optimizer, problem.loss, at, number), out_axes=(0, 1))(state)


def _least_squares_steps(
    problem: _Problem, solver: optx.AbstractLeastSquaresSolver, at: Descent, number: int
) -> tuple[Descent, Float[Array, " steps"]]:
    """Steps of an optimistix solver, one by one, in the precision that it knows; what it rejects it takes back."""

    def function(v: Array, _: None) -> tuple[Array, Array]:
        r = problem.residuals(v.astype(at.vector.dtype)).astype(float)
        return r, jnp.sum(r**2) / 2

    y = at.vector.astype(float)
    options: dict[str, Any] = {"jac": "fwd"}
    out, aux = jax.eval_shape(function, y, None)
    first = solver.init(function, y, None, options, out, aux, frozenset())
    state, static = eqx.partition(first, eqx.is_array)

    def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Array]:
        y, state = carry
        y, now, value = solver.step(function, y, None, options, eqx.combine(state, static), frozenset())
        return (y, eqx.filter(now, eqx.is_array)), value

    (y, _), losses = jax.lax.scan(step, (y, state), None, number)
    value = function(y, None)[1]
    alive = jnp.isfinite(value) & jnp.all(jnp.isfinite(y))
    vector = jnp.where(alive, y.astype(at.vector.dtype), at.vector)
    least = jnp.where(alive, value, jnp.inf).astype(at.least.dtype)
    return Descent(vector, vector, least, alive, at.memory), losses.astype(at.vector.dtype)


@eqx.filter_jit
def _look(problem: _Problem, vectors: Float[Array, "R F"]) -> tuple[Array, Array, Array, Float[Array, " R"]]:
    """Slopes, residuals and gradient, as in `_Problem.slopes`, and what is still to be gained, inf where unknown."""

    def look(vector: Vector) -> tuple[Array, Array, Array, Array]:
        slopes, r, gradient = problem.slopes(vector)
        finite = jnp.all(jnp.isfinite(slopes)) & jnp.all(jnp.isfinite(gradient))
        rest = gain(jnp.where(finite, slopes, 0), jnp.where(finite, gradient, 0))
        return slopes, r, gradient, jnp.where(finite, rest, jnp.inf)

    return jax.lax.map(look, vectors)


@eqx.filter_jit
def _described(
    problem: _Problem, best: Vector, slopes: Array, r: Residuals, gradient: Vector, rest: Array, tol: Any
) -> tuple[dict[str, Any], InferenceStatus]:
    loss = problem.measure(r)
    finite = jnp.all(jnp.isfinite(slopes)) & jnp.isfinite(loss)
    status = InferenceStatus.where(rest < tol, InferenceStatus.converged, InferenceStatus.not_converged)
    values = {
        "model": problem.parameters.to_model(best),
        "rates": problem.parameters.rates(best),
        "loss": loss,
        "gradient_norm": jnp.linalg.norm(gradient),
        "gain": rest,
        "information": information(jnp.where(finite, slopes, 0)),
        "residuals": r,
    }
    return values, InferenceStatus.where(finite, status, InferenceStatus.failed)
