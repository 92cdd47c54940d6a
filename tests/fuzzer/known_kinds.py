"""Questions of the kinds that had wrong answers once and that the other draws do not ask: NAME is SEED:NUMBER:KIND.

    ties       stationary states of a chain of clusters, where states of equal size and opposite sign pair up
    trace      closed forms within `jax.jit`, for patterns that are orthogonal and that are not
    complex    one argument, of any kind, with an imaginary part
    wigner     samples of a vacuum at late times, and of a ramp up to strong coupling
    fit        one rate from one trace, from a start several turns of the oscillation off

With the other questions they cover part A of the page of wrong numbers, cases 1 to 10. The net finds each by itself in
the package before it was mended, asked by the present fuzzer:

    git worktree add BEFORE COMMIT
    cd ELSEWHERE; PYTHONPATH=BEFORE:HERE python -m tests.fuzzer --kinds --draws 20        (HERE being the present one)

With COMMIT 6b0e30c draws 0:1:complex (case 8), 0:3:wigner (9) and 0:2:fit (10) are wrong. Cases 6 and 7 had been mended
by then: with f3631a1, for which the page was written, 0:0:ties (6) and 0:1:trace (7) are.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj

from . import slow_route
from .asking import model_of, state_of
from .drawing import Draw, _cube
from .judging import JUDGED
from .rates_in_time import Constant, Knots
from .slow_route import Equations
from .thresholds import closed_form

STRINGS = {3: 2, 4: 4, 5: 6}  # stable states of a chain of n clusters, by their number: signs in runs of two and more
COMPLEX = ("DenseCouplings", "map_to_large_spins", "individual", "weights", "m", "tsave", "rate", "jump rate", "ramp")
SAMPLES, SIGMAS = 2000, 6.0
NOISE = 2e-3


def draw(seed: int, number: int, kind: str) -> Draw:
    """The same draw for the same name."""
    rng = np.random.default_rng([seed, number, 1 + list(KINDS).index(kind)])
    return KINDS[kind][0](rng, f"{seed}:{number}:{kind}")


def ask(question: Draw) -> dict[str, Any]:
    return KINDS[question.question][1](question)


def judge(question: Draw, answer: dict[str, Any]) -> tuple[str, str]:
    return judge_by(KINDS[question.question][2], question, answer)


def judge_by(judged: Any, question: Any, answer: dict[str, Any]) -> tuple[str, str]:
    """As `judging.judge`: what says that it failed is refused, and what is not finite is wrong."""
    if answer["said"]:
        return "refused", answer["said"]
    if not all(np.all(np.isfinite(value)) for value in answer.values() if isinstance(value, np.ndarray)):
        return "wrong", "not finite, and calls itself successful"
    return judged(question, answer)


def plain_draw(name, mapping, G, w, rates, how=None, times=(0.0, 1.0), m=None, raw=None) -> Draw:
    M, K = G.shape
    rates = {key: rate if isinstance(rate, Knots) else Constant(np.asarray(rate, float)) for key, rate in rates.items()}
    m = np.array([np.zeros(K), np.zeros(K), np.ones(K)]) if m is None else m
    kind, times = name.split(":")[2], np.asarray(times, float)
    return Draw(
        name, kind, how or {}, mapping, G, w, rates, [], "float64", "default", times, m, np.zeros(M, complex), raw
    )


def _text(status):
    text = status._enumeration._index_to_message[int(status._value)]
    return "" if text.startswith(("converged", "unique", "successful")) else text


def _ties(rng, name):
    M = int(rng.choice([2, 3, 3, 4]))
    G = np.eye(M, M + 1) + np.eye(M, M + 1, 1)
    rates = {
        "omega_spin": rng.uniform(0.3, 1),
        "omega_mode": np.full(M, rng.uniform(1, 2)),
        "kappa": np.ones(M),
        "g0": 1.0,
    }
    found = plain_draw(name, "chain", G, np.full(M + 1, 1 / (M + 1)), rates)
    found.rates["g0"] = Constant(3 * closed_form(found)["normal"][0])
    return found


def _ask_ties(question):
    from .asking import _stationary

    return _stationary(question)


def _judge_ties(question, answer):
    word, found = JUDGED["stationary"](question, answer)
    stable, right = int(np.sum(answer["multiplicity"][answer["num_growing"] == 0])), STRINGS[question.w.size]
    if word == "right" and stable != right:
        return "wrong", f"{stable} stable states, and there are {right}"
    return word, found


def _trace(rng, name):
    M = int(rng.integers(2, 4))
    mapping, (G, w), raw = "hypercube", _cube(M, True), None
    if rng.random() < 0.75:
        mapping, raw = "mapped", rng.choice([-1.0, 1.0], (M, int(rng.choice([10, 1000]))))
        columns, counts = np.unique((raw * raw[0]).T, axis=0, return_counts=True)
        G, w = columns[::-1].T.copy(), counts[::-1] / raw.shape[1]
    rates = {"omega_spin": rng.uniform(0.3, 1), "omega_mode": rng.uniform(1, 2, M), "kappa": rng.uniform(0.5, 1.5, M)}
    how = {"of": str(rng.choice(["overlap", "threshold"])), "pattern": int(rng.integers(M))}
    found = plain_draw(name, mapping, G, w, rates | {"g0": 1.0}, how, raw=raw)
    found.rates["g0"] = Constant(closed_form(found)["existence"].max() * rng.uniform(1.3, 2.5))
    return found


def _ask_trace(question):
    nu = question.how["pattern"]
    if question.how["of"] == "overlap":
        return {"said": "", "value": float(jax.jit(lambda model: dj.retrieval_overlap(model, nu))(model_of(question)))}
    coupling = jax.jit(lambda model: dj.critical_coupling(model, nu, kind="existence"))
    return {"said": "", "value": float(coupling(model_of(question)))}


def _judge_trace(question, answer):
    """Orthogonal patterns by Eq. 12; others by the branch itself, which ends where nothing is left of the overlap."""
    nu, value = question.how["pattern"], abs(answer["value"])
    if question.mapping == "hypercube":
        g = closed_form(question)["existence"][nu]
        g0 = float(question.rates["g0"].value)
        right = g if question.how["of"] == "threshold" else np.sqrt(1 - (g / g0) ** 4)
        return ("right", "") if abs(value - right) < 1e-8 else ("wrong", f"{value:.9g}, in closed form {right:.9g}")
    if np.isnan(value):
        return "refused", "NaN"
    lengths, xi = np.ones(question.w.size), (question.G * question.w) @ question.G[nu]
    if question.how["of"] == "overlap":
        eq = Equations(question)
        found = slow_route.root_near(eq, xi, lengths)
        if found is None or np.max(np.abs(found - xi)) > 0.5:
            return "unchecked", "the branch was not found"
        off = abs(value - abs(found[nu]))
        return ("right", "") if off < 1e-6 else ("wrong", f"{value:.9g}, on the branch {abs(found[nu]):.9g}")
    eqs = [Equations(question, g0=s * answer["value"] / float(question.rates["g0"].value)) for s in (1.5, 1.02, 1.002)]
    for eq in eqs:
        xi = slow_route.root_near(eq, xi, lengths)
        if xi is None or np.abs(xi[nu]) < 1e-3:
            return "wrong", f"nothing is left of the branch above {value:.9g}, where it is said to begin"
    return "right", ""


def _complex(rng, name):
    M = int(rng.integers(1, 4))
    rates = {"omega_spin": 0.5, "omega_mode": rng.uniform(1, 2, M), "kappa": np.ones(M), "g0": rng.uniform(0.5, 1.5)}
    how = {"of": str(rng.choice(COMPLEX)), "part": float(rng.choice([1e-3, 0.3, 1.0]))}
    return plain_draw(name, "hypercube", *_cube(M, True), rates, how)


def _ask_complex(question):
    """A run with one argument that has an imaginary part."""
    of, i = question.how["of"], 1j * question.how["part"]
    rates = {key: jnp.asarray(rate.value) for key, rate in question.rates.items()}
    spins, m, times, jumps, G = (
        dj.LargeSpins.hypercube(question.num_modes),
        question.m,
        question.times,
        None,
        question.G,
    )
    if of == "DenseCouplings":
        spins = dj.LargeSpins(dj.DenseCouplings(G + i), question.w)
    elif of == "map_to_large_spins":
        spins = dj.map_to_large_spins(G + i).spins
    elif of == "individual":
        spins = dj.LargeSpins.individual(G + i)
    elif of == "weights":
        spins = dj.LargeSpins(dj.DenseCouplings(G), question.w + 0 * i + i * (np.arange(question.w.size) == 0))
    elif of == "ramp":
        rates["g0"] = dj.PiecewiseLinear(np.array([0.0, 1.0]), np.array([0.5, 1.0 + i]))
    elif of == "rate":
        rates["omega_spin"] = jnp.asarray(0.5 + i)
    elif of == "jump rate":
        jumps = dj.LocalDissipation([("decay_x", 0.1 + i)])
    elif of == "tsave":
        times = times + i
    else:
        m = m + i
    model = dj.DickeModel(spins, **rates, dissipation=jumps)
    m = m[:, :1] * np.ones(model.num_subsets) if m.shape[1] != model.num_subsets else m
    sol = dj.mfsolve(
        model, dj.MeanFieldState(jnp.asarray(m), jnp.zeros(question.num_modes, complex)), times, throw=False
    )
    return {"said": _text(sol.status), "m": np.asarray(sol.m)}


def _judge_complex(question, answer):
    """No real answer can be right: with an imaginary part there is none of these equations."""
    return "wrong", f"complex {question.how['of']} was taken, and an answer given"


def _wigner(rng, name):
    t0, last = float(rng.choice([0.0, 3e5, 1e7, 1e8])), float(rng.uniform(1, 4))
    rates = {"omega_spin": rng.uniform(0.3, 1), "omega_mode": rng.uniform(1, 3, 1), "kappa": rng.uniform(0.3, 1, 1)}
    if rng.random() < 0.6:
        how = {"of": "vacuum", "N": int(rng.choice([10, 1000]))}
        return plain_draw(name, "hypercube", *_cube(1, True), rates | {"g0": 0.0}, how, [t0, t0 + last / 2, t0 + last])
    last = float(rng.uniform(1, 2))
    ramp = Knots("ramp", np.array([0.0, last]), np.array([0.1, rng.uniform(6, 12)]), "float64")
    angle = rng.uniform(0.2, 1)
    m = np.array([[np.sin(angle)], [0.0], [np.cos(angle)]])
    how = {"of": "ramp", "N": 10**6}
    return plain_draw(name, "hypercube", *_cube(1, True), rates | {"g0": ramp}, how, [0.0, last], m)


def _ask_wigner(question):
    key, model, state = jax.random.key(0), model_of(question), state_of(question)
    sol = dj.wigner_moments(key, model, state, question.times, question.how["N"], num_samples=SAMPLES)
    moments = sol.moments
    answer = {
        "m": np.asarray(moments.m),
        "alpha": np.asarray(moments.alpha),
        "covariance": np.asarray(moments.covariance),
    }
    return answer | {"said": _text(sol.status), "sem": np.asarray(sol.mean_sem)}


def _judge_wigner(question, answer):
    """A vacuum keeps 1/4 of both quadratures; a ramp's means are the mean field's, N being large."""
    if question.how["of"] == "vacuum":
        variance = answer["covariance"][:, [3, 4], [3, 4]]
        off, allowed = np.abs(variance - 0.25).max(), SIGMAS * 0.25 * np.sqrt(2 / SAMPLES)
        return ("right" if off < allowed else "wrong"), f"variances off by {off:.2g}, {allowed:.2g} is noise"
    states, growth = slow_route.trajectory(question)
    if growth[-1] > 100:
        return "unchecked", f"chaotic: a deviation grows by {growth[-1]:.2g}"
    flat = np.concatenate([answer["m"][:, :, 0], answer["alpha"].real, answer["alpha"].imag], axis=1)
    off = np.abs(flat[-1] - states[-1])
    allowed = SIGMAS * answer["sem"][-1] + 1e-3 * max(1.0, growth[-1])
    return ("right" if np.all(off < allowed) else "wrong"), f"means off by {off.max():.2g}"


def _fit(rng, name):
    M = int(rng.integers(1, 4))
    rates = {
        "omega_spin": 0.5,
        "omega_mode": 0.5 * (np.arange(M) + 3.0),
        "kappa": np.ones(M),
        "g0": rng.uniform(1.2, 1.5),
    }
    G, w = _cube(M, True)
    angle, phi = 0.6, rng.uniform(0, 2 * np.pi, w.size)
    m = np.array([np.sin(angle) * np.cos(phi), np.sin(angle) * np.sin(phi), np.full(w.size, np.cos(angle))])
    how = {"start": float(rng.choice([-1, 1]) * rng.uniform(0.08, 0.15)), "noise": int(rng.integers(1000))}
    return plain_draw(name, "hypercube", G, w, rates, how, np.linspace(0.0, 20.0, 41), m)


def _trace_of(question, **scaled):
    eq = Equations(question, **scaled)
    states = slow_route.integrate(eq, slow_route.start(question), question.times, 1e-10)
    return np.array([slow_route.overlaps_of(eq, y) for y in states])


def _data(question):
    clean = _trace_of(question)
    return clean + NOISE * np.random.default_rng(question.how["noise"]).normal(size=clean.shape)


def _ask_fit(question):
    begin = model_of(question).replace(g0=float(question.rates["g0"].value) * (1 + question.how["start"]))
    trace = dj.TimeTrace(question.times, _data(question), NOISE, state_of(question))
    found = dj.fit(begin, trace, free=("g0",))
    return {"said": _text(found.status), "g0": np.asarray(found.rates), "interval": np.asarray(found.intervals())[:, 0]}


def _judge_fit(question, answer):
    """The misfit at the rates found, by SciPy's run, and whether the truth is within three times the interval."""
    truth, g0, (low, high) = float(question.rates["g0"].value), float(answer["g0"][0]), answer["interval"]
    chi = np.mean(((_trace_of(question, g0=g0 / truth) - _data(question)) / NOISE) ** 2)
    if chi > 2 or abs(g0 - truth) > 3 * max(high - g0, g0 - low):
        return "wrong", f"g0 = {g0:.6g} from {low:.6g} to {high:.6g}, true {truth:.6g}; chi-square {chi:.3g} a point"
    return "right", f"chi-square {chi:.3g} a point"


KINDS = {
    "ties": (_ties, _ask_ties, _judge_ties),
    "trace": (_trace, _ask_trace, _judge_trace),
    "complex": (_complex, _ask_complex, _judge_complex),
    "wigner": (_wigner, _ask_wigner, _judge_wigner),
    "fit": (_fit, _ask_fit, _judge_fit),
}
