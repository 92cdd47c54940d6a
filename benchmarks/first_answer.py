"""What a user waits for: the first call in a new process, what it compiles included, and the same by diffrax alone.

Every row has processes of its own, in turn with those of all other rows. No compiled program is kept, except where a
row says "again". `before`, a folder with an older copy of this repository, is measured beside it where it is given.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp

import dicke_jax as dj

from . import collective, runner
from .by_diffrax import END, first_mfsolve, first_tsit5, tsit5
from .cold import as_installed
from .sizes import Size
from .timing import in_turn, spread, timed

COMMAND = "dicke-jax transition"
BEFORE = "solve_ensemble of 512, warm, the copy before"
LIMITS = {  # of a row: seconds at most, or at most so many times those of another row
    "mfsolve, 101 times": (1.2, "diffrax Tsit5, 101 times"),
    "mfsolve, jax.grad": (1.2, "diffrax Tsit5, jax.grad"),
    "mfsolve, ForwardMode, jax.jvp": (1.6, "mfsolve, ForwardMode"),
    "steadystate": (1.4, "diffrax Tsit5, 101 times"),
    "stationary_states, M = 4": (3.5, None),
    "fit of time traces, two rates": (10.0, None),
    COMMAND: (9.0, None),
    f"{COMMAND}, again": (5.0, None),
    "mfsolve, T = 100, warm": (0.005, None),
    "mfsolve, T = 100, warm, ordinary loop": (5.0, "mfsolve, T = 100, warm"),
    "solve_ensemble of 512, warm": (1.0, BEFORE),
    **collective.LIMITS,
}


def measure(size: Size, before: str | None = None, only: str = "") -> list[dict[str, Any]]:
    names = [name for name in (*FIRST, *WARM, *([BEFORE] if before else [])) if only in name]
    commands = [name for name in (COMMAND, f"{COMMAND}, again") if only in name]
    chosen = [name for name in names if not any(part in name for part in size.leave_out)]
    seconds: dict[str, list[float]] = {name: [] for name in [*names, *commands]}
    failed: dict[str, str] = {}
    for _ in range(min(size.rounds, 5)):
        for name in chosen:
            if name not in failed:
                path = before if name == BEFORE else None
                found = runner.run("first_answer", "one", size, name=name, keep_programs=False, path=path)
                failed |= {name: found["failed"]} if "failed" in found else {}
                seconds[name] += [] if "failed" in found else [found["seconds"]]
        if not any(part in COMMAND for part in size.leave_out):
            with tempfile.TemporaryDirectory() as folder:
                for name in commands:
                    seconds[name].append(command(folder))
    rows = {}
    for name, taken in seconds.items():
        reason = failed.get(name, "left out by --quick")
        rows[name] = dict(mode=name, ms=spread(taken)) if taken else dict(mode=name, skipped=reason)
    for name, (limit, peer) in LIMITS.items():
        if "ms" in rows.get(name, {}) and "ms" in rows.get(peer or name, {}):
            found = rows[name]["ms"]["median"] / (rows[peer]["ms"]["median"] if peer else 1e3)
            rows[name] |= dict(found=found, limit=limit, unit=f"times {peer}" if peer else "s")
    return list(rows.values())


def one(size: Size, name: str) -> dict[str, float]:
    """Seconds of the first call, or of a warm one."""
    if name in FIRST:
        return dict(seconds=timed(FIRST[name]())[0])
    call = WARM["solve_ensemble of 512, warm" if name == BEFORE else name]()
    timed(call)
    return dict(seconds=statistics.median(in_turn({"": call}, 7)[""]))


def command(folder: str) -> float:
    """Seconds of the command of Fig. 3, whose compiled programs stay in the folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment = as_installed(environment, XDG_CACHE_HOME=folder, JAX_PLATFORMS="cpu")
    call = [sys.executable, "-m", "dicke_jax", "transition", "--quiet", "--out", folder]
    begin = time.perf_counter()
    subprocess.run(call, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def problem(num_patterns: int = 4) -> tuple[Any, Any]:
    """Written with names that older copies have."""
    omega_mode = 0.5 * (jnp.arange(float(num_patterns)) + 3)
    model = dj.DickeModel(dj.LargeSpins.hypercube(num_patterns), 0.5, omega_mode, kappa=1.0, g0=1.0)
    return model, dj.tilted_pattern(jax.random.key(1), model, pattern=0, angle=0.6)


def overlap(model: Any, state: Any, **options: Any) -> Callable[[jax.Array], jax.Array]:
    """The overlap at the end, of the coupling."""
    times = jnp.array([0.0, END])
    return lambda g0: dj.mfsolve(model.replace(g0=g0), state, times, **options).overlaps[-1, 0]


def first_value() -> Callable[[], Any]:
    function, g0 = overlap(*problem(), adjoint=dfx.ForwardMode()), jnp.asarray(1.0)
    return lambda: function(g0)


def first_jvp() -> Callable[[], Any]:
    function, g0 = overlap(*problem(), adjoint=dfx.ForwardMode()), jnp.asarray(1.0)
    return lambda: jax.jvp(function, (g0,), (jnp.ones_like(g0),))


def first_grad() -> Callable[[], Any]:
    function, g0 = overlap(*problem()), jnp.asarray(1.0)
    return lambda: jax.grad(function)(g0)


def first_tsit5_grad() -> Callable[[], Any]:
    model, state = problem()
    times, g0 = jnp.array([0.0, END]), jnp.asarray(1.0)
    return lambda: jax.grad(lambda g: model.spins.project(tsit5(model.replace(g0=g), state, times)[0][-1, 2])[0])(g0)


def first_steadystate() -> Callable[[], Any]:
    model, state = problem()
    return lambda: dj.steadystate(model, state).overlaps


def first_stationary_states() -> Callable[[], Any]:
    model, _ = problem()
    key = jax.random.key(0)
    return lambda: dj.stationary_states(key, model).overlaps


def first_fit() -> Callable[[], Any]:
    model, state = problem(2)
    times = jnp.linspace(0.0, 12.0, 25)
    values = tsit5(model, state, times)[0][:, 2]
    data = dj.TimeTrace(times, jax.vmap(model.spins.project)(values), 0.01, state)
    start = model.replace(g0=1.05, omega_spin=0.45)
    return lambda: dj.fit(start, data, free=("omega_spin", "g0")).model.g0


def warm_mfsolve() -> Callable[[], Any]:
    model, state = problem()
    times = jnp.array([0.0, 100.0])
    return lambda: dj.mfsolve(model, state, times).overlaps


def warm_ordinary() -> Callable[[], Any]:
    """Without the kernel, which is what a GPU, an untested version of JAX and couplings of one's own run as."""
    dj.use_cpu_kernel(False)
    return warm_mfsolve()


def warm_ensemble() -> Callable[[], Any]:
    model, _ = problem()
    states = jax.vmap(lambda key: dj.random_state(key, model))(jax.random.split(jax.random.key(0), 512))
    return lambda: dj.solve_ensemble(model, states, [0.0, 100.0], save="final").m


FIRST: dict[str, Callable[[], Callable[[], Any]]] = {
    "diffrax Tsit5, 101 times": partial(first_tsit5, problem),
    "mfsolve, 101 times": partial(first_mfsolve, problem),
    "diffrax Tsit5, jax.grad": first_tsit5_grad,
    "mfsolve, jax.grad": first_grad,
    "mfsolve, ForwardMode": first_value,
    "mfsolve, ForwardMode, jax.jvp": first_jvp,
    "steadystate": first_steadystate,
    "stationary_states, M = 4": first_stationary_states,
    "fit of time traces, two rates": first_fit,
    **collective.FIRST,
}
WARM: dict[str, Callable[[], Callable[[], Any]]] = {
    "mfsolve, T = 100, warm": warm_mfsolve,
    "mfsolve, T = 100, warm, ordinary loop": warm_ordinary,
    "solve_ensemble of 512, warm": warm_ensemble,
    **collective.WARM,
}
