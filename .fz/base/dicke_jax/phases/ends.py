"""Where cues ended: at their pattern, at another, at none."""

import math
from collections import Counter
from statistics import NormalDist

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._checks import known, refuse
from .._typing import ModeReals, SpinVectors
from ..couplings import HypercubeCouplings
from ..dynamics import SteadyStatus
from ..model import DickeModel
from ..observables import spin_lengths

FINITE = 0.1  # share of its possible maximum from which an overlap counts as finite
INVOLVED = 0.3  # share of the largest overlap from which another pattern takes part in a mixture
STEADY = 0.25  # share of the largest overlap up to which fluctuations in time leave its average a meaning
GROWTH = 5.0  # fluctuations that the last overlap lies from its average where a small deviation still grows


class CueEnd(eqx.Enumeration):
    """Where a cue ended."""

    retrieved = "retrieved: the cue's pattern"
    retrieved_negative = "retrieved with the other global sign: the negative of the cue's pattern"
    other_pattern = "another pattern, or its negative"
    mixture = "a mixture: several patterns with finite overlaps"
    forgotten = "forgotten: no pattern has a finite overlap"
    oscillating = "oscillating: overlaps fluctuate so much that their averages name no pattern"
    not_converged = "not converged: overlaps still change at the end of the run; use a longer max_time"
    failed = "failed: the integration broke down or met numbers that are not finite"


ENDS = (
    "retrieved",
    "retrieved_negative",
    "other_pattern",
    "mixture",
    "forgotten",
    "oscillating",
    "not_converged",
    "failed",
)  # the codes 0 to 7 in stored results


class RetrievalEnds(eqx.Module):
    """Where S cues of a pattern ended.

    - `pattern`: the cues' pattern, from 0.
    - `end`: (S,), a `CueEnd`, to compare with its members: `ends.end == CueEnd.mixture`; `codes` has it as numbers.
    - `leading`, `sign`: (S,), the pattern of the largest overlap, from 0, and that overlap's sign.
    - `involved`: (S, M), the patterns that make up the end: one, or several of a mixture, or none.
    - `overlaps`, `fluctuations`: (S, M), averages of xi_mu and their standard deviations in time, as in `SteadyState`.
    - `reach`: (S, M), sum_k w_k |G[mu, k]| |m_k|, which no overlap exceeds.
    - `status`: (S,), the `SteadyStatus` of each run.
    - `time`: (S,), when each run ended.
    """

    pattern: Int[Array, ""]
    end: CueEnd
    leading: Int[Array, " S"]
    sign: Int[Array, " S"]
    involved: Bool[Array, "S M"]
    overlaps: Float[Array, "S M"]
    fluctuations: Float[Array, "S M"]
    reach: Float[Array, "S M"]
    status: SteadyStatus
    time: Float[Array, " S"]

    @property
    def retrieved(self) -> Array:
        """(S,), whether the pattern was retrieved, with either global sign."""
        return jnp.asarray((self.end == CueEnd.retrieved) | (self.end == CueEnd.retrieved_negative))

    @property
    def probability(self) -> float:
        """The share of all cues, failed runs included, that retrieved their pattern with either global sign."""
        return float(np.mean(np.asarray(self.retrieved)))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's confidence interval of `probability`, of samples drawn independently."""
        return wilson_interval(int(np.sum(np.asarray(self.retrieved))), self.time.size, confidence)

    @property
    def codes(self) -> Int[np.ndarray, " S"]:
        """The ends as positions in `ENDS`."""
        return np.argmax([np.asarray(self.end == getattr(CueEnd, name)) for name in ENDS], axis=0).astype(np.int8)

    def counts(self) -> dict[str, int]:
        """How many cues ended in each way, by the names of `CueEnd`."""
        codes = self.codes
        return {name: int(np.sum(codes == code)) for code, name in enumerate(ENDS)}

    def __repr__(self) -> str:
        if not known(self.time):
            return eqx.tree_pformat(self)
        samples, modes = self.overlaps.shape
        low, high = self.interval()
        rows = [f"RetrievalEnds: pattern {int(self.pattern) + 1} of {modes}, {samples} cues, {self.overlaps.dtype}"]
        rows.append(f"  probability         {self.probability:.3f}, 95 % interval {low:.3f} to {high:.3f}")
        for name, count in self.counts().items():
            if count:
                rows.append(f"  {name:18}  {count}{self._names(name)}")
        return "\n".join(rows)

    def _names(self, name: str, most: int = 6) -> str:
        """Which patterns the cues went to that did not find their own, the most frequent first."""
        here = np.flatnonzero(self.codes == ENDS.index(name))
        if name == "other_pattern":
            sign = np.where(np.asarray(self.sign) < 0, "-", "")
            told = Counter(f"{sign[i]}{int(self.leading[i]) + 1}" for i in here)
        elif name == "mixture":
            told = Counter("+".join(str(nu + 1) for nu in np.flatnonzero(self.involved[i])) for i in here)
        else:
            return ""
        each = [f"{count} to {patterns}" for patterns, count in told.most_common(most)]
        return ": " + ", ".join(each) + (", ..." if len(told) > most else "")


def overlap_reach(model: DickeModel, m: SpinVectors) -> ModeReals:
    """sum_k w_k |G[mu, k]| |m_k|: the overlap of spins of these lengths that all point along pattern mu."""
    lengths = model.spins.weights.astype(m.dtype) * spin_lengths(m)
    if isinstance(model.spins.operator, HypercubeCouplings):
        return jnp.full(model.num_modes, jnp.sum(lengths))
    return jnp.matmul(jnp.abs(model.spins.couplings).astype(m.dtype), lengths, precision="highest")


def name_end(
    pattern: Int[Array, ""],
    status: SteadyStatus,
    average: ModeReals,
    fluctuation: ModeReals,
    last: ModeReals,
    reach: ModeReals,
) -> tuple[CueEnd, Int[Array, ""], Int[Array, ""], Bool[Array, " M"]]:
    """The end of one run, the pattern that leads and its sign, and which patterns are involved."""
    possible = jnp.where(reach > 0, reach, 1.0)
    share, trembling = jnp.abs(average) / possible, fluctuation / possible
    leading, top = jnp.argmax(share), jnp.max(share)
    involved = (share >= FINITE) & (share >= INVOLVED * top)
    steady = jnp.max(trembling) <= STEADY * jnp.maximum(top, FINITE)
    round_off = jnp.sqrt(jnp.finfo(average.dtype).eps)
    growing = jnp.any(jnp.abs(last - average) > GROWTH * fluctuation + round_off)

    end = CueEnd.where(average[leading] > 0, CueEnd.retrieved, CueEnd.retrieved_negative)
    end = CueEnd.where(leading == pattern, end, CueEnd.other_pattern)
    end = CueEnd.where(jnp.sum(involved) > 1, CueEnd.mixture, end)
    named = CueEnd.where(top < FINITE, CueEnd.forgotten, end)
    moving = growing | (~steady & (status == SteadyStatus.not_converged))
    end = CueEnd.where(steady, named, CueEnd.oscillating)
    end = CueEnd.where(moving, CueEnd.not_converged, end)
    end = CueEnd.where(status == SteadyStatus.converged, named, end)
    end = CueEnd.where(status == SteadyStatus.failed, CueEnd.failed, end)
    unnamed = (end == CueEnd.oscillating) | (end == CueEnd.not_converged) | (end == CueEnd.failed)
    sign = jnp.where(average[leading] < 0, -1, 1)
    return end, leading, sign, involved & ~unnamed


def wilson_interval(successes: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a probability, from `successes` among independent `samples`.

    (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2/n),   p = successes / n
    """
    if not 0 < confidence < 1:
        refuse("confidence", "a number between 0 and 1", confidence)
    z, p = NormalDist().inv_cdf((1 + confidence) / 2), successes / samples
    middle = p + z**2 / (2 * samples)
    reach = z * math.sqrt(p * (1 - p) / samples + (z / samples) ** 2 / 4)
    whole = 1 + z**2 / samples
    low = 0.0 if successes == 0 else (middle - reach) / whole
    high = 1.0 if successes == samples else (middle + reach) / whole
    return low, high
