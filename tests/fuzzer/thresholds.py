"""Critical couplings, judged: by closed forms where they hold, else by the spectra just below and above."""

import numpy as np

from . import slow_route
from .slow_route import Equations


def closed_form(draw, **scaled):
    """g_nu, g_nu sqrt(g_nu / min g) for orthogonal patterns, and the normal state's threshold, all for s = 1."""
    rates = {name: rate.scaled(scaled.get(name, 1.0))(0.0) for name, rate in draw.rates.items()}
    Omega, mode, kappa = rates["omega_spin"], rates["omega_mode"], rates["kappa"]
    g = np.sqrt(Omega * (mode**2 + kappa**2 / 4) / (2 * mode))
    overlap = draw.G * draw.w @ draw.G.T
    normal = 1 / np.sqrt(np.linalg.eigvalsh(overlap / np.outer(g, g)).max())
    return {"existence": g, "stability": g * np.sqrt(g / g.min()), "normal": np.array([normal])}


def judge_critical(draw, answer):
    """Closed forms where they hold; and just below and above a threshold the spectrum of what was found."""
    kind, nu, g0 = draw.how["kind"], draw.how["pattern"], answer["g0"]
    rates = draw.rates
    positive = rates["omega_spin"].value > 0 and np.all(rates["omega_mode"].value > 0)
    orthogonal = draw.mapping in ("hypercube", "open") and not draw.jumps
    if positive and not draw.jumps and (orthogonal or kind == "normal"):
        right = closed_form(draw)[kind][nu if kind != "normal" else 0]
        tol = 1e-6 if draw.precision == "float64" else 2e-3
        if not abs(g0 - right) < tol * right:
            return "wrong", f"{g0:.9g}, in closed form {right:.9g}"
        return "right", f"to {abs(g0 - right):.1g}"
    if np.isnan(g0):
        return "refused", "NaN: the state could not be followed"
    if rates["omega_spin"].value == 0:
        return "unchecked", "spins that nothing flips have no states of their own"
    if g0 == 0 or np.isposinf(g0):
        return _nowhere(draw, kind, nu, always=g0 == 0)
    return _around(draw, kind, nu, g0) if np.isfinite(g0) else ("wrong", f"{g0}")


def _lengths(draw, kind, nu):
    """How the spins of the state stand to their fields."""
    mode = draw.rates["omega_mode"].value
    if kind == "normal":
        return np.full(draw.w.size, -1.0 if np.all(mode < 0) else 1.0)
    return np.full(draw.w.size, np.sign(mode[nu]) or 1.0)


def _nowhere(draw, kind, nu, always):
    """No threshold at any coupling: a state that is there, or stable, at every one or at none of many."""
    rates, lengths = {name: rate.value for name, rate in draw.rates.items()}, _lengths(draw, kind, nu)
    mode, kappa = rates["omega_mode"], rates["kappa"]
    with np.errstate(divide="ignore", invalid="ignore"):
        g = np.sqrt(np.abs(rates["omega_spin"] * (mode**2 + kappa**2 / 4) / (2 * mode)))
    unit = float(np.median(g[np.isfinite(g) & (g > 0)])) if np.any(np.isfinite(g) & (g > 0)) else 1.0
    seen, start = [], (draw.G * draw.w) @ np.sign(draw.G[nu])
    xi = start
    for s in np.geomspace(30, 0.03, 60):
        eq = Equations(draw, g0=s * unit / float(rates["g0"]))
        found = np.zeros(eq.M) if kind == "normal" else slow_route.root_near(eq, xi, lengths)
        there = found is not None and (kind == "normal" or np.max(np.abs(found - xi)) < 0.3)
        if (
            kind != "normal"
        ):  # a memory is a state with this overlap the largest at strong coupling, and what it becomes
            there = there and np.abs(found[nu]) > (0.01 if seen else 1 - 1e-6) * np.max(np.abs(found))
            if not there:
                break
            xi = found
        growth = slow_route.growth_rate(eq, slow_route.state_at(eq, found, lengths)) if there else np.nan
        holds = there if kind == "existence" else (None if 1e-12 < growth < 1e-7 else growth <= 1e-12)
        seen.append((s * unit, holds if kind != "normal" or holds is None else not holds))
    if always:  # a normal state that grows, or a state that is stable, however weak the coupling
        told = [at for at, holds in seen[-20:] if holds is False]
        return ("wrong", f"0, and nothing yet at {told[0]:.6g}") if told else ("right", "")
    told = [at for at, holds in seen if holds]
    return ("wrong", f"inf, and already at {told[0]:.6g}") if told else ("right", "")


def _around(draw, kind, nu, g0):
    """Whether something happens there: the branch ends, or the largest growth of a state changes sign."""
    near, lengths = (0.005 if draw.precision == "float64" else 0.02), _lengths(draw, kind, nu)
    eqs = {s: Equations(draw, g0=s * g0 / float(draw.rates["g0"].value)) for s in (1 - near, 1 + near)}
    if kind == "normal":
        growths = [slow_route.growth_rate(eq, slow_route.state_at(eq, np.zeros(eq.M), lengths)) for eq in eqs.values()]
        if growths[0] > 1e-9 or not growths[1] > 1e-9:
            return "wrong", f"growth rates {growths[0]:.3g} and {growths[1]:.3g} around {g0:.9g}"
        return "right", ""
    states, xi = [], (draw.G * draw.w) @ np.sign(draw.G[nu])
    for s in (*(1 + np.geomspace(30, 1.2 * near, 60)), 1 + near, 1 - near):
        eq = Equations(draw, g0=s * g0 / float(draw.rates["g0"].value))
        found = None if xi is None else slow_route.root_near(eq, xi, lengths)
        if found is not None and s not in eqs and np.max(np.abs(found - xi)) > 0.3:
            return "unchecked", "the branch could not be followed"
        if found is None and s not in eqs:
            return "unchecked", "the branch could not be followed"
        if s in eqs:
            there = found is not None and np.max(np.abs(found)) > 1e-5 and np.max(np.abs(found - xi)) < 0.3
            states.append(slow_route.growth_rate(eq, slow_route.state_at(eq, found, lengths)) if there else None)
        xi = xi if found is None else found
    if kind == "existence":
        fine = states[0] is not None and states[1] is None
        return ("right", "") if fine else ("unchecked", f"the state above and below {g0:.9g}: {states}")
    if states[0] is None:
        return "unchecked", "the branch could not be followed"
    if states[0] > 1e-7:
        return "wrong", f"called stable above {g0:.9g}, and grows there at {states[0]:.3g}"
    if states[1] is not None and states[1] < 1e-9:
        return "unchecked", f"stable below {g0:.9g}, too"
    return "right", ""
