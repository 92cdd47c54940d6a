"""What many runs of one model do around their states at rest: a spectrum is taken once for each of these states."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._typing import RealState
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState
from ..mean_field.stationary_equations import resulting_overlaps, self_consistency, signed_lengths, state_of_overlaps
from .distance_to_rest import NEWTON_STEPS, kind_of_motion

ALIKE = {"float64": 1e-6, "float32": 1e-3}  # components of states at rest that are one
FEWEST = 64  # rows from which on it takes longer to ask for each than to compile what tells whether they are alike
SOLVED = {"float64": 1e-10, "float32": 1e-5}  # what is left of the equations of a state at rest


class Motions:
    """Answers of `kind_of_motion` for one model, kept.

    Runs from a million cues go around a handful of states at rest, and a spectrum takes milliseconds. Starts are
    improved by Newton's method on the M self-consistent equations, all at once; those that then are one state share its
    answer. Where that does not end at a state at rest, as far as anyone can tell, each start is asked for by itself.
    """

    def __init__(self, model: DickeModel | CollectiveModel) -> None:
        self.model, self.known = model, {}
        self.others = np.random.default_rng(1)

    def kinds(self, starts: tuple[np.ndarray, np.ndarray], times: np.ndarray) -> np.ndarray:
        """The numbers of `Status` of rows of starts, each a state near one at rest, and times that the runs took."""
        keys = self._keys(starts, times)
        _, first, of_row = np.unique(keys, return_index=True, return_inverse=True)
        codes = np.empty(first.size, np.int32)
        for number, row in enumerate(map(int, first)):
            key = keys[row]
            if key not in self.known:
                start = jax.tree.map(lambda x, row=row: x[row], starts)
                self.known[key] = int(kind_of_motion(self.model, start, times[row])._value)
            codes[number] = self.known[key]
        return codes[of_row]

    def _keys(self, starts: tuple[np.ndarray, np.ndarray], times: np.ndarray) -> np.ndarray:
        """A number for each row; the same where state and time are."""
        own = self.others.integers(2**62, size=len(times))  # of a row by itself, and never again
        if not isinstance(self.model, DickeModel) or len(times) < FEWEST:
            return own
        kind = str(self.model.dtype)
        number = len(times)
        alike = np.minimum(
            np.arange(1 << (number - 1).bit_length()), number - 1
        )  # few sizes, each of which is compiled
        states, left = (np.asarray(x)[:number] for x in _at_rest(self.model, jax.tree.map(lambda x: x[alike], starts)))
        whole = np.column_stack([np.round(states / ALIKE[kind]), np.round(np.log(times) / ALIKE[kind])])
        solved = (left < SOLVED[kind]) & np.all(np.isfinite(whole), axis=1)
        weights = np.random.default_rng(0).integers(2**62, size=whole.shape[1])
        sums = np.sum(np.where(solved[:, None], whole, 0).astype(np.int64) * weights, axis=1)  # exact, modulo 2^64
        return np.where(solved, sums, own)


@eqx.filter_jit
def _at_rest(model: DickeModel, starts: Any) -> tuple[Float[Array, "R n"], Float[Array, " R"]]:
    """States at rest as rows of numbers, and what is left of their equations."""

    def one(start: RealState) -> tuple[Array, Array]:
        state = MeanFieldState.from_real(start)
        lengths = signed_lengths(model, state)

        def better(xi: Array, _: Any) -> tuple[Array, None]:
            args = model, lengths
            slope = jax.jacfwd(self_consistency)(xi, args)
            return xi - jnp.linalg.solve(slope, self_consistency(xi, args)), None

        xi = jax.lax.scan(
            better, resulting_overlaps(model, model.spins.project(state.m[2]), lengths), None, NEWTON_STEPS
        )[0]
        m, quadratures = state_of_overlaps(model, xi, lengths).to_real(model)
        return jnp.append(m.ravel(), quadratures.ravel()), jnp.max(jnp.abs(self_consistency(xi, (model, lengths))))

    return jax.vmap(one)(starts)
