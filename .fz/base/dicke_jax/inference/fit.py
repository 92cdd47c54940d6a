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
from .losses import LOSSES, Residuals, chi_square, residuals, resolved
from .measurements import Measurements
from .parameters import Bounds, RateName, Vector
from .result import FitResult
from .unknowns import Unknowns, unknowns

Optimizer = optax.GradientTransformation | optx.AbstractLeastSquaresSolver
CHUNK = {"least squares": 8, "descent": 50}  # steps between two looks at the progress
BATCH = 8  # restarts side by side: more fall out of a processor's cache
JACOBIAN = {"jac": "fwd"}
LIGHT = 0.03  # the slopes' size at which a damping of 1 is light
STALLED, PATIENCE = 1e-10, 2  # of the loss, relative: so many looks at less than that end a fit


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

    - `free`, `bounds`: which rates are fitted, as in `free_rates`; "overlap" for the initial overlap of every trace,
      ("overlap", i) for that of data set i, whose spins are then turned towards z or away from it.
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
    unknown = unknowns(model, data, free, bounds)
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

    problem = _Problem(unknown, measure)
    first = unknown.start()
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
    least, idle, interrupted = np.full(number, np.inf), 0, False
    try:
        batches = []
        for low in range(0, number, batch):
            rows = np.arange(low, low + batch) % number  # the last one is filled up
            state, some = _advance(problem, optimizer, _begin(problem, optimizer, vectors[rows]), len(losses[0]))
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
            gained = least[rows] - now >= STALLED * np.abs(least[rows])
            least[rows] = now
            idle = 0 if gained.any() else idle + 1
            if idle == PATIENCE:
                break
    except KeyboardInterrupt:
        interrupted = True
    best = int(np.argmin(least))
    slopes, r, gradient, rest = (x[0] for x in _look(problem, vectors[np.full(batch, best)]))
    values, status = _described(problem, vectors[best], slopes, r, gradient, rest, tol)
    if interrupted:
        status = InferenceStatus.interrupted
    rates = jax.vmap(problem.unknowns.rates)(vectors)
    ends: dict[str, Any] = {"restart_rates": rates, "restart_losses": jnp.asarray(least, vectors.dtype)}
    every_loss = jnp.asarray(np.concatenate(losses), vectors.dtype)
    return FitResult(**values, **ends, losses=every_loss, status=status, names=problem.unknowns.names)


class _Problem(eqx.Module):
    unknowns: Unknowns
    measure: Callable[[Residuals], Float[Array, ""]]

    def residuals(self, vector: Vector) -> Residuals:
        return residuals(*self.unknowns.at(vector))

    def loss(self, vector: Vector) -> Float[Array, ""]:
        return self.measure(self.residuals(vector))

    def slopes(self, vector: Vector) -> tuple[Float[Array, "D F"], Residuals, Vector]:
        """Of the residuals in the log rates, the residuals, and the gradient of the loss in the log rates."""

        def both(v: Vector) -> tuple[Array, Array]:
            r = self.residuals(v)
            return r, r

        slopes, r = jax.jacfwd(both, has_aux=True)(vector)
        slopes = slopes / self.unknowns.stretches(vector)[None, :]
        return slopes, r, jax.grad(self.measure)(r) @ slopes


@eqx.filter_jit
def _begin(problem: _Problem, optimizer: Any, vectors: Float[Array, "R F"]) -> Descent:
    """At the starts."""
    if not isinstance(optimizer, optx.AbstractLeastSquaresSolver):
        return jax.vmap(lambda v: start(optimizer, v))(vectors)

    def begin(vector: Vector) -> Descent:
        squares = _Squares.near(problem, vector)
        at = start(optax.identity(), vector)
        return eqx.tree_at(lambda a: a.memory, at, (squares.units, squares.begin(optimizer, vector)[0]))

    return jax.vmap(begin)(vectors)


@eqx.filter_jit
def _advance(problem: _Problem, optimizer: Any, state: Descent, number: int) -> tuple[Descent, Float[Array, "steps R"]]:
    if isinstance(optimizer, optx.AbstractLeastSquaresSolver):
        return jax.vmap(lambda at: _least_squares_steps(problem, optimizer, at, number), out_axes=(0, 1))(state)
    return jax.vmap(lambda at: steps(optimizer, problem.loss, at, number), out_axes=(0, 1))(state)


class _Squares(eqx.Module):
    """A problem of least squares as optimistix has it: in its precision, and in units in which all slopes are alike.

    Levenberg's damping begins at 1: in these units it is light, and soon heavy where steps are rejected.
    """

    problem: _Problem
    units: Vector

    @classmethod
    def near(cls, problem: _Problem, vector: Vector) -> "_Squares":
        sizes = jnp.linalg.norm(jax.jacfwd(problem.residuals)(vector), axis=0)
        units = jnp.maximum(LIGHT * sizes, 1e-4 * LIGHT * jnp.max(sizes))
        return cls(problem, jnp.where(jnp.isfinite(units) & (units > 0), units, 1))

    def __call__(self, y: Array, _: None) -> tuple[Array, Array]:
        r = self.problem.residuals(self.vector(y)).astype(float)
        return r, jnp.sum(r**2) / 2

    def vector(self, y: Array) -> Vector:
        return y.astype(self.units.dtype) / self.units

    def begin(self, solver: optx.AbstractLeastSquaresSolver, vector: Vector) -> tuple[Any, Any]:
        """The solver's state at a start: its arrays, and the rest."""
        y = (self.units * vector).astype(float)
        out, aux = jax.eval_shape(self, y, None)
        return eqx.partition(solver.init(self, y, None, JACOBIAN, out, aux, frozenset()), eqx.is_array)


def _least_squares_steps(
    problem: _Problem, solver: optx.AbstractLeastSquaresSolver, at: Descent, number: int
) -> tuple[Descent, Float[Array, " steps"]]:
    """Steps of an optimistix solver, one by one; what it rejects it takes back."""
    units, state = at.memory
    squares = _Squares(problem, units)
    static = squares.begin(solver, at.vector)[1]

    def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Array]:
        y, state = carry
        y, now, value = solver.step(squares, y, None, JACOBIAN, eqx.combine(state, static), frozenset())
        return (y, eqx.filter(now, eqx.is_array)), value

    (y, state), losses = jax.lax.scan(step, ((units * at.vector).astype(float), state), None, number)
    value = squares(y, None)[1]
    alive = jnp.isfinite(value) & jnp.all(jnp.isfinite(y))
    vector = jnp.where(alive, squares.vector(y), at.vector)
    least = jnp.where(alive, value, jnp.inf).astype(at.least.dtype)
    return Descent(vector, vector, least, alive, (units, state)), losses.astype(at.vector.dtype)


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
    model, data = problem.unknowns.at(best)
    told = information(jnp.where(finite & resolved(model, data)[:, None], slopes, 0))
    values: dict[str, Any] = {
        "model": model,
        "rates": jnp.where(told.determined, problem.unknowns.rates(best), jnp.nan),
        "data": data,
        "unknowns": problem.unknowns,
        "vector": best,
        "loss": loss,
        "gradient_norm": jnp.linalg.norm(gradient),
        "gain": rest,
        "information": told,
        "residuals": r,
    }
    return values, InferenceStatus.where(finite, status, InferenceStatus.failed)
