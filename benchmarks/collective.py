"""A model that is given by its energy: first calls and a large ensemble, against diffrax and equations by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

import dicke_jax as dj

from .by_diffrax import END, first_mfsolve, first_tsit5, tsit5

ROWS, TOLERANCE = 10_000, 1e-10
RATES = dict(omega=1.2, omega0=0.9, rotating=0.9, counter=0.8, kappa=0.5)


def problem() -> tuple[Any, Any]:
    return dj.gallery.unbalanced_dicke(**RATES), dj.MeanFieldState([[0.6], [0.0], [-0.8]], [0.1 - 0.2j])


def by_hand(t: Any, y: Any, p: Any) -> Any:
    """X' = -omega0 y + 2 (counter - rotating) Im(alpha) z, and so on."""
    (x, sy, z, re, im), co, anti = y, p["rotating"] + p["counter"], p["counter"] - p["rotating"]
    bx, by, bz = 2 * co * re, 2 * anti * im, p["omega0"]
    spins = by * z - bz * sy, bz * x - bx * z, bx * sy - by * x
    light_re = p["omega"] * im + anti * sy / 2 - p["kappa"] / 2 * re
    light_im = -p["omega"] * re - co * x / 2 - p["kappa"] / 2 * im
    return (*spins, light_re, light_im)


def first_grad() -> Callable[[], Any]:
    model, state = problem()
    times, counter = jnp.array([0.0, END]), jnp.asarray(0.8)
    return lambda: jax.grad(lambda c: dj.mfsolve(model.replace(counter=c), state, times).overlaps[-1, 0])(counter)


def first_tsit5_grad() -> Callable[[], Any]:
    model, state = problem()
    times, counter = jnp.array([0.0, END]), jnp.asarray(0.8)
    return lambda: jax.grad(lambda c: tsit5(model.replace(counter=c), state, times)[0][-1, 2, 0])(counter)


def first_steadystate() -> Callable[[], Any]:
    model, state = problem()
    return lambda: dj.steadystate(model, state).overlaps


def states(model: Any) -> Any:
    return jax.vmap(lambda key: dj.random_state(key, model, 0.3))(jax.random.split(jax.random.key(0), ROWS))


def warm_ensemble() -> Callable[[], Any]:
    model, _ = problem()
    starts = states(model)
    return lambda: dj.solve_ensemble(model, starts, [0.0, END], save="final", rtol=TOLERANCE, atol=TOLERANCE).m


def warm_by_hand() -> Callable[[], Any]:
    """Vmap of Dopri8, as tight."""
    start = states(problem()[0])
    rows = (*jnp.moveaxis(start.m[..., 0], 1, 0), start.alpha[:, 0].real, start.alpha[:, 0].imag)

    @eqx.filter_jit
    def run(rows: Any) -> Any:
        controller = dfx.PIDController(rtol=TOLERANCE, atol=TOLERANCE)
        how: dict[str, Any] = dict(args=RATES, stepsize_controller=controller, max_steps=2**16)
        return jax.vmap(lambda y: dfx.diffeqsolve(dfx.ODETerm(by_hand), dfx.Dopri8(), 0.0, END, None, y, **how).ys)(
            rows
        )

    return lambda: run(rows)


FIRST: dict[str, Callable[[], Callable[[], Any]]] = {
    "collective, diffrax Tsit5, 101 times": partial(first_tsit5, problem),
    "collective, mfsolve, 101 times": partial(first_mfsolve, problem),
    "collective, diffrax Tsit5, jax.grad": first_tsit5_grad,
    "collective, mfsolve, jax.grad": first_grad,
    "collective, steadystate": first_steadystate,
}
HAND = "collective, vmap of Dopri8 by hand, 10,000 rows, warm"
WARM: dict[str, Callable[[], Callable[[], Any]]] = {
    "collective, solve_ensemble of 10,000, warm": warm_ensemble,
    HAND: warm_by_hand,
}
LIMITS = {
    "collective, mfsolve, 101 times": (1.2, "collective, diffrax Tsit5, 101 times"),
    "collective, mfsolve, jax.grad": (1.2, "collective, diffrax Tsit5, jax.grad"),
    "collective, steadystate": (1.4, "collective, diffrax Tsit5, 101 times"),
    "collective, solve_ensemble of 10,000, warm": (2.0, HAND),
}
