"""What is asked: a model, a state and a question, drawn from a seed and a number, in NumPy alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .rates_in_time import Constant, draw_rate, rounded

QUESTIONS = {  # and how often each is asked
    "trajectory": 0.30,
    "batch": 0.12,
    "steady": 0.14,
    "derivative": 0.16,
    "eigenvalues": 0.05,
    "stationary": 0.06,
    "critical": 0.09,
    "gaussian": 0.04,
    "master": 0.04,
}
AT_REST = ("steady", "eigenvalues", "stationary", "critical")  # questions about constant rates
INVARIANT = ("decay_x", "dephasing_x", "dephasing_y", "dephasing_z")  # jumps that the gauge leaves as they are
JUMPS = (*INVARIANT, "sigma_minus", "sigma_plus", "matrix")
VARYING = {"ramp": 0.36, "line": 0.12, "cubic": 0.12, "pulse": 0.14, "sine": 0.13, "step": 0.13}


STYLES = {"": [0.72, 0.08, 0.2], "steady": [0.75, 0.25, 0.0]}


@dataclass
class Draw:
    """A question with all that it is about."""

    name: str  # SEED:NUMBER
    question: str
    how: dict[str, Any]  # what else is asked for
    mapping: str
    G: np.ndarray
    w: np.ndarray
    rates: dict[str, Any]
    jumps: list[tuple[Any, Any]]
    precision: str
    solver: str
    times: np.ndarray
    m: np.ndarray
    alpha: np.ndarray
    raw: np.ndarray | None  # patterns of single spins, where the package groups them

    @property
    def num_modes(self):
        return self.G.shape[0]

    @property
    def constant(self):
        return all(isinstance(r, Constant) for r in (*self.rates.values(), *(rate for _, rate in self.jumps)))

    def __str__(self):
        kinds = {name: getattr(rate, "kind", "constant") for name, rate in self.rates.items()}
        varying = ", ".join(f"{name}: {kind}" for name, kind in kinds.items() if kind != "constant")
        jumps = ", ".join("matrix" if not isinstance(jump, str) else jump for jump, _ in self.jumps)
        parts = [f"{self.question} {self.how or ''}".strip(), f"{self.mapping} M={self.num_modes} K={self.w.size}"]
        parts += [varying, jumps, self.precision, self.solver, f"t {self.times[0]:g} to {self.times[-1]:g}"]
        return "; ".join(part for part in parts if part)


def draw(seed: int, number: int, question: str | None = None, small: bool = False) -> Draw:
    """The same draw for the same two numbers, whatever was drawn before."""
    rng = np.random.default_rng([seed, number])
    drawn = str(rng.choice(list(QUESTIONS), p=list(QUESTIONS.values())))
    question = drawn if question is None else question
    M = 1 if question == "master" else _num_modes(rng, 2 if small or question == "gaussian" else 9)
    precision = "float32" if rng.random() < 0.25 and question not in ("derivative", "master", "gaussian") else "float64"
    jumps = [] if rng.random() < 0.7 else [str(rng.choice(JUMPS)) for _ in range(rng.integers(1, 4))]
    mapping, G, w, raw = _couplings(rng, M, all(jump in INVARIANT for jump in jumps), question)
    K, style = w.size, str(rng.choice(["plain", "stiff", "long"], p=STYLES.get(question, STYLES[""])))
    if question not in ("trajectory", "batch", "steady", "derivative"):
        style = "plain"
    values = _values(rng, M, style, question)
    t0 = float(rng.choice([0.0, 0.3, -3.0, 1e5], p=[0.62, 0.2, 0.1, 0.08]))
    long = style == "long" and question in ("trajectory", "batch", "derivative")
    duration = rng.uniform(100, 300) if long else np.exp(rng.uniform(0.0, np.log(20)))
    if question == "master":  # dense matrices: few photons, and not for long
        duration, values["g0"] = min(duration, 4.0), min(values["g0"], 1.0)
    times = rounded(np.sort(t0 + duration * np.array([0, *rng.uniform(0.05, 0.95, 3), 1])), precision)
    kinds = ("constant",)
    quiet = long and rng.random() < 0.6  # nothing happens before a pulse, nor after it
    if question not in AT_REST and rng.random() < (1.0 if long else 0.55):
        other = str(rng.choice(list(VARYING), p=list(VARYING.values())))
        kinds = ("constant", "pulse") if quiet else (("constant", "pulse", other) if long else ("constant", other))
    if quiet:
        values, precision = values | {"g0": 0.0 if rng.random() < 0.5 else values["g0"]}, "float64"
        values |= {"omega_spin": 0.0} if values["g0"] == 0 else {}
    how = _how(rng, question, bool(jumps), M)
    if how.get("of", "overlap at the end") != "overlap at the end" or how.get("by") == "ensemble to rest":
        kinds = ("constant",)
    if how.get("of") == "critical":  # of which there is a closed form
        mapping, G, w, raw, jumps = "hypercube", *_cube(M, True), None, []
        K = w.size
        values = {name: np.abs(value) + 0.1 for name, value in values.items()}
    if question == "steady" and rng.random() < 0.6:  # such as do come to rest
        M = min(M, 2)
        mapping, G, w, raw, jumps = "hypercube", *_cube(M, True), None, jumps if len(jumps) < 2 else ["decay_x"]
        jumps = [jump for jump in jumps if jump in INVARIANT]
        K, values = w.size, {name: np.abs(v)[:M] if np.ndim(v) else np.abs(v) for name, v in values.items()}
    rates = _rates(rng, values, times, precision, kinds)
    spun = []
    for jump in jumps:
        size = float(rng.choice([np.exp(rng.uniform(-4, -1)), 1e-12, 0.0], p=[0.8, 0.15, 0.05]))
        value = size * (rng.uniform(0.5, 1.5, K) if rng.random() < 0.15 else np.ones(()))
        few = kinds if value.ndim == 0 and rng.random() < 0.3 and "pulse" not in kinds else ("constant",)
        matrix = (rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))) / 2
        rate = draw_rate(rng, rounded(value, precision), (times[0], times[-1]), precision, few)
        spun.append((matrix if jump == "matrix" else jump, rate))
    solver = str(rng.choice(["default", "dopri8", "tsit5", "taylor"], p=[0.64, 0.14, 0.1, 0.12]))
    if solver == "taylor":
        solver += ":" + str(rng.choice(["8", "13", "18"])) + ":" + str(rng.choice(["None", "0", "4"]))
        series = all(getattr(rate, "kind", "ramp") == "ramp" for rate in (*rates.values(), *(r for _, r in spun)))
        solver = solver if series or rng.random() < 0.1 else "default"  # the series refuses other rates
    m, alpha = _state(rng, G, question)
    if quiet:
        m, alpha = _at_rest(rng, G, w, rates, m, alpha)
    m, alpha = rounded(m, precision), rounded(alpha.real, precision) + 1j * rounded(alpha.imag, precision)
    name = f"{seed}:{number}"
    return Draw(name, question, how, mapping, G, w, rates, spun, precision, solver, times, m, alpha, raw)


def _num_modes(rng, most):
    M = int(rng.choice(np.arange(1, 10), p=[0.3, 0.3, 0.2, 0.1, 0.02, 0.02, 0.02, 0.02, 0.02]))
    return min(M, most)


def _couplings(rng, M, invariant, question):
    """The name of the mapping, G and w, subsets in the order that the package documents, and raw patterns if any."""
    kind = str(rng.choice(["hypercube", "open", "mapped", "dense", "chain"], p=[0.45, 0.1, 0.15, 0.22, 0.08]))
    if question == "master" or (kind in ("hypercube", "mapped") and not invariant) or (kind == "open" and M > 6):
        kind = "open" if M == 1 and question != "master" else ("dense" if question != "master" else "hypercube")
    if kind in ("hypercube", "open"):
        return kind, *_cube(M, kind == "hypercube"), None
    if kind == "mapped":  # the single spins are kept: the package groups them by itself
        N = int(rng.choice([3, 10, 1000]))
        raw = rng.choice([-1.0, 1.0], (M, N))
        columns, counts = np.unique((raw * raw[0]).T, axis=0, return_counts=True)
        return kind, columns[::-1].T.copy(), counts[::-1] / N, raw
    if kind == "chain" and M > 1:  # cluster k lies between modes k - 1 and k
        G = np.eye(M, M + 1) + np.eye(M, M + 1, 1)
        return kind, G, np.full(M + 1, 1 / (M + 1)), None
    K = int(rng.choice([1, 2, 3, 4, 6]))
    G = rng.choice([-1.0, 1.0], (M, K)) if rng.random() < 0.5 else rng.normal(size=(M, K))
    w = rng.uniform(0.1, 1, K)
    if K > 1 and rng.random() < 0.1:
        w[0] = 0.0
    return "dense", G, w / w.sum(), None


def _cube(M, gauge):
    digits = np.indices((2,) * (M - gauge)).reshape(M - gauge, -1) if gauge < M else np.zeros((0, 1))
    G = np.vstack([np.ones((int(gauge), digits.shape[1])), 1.0 - 2 * digits])
    return G, np.full(G.shape[1], 1 / G.shape[1])


def _values(rng, M, style, question):
    """Rates over decades; the coupling near a threshold as often as not."""
    omega = np.exp(rng.uniform(np.log(0.1), np.log(2))) * rng.choice([1, -1], p=[0.9, 0.1])
    mode = np.exp(rng.uniform(np.log(0.4), np.log(4), M)) * rng.choice([1, -1], M, p=[0.92, 0.08])
    kappa = np.exp(rng.uniform(np.log(0.2 if question in AT_REST else 0.02), np.log(8))) * rng.uniform(0.5, 1.5, M)
    if rng.random() < 0.3:
        kappa = np.full(M, kappa[0])
    if rng.random() < 0.1:
        mode = np.full(M, mode[0])
    if rng.random() < 0.04:
        mode = -np.abs(mode)
    if rng.random() < 0.03:
        mode[rng.integers(M)] = 0.0
    if rng.random() < 0.03:
        omega = 0.0
    if question not in AT_REST and rng.random() < 0.05:
        kappa[rng.integers(M)] = 0.0
    if style == "stiff":  # the bad cavity
        kappa = kappa * 10 ** rng.uniform(2, 4)
        mode = mode * (kappa / max(np.abs(mode).max(), 0.1) if rng.random() < 0.6 else 1)
    threshold = np.sqrt(np.abs(omega * (mode**2 + kappa**2 / 4) / (2 * mode + 1e-300)).clip(1e-3, 1e6).min())
    g0 = threshold * np.exp(rng.uniform(np.log(0.5), np.log(3)))
    return {"omega_spin": omega, "omega_mode": mode, "kappa": kappa, "g0": min(g0, 50.0) if style != "stiff" else g0}


def _rates(rng, values, times, precision, kinds):
    values = {name: rounded(value, precision) for name, value in values.items()}
    constant = {name: Constant(value) for name, value in values.items()}
    if kinds == ("constant",):
        return constant
    span = (times[0], times[-1])
    chosen = rng.permutation(["g0", "omega_spin", "g0", "omega_spin", "omega_mode", "kappa"])[: rng.integers(1, 4)]
    if kinds == ("constant", "pulse"):
        chosen = ["omega_spin" if values["g0"] == 0 else "g0"]
    shared = None
    if rng.random() < 0.5:  # kinks of two rates that round-off may take apart
        shared = np.linspace(*span, int(rng.integers(4, 40)))
    varying = kinds[1:]
    for name in dict.fromkeys(chosen):
        own = shared
        if shared is not None and rng.random() < 0.7:  # not at 0, beside which the next number is no time at all
            up = (rng.random(shared.size) < 0.5) & (shared != 0)
            own = np.where(up, np.nextafter(shared, np.inf), shared)
        allowed = [k for k in varying if k != "pulse" or name in ("g0", "omega_spin")] or ["sine"]
        constant[name] = draw_rate(rng, values[name], span, precision, allowed, own)
    return constant


def _state(rng, G, question):
    M, K = G.shape
    kind = str(rng.choice(["stored", "random", "tilted", "poles", "short"], p=[0.15, 0.3, 0.3, 0.1, 0.15]))
    if question == "master" and kind == "short":
        kind = "random"
    z = np.sign(G[rng.integers(M)]) + (G[0] == 0)
    if kind == "random" or kind == "short":
        m = rng.normal(size=(3, K))
        m /= np.linalg.norm(m, axis=0)
        m *= rng.uniform(0.3, 1, K) if kind == "short" else 1
    elif kind == "poles":
        m = np.zeros((3, K))
        m[rng.integers(3, size=K), np.arange(K)] = rng.choice([-1.0, 1.0], K)
    else:
        angle, phi = (0.0 if kind == "stored" else rng.uniform(0.05, 0.8)), rng.uniform(0, 2 * np.pi, K)
        m = z * np.array([np.sin(angle) * np.cos(phi), np.sin(angle) * np.sin(phi), np.full(K, np.cos(angle))])
    size = float(rng.choice([0.0, 0.3]))
    return m, size * (rng.normal(size=M) + 1j * rng.normal(size=M))


def _at_rest(rng, G, w, rates, m, alpha):
    """Where the rates without their pulses keep it, or nearly so: the normal state, a pattern's, poles without g0."""
    still = {name: rate.value if isinstance(rate, Constant) else rate.base for name, rate in rates.items()}
    if still["g0"] == 0:
        sign = rng.choice([-1.0, 1.0], w.size)
        return np.array([np.zeros(w.size), np.zeros(w.size), sign]), 0 * alpha
    xi = (G * w) @ np.sign(G[0] + 1e-9)
    for _ in range(500):  # the overlaps that reproduce themselves
        q = 2 * np.real(-1j * still["g0"] * xi / (1j * still["omega_mode"] + still["kappa"] / 2))
        axis = np.array([np.full(w.size, still["omega_spin"]), np.zeros(w.size), still["g0"] * q @ G])
        m = -axis / np.maximum(np.linalg.norm(axis, axis=0), 1e-9)
        xi = (G * w) @ m[2]
    return m, -1j * still["g0"] * xi / (1j * still["omega_mode"] + still["kappa"] / 2)


def _how(rng, question, jumps, M):
    """What else a question asks for."""
    if question == "trajectory":
        return {"times": str(rng.choice(["all", "ends"], p=[0.7, 0.3]))}
    if question == "batch":
        return {"by": str(rng.choice(["vmap", "ensemble", "ensemble to rest"], p=[0.4, 0.4, 0.2]))}
    if question == "steady":
        return {"max_time": float(rng.choice([0.0, 200.0], p=[0.7, 0.3])), "vmap": bool(rng.random() < 0.15)}
    if question == "derivative":
        of = str(rng.choice(["overlap at the end", "stationary", "steady", "critical"], p=[0.52, 0.16, 0.16, 0.16]))
        few = ["g0", "omega_spin", "omega_mode", "kappa"] if of != "critical" else ["omega_spin", "omega_mode", "kappa"]
        order = int(rng.choice([1, 2]))
        modes = [["reverse", "forward", "checkpoints"], ["forward", "reverse", "forward over reverse"]][order - 1]
        how = {"of": of, "by": str(rng.choice(few)), "order": order, "mode": str(rng.choice(modes))}
        if of == "critical":
            kind, method = rng.choice(["existence", "stability"]), rng.choice(["None", "root finding", "root finding"])
            how |= {"kind": str(kind), "method": str(method)}
        return how | ({"guess": rng.uniform(-1, 1, M)} if of == "stationary" else {})
    if question == "eigenvalues":
        return {"guess": rng.uniform(-1, 1, M)}
    if question == "critical":
        kind = str(rng.choice(["existence", "stability", "normal"]))
        method = str(rng.choice(["None", "root finding"])) if kind != "normal" else "None"
        return {"kind": kind, "pattern": int(rng.integers(M)), "method": method, "jit": bool(rng.random() < 0.2)}
    if question == "master":
        return {"N": int(rng.integers(1, 4 if jumps else 5))}
    return {}
