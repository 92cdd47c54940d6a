"""Where cues ended: at their pattern, at another, at none."""

import math
from collections import Counter
from statistics import NormalDist

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._checks import known, refuse
from .._labelled import Labelled
from .._status import Status
from .._summary import summary
from .._typing import ModeReals, SpinVectors
from ..couplings import HypercubeCouplings
from ..mean_field import DickeModel, spin_lengths

FINITE = 0.1  # share of its possible maximum from which an overlap counts as finite
INVOLVED = 0.3  # share of the largest overlap from which another pattern takes part in a mixture
STEADY = 0.25  # share of the largest overlap up to which fluctuations in time leave its average a meaning
GROWTH = 5.0  # fluctuations that the last overlap lies from its average where a small deviation still grows


class CueOutcome(eqx.Enumeration):
    """Where a cue ended."""

    retrieved = "retrieved: the cue's pattern"
    retrieved_negative = "retrieved with the other global sign: the negative of the cue's pattern"
    other_pattern = "another pattern, or its negative"
    mixture = "a mixture: several patterns with finite overlaps"
    forgotten = "forgotten: no pattern has a finite overlap"
    oscillating = "oscillating: overlaps fluctuate so much that their averages name no pattern"
    not_converged = "not converged: overlaps still change at the end of the run; use a longer max_time"
    failed = "failed: the integration broke down or met numbers that are not finite"


# their positions are the codes in stored results
OUTCOMES = tuple(CueOutcome._name_to_item)  # pyright: ignore[reportAttributeAccessIssue]


class CueOutcomes(Labelled):
    """Where S cues of a pattern ended.

    - `pattern`: the cues' pattern, from 0.
    - `outcome`: (S,), a `CueOutcome`, to compare with its members: `x.outcome == CueOutcome.mixture`. As numbers:
      `codes`.
    - `leading`, `sign`: (S,), the pattern of the largest overlap, from 0, and that overlap's sign.
    - `involved`: (S, M), the patterns that make up the end: one, or several of a mixture, or none.
    - `overlaps`, `fluctuations`: (S, M), averages of xi_mu and their standard deviations in time, as in `SteadyState`.
    - `reach`: (S, M), sum_k w_k |G[mu, k]| |m_k|, which no overlap exceeds.
    - `status`: (S,), the `Status` of each run of `steadystate`. A run that oscillates can have an outcome.
    - `time`: (S,), when each run ended.
    """

    pattern: Int[Array, ""]
    outcome: CueOutcome
    leading: Int[Array, " S"]
    sign: Int[Array, " S"]
    involved: Bool[Array, "S M"]
    overlaps: Float[Array, "S M"]
    fluctuations: Float[Array, "S M"]
    reach: Float[Array, "S M"]
    status: Status
    time: Float[Array, " S"]

    @property
    def retrieved(self) -> Array:
        """(S,), whether the pattern was retrieved, with either global sign."""
        return jnp.asarray((self.outcome == CueOutcome.retrieved) | (self.outcome == CueOutcome.retrieved_negative))

    @property
    def successful(self) -> Array:
        """(S,), whether the run showed where its cue ends: it neither failed nor was too short."""
        return jnp.asarray((self.outcome != CueOutcome.failed) & (self.outcome != CueOutcome.not_converged))

    @property
    def probability(self) -> float:
        """The share of all cues, failed runs included, that retrieved their pattern with either global sign."""
        return float(np.mean(np.asarray(self.retrieved)))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's confidence interval of `probability`, of samples drawn independently."""
        return wilson_interval(int(np.sum(np.asarray(self.retrieved))), self.time.size, confidence)

    @property
    def codes(self) -> Int[np.ndarray, " S"]:
        """The ends as positions in `OUTCOMES`."""
        return np.asarray(self.outcome._value, np.int8)  # pyright: ignore[reportAttributeAccessIssue]

    def counts(self) -> dict[str, int]:
        """How many cues ended in each way, by the names of `CueOutcome`."""
        return {name: int(np.sum(self.codes == code)) for code, name in enumerate(OUTCOMES)}

    def __repr__(self) -> str:
        if not known(self.time):
            return eqx.tree_pformat(self)
        samples, modes = self.overlaps.shape
        low, high = self.interval()
        rows = [("probability", f"{self.probability:.3f}, 95 % interval {low:.3f} to {high:.3f}")]
        rows += [(name, f"{count}{self._names(name)}") for name, count in self.counts().items() if count]
        heading = f"CueOutcomes: pattern {int(self.pattern) + 1} of {modes}, {samples} cues, {self.time.dtype}"
        return summary(heading, rows)

    def _names(self, name: str, most: int = 6) -> str:
        """Which patterns the cues went to that did not find their own, the most frequent first."""
        here = np.flatnonzero(self.codes == OUTCOMES.index(name))
        if name == "other_pattern":
            sign = np.where(np.asarray(self.sign) < 0, "-", "")
            goals = Counter(f"{sign[i]}{int(self.leading[i]) + 1}" for i in here)
        elif name == "mixture":
            goals = Counter("+".join(str(nu + 1) for nu in np.flatnonzero(self.involved[i])) for i in here)
        else:
            return ""
        frequent = [f"{count} to {patterns}" for patterns, count in goals.most_common(most)]
        return ": " + ", ".join(frequent) + (", ..." if len(goals) > most else "")


def overlap_reach(model: DickeModel, m: SpinVectors) -> ModeReals:
    """sum_k w_k |G[mu, k]| |m_k|: the overlap of spins of these lengths that all point along pattern mu."""
    lengths = model.spins.weights.astype(m.dtype) * spin_lengths(m)
    if isinstance(model.spins.operator, HypercubeCouplings):
        return jnp.full(model.num_modes, jnp.sum(lengths))
    return jnp.matmul(jnp.abs(model.spins.couplings).astype(m.dtype), lengths, precision="highest")


def name_outcome(
    pattern: Array, status: Status, average: ModeReals, fluctuation: ModeReals, last: ModeReals, reach: ModeReals
) -> tuple[CueOutcome, Int[Array, ""], Int[Array, ""], Bool[Array, " M"]]:
    """The end of one run, the pattern that leads and its sign, and which patterns are involved."""
    possible = jnp.where(reach > 0, reach, 1.0)
    share, trembling = jnp.abs(average) / possible, fluctuation / possible
    leading, top = jnp.argmax(share), jnp.max(share)
    involved = (share >= FINITE) & (share >= INVOLVED * top)
    steady = jnp.max(trembling) <= STEADY * jnp.maximum(top, FINITE)
    round_off = jnp.sqrt(jnp.finfo(average.dtype).eps)
    growing = jnp.any(jnp.abs(last - average) > GROWTH * fluctuation + round_off)

    outcome = CueOutcome.where(average[leading] > 0, CueOutcome.retrieved, CueOutcome.retrieved_negative)
    outcome = CueOutcome.where(leading == pattern, outcome, CueOutcome.other_pattern)
    outcome = CueOutcome.where(jnp.sum(involved) > 1, CueOutcome.mixture, outcome)
    named = CueOutcome.where(top < FINITE, CueOutcome.forgotten, outcome)
    moving = growing | (~steady & (status == Status.not_converged))
    outcome = CueOutcome.where(steady, named, CueOutcome.oscillating)
    outcome = CueOutcome.where(moving, CueOutcome.not_converged, outcome)
    outcome = CueOutcome.where(status == Status.successful, named, outcome)
    outcome = CueOutcome.where(status == Status.failed, CueOutcome.failed, outcome)
    nameless = CueOutcome.oscillating, CueOutcome.not_converged, CueOutcome.failed
    unnamed = jnp.any(jnp.array([outcome == other for other in nameless]))
    sign = jnp.where(average[leading] < 0, -1, 1)
    return outcome, leading, sign, involved & ~unnamed


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
