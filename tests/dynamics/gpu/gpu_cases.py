"""Small ensembles of every kind that the kernel serves, for tests and for the first look on a device."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import dicke_jax as dj
from dicke_jax import examples


class Case(NamedTuple):
    """What is run from 0 to `end`; rows differ from JAX's by no more than `close`, if steps are as good as these."""

    name: str
    model: dj.DickeModel
    states: dj.MeanFieldState
    end: float
    tol: float
    close: float
    options: dict[str, Any]


def patterns(num_patterns: int, num_spins: int) -> dj.LargeSpins:
    """Subsets of unequal sizes of random patterns: a dense G."""
    G = dj.random_patterns(jax.random.key(5), num_patterns, num_spins)
    return dj.map_to_large_spins(G).spins


def states_of(model: dj.DickeModel, rows: int) -> dj.MeanFieldState:
    """Spins of all lengths and directions, photons in every mode."""
    rng = np.random.default_rng(1)
    m = rng.normal(size=(rows, 3, model.num_subsets))
    m *= rng.uniform(0.4, 1.0, size=(rows, 1, model.num_subsets)) / np.linalg.norm(m, axis=1, keepdims=True)
    alpha = 0.3 * rng.normal(size=(rows, model.num_modes)) + 0.3j * rng.normal(size=(rows, model.num_modes))
    complex_ = np.result_type(model.dtype, np.complex64)
    return dj.MeanFieldState(jnp.asarray(m.astype(model.dtype)), jnp.asarray(alpha.astype(complex_)))


def with_bad_row(states: dj.MeanFieldState) -> dj.MeanFieldState:
    return eqx.tree_at(lambda s: s.m, states, states.m.at[1, 2, 0].set(jnp.nan))


def case(
    name: str,
    spins: dj.LargeSpins,
    rows: int,
    end: float,
    *,
    tol: float = 1e-10,
    close: float = 1e-7,
    bad_row: bool = False,
    **changes: Any,
) -> Case:
    options = {key: changes.pop(key) for key in ("max_steps",) if key in changes}
    model = examples.uneven_model(spins=spins)
    if changes.pop("single", False):
        rates = {key: np.asarray(rate, np.float32) for key, rate in model.rates.items()}
        model = dj.DickeModel(spins, **rates)
    own = changes.pop("own_rates", False)
    model = dj.DickeModel(spins, **model.rates, **changes)
    states = states_of(model, rows)
    states = with_bad_row(states) if bad_row else states
    if own:
        model = jax.vmap(lambda g0, loss: model.replace(g0=g0, kappa=loss))(
            jnp.linspace(0.3, 1.3, rows), jnp.asarray(np.outer(np.linspace(0.5, 1.5, rows), np.ones(model.num_modes)))
        )
    return Case(name, model, states, end, tol, close, options)


def all_cases(rows: int, end: float) -> list[Case]:
    cube = dj.LargeSpins.hypercube(4)
    four = dj.LargeSpins.from_distribution([1.0, -1.0], [0.3, 0.7], num_patterns=3)
    G = np.random.default_rng(3).normal(size=(8, 32)) / 3
    dense32 = dj.LargeSpins(dj.DenseCouplings(G), np.full(32, 1 / 32))
    more_modes = dj.LargeSpins(dj.DenseCouplings(G[:6, :3]), np.array([0.2, 0.5, 0.3]))
    decay = dj.LocalDissipation([("decay_x", 0.05), ("dephasing_x", np.linspace(0.01, 0.08, 8))])
    losses = dj.LocalDissipation([("sigma_minus", 0.04), ("dephasing_z", 0.02)])
    how = rows, end
    return [
        case("cube, M = 4", cube, *how),
        case("cube, M = 3 without gauge, unequal weights", four, *how),
        case("cube, M = 6", dj.LargeSpins.hypercube(6), *how),
        case("one pattern", dj.LargeSpins.hypercube(1), *how),
        case("random patterns, dense", patterns(4, 40), *how),
        case("dense, K = 32, M = 8", dense32, *how),
        case("dense, more modes than subsets", more_modes, *how),
        case("dissipation, cube", cube, *how, dissipation=decay),
        case("dissipation, dense", more_modes, *how, dissipation=losses),
        case("rates of each row", cube, *how, own_rates=True),
        case("rates of each row, dense", more_modes, *how, own_rates=True, dissipation=losses),
        case("order 13", cube, *how, tol=1e-8, close=1e-4),
        case("float32", cube, *how, tol=1e-6, close=2e-3, single=True),
        case("a row that is NaN", cube, *how, bad_row=True),
        case("too few steps", cube, *how, max_steps=5),
    ]


def compared(found: Any, exact: Any) -> dict[str, Any]:
    """The largest differences of rows that both have, and whether statuses and steps are alike."""
    status = np.asarray(exact.status._value)
    good = np.asarray(found.successful) & (status == np.asarray(dj.Status.successful._value))
    fields = ("m", "alpha", "overlaps", "occupations")
    largest = [np.abs(getattr(found, name)[good] - np.asarray(getattr(exact, name))[good]) for name in fields]
    steps = found.num_steps[good] - np.asarray(exact.num_steps)[good]
    return dict(
        difference=max((float(d.max()) for d in largest if d.size), default=0.0),
        median=max((float(np.median(d.reshape(len(d), -1).max(axis=1))) for d in largest if d.size), default=0.0),
        statuses_alike=bool(np.array_equal(found.status._value, status)),
        good=int(good.sum()),
        bad=int((~good).sum()),
        steps=float(found.num_steps.mean()),
        steps_alike=float((steps == 0).mean()) if good.any() else 1.0,
        steps_apart=int(np.abs(steps).max(initial=0)),
    )
