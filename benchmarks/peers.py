"""The same trajectories by other programs: SciPy, heyoka.py, torchdiffeq. Each reads its rates from the model."""

from types import SimpleNamespace
from typing import Any

import numpy as np

import dicke_jax as dj

from .timing import Mode, Outcome


def as_numpy(model: dj.DickeModel) -> SimpleNamespace:
    """Couplings and rates as float64 arrays."""
    modes, G, w = model.num_modes, np.asarray(model.spins.couplings, dtype=float), np.asarray(model.spins.weights)
    return SimpleNamespace(
        G=G,
        w=w,
        weighted=(w * G).T,
        flip=2 * float(model.omega_spin),
        omega=np.broadcast_to(np.asarray(model.omega_mode), modes),
        loss=np.broadcast_to(np.asarray(model.kappa) / 2, modes),
        g=float(model.g0),
    )


def as_vectors(states: dj.MeanFieldState) -> np.ndarray:
    """(B, 3 K + 2 M): x, y, z, Re alpha, Im alpha."""
    m, alpha = np.asarray(states.m), np.asarray(states.alpha)
    return np.concatenate([m.reshape(len(m), -1), alpha.real, alpha.imag], axis=1)


def slopes(c: SimpleNamespace, x: Any, y: Any, z: Any, re: Any, im: Any) -> list[Any]:
    """The equations of motion, for one trajectory or one a row, of any program's arrays."""
    turn, drive = 4 * c.g * (re @ c.G), c.g * (z @ c.weighted)
    spins = [-turn * y, turn * x - c.flip * z, c.flip * y]
    return [*spins, c.omega * im - c.loss * re, -c.omega * re - c.loss * im - drive]


def heyoka_equations(model: dj.DickeModel) -> list[Any]:
    """The equations of motion in heyoka's expressions, the order that of `as_vectors`."""
    import heyoka as hy

    c = as_numpy(model)
    modes, subsets = c.G.shape
    x, y, z, re, im = (
        [hy.make_vars(f"{name}{i}") for i in range(size)]
        for name, size in (("x", subsets), ("y", subsets), ("z", subsets), ("re", modes), ("im", modes))
    )
    turn = [hy.sum([float(4 * c.g * c.G[mu, k]) * re[mu] for mu in range(modes)]) for k in range(subsets)]
    drive = [hy.sum([float(c.g * c.G[mu, k] * c.w[k]) * z[k] for k in range(subsets)]) for mu in range(modes)]
    return [
        *((x[k], -turn[k] * y[k]) for k in range(subsets)),
        *((y[k], turn[k] * x[k] - c.flip * z[k]) for k in range(subsets)),
        *((z[k], c.flip * y[k]) for k in range(subsets)),
        *((re[mu], float(c.omega[mu]) * im[mu] - float(c.loss[mu]) * re[mu]) for mu in range(modes)),
        *((im[mu], -float(c.omega[mu]) * re[mu] - float(c.loss[mu]) * im[mu] - drive[mu]) for mu in range(modes)),
    ]


def heyoka(name: str, model: dj.DickeModel, states: dj.MeanFieldState, end: float, tol: float) -> Mode:
    """Its Taylor integrator in batch mode: as many trajectories at once as a SIMD register holds, one thread."""

    def prepare():
        import heyoka as hy

        lanes, starts = hy.recommended_simd_size(), as_vectors(states)
        batch, size = starts.shape
        starts = starts[np.minimum(np.arange(-(-batch // lanes) * lanes), batch - 1)]
        integrator = hy.taylor_adaptive_batch(heyoka_equations(model), np.zeros((size, lanes)), tol=tol)

        def run() -> Outcome:
            ends, steps, failed = np.empty_like(starts), 0, 0
            for first in range(0, len(starts), lanes):
                integrator.state[:] = starts[first : first + lanes].T
                integrator.set_time(0.0)
                integrator.propagate_until(end)
                ends[first : first + lanes] = integrator.state.T
                for outcome, _, _, count, *_ in integrator.propagate_res:
                    steps += count
                    failed += outcome != hy.taylor_outcome.time_limit
            return Outcome(_spins(ends[:batch], model), steps / len(starts), failed)

        return run

    return Mode(name, prepare)


def scipy_loop(name: str, model: dj.DickeModel, states: dj.MeanFieldState, end: float, tol: float) -> Mode:
    """DOP853, one trajectory after another."""

    def prepare():
        from scipy.integrate import solve_ivp

        c = as_numpy(model)
        modes, subsets = c.G.shape
        cuts = np.cumsum([subsets, subsets, subsets, modes])

        def slope(_: float, state: np.ndarray) -> np.ndarray:
            return np.concatenate(slopes(c, *np.split(state, cuts)))

        def run() -> Outcome:
            runs = [solve_ivp(slope, (0.0, end), s, "DOP853", rtol=tol, atol=tol) for s in as_vectors(states)]
            steps = np.mean([len(r.t) - 1 for r in runs])
            return Outcome(_spins(np.array([r.y[:, -1] for r in runs]), model), steps, sum(not r.success for r in runs))

        return run

    return Mode(name, prepare)


def reference(model: dj.DickeModel, states: dj.MeanFieldState, end: float, rows: int) -> np.ndarray:
    """Final spins of the first rows at 1e-13, by a program that shares nothing with this package."""
    first = dj.MeanFieldState(states.m[:rows], states.alpha[:rows])
    outcome = scipy_loop("", model, first, end, 1e-13).prepare()()
    assert not outcome.failed
    return outcome.m


def torchdiffeq(
    name: str, model: dj.DickeModel, states: dj.MeanFieldState, end: float, method: str, tol: float
) -> Mode:
    """The batch as one state, with one step size for all."""

    def prepare():
        import torch
        from torchdiffeq import odeint

        torch.set_num_threads(1)
        c = as_numpy(model)
        modes, subsets = c.G.shape
        c.G, c.weighted, c.omega, c.loss = (torch.tensor(a) for a in (c.G, c.weighted, c.omega, c.loss))
        starts, times = torch.tensor(as_vectors(states)), torch.tensor([0.0, end], dtype=torch.float64)
        calls = 0

        def slope(_: Any, state: Any) -> Any:
            nonlocal calls
            calls += 1
            parts = torch.split(state, [subsets, subsets, subsets, modes, modes], dim=1)
            return torch.cat(slopes(c, *parts), dim=1)

        def run() -> Outcome:
            nonlocal calls
            calls = 0
            onto_end = dict(step_t=times[1:])  # its interpolation is of a lower order
            with torch.no_grad():
                ends = odeint(slope, starts, times, rtol=tol, atol=tol, method=method, options=onto_end)
            stages = {"dopri5": 6, "dopri8": 13}[method]
            return Outcome(_spins(ends[-1].numpy(), model), calls / stages, 0)

        return run

    return Mode(name, prepare)


def _spins(ends: np.ndarray, model: dj.DickeModel) -> np.ndarray:
    return ends[:, : 3 * model.num_subsets].reshape(len(ends), 3, -1)
