"""How far a state is from one at rest, and whether motion around it goes on for ever."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from .._status import Status
from .._typing import ModeReals
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, mean_field_equations, occupations, overlaps
from ..mean_field.site_levels import size_of
from ..mean_field.stationary_equations import state_of_overlaps

NEWTON_STEPS = 8
NEUTRAL = 1e3  # times round-off of the largest eigenvalue, below which an oscillation is not known to decay
GROWN = 5.0  # e-folds in the time of the run, from which on what grows has reached the size that it keeps
NOWHERE = 1e-3  # of the largest rate, above which what is left of a motion says that there is no state at rest
MARGIN = 1.1  # of the e-folds that are left
SLOW = 0.5  # e-folds in the time of the run, up to which a decay may show no trend
FAR_FASTER = 1e3  # times all that spins do, from which on a mode that decays is eliminated


def kind_of_motion(model: DickeModel | CollectiveModel, start: tuple[Any, Any], time: Any) -> Status:
    """What moves without a trend around the state at rest near `start`: an oscillation, or something on its way.

    It is on its way, so slowly that nothing shows in `time`, where some motion around that state decays by less than
    SLOW e-folds, or has not yet grown by GROWN, and none keeps its size. Undecided where the precision cannot tell, and
    around a state at rest that everything near it returns to: a cycle farther out, or errors of the steps.
    """
    moves, eigenvalues, smallest = _spectrum_near(model, start)
    if eigenvalues is None:
        return Status.undecided
    rates, swings = eigenvalues.real, np.abs(eigenvalues.imag) > smallest
    neutral = np.abs(rates) <= smallest
    grown = ~neutral & (rates * float(time) > GROWN)
    if not moves < NEUTRAL * float(jnp.finfo(model.dtype).eps):  # no state at rest was found
        return Status.oscillating if moves > NOWHERE else Status.undecided
    if np.any(swings & grown):
        return Status.oscillating
    if smallest * float(time) > SLOW:
        return Status.undecided
    if np.any(swings & neutral):
        return Status.oscillating
    slow = ~neutral & (rates * float(time) > -SLOW)
    return Status.not_converged if np.any(slow) else Status.undecided


def time_to_rest(model: DickeModel | CollectiveModel, start: tuple[Any, Any], time: Any, left: float) -> float:
    """When a run up to `time` near the state at rest is there, its residual being `left` times what counts as none.

    NaN where some motion lasts or grows: no decay is the slowest.
    """
    moves, eigenvalues, smallest = _spectrum_near(model, start)
    if eigenvalues is None or not moves < NEUTRAL * float(jnp.finfo(model.dtype).eps):
        return np.nan
    rates = eigenvalues.real
    lasting = (np.abs(rates) <= smallest) & (np.abs(eigenvalues.imag) > smallest)
    if np.any(lasting | (rates > smallest)) or not np.any(rates < -smallest):
        return np.nan
    return float(time) + (1 + MARGIN * np.log(max(left, 1.0))) / float(-np.max(rates[rates < -smallest]))


def _spectrum_near(model: DickeModel | CollectiveModel, start: tuple[Any, Any]) -> tuple[float, Any, float]:
    """At the state at rest near `start`: how much still moves; eigenvalues; what counts as 0 of them.

    The state is found by Newton's method; what moves is a share of the largest rate, of spins and of modes. No
    eigenvalues where numbers are not finite, and none of empty subsets, nor of modes that decay FAR_FASTER than spins
    move; but in float32 those, too, since of slow decays behind them nothing is known there.
    """
    y, finest = np.concatenate([np.ravel(part) for part in start]), float(jnp.finfo(model.dtype).eps)
    B, K, held = size_of(model.levels), model.num_subsets, model.dissipation is None  # the lengths of the spins

    def spins_of(y: np.ndarray) -> np.ndarray:
        return y[: B * K].reshape(B, K)

    lengths, jacobian, moves = np.linalg.norm(spins_of(y), axis=0), np.eye(y.size), np.inf
    places = np.arange(y.size)
    for _ in range(NEWTON_STEPS):
        rates, jacobian = map(np.asarray, _linearised(model, y))
        if not np.all(np.isfinite(jacobian)):
            return np.inf, None, 0.0
        moves = max(_largest(rates[part]) / (_largest(jacobian[part]) or 1.0) for part in np.split(places, [B * K]))
        if moves < 8 * finest:
            break
        along = np.concatenate([np.diag(axis) for axis in spins_of(y)], axis=1) * held  # by which no spin may change
        matrix = np.concatenate([jacobian, np.pad(along, ((0, 0), (0, 2 * model.num_modes)))])
        y = y - np.linalg.lstsq(matrix, np.append(rates, np.zeros(K, y.dtype)), NEUTRAL * finest)[0]
        if held:
            now = np.linalg.norm(spins_of(y), axis=0)
            y[: B * K] *= np.tile(lengths / np.where(now > 0, now, 1), B)
    counts = np.tile(np.asarray(model.weights) > 0, B)
    faster = FAR_FASTER if model.dtype == jnp.float64 else np.inf
    eigenvalues = np.linalg.eigvals(_of_what_is_slow(jacobian, B * K, model.num_modes, counts, faster))
    return float(moves), eigenvalues, NEUTRAL * finest * _largest(eigenvalues)


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def _of_what_is_slow(jacobian: np.ndarray, spins: int, modes: int, counts: np.ndarray, faster: float) -> np.ndarray:
    """The Jacobian without the spins that do not count, and without modes that decay so many times `faster`.

    With J = [[A, B], [C, D]], D of such modes, an eigenvalue l of J belongs to A + B (l - D)^-1 C. To first order in l,

        (1 + B D^-2 C)^-1 (A - B D^-1 C),

    off by a share of order (l / D)^2: decays of order l^2 / D are kept. Round-off is that of what is slow. In J itself
    a decay by 1e-7 would be lost beside a rate of 1e6, and an oscillation called one that lasts.
    """
    pairs = spins + np.arange(2 * modes).reshape(2, modes)  # of each mode, the places of Re and Im
    blocks = jacobian[pairs.T[:, :, None], pairs.T[:, None, :]]
    decays = np.min(-np.linalg.eigvals(blocks).real, axis=1, initial=np.inf)
    here = np.flatnonzero(counts)
    is_fast = decays > faster * _largest(jacobian[np.ix_(here, here)])
    fast, slow = pairs[:, is_fast].ravel(), np.append(here, pairs[:, ~is_fast].ravel())
    A, B, C, D = (jacobian[np.ix_(rows, columns)] for rows in (slow, fast) for columns in (slow, fast))
    follows = np.linalg.solve(D, C)
    return np.linalg.solve(np.eye(slow.size) + B @ np.linalg.solve(D, follows), A - B @ follows)


@eqx.filter_jit
def _linearised(model: DickeModel | CollectiveModel, y: Any) -> tuple[Array, Array]:
    """Rates of change, and their Jacobian."""
    B, K = size_of(model.levels), model.num_subsets

    def rates(y: Array) -> Array:
        state = y[: B * K].reshape(B, K), y[B * K :].reshape(2, -1)
        return ravel_pytree(mean_field_equations(0.0, state, model))[0]

    return rates(y), jax.jacfwd(rates)(y)


def distances(
    model: DickeModel, state: MeanFieldState, xi: ModeReals, lengths: Array
) -> tuple[MeanFieldState, Array, Array]:
    """The state at rest, how far overlaps and amplitudes are from those of it, and how far any component is.

    At rest is what overlaps xi sustain, P(xi). Where they nearly sustain themselves, P' near 1, as close to a
    threshold, the way to go is |xi - P(xi)| / |1 - P'|, P' by the overlaps that P(xi) sustain.
    """

    def sustained_by(xi: ModeReals, _: None) -> tuple[ModeReals, tuple[MeanFieldState, ModeReals]]:
        at_rest = state_of_overlaps(model, xi, lengths)
        sustained = overlaps(model, at_rest.m)
        return sustained, (at_rest, sustained)

    # a loop, so that it is compiled once
    _, (states, (sustained, again)) = jax.lax.scan(sustained_by, xi, None, length=2)
    at_rest = jax.tree.map(lambda x: x[0], states)
    first, second = xi - sustained, sustained - again
    size = jnp.linalg.norm(first)
    tell = size > 1e3 * float(jnp.finfo(xi.dtype).eps)
    slowness = jnp.where(tell, 1 / jnp.abs(1 - jnp.linalg.norm(second) / jnp.where(tell, size, 1)), 1)
    visible = jnp.maximum(1, slowness) * jnp.max(jnp.abs(overlaps(model, state.m) - sustained))
    amplitude = jnp.sqrt(jnp.max(occupations(state.alpha - at_rest.alpha)))
    amplitude /= 1 + jnp.sqrt(jnp.max(occupations(at_rest.alpha)))
    spins = jnp.max(jnp.where(model.spins.weights[None] > 0, jnp.abs(state.m - at_rest.m), 0))
    return at_rest, jnp.maximum(visible, amplitude), jnp.maximum(spins, amplitude)
