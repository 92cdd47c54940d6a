"""Trajectories judged: all at once where a deviation does not grow much, else from each saved state to the next."""

import numpy as np

from . import slow_route

TRAJECTORY = {"float64": 1e-6, "mixed": 1e-5, "float32": 2e-3}  # where a deviation of the start does not grow
LOW_ORDER = 10.0  # times that of a method of fifth order, which takes thousands of steps with an error of 1e-10 each
CHAOTIC = {"float64": 1e6, "mixed": 1e4, "float32": 100.0}  # growth of a deviation from which on a run is not compared


def compare(draw, states, growth, m, alpha):
    """A trajectory, as far as it is not chaotic."""
    K = draw.w.size
    flat = np.concatenate([m.reshape(len(m), 3 * K), alpha.real, alpha.imag], axis=1)
    coarse = any(getattr(rate, "precision", "") == "float32" for rate in draw.rates.values())
    precision = "mixed" if coarse and draw.precision == "float64" else draw.precision
    usable = growth < CHAOTIC[precision]
    allowed = TRAJECTORY[precision] * np.maximum(1, growth / (30 if precision == "float64" else 3))
    allowed *= LOW_ORDER if draw.solver == "tsit5" else 1.0
    size = np.maximum(1, np.max(np.abs(states), axis=1))  # of amplitudes that may be large
    off = np.max(np.abs(flat - states), axis=1) / size
    bad = usable & ~(off < allowed)
    if np.any(bad):
        i = int(np.argmax(bad))
        where = int(np.argmax(np.abs(flat[i] - states[i])))
        got, right = flat[i, where], states[i, where]
        return "wrong", f"off by {off[i]:.2g} > {allowed[i]:.1g} at the {i}th time: {got:.8g}, right {right:.8g}"
    if not np.all(usable[1:]):
        return _piece_by_piece(draw, flat, precision, growth[-1])
    return "right", f"to {np.max(off):.1g}"


def _piece_by_piece(draw, flat, precision, growth):
    """A chaotic run, from each saved state to the next, and what never changes in a run without jumps."""
    if not draw.jumps:
        lengths = [np.linalg.norm(y[: 3 * draw.w.size].reshape(3, -1), axis=0) for y in flat]
        if (lost := np.max(np.abs(np.array(lengths) - lengths[0]))) > 100 * TRAJECTORY[precision]:
            return "wrong", f"spins change their lengths by {lost:.2g}"
    times, K, M = draw.times if len(flat) == draw.times.size else draw.times[[0, -1]], draw.w.size, draw.num_modes
    for i, y in enumerate(flat[:-1]):
        alpha = y[3 * K : 3 * K + M] + 1j * y[3 * K + M :]
        one = with_start(draw, y[: 3 * K].reshape(3, K), alpha)
        states, grown = slow_route.trajectory(one, times[i : i + 2], seconds=15.0)
        if not grown[-1] < CHAOTIC[precision]:
            return (
                "unchecked",
                f"chaotic: a deviation grows by {growth:.2g}, and by {grown[-1]:.2g} to the {i + 1}th time",
            )
        off = np.max(np.abs(states[-1] - flat[i + 1])) / max(1.0, np.max(np.abs(states[-1])))
        allowed = TRAJECTORY[precision] * max(1.0, grown[-1] / (30 if precision == "float64" else 3))
        allowed *= LOW_ORDER if draw.solver == "tsit5" else 1.0
        if not off < allowed:
            return "wrong", f"off by {off:.2g} > {allowed:.1g} from the {i}th time to the next"
    return "right", "from each saved time to the next"


def with_start(draw, m, alpha):
    return type(draw)(**(vars(draw) | {"m": m, "alpha": alpha}))
