"""How far a state is from one at rest, and whether motion around it goes on for ever."""

from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._typing import ModeReals, RealState
from ..mean_field import DickeModel, MeanFieldState, mean_field_equations, occupations, overlaps
from ..mean_field.stationary_equations import state_of_overlaps

NEWTON_STEPS = 8
NEUTRAL = 1e3  # times round-off of the largest eigenvalue, below which an oscillation is not known to decay
GROWN = 5.0  # e-folds in the time of the run, from which on what grows has reached the size that it keeps


def goes_on(model: DickeModel, start: RealState, time: Any) -> bool:
    """Whether some oscillation around the state at rest near `start` neither decays nor is still growing after `time`.

    Else what moves is on its way: it relaxes, or leaves slowly.
    """
    flat, unravel = jax.flatten_util.ravel_pytree(start)
    y, steps, finest = np.array(flat), np.eye(flat.size, dtype=flat.dtype), float(np.finfo(flat.dtype).eps)
    K, held = model.num_subsets, model.dissipation is None  # the lengths of the spins

    def spins_of(y: np.ndarray) -> np.ndarray:
        return y[: 3 * K].reshape(3, K)

    lengths, jacobian, moves = np.linalg.norm(spins_of(y), axis=0), steps, np.inf
    for _ in range(NEWTON_STEPS):
        # the equations are of second degree: of them central differences of any width are the Jacobian
        rates = np.asarray(_rates_of_change(model, np.concatenate([y[None], y + steps, y - steps]), unravel))
        jacobian, moves = ((rates[1 : y.size + 1] - rates[y.size + 1 :]) / 2).T, np.max(np.abs(rates[0]))
        if not np.all(np.isfinite(jacobian)):
            return True
        if moves < 8 * finest * np.max(np.abs(jacobian)):
            break
        along = np.concatenate([np.diag(axis) for axis in spins_of(y)], axis=1) * held  # by which no spin may change
        matrix = np.concatenate([jacobian, np.pad(along, ((0, 0), (0, 2 * model.num_modes)))])
        y = y - np.linalg.lstsq(matrix, np.append(rates[0], np.zeros(K, y.dtype)), NEUTRAL * finest)[0]
        if held:
            now = np.linalg.norm(spins_of(y), axis=0)
            y[: 3 * K] *= np.tile(lengths / np.where(now > 0, now, 1), 3)
    counts = np.concatenate([np.tile(np.asarray(model.spins.weights) > 0, 3), np.ones(2 * model.num_modes, bool)])
    eigenvalues = np.linalg.eigvals(jacobian[np.ix_(counts, counts)])
    smallest = NEUTRAL * finest * np.max(np.abs(eigenvalues))
    unknown = not moves < smallest  # no state at rest was found
    keeps = (np.abs(eigenvalues.real) <= smallest) | (eigenvalues.real * float(time) > GROWN)
    return unknown or bool(np.any(keeps & (np.abs(eigenvalues.imag) > smallest)))


@eqx.filter_jit
def _rates_of_change(model: DickeModel, rows: Any, unravel: Any) -> Array:
    def one(row: Array) -> Array:
        return jnp.concatenate([rate.ravel() for rate in mean_field_equations(0.0, unravel(row), model)])

    return jax.vmap(one)(rows)


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
