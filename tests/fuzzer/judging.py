"""Whether an answer is right: compared with the slow route, within what rtol and the precision allow.

A verdict is a pair of a word, "right", "refused", "wrong" or "unchecked", and of what was found. "unchecked" is an
answer that the slow route cannot reach: a run in which a deviation grows a millionfold from one saved time to the next,
so that nothing of 1e-10 is left; one that takes it too long; a threshold itself, where everything is slow and nothing
has a derivative; and spins that nothing flips, which stay where they are.
"""

import numpy as np

from . import master, slow_route
from .asking import starts_of
from .drawing import INVARIANT
from .runs import CHAOTIC, compare, with_start
from .slow_route import Equations, TooLong
from .thresholds import closed_form, judge_critical

REST = {"float64": 1e-5, "float32": 1e-2}  # of a state that calls itself stationary, from the stationary state


def judge(draw, answer):
    """A verdict on the answer to a draw."""
    if answer.get("said"):
        if draw.question == "steady" and answer["said"].startswith("oscillating"):
            return _oscillating(draw, answer)
        return "refused", answer["said"]
    numbers = [value for name, value in answer.items() if isinstance(value, np.ndarray) and name != "rows"]
    rows_said = any(answer.get("rows", ()))
    if draw.question != "stationary" and not rows_said and not all(np.all(np.isfinite(value)) for value in numbers):
        return "wrong", "not finite, and calls itself successful"
    try:
        return JUDGED[draw.question](draw, answer)
    except TooLong as reason:
        return "unchecked", f"the slow route takes too long {reason}"


def _trajectory(draw, answer):
    states, growth = slow_route.trajectory(draw)
    if draw.how["times"] == "ends":
        states, growth = states[[0, -1]], growth[[0, -1]]
    return compare(draw, states, growth, answer["m"], answer["alpha"])


def _batch(draw, answer):
    if draw.how["by"] == "ensemble to rest":
        verdicts = []
        for i, text in enumerate(answer["rows"]):
            row = {"m": answer["m"][i], "alpha": answer["alpha"][i]}
            verdicts.append(("refused", text) if text else _at_rest(draw, row))
    else:
        verdicts = []
        for i, (m, alpha) in enumerate(zip(*starts_of(draw), strict=True)):
            if answer["rows"][i]:
                verdicts.append(("refused", answer["rows"][i]))
                continue
            one = with_start(draw, m, alpha)
            states, growth = slow_route.trajectory(one, seconds=15.0)
            verdicts.append(compare(one, states, growth, answer["m"][i], answer["alpha"][i]))
    order = ("wrong", "unchecked", "refused", "right")
    return min(verdicts, key=lambda verdict: order.index(verdict[0]))


def _flat(answer):
    return np.concatenate([answer["m"].ravel(), answer["alpha"].real, answer["alpha"].imag])


def _lengths(eq, y):
    """|m_k|, negative for spins that stand along their field and not against it."""
    Omega, _, _, g0, *_ = eq.now
    m, h = y[: 3 * eq.K].reshape(3, -1), 2 * y[3 * eq.K : 3 * eq.K + eq.M] @ eq.G
    along = Omega * m[0] + g0 * h * m[2]
    return np.linalg.norm(m, axis=0) * np.where(along > 0, -1.0, 1.0)


def _rest_of(draw, answer):
    """The stationary state nearest to that of an answer, its distance, and the equations; None if there is none."""
    eq, y = Equations(draw), _flat(answer)
    lengths = _lengths(eq, y)
    if eq.jumps:  # a spin that only turns keeps what it has along its field: no answer of its own to compare with
        T = np.broadcast_to(eq.now[4], (3, 3, eq.K))
        if min(np.max(np.abs(T[:, :, k])) for k in range(eq.K)) < 1e-8:
            raise TooLong("(spins that hardly relax)")
    xi = slow_route.root_near(eq, slow_route.overlaps_of(eq, y), lengths)
    if xi is None:
        return eq, y, None, np.inf
    rest = slow_route.state_at(eq, xi, lengths)
    return eq, y, rest, float(np.max(np.abs(rest - y)))


def _at_rest(draw, answer):
    eq, y, rest, distance = _rest_of(draw, answer)
    change = float(np.max(np.abs(eq(0.0, y))))
    if change > 1e-3 * max(1e-3, eq.fastest([0.0])) * (1e-3 if draw.precision == "float64" else 1):
        return "wrong", f"called stationary, and changes at {change:.2g}"
    if rest is None:
        return ("wrong", "called stationary, and no stationary state is near") if change > 1e-6 else ("right", "")
    if distance > REST[draw.precision]:
        if _nearly_singular(eq, rest):
            return "unchecked", "at a threshold, where everything is slow"
        return "wrong", f"called stationary, {distance:.2g} from the stationary state, changing at {change:.2g}"
    return "right", f"to {distance:.1g}"


def _nearly_singular(eq, y):
    rates = np.abs(slow_route.spectrum(eq, y))
    return np.sum(rates < 1e-4 * rates.max()) > (0 if eq.jumps else eq.K)


def _steady(draw, answer):
    verdict = _at_rest(draw, answer)
    if verdict[0] != "right":
        return verdict
    end = np.array([0.0, float(answer["time"])])
    if end[1] * Equations(draw).fastest([0.0]) > 2e4:
        return verdict
    states, growth = slow_route.trajectory(draw, end, seconds=20.0)
    off = np.abs(states[-1] - _flat(answer)).max()
    allowed = 10 * REST[draw.precision] * max(1, growth.max())
    if growth.max() < CHAOTIC[draw.precision] and off > allowed:
        return "wrong", f"another state than that of the trajectory, off by {off:.2g}"
    return verdict


def _oscillating(draw, answer):
    """It may be said of what does not relax, and of nothing else."""
    try:
        eq, _, rest, distance = _rest_of(draw, answer)
    except TooLong as reason:
        return "unchecked", str(reason)
    if rest is None or distance > 0.05:
        return "refused", answer["said"]
    rates = np.sort(slow_route.spectrum(eq, rest).real)[::-1][0 if eq.jumps else eq.K :]
    if rates[0] < -1e-10:
        return "wrong", f"oscillating is said of a relaxation at {rates[0]:.2g}, {distance:.2g} from its end"
    return "refused", answer["said"]


def _differences(function, order, step):
    f = [function(1 + step * i) for i in (-2, -1, 0, 1, 2)]
    if order == 1:
        return (f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * step)
    return (-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * step**2)


def _derivative(draw, answer):
    of, by, order, grown = *(draw.how[name] for name in ("of", "by", "order")), 1.0

    def number(factor):
        if of == "overlap at the end":
            eq = Equations(draw, **{by: factor})
            return slow_route.overlaps_of(
                eq, slow_route.integrate(eq, slow_route.start(draw), draw.times[[0, -1]], 1e-12, 12.0)[-1]
            )[0]
        if of == "critical":
            return closed_form(draw, **{by: factor})[draw.how["kind"]][0]
        eq = Equations(draw, **{by: factor})
        xi = slow_route.root_near(eq, answer["xi"], answer["lengths"])
        return np.nan if xi is None else slow_route.state_at(eq, xi, answer["lengths"])[2 * eq.K]

    if of in ("steady", "stationary"):
        eq, _, rest, _ = _rest_of(draw, answer)
        if rest is None or _nearly_singular(eq, rest):
            return "unchecked", "no stationary state near, or at a threshold"
        answer = answer | {"xi": slow_route.overlaps_of(eq, rest), "lengths": _lengths(eq, rest)}
    if of == "overlap at the end":
        _, growth = slow_route.trajectory(draw, draw.times[[0, -1]], seconds=12.0)
        if growth[-1] > CHAOTIC["float64"]:
            return "unchecked", f"chaotic: a deviation grows by {growth[-1]:.2g}"
        grown = max(1.0, growth[-1] / 1e3)
    coarse, fine = (_differences(number, order, step) for step in ((2e-3, 1e-3) if order == 2 else (4e-4, 2e-4)))
    doubt = abs(coarse - fine)
    if not np.isfinite(fine) or doubt > 1e-2 * max(1e-3, abs(fine)):
        return "unchecked", f"differences are {coarse:.6g} and {fine:.6g}"
    allowed = max(1e-3, abs(fine)) * 1e-4 * 10 ** (order - 1) * grown + 3 * doubt
    off = abs(answer["derivative"] - fine)
    if not off < allowed:
        return "wrong", f"{answer['derivative']:.8g} where differences are {fine:.8g} (+- {doubt:.1g})"
    return "right", f"to {off:.1g}"


def _same(listed, other, tol):
    """Whether two lists of complex numbers are alike, each number of the second taken once."""
    rest = list(other)
    for value in listed:
        nearest = int(np.argmin(np.abs(np.array(rest) - value)))
        if abs(rest.pop(nearest) - value) > tol:
            return False
    return True


def _eigenvalues(draw, answer):
    eq, y = Equations(draw), _flat(answer)
    right = slow_route.spectrum(eq, y)
    listed = np.concatenate([answer["eigenvalues"], np.zeros(right.size - answer["eigenvalues"].size)])
    if not eq.jumps and listed.size - answer["eigenvalues"].size != eq.K:
        return "wrong", f"{answer['eigenvalues'].size} eigenvalues listed"
    scale = max(1.0, np.abs(right).max())
    tol = (3e-5 if draw.precision == "float64" else 3e-2) * scale  # double eigenvalues are known to half the digits
    if not _same(sorted(listed, key=lambda v: -abs(v)), right, tol):
        return "wrong", f"eigenvalues {np.sort(listed.real)[-3:]}, right {np.sort(right.real)[-3:]}"
    return "right", ""


def growth_beside_lengths(eq, y):
    """The largest real part, without the zeros of conserved spin lengths."""
    rates = slow_route.spectrum(eq, y)
    return float(np.max(rates[np.argsort(np.abs(rates))[0 if eq.jumps else eq.K :]].real))


def _stationary(draw, answer):
    eq, tol = Equations(draw), 1e-6 if draw.precision == "float64" else 5e-3
    scale = max(1.0, eq.fastest([0.0]))
    signs = (1, -1) if all(isinstance(jump, str) and jump in INVARIANT for jump, _ in draw.jumps) else (1,)
    for i, (m, alpha) in enumerate(zip(answer["m"], answer["alpha"], strict=True)):
        y = _flat({"m": m, "alpha": alpha})
        if not np.max(np.abs(eq(0.0, y))) < tol * scale:
            return "wrong", f"row {i} changes at {np.max(np.abs(eq(0.0, y))):.2g}"
        for j in range(i):
            if min(np.max(np.abs(answer["overlaps"][j] - s * answer["overlaps"][i])) for s in signs) < tol:
                return "wrong", f"rows {j} and {i} are the same state up to sign"
        growth = growth_beside_lengths(eq, y)
        if draw.precision == "float64" and abs(growth - answer["growth_rate"][i]) > 1e-4 * scale:
            return "wrong", f"row {i} grows at {answer['growth_rate'][i]:.6g}, right {growth:.6g}"
    if draw.precision == "float64" and not eq.jumps:
        rng = np.random.default_rng(0)
        sign = -1.0 if np.all(eq.now[1] < 0) else 1.0
        for _ in range(12):
            xi = slow_route.root_near(eq, rng.uniform(-1, 1, eq.M), np.full(eq.K, sign))
            sizes = np.abs(answer["overlaps"])
            if xi is not None and not np.any(np.all(np.abs(sizes - np.abs(xi)) < 1e-4, axis=1)):
                return ("wrong" if answer["complete"] else "refused"), f"a state of overlaps {xi} is missing"
    if not answer["complete"]:
        return "refused", f"looks_complete is false, index sum {answer['index_sum']}"
    return "right", f"{len(answer['m'])} states"


def _moments(draw, answer, means, covariance, tol):
    flat = np.concatenate([answer["m"].reshape(len(means), -1), answer["alpha"].real, answer["alpha"].imag], axis=1)
    off = np.max(np.abs(flat - means)), np.max(np.abs(answer["covariance"] - covariance))
    allowed = tol * np.array([1, max(1.0, np.abs(covariance).max())])
    if not (off[0] < allowed[0] and off[1] < 10 * allowed[1]):
        return "wrong", f"means off by {off[0]:.2g}, covariance by {off[1]:.2g} of {np.abs(covariance).max():.3g}"
    return "right", f"to {off[0]:.1g} and {off[1]:.1g}"


def _gaussian(draw, answer):
    if np.any(draw.w == 0):
        return "unchecked", "the covariance of no spins"
    means, covariance = slow_route.covariances(draw, draw.times)
    if np.abs(covariance).max() > 1e6:
        return "unchecked", "chaotic"
    return _moments(draw, answer, means, covariance, 1e-6)


def _master(draw, answer):
    return _moments(draw, answer, *master.converged_moments(draw, draw.how["N"]), 1e-6)


JUDGED = {
    "trajectory": _trajectory,
    "batch": _batch,
    "steady": _steady,
    "derivative": _derivative,
    "eigenvalues": _eigenvalues,
    "stationary": _stationary,
    "critical": judge_critical,
    "gaussian": _gaussian,
    "master": _master,
}
