"""Questions of kinds that no wrong answer is known of, and that the other draws do not ask: NAME is SEED:NUMBER:KIND.

    levels     atoms with d levels in one mode: runs, rest and derivatives, by SciPy on their density matrix
    orbit      the orbit that a long run ends near, and a boundary time crystal's: closed, no shorter, its multipliers
    sweep      axes of any order and some zipped; every row by its closed form

They are asked as those of known_kinds.py are.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import dicke_jax as dj

from . import slow_route
from .asking import model_of, text_of
from .drawing import _cube
from .known_kinds import judge_by, plain_draw
from .slow_route import Equations
from .sweep_rows import Question, ask_sweep, draw_sweep, judge_sweep


def draw(seed: int, number: int, kind: str) -> Any:
    """The same draw for the same name."""
    rng = np.random.default_rng([seed, number, 101 + list(KINDS).index(kind)])
    return KINDS[kind][0](rng, f"{seed}:{number}:{kind}")


def ask(question: Any) -> dict[str, Any]:
    return KINDS[question.question][1](question)


def judge(question: Any, answer: dict[str, Any]) -> tuple[str, str]:
    return judge_by(KINDS[question.question][2], question, answer)


def _levels(rng, name):
    d, how = int(rng.choice([2, 3, 3, 4])), {}
    how |= dict(omega=rng.uniform(0.4, 2), kappa=rng.uniform(0.2, 1.5), energies=rng.uniform(-1.5, 1.5, d))
    how["couplings"] = np.triu(rng.normal(0, 0.5, (d, d)), 1)
    number = int(rng.choice([0, 1, 2]))
    entries = rng.normal(size=(2, number, d, d))
    if rng.random() < 0.5:  # decay from one level to another
        entries *= np.arange(d * d).reshape(d, d) == rng.choice([1, 2, d * d - d], (number, 1, 1))
    how["jumps"] = [(L, rng.uniform(0.05, 0.4)) for L in entries[0] + 1j * entries[1]]
    ket = rng.normal(size=(2, d, int(rng.integers(1, d + 1))))
    rho = (ket[0] + 1j * ket[1]) @ (ket[0] + 1j * ket[1]).conj().T
    how["rho"], how["alpha"] = rho / np.trace(rho).real, complex(*rng.normal(0, 0.5, 2))
    how["of"] = str(rng.choice(["run", "run", "rest", "derivative"]))
    how["mode"], how["in"] = str(rng.choice(["forward", "reverse"])), str(rng.choice(["couplings", "kappa", "omega"]))
    how["times"] = np.linspace(0, rng.uniform(4, 16), 6)
    return Question(name, "levels", how)


def _multilevel(how, factor=1.0):
    jumps = dj.LocalDissipation(how["jumps"]) if how["jumps"] else None
    rates = {name: how[name] * (factor if name == how["in"] else 1.0) for name in ("omega", "couplings", "kappa")}
    return dj.gallery.multilevel_dicke(
        rates["omega"], how["energies"], rates["couplings"], rates["kappa"], dissipation=jumps
    )


def _ask_levels(question):
    how, model = question.how, _multilevel(question.how)
    start = dj.MeanFieldState(dj.bloch_vectors(how["rho"]), jnp.array([how["alpha"]]))
    if how["of"] == "derivative":

        def photons(factor):
            end = dj.mfsolve(_multilevel(how, factor), start, how["times"][[0, -1]])
            return end.occupations[-1, 0] + end.m[-1, 2, 0]

        wrap = {"forward": jax.jacfwd, "reverse": jax.grad}[how["mode"]]
        return {"said": "", "derivative": np.asarray(jax.jit(wrap(photons))(1.0))}
    if how["of"] == "rest":
        end = dj.steadystate(model, start)
        rho, alpha = dj.density_matrices(end.state.m)[0], end.state.alpha
        return {"said": text_of(end.status), "rho": np.asarray(rho), "alpha": np.asarray(alpha)}
    sol = dj.mfsolve(model, start, how["times"], throw=False)
    rho = np.asarray(dj.density_matrices(sol.m))[:, 0]
    return {"said": text_of(sol.status), "rho": rho, "alpha": np.asarray(sol.alpha)}


def _density_equations(how, factor=1.0):
    """Of y = (rho, alpha): -i [H, rho] + sum_j D_j(rho), and -(i omega + kappa / 2) alpha - i Tr(G rho)."""
    rates = {name: how[name] * (factor if name == how["in"] else 1.0) for name in ("omega", "couplings", "kappa")}
    d, G = len(how["energies"]), rates["couplings"] + rates["couplings"].T
    jumps = [np.sqrt(rate) * L for L, rate in how["jumps"]]

    def f(_, y):
        rho, alpha = y[:-1].reshape(d, d), y[-1]
        H = np.diag(how["energies"]) + 2 * alpha.real * G
        dot = -1j * (H @ rho - rho @ H)
        for L in jumps:
            square = L.conj().T @ L
            dot += L @ rho @ L.conj().T - (square @ rho + rho @ square) / 2
        light = -(1j * rates["omega"] + rates["kappa"] / 2) * alpha - 1j * np.trace(G @ rho).real
        return np.append(dot.ravel(), light)

    return f


def _density_run(how, factor=1.0, nudge=0.0):
    start, times = np.append(how["rho"].ravel(), how["alpha"] + nudge), how["times"]
    f = _density_equations(how, factor)
    return solve_ivp(f, times[[0, -1]], start, "DOP853", times, rtol=1e-11, atol=1e-12).y.T


def _judge_levels(question, answer):
    how, d = question.how, len(question.how["energies"])
    if how["of"] == "rest":
        y = np.append(answer["rho"].ravel(), answer["alpha"])
        moves = np.abs(_density_equations(how)(0, y)).max()
        return ("right" if moves < 1e-6 else "wrong"), f"said to be at rest, and moves at {moves:.2g}"
    right = _density_run(how)
    growth = np.abs(_density_run(how, nudge=1e-7) - right).max() / 1e-7
    if growth > 1e4:
        return "unchecked", f"a deviation grows by {growth:.2g}"
    if how["of"] == "derivative":

        def seen(y):  # photons, and the difference of the first two populations
            return abs(y[-1]) ** 2 + (y[0] - y[d + 1]).real

        h, ends = 1e-3, {}
        for k in (-2, -1, 1, 2):
            ends[k] = seen(_density_run(how, 1 + k * h)[-1])
        slope = (8 * (ends[1] - ends[-1]) - ends[2] + ends[-2]) / (12 * h)
        off, allowed = abs(float(answer["derivative"]) - slope), 1e-5 * max(1.0, growth)
        return ("right" if off < allowed else "wrong"), f"{float(answer['derivative']):.9g}, by differences {slope:.9g}"
    found = np.concatenate([answer["rho"].reshape(len(right), -1), answer["alpha"].reshape(-1, 1)], axis=1)
    off, allowed = np.abs(found - right).max(), 1e-6 * max(1.0, growth / 30)
    return ("right" if off < allowed else "wrong"), f"off by {off:.2g}, {allowed:.1g} is allowed"


def _orbit(rng, name):
    if rng.random() < 0.3:
        m = rng.normal(size=3)
        how = dict(omega0=rng.uniform(1.1, 3), kappa=1.0, m=m / np.linalg.norm(m) * rng.choice([1.0, 0.7]))
        return Question(name, "orbit", how)
    rates = dict(omega_spin=1.0, omega_mode=np.array([1.0, -2.0]), kappa=np.ones(2), g0=1.0)  # no state is stable
    rates = {key: rate * rng.uniform(0.94, 1.06, np.shape(rate)) for key, rate in rates.items()}
    G, w = _cube(2, True)
    m = rng.normal(size=(3, w.size))
    return plain_draw(name, "hypercube", G, w, rates, times=[0.0, 200.0], m=m / np.linalg.norm(m, axis=0))


def _ask_orbit(question):
    if isinstance(question, Question):
        how = question.how
        model, period = dj.gallery.boundary_time_crystal(how["omega0"], how["kappa"]), None
        guess = how["m"][:, None], np.zeros(0)
    else:
        eq, K, M = Equations(question), question.w.size, question.num_modes
        y, period = _recurrence(eq, slow_route.start(question), question.times[-1])
        model, m = model_of(question), y[: 3 * K].reshape(3, K)
        guess = m / np.linalg.norm(m, axis=0), y[3 * K : 3 * K + M] + 1j * y[3 * K + M :]
    state = dj.MeanFieldState(jnp.asarray(guess[0]), jnp.asarray(guess[1], complex))
    orbit = dj.periodic_orbit(model, state, period=period)
    names = ("period", "m", "alpha", "multipliers", "num_growing")
    return {"said": text_of(orbit.status)} | {name: np.asarray(getattr(orbit, name)) for name in names}


def _recurrence(eq, y, time, window=40.0, step=0.05):
    """Of a run after some time: the state that best comes back within a window, and when it does."""
    t = time + np.arange(0, 2 * window, step)
    states = solve_ivp(eq, (0, t[-1]), y, "DOP853", t, rtol=1e-9, atol=1e-10).y.T
    n, first = len(t) // 2, round(1 / step)
    off = [[np.abs(states[i + j] - states[i]).max() for j in range(first, n)] for i in range(0, n, 10)]
    i, j = np.unravel_index(np.argmin(off), np.shape(off))
    return states[10 * i], float((first + j) * step)


def _around(f, y, period, n=8):
    """States on the way around from y, and the matrix that takes deviations around, by central differences."""
    times = np.linspace(0, period, n + 1)

    def run(y):
        return solve_ivp(f, times[[0, -1]], y, "DOP853", times, rtol=1e-11, atol=1e-12).y.T

    states, h = run(y), 1e-5
    return states, np.array([(run(y + h * e)[-1] - run(y - h * e)[-1]) / (2 * h) for e in np.eye(y.size)]).T


def _judge_orbit(question, answer):
    period, m, alpha = float(answer["period"]), answer["m"], answer["alpha"]
    y = np.concatenate([m[0].ravel(), alpha[0].real, alpha[0].imag])
    if isinstance(question, Question):
        omega0, kappa = question.how["omega0"], question.how["kappa"]
        right = 2 * np.pi / np.sqrt(omega0**2 - kappa**2 * (question.how["m"] ** 2).sum())
        if abs(period - right) > 1e-7 * right:
            return "wrong", f"period {period:.9g}, in closed form {right:.9g}"

        def f(_, y):
            field = kappa * y[2]
            return np.array(
                [field * y[0], field * y[1] - omega0 * y[2], omega0 * y[1] - kappa * (y[0] ** 2 + y[1] ** 2)]
            )

    else:
        f = Equations(question)
    states, matrix = _around(f, y, period)
    values = np.linalg.eigvals(matrix)
    allowed = 1e-7 * max(1.0, np.abs(values).max())
    if (off := np.abs(states[-1] - y).max()) > allowed:
        return "wrong", f"comes back to within {off:.2g} only, after {period:.6g}"
    speed = np.abs(f(0.0, y)).max()
    if np.abs(states[4] - y).max() < 1e-6 or speed < 1e-7:
        return "wrong", f"back after half of {period:.6g}, and moves at {speed:.2g}"
    stray = [np.abs(values - x).min() for x in answer["multipliers"]]
    if np.max(stray, initial=0.0) > 1e-4 * max(1.0, np.abs(values).max()):
        return "wrong", f"multipliers off by {np.max(stray):.2g}"
    grow, wide = int(np.sum(np.abs(values) > 1.01)), int(np.sum(np.abs(values) > 1 + 1e-4))
    if grow > int(answer["num_growing"]) or (grow == wide and int(answer["num_growing"]) > grow + 2):
        return "wrong", f"{int(answer['num_growing'])} growing, and there are {grow}"
    return "right", ""


KINDS = {
    "levels": (_levels, _ask_levels, _judge_levels),
    "orbit": (_orbit, _ask_orbit, _judge_orbit),
    "sweep": (draw_sweep, ask_sweep, judge_sweep),
}
