"""The steps of sampled trajectories: of one size from stop to stop, short enough for what the rates do in between."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import known, refuse
from .._typing import RealState
from ..mean_field import DickeModel
from ..mean_field.rates import RateFunction, is_schedule, kinks, value_at

STEPS_PER_RADIAN = 20  # of the fastest rate, for `SAMPLES` samples: errors are of second order in the step
SAMPLES = 2000
WINDOWS = 256  # of a run with rates that depend on time; the step is of one size within each
LOOKS = 64  # within a window, or more for what is declared to be short
MOST_LOOKS = 2**22
UNSEEN = 1e-4  # radians by which a rate may bend away from a straight line within a step
MOST_STEPS = 2**31 - 1


class Steps(NamedTuple):
    """Stretches of steps of one size.

    - `begin`, `size`, `number`: (E,), of the steps of each stretch.
    - `before`: (E,), the number of steps before it, which tells them apart.
    - `first`: (T,), the first stretch after each saved time.
    """

    begin: Float[Array, " E"]
    size: Float[Array, " E"]
    number: Int[Array, " E"]
    before: Int[Array, " E"]
    first: Int[Array, " T"]


def steps_between(times: np.ndarray, model: DickeModel, y0: RealState, dt: Any, num_samples: int) -> Steps:
    """Steps of at most `dt`; where that is None, a share of a radian of the fastest rate at any time of the run.

    A stretch ends at every saved time and at every known kink of a rate.
    """
    stops = [times, *(np.asarray(at, float) for at in model.kinks if known(at))]
    if dt is None and model.is_time_dependent:
        stops.append(np.linspace(times[0], times[-1], WINDOWS + 1))
    edges = np.unique(np.concatenate(stops))
    edges = edges[(edges >= times[0]) & (edges <= times[-1])]
    apart = np.diff(edges) > 4 * np.finfo(float).eps * np.abs(edges[1:])  # round-off alone is no stretch
    edges = edges[np.append(True, apart)] if apart.any() else times[[0, -1]]
    edges[-1] = times[-1]
    longest = _longest(edges, model, y0, num_samples) if dt is None else float(dt)
    count = np.maximum(np.nan_to_num(np.ceil(np.diff(edges) / longest * (1 - 1e-9)), nan=1.0, posinf=np.inf), 1.0)
    if count.sum() > MOST_STEPS:
        refuse("dt", f"so long that a run has at most {MOST_STEPS} steps", f"{count.sum():.3g} of them")
    first = np.searchsorted((edges[1:] + edges[:-1]) / 2, times)
    floats = (jnp.asarray(x, model.dtype) for x in (edges[:-1], np.diff(edges) / count))
    return Steps(*floats, *(jnp.asarray(x, jnp.int32) for x in (count, np.cumsum(count) - count, first)))


def sees(num_samples: int) -> float:
    """The share of a fluctuation, 1 / sqrt(2 S), that makes one standard error of its variance."""
    return (2 * num_samples) ** -0.5


def finer(steps: Steps, excess: Any) -> Steps:
    """Up to 8 times as many steps; the error, now `excess` times what it may be, is of second order in them."""
    share = int(np.clip(np.ceil(1.2 * np.sqrt(np.nan_to_num(excess, nan=np.inf))), 2, 8))
    return steps._replace(size=steps.size / share, number=steps.number * share, before=steps.before * share)


def _longest(edges: np.ndarray, model: DickeModel, y0: RealState, num_samples: int) -> np.ndarray:
    """The longest step in each stretch that turns nothing by more than a share of a radian, and misses no bend."""
    if not all(known(x) for x in jax.tree.leaves((eqx.filter(model, eqx.is_array), y0[1]))):
        refuse("dt", "given where rates are traced", "None")
    share = 1 / (STEPS_PER_RADIAN * max(1.0, (num_samples / SAMPLES) ** 0.25))
    if not model.is_time_dependent:
        return share / _fastest({name: np.asarray(rate)[None] for name, rate in model.rates.items()}, y0)
    looks, functions = _looks(edges, model), [n for n, r in model.rates.items() if is_schedule(r) and not kinks(r)]
    places = edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0, 1, looks + 1)[None]
    values = _values(model, jnp.asarray(places.ravel(), model.dtype))
    rates = {name: np.asarray(rate).reshape(*places.shape, *rate.shape[1:]) for name, rate in values.items()}
    step = share / np.max(_fastest(rates, y0), axis=1)
    for name in functions:
        # what a straight line misses in a step h is h^3 |r''| / 12
        bend = np.abs(np.diff(rates[name], n=2, axis=1)).reshape(len(step), -1).max(axis=1)
        bend = np.maximum(bend, 1e-300) / (np.diff(edges) / looks) ** 2
        step = np.minimum(step, (12 * UNSEEN / bend) ** (1 / 3))
    return step


def _looks(edges: np.ndarray, model: DickeModel) -> int:
    declared = [float(rate.shortest) for rate in model.rates.values() if isinstance(rate, RateFunction)]
    wanted = max(WINDOWS * LOOKS / (edges.size - 1), np.diff(edges).max() * 16 / min(declared, default=np.inf))
    return int(np.clip(np.ceil(wanted), 2, max(2, MOST_LOOKS // edges.size)))


@eqx.filter_jit
def _values(model: DickeModel, times: Float[Array, " L"]) -> dict[str, Array]:
    return jax.vmap(lambda t: {n: jnp.asarray(value_at(r, t), model.dtype) for n, r in model.rates.items()})(times)


def _fastest(rates: dict[str, np.ndarray], y0: RealState) -> np.ndarray:
    """The fastest of: spin and mode frequencies, and the field that full overlaps make; at any number of times."""
    omega_spin, omega_mode, kappa, g0 = (np.abs(rates[name]) for name in ("omega_spin", "omega_mode", "kappa", "g0"))
    response = np.sqrt(omega_mode**2 + kappa**2 / 4)
    amplitude = g0[..., None] / np.where(response > 0, response, 1.0) + np.linalg.norm(np.asarray(y0[1]), axis=0)
    turn = 4 * g0 * np.max(amplitude, axis=-1)
    return np.maximum(np.maximum(2 * omega_spin, np.max(omega_mode + kappa / 2, axis=-1)), np.maximum(turn, 1e-300))
