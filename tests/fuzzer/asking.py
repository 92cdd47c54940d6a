"""The package, asked what a draw asks. An answer is a dict of NumPy arrays and of what the package `said` against it.

Names and orders of arguments that older versions had are tried too: the fuzzer must find in them what was wrong.
"""

import inspect

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj

from .rates_in_time import Constant, Knots


class FunctionOfTime(eqx.Module):
    """A rate as a user would write it, with arrays that may be traced."""

    base: jax.Array
    height: jax.Array
    at: jax.Array
    width: jax.Array
    kind: str = eqx.field(static=True)

    def __call__(self, t):
        u = (jnp.asarray(t, self.at.dtype) - self.at) / self.width
        shape = {"pulse": jnp.exp(-(u**2)), "sine": jnp.sin(u), "step": (u >= 0).astype(u.dtype)}[self.kind]
        return self.base + self.height * shape


def as_rate(rate, dtype, factor=None):
    """A rate of the package, times a factor that may be traced."""
    times = 1.0 if factor is None else factor
    if isinstance(rate, Constant):
        return jnp.asarray(rate.value, dtype) * times
    if isinstance(rate, Knots):
        ts, ys = jnp.asarray(rate.times, rate.precision), jnp.asarray(rate.values, rate.precision)
        ys = ys if factor is None else ys * factor.astype(rate.precision)
        if rate.kind == "ramp":
            return dj.PiecewiseLinear(ts, ys)
        if rate.kind == "line":
            return dfx.LinearInterpolation(ts, ys)
        return dfx.CubicInterpolation(ts, dfx.backward_hermite_coefficients(ts, ys))
    base, height, at, width = (jnp.asarray(x, dtype) for x in (rate.base, rate.height, rate.at, rate.width))
    function = FunctionOfTime(base * times, height * times, at, width, rate.kind)
    return (lambda t: function(t)) if rate.plain and factor is None else function


def spins_of(draw):
    if draw.mapping in ("hypercube", "open"):
        spins = dj.LargeSpins.hypercube(draw.num_modes, gauge=draw.mapping == "hypercube")
    elif draw.mapping.startswith("mapped"):
        spins = dj.map_to_large_spins(draw.raw).spins
    else:
        spins = dj.LargeSpins(dj.DenseCouplings(jnp.asarray(draw.G)), draw.w)
    if not np.array_equal(spins.couplings, draw.G) or not np.allclose(spins.weights, draw.w):
        raise AssertionError("the subsets are not those that the documentation describes")
    return spins


def model_of(draw, **factors):
    dtype = jnp.dtype(draw.precision)
    jumps = [(jump, as_rate(rate, dtype)) for jump, rate in draw.jumps]
    rates = {name: as_rate(rate, dtype, factors.get(name)) for name, rate in draw.rates.items()}
    return dj.DickeModel(spins_of(draw), **rates, dissipation=dj.LocalDissipation(jumps) if jumps else None)


def state_of(draw, m=None, alpha=None):
    dtype = jnp.dtype(draw.precision)
    m, alpha = (draw.m if m is None else m), (draw.alpha if alpha is None else alpha)
    return dj.MeanFieldState(
        jnp.asarray(m, dtype), jnp.asarray(alpha, "complex128" if draw.precision == "float64" else "complex64")
    )


def solver_of(draw):
    kind, *numbers = draw.solver.split(":")
    if kind == "default":
        return {}
    if kind != "taylor":
        return {"solver": {"dopri8": dfx.Dopri8, "tsit5": dfx.Tsit5}[kind]()}
    how = {"series_order": int(numbers[0])}
    if numbers[1] != "None" and "unrolled" in inspect.signature(dj.BilinearTaylor).parameters:
        how["unrolled"] = int(numbers[1])
    return {"solver": dj.BilinearTaylor(**how)}


def text_of(status):
    """What a status says, "" where all is well."""
    return "" if status is None else texts_of(status)[0]


def texts_of(status):
    texts = [status._enumeration._index_to_message[int(code)] for code in np.ravel(status._value)]
    return ["" if text.startswith(("converged", "unique", "successful")) else text for text in texts]


def ask(draw):
    """The answer of the package to the question of a draw."""
    return ASKED[draw.question](draw)


def _run(sol, said):
    return {"said": said, "m": np.asarray(sol.m, float), "alpha": np.asarray(sol.alpha, complex)}


def _trajectory(draw):
    times = draw.times if draw.how["times"] == "all" else draw.times[[0, -1]]
    times = jnp.asarray(times, draw.precision)
    sol = dj.mfsolve(model_of(draw), state_of(draw), times, throw=False, **solver_of(draw))
    return _run(sol, text_of(sol.status))


def starts_of(draw):
    """Three starts: the draw's own, one turned by pi about x, and one without photons."""
    turned = draw.m * np.array([1.0, -1.0, -1.0])[:, None]
    return np.stack([draw.m, turned, draw.m]), np.stack([draw.alpha, draw.alpha.conj(), 0 * draw.alpha])


def _batch(draw):
    model, states, times = model_of(draw), state_of(draw, *starts_of(draw)), jnp.asarray(draw.times, draw.precision)
    how = solver_of(draw)
    if draw.how["by"] == "vmap":
        sol = jax.vmap(lambda state: dj.mfsolve(model, state, times, throw=False, **how))(states)
    elif draw.how["by"] == "ensemble":
        sol = dj.solve_ensemble(model, states, times, **how)
    else:
        sol = dj.solve_ensemble(model, states, max_time=300.0, **how)
        return _run(sol, "") | {"rows": texts_of(sol.status)}
    return _run(sol, "") | {"rows": texts_of(sol.status)}


def _steady(draw):
    model, state = model_of(draw), state_of(draw)
    how = solver_of(draw) | ({"max_time": draw.how["max_time"]} if draw.how["max_time"] else {})
    how = how | ({"max_steps": 2_000_000} if "max_steps" in inspect.signature(dj.steadystate).parameters else {})
    if draw.how["vmap"]:
        states = jax.tree.map(lambda x: jnp.stack([x, x]), state)
        end = jax.vmap(lambda state: dj.steadystate(model, state, **how))(states)
        end = jax.tree.map(lambda x: x[1], end)
    else:
        end = dj.steadystate(model, state, **how)
    answer = _run(end.state, text_of(end.status))
    names = ("overlaps", "fluctuations", "time", "num_steps")
    return answer | {name: np.asarray(getattr(end, name), float) for name in names}


def _derivative(draw):
    """Of a number in the factor of one rate."""
    of, by, order, mode = (draw.how[name] for name in ("of", "by", "order", "mode"))
    adjoint = {}
    if of == "overlap at the end" and mode == "forward":
        adjoint = {"adjoint": dfx.ForwardMode()}
    elif of == "overlap at the end" and mode == "checkpoints":
        adjoint = {"adjoint": dfx.RecursiveCheckpointAdjoint()}
    state, times, answer = state_of(draw), jnp.asarray(draw.times[[0, -1]], draw.precision), {}
    guess = None if of != "stationary" else jnp.asarray(draw.how["guess"])

    def number(factor):
        model = model_of(draw, **{by: factor})
        if of == "overlap at the end":
            return dj.mfsolve(model, state, times, **adjoint, **solver_of(draw)).overlaps[-1, 0]
        if of == "stationary":
            return dj.stationary_state(model, guess)[0].m[2, 0]
        if of == "steady":
            return dj.steadystate(model, state, max_time=2000.0).state.m[2, 0]
        kind, method = draw.how["kind"], draw.how["method"]
        return dj.critical_coupling(model, 0, kind=kind, **({"method": method} if method != "None" else {}))

    one = jnp.ones((), draw.precision)
    if of == "stationary":
        state, found = dj.stationary_state(model_of(draw), guess)
        if not bool(found):
            return {"said": "no stationary state near this guess"}
        answer = _run(state, "")
    if of == "steady":
        end = dj.steadystate(model_of(draw), state, max_time=2000.0)
        answer = _run(end.state, text_of(end.status))
        if answer["said"]:
            return answer
    wrap = {"reverse": jax.grad, "checkpoints": jax.grad, "forward": jax.jacfwd, "forward over reverse": jax.grad}
    derivative = wrap[mode](number)
    if order == 2:
        derivative = (jax.jacfwd if "forward" in mode else jax.grad)(derivative)
    return answer | {"said": "", "value": float(number(one)), "derivative": float(derivative(one))}


def _eigenvalues(draw):
    model, (state, found) = model_of(draw), dj.stationary_state(model_of(draw), jnp.asarray(draw.how["guess"]))
    if not bool(found):
        return {"said": "no stationary state near this guess"}
    spectrum = dj.stability(model, state)
    answer = {"eigenvalues": np.asarray(spectrum.eigenvalues), "growth": float(spectrum.growth_rate)}
    answer |= {"growing": int(spectrum.num_growing), "tolerance": float(spectrum.tolerance)}
    return _run(state, text_of(getattr(spectrum, "status", None))) | answer


def _stationary(draw):
    key, model = jax.random.key(0), model_of(draw)
    first = next(iter(inspect.signature(dj.stationary_states).parameters))
    found = dj.stationary_states(*((key, model) if first == "key" else (model, key)))
    names = ("overlaps", "growth_rate", "num_growing", "multiplicity", "index", "hits")
    answer = {name: np.asarray(getattr(found, name), float) for name in names}
    return _run(found, "") | answer | {"complete": bool(found.looks_complete), "index_sum": int(found.index_sum)}


def _critical(draw):
    kind, method, pattern = (draw.how[name] for name in ("kind", "method", "pattern"))
    how = {"method": method} if method != "None" else {}

    def coupling(model):
        return dj.critical_coupling(model, pattern, kind=kind, **how)

    return {"said": "", "g0": float((eqx.filter_jit(coupling) if draw.how["jit"] else coupling)(model_of(draw)))}


def _gaussian(draw):
    sol = dj.gaussian_moments(model_of(draw), state_of(draw), jnp.asarray(draw.times, draw.precision))
    return _run(sol, text_of(getattr(sol, "status", None))) | {"covariance": np.asarray(sol.covariance, float)}


def _master(draw):
    times = jnp.asarray(draw.times, draw.precision)
    sol = dj.mesolve(model_of(draw), state_of(draw), times, draw.how["N"])
    return _run(sol.moments, text_of(sol.status)) | {"covariance": np.asarray(sol.moments.covariance, float)}


ASKED = {
    "trajectory": _trajectory,
    "batch": _batch,
    "steady": _steady,
    "derivative": _derivative,
    "eigenvalues": _eigenvalues,
    "stationary": _stationary,
    "critical": _critical,
    "gaussian": _gaussian,
    "master": _master,
}
