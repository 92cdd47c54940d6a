"""One launch for an ensemble: the numbers of SciPy, of closed forms and of JAX's own way, of all that is served.

On a machine with an NVIDIA GPU these run there; elsewhere a CPU's fibres stand for its threads, under the same source
and the same host code.
"""

import equinox as eqx
import gpu_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import interp1d
from scipy.linalg import expm
from two_ways import END, ON_GPU, ROWS, both, by_jax, by_kernel, can_run, find, row_of

import dicke_jax as dj
from dicke_jax.dynamics._gpu.inputs import one_of

pytestmark = can_run


def through(rate):
    """Straight lines by NumPy; in float64, since steps that are to be exact see round-off as kinks."""
    times, values = np.asarray(rate.times, float), np.asarray(rate.values, float)
    return interp1d(times, values, axis=0, bounds_error=False, fill_value=(values[0], values[-1]))


def by_scipy(model, state, end, begin=0.0, kinks=()):
    """The last m and alpha, from the equations written out in NumPy."""
    G, w = np.asarray(model.spins.couplings, float), np.asarray(model.spins.weights, float)
    rates = [through(rate) if callable(rate) else np.asarray(rate, float) for rate in model.rates.values()]
    T, c = np.zeros((3, 3, 1)), np.zeros((3, 1))
    if model.dissipation is not None:
        for linear, constant, rate in zip(
            model.dissipation.linear, model.dissipation.constant, model.dissipation.rates, strict=True
        ):
            T = T + np.asarray(linear)[:, :, None] * np.asarray(rate)
            c = c + np.asarray(constant)[:, None] * np.asarray(rate)

    def slope(t, flat):
        omega, omega_mode, kappa, g0 = (rate(t) if callable(rate) else rate for rate in rates)
        m, (re, im) = flat[: 3 * w.size].reshape(3, -1), flat[3 * w.size :].reshape(2, -1)
        x, y, z = m
        turn = 4 * g0 * (re @ G)
        dm = np.stack([-turn * y, turn * x - 2 * omega * z, 2 * omega * y]) + (T * m[None]).sum(axis=1) + c
        da = -(1j * omega_mode + kappa / 2) * (re + 1j * im) - 1j * g0 * (G @ (w * z))
        return np.concatenate([dm.ravel(), da.real, da.imag])

    alpha = np.asarray(state.alpha, complex)
    start = np.concatenate([np.asarray(state.m, float).ravel(), alpha.real, alpha.imag])
    flat = start
    for piece in zip([begin, *kinks], [*kinks, end], strict=True):
        flat = solve_ivp(slope, piece, flat, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    re, im = flat[3 * w.size :].reshape(2, -1)
    return flat[: 3 * w.size].reshape(3, -1), re + 1j * im


SOME = ("cube, M = 4", "rates of each row, dense")
OTHERS = (
    "cube, M = 3 without gauge, unequal weights",
    "cube, M = 6",
    "one pattern",
    "random patterns, dense",
    "dense, K = 32, M = 8",
    "dense, more modes than subsets",
    "dissipation, cube",
    "dissipation, dense",
    "rates of each row",
    "order 13",
    "float32",
)


@pytest.mark.parametrize("name", [*SOME, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_last_states_are_those_of_scipy(gpu, name):
    case, close = find(name), 2e-4 if name == "float32" else 1e-8
    found = by_kernel(gpu, case.model, case.states, [0.0, case.end], save="final", rtol=case.tol, atol=case.tol)
    assert found.successful.all() and found.m.dtype == one_of(case.model).dtype
    many = case.model.weights.ndim > 1
    for row in (0, ROWS - 1):
        model = row_of(case.model, row) if many else case.model
        m, alpha = by_scipy(model, row_of(case.states, row), case.end)
        assert np.allclose(found.m[row], m, rtol=0, atol=close) and np.allclose(found.alpha[row], alpha, atol=close)
        xi = np.asarray(model.spins.couplings, float) @ (np.asarray(model.spins.weights, float) * m[2])
        assert np.allclose(found.overlaps[row], xi, rtol=0, atol=close)
        assert np.allclose(found.occupations[row], np.abs(alpha) ** 2, rtol=0, atol=close)


def test_states_between_are_those_of_the_steps_that_a_run_takes_anyway(gpu):
    """At odd times, more than one of them within a step, and as many steps as without them."""
    case = find("cube, M = 4")
    times = np.array([0.5, 0.5001, 0.9, 1.7, 1.7000001, 3.1, END])
    every = by_kernel(gpu, case.model, case.states, times)
    last = by_kernel(gpu, case.model, case.states, times, save="final")
    seen = by_kernel(gpu, case.model, case.states, times, save="overlaps")
    exact = by_jax(case.model, case.states, times)
    for name in ("m", "alpha", "overlaps", "occupations"):
        assert np.allclose(getattr(every, name), getattr(exact, name), rtol=0, atol=1e-9)
        assert np.array_equal(getattr(every, name)[:, -1], getattr(last, name))
    assert np.array_equal(every.m[:, 0], case.states.m) and np.array_equal(every.overlaps, seen.overlaps)
    assert np.array_equal(every.num_steps, last.num_steps) and seen.m is None
    assert every.num_steps.dtype == exact.num_steps.dtype and every.status._value.dtype == exact.status._value.dtype
    m, _ = by_scipy(case.model, row_of(case.states, 2), 1.7, begin=0.5)
    assert np.allclose(every.m[2, 3], m, rtol=0, atol=1e-9)


def test_what_a_function_keeps_of_a_run_is_what_it_keeps_of_mfsolve(gpu):
    case = find("rates of each row, dense")
    times = [0.0, 1.3, END]

    def kept(sol):
        return dict(final=sol.final_state, mean=sol.overlaps.mean(), steps=sol.stats["num_accepted_steps"], t=sol.t[1])

    found = by_kernel(gpu, case.model, case.states, times, save=kept).reduced
    exact = by_jax(case.model, case.states, times, save=kept).reduced
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        assert ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=0, atol=1e-9)


RAMPS = dict(
    g0=dj.PiecewiseLinear([0.3, 1.0, 2.5], [0.2, 1.4, 0.9]),
    omega_mode=dj.PiecewiseLinear([1.0, 3.0], np.array([[1.0, 0.5, 1.5, 0.7], [0.4, 1.5, 1.2, 2.0]])),
)
OTHER_RAMPS = dict(
    kappa=dj.PiecewiseLinear([-1.0, 5.0], [0.5, 1.5]), omega_spin=dj.PiecewiseLinear([0.1, 0.2, 2.0], [0.2, 0.9, 0.5])
)


@pytest.mark.parametrize("begin", [0.0, 1.0, 1.7])
def test_rates_along_straight_lines(gpu, begin):
    """A run that begins before all kinks, on one and between them; against SciPy, taken from kink to kink."""
    case = find("cube, M = 4")
    model = case.model.replace(**RAMPS)
    found = by_kernel(gpu, model, case.states, [begin, 2.2, END])
    exact = by_jax(model, case.states, [begin, 2.2, END])
    assert found.successful.all() and np.allclose(found.m, exact.m, rtol=0, atol=1e-8)
    assert np.abs(found.num_steps - exact.num_steps).max() <= 2
    kinks = [t for t in (0.3, 1.0, 2.5, 3.0) if t > begin]
    m, alpha = by_scipy(model, row_of(case.states, 1), END, begin, kinks)
    assert np.allclose(found.m[1, -1], m, rtol=0, atol=1e-8) and np.allclose(found.alpha[1, -1], alpha, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rates of each row, dense", "float32"])
def test_straight_lines_beside_other_rates(gpu, name):
    case = find(name)
    ramps = OTHER_RAMPS
    if name == "float32":
        ramps = {
            key: dj.PiecewiseLinear(np.asarray(r.times, np.float32), np.asarray(r.values, np.float32))
            for key, r in ramps.items()
        }
    shared = {key: rate for key, rate in ramps.items() if name == "float32" or key != "kappa"}
    if case.model.weights.ndim > 1:
        rows = case.model.weights.shape[0]
        shared = jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *x.shape)), shared)
        model = eqx.tree_at(lambda m: m.omega_spin, case.model, shared["omega_spin"])
    else:
        model = case.model.replace(**shared)
    found = by_kernel(gpu, model, case.states, [0.0, END], save="final", rtol=case.tol, atol=case.tol)
    close = 2e-4 if name == "float32" else 1e-8
    for row in (0, ROWS - 1):
        own = row_of(model, row) if model.weights.ndim > 1 else model
        m, alpha = by_scipy(own, row_of(case.states, row), END, 0.0, (0.1, 0.2, 2.0))
        assert np.allclose(found.m[row], m, rtol=0, atol=close) and np.allclose(found.alpha[row], alpha, atol=close)


@pytest.mark.slow
def test_dissipation_alone_is_a_linear_equation(gpu):
    """Without couplings m' = A m + c, whose solution is exp(A t)."""
    case = find("dissipation, cube")
    model = case.model.replace(g0=0.0)
    found = by_kernel(gpu, model, case.states, [0.0, case.end], save="final")
    for k in (0, 5):
        jumps, A = model.dissipation, np.zeros((4, 4))
        for linear, constant, rate in zip(jumps.linear, jumps.constant, jumps.rates, strict=True):
            rate = np.broadcast_to(np.asarray(rate), 8)[k]
            A[:3, :3] += rate * np.asarray(linear)
            A[:3, 3] += rate * np.asarray(constant)
        A[1, 2] -= 2 * float(model.omega_spin)
        A[2, 1] += 2 * float(model.omega_spin)
        start = np.append(np.asarray(case.states.m)[:, :, k], np.ones((ROWS, 1)), axis=1)
        assert np.allclose(found.m[:, :, k], (start @ expm(A * case.end).T)[:, :3], rtol=0, atol=1e-9)


@pytest.mark.parametrize("rows", [ROWS, pytest.param(300, marks=pytest.mark.slow)])
def test_rows_end_as_those_of_jax(gpu, rows):
    """Numbers, statuses and numbers of steps, of rows that are NaN and of runs that are too long as well."""
    model = dj.examples.uneven_model(2)
    states = cases.with_bad_row(cases.states_of(model, rows))
    for max_steps, good in ((1000, rows - 1), (9, None)):
        how = dict(max_steps=max_steps, rtol=1e-10, atol=1e-10, save="final")
        found, exact = (
            by(model, states, [0.0, END], **how) for by in (lambda *a, **k: by_kernel(gpu, *a, **k), by_jax)
        )
        told = cases.compared(found, exact)
        assert told["statuses_alike"] and told["difference"] < 1e-9
        assert told["steps_apart"] <= (4 if ON_GPU else 1)  # a GPU multiplies and adds without rounding between
        assert ON_GPU or told["steps_alike"] > 0.98
        assert told["good"] == good or good is None
        assert np.isnan(found.m[1]).all() and np.isnan(found.alpha[1]).all()
        long = found.status._value == np.asarray(dj.Status.max_steps_reached._value)
        assert np.isinf(found.m[long]).all() and (found.num_steps[long] == max_steps).all()
    assert long.any()


def test_times_that_a_run_does_not_reach_hold_inf(gpu):
    model = dj.examples.uneven_model(2)
    states = cases.with_bad_row(cases.states_of(model, 4))
    times, how = [0.0, 0.1, 3.0, END], dict(max_steps=9)
    found, exact = both(gpu, model, states, times, **how)
    assert np.array_equal(found.status._value, exact.status._value)
    for ours, theirs in ((found.m, exact.m), (found.alpha, exact.alpha), (found.occupations, exact.occupations)):
        assert np.array_equal(np.isinf(ours), np.isinf(theirs)) and np.isinf(ours).any()
    assert np.isnan(found.m[1]).all() and np.isnan(found.overlaps[1]).all()


@pytest.mark.slow
def test_modes_that_are_too_fast_are_named(gpu):
    model = dj.examples.uneven_model(2).replace(omega_mode=[600.0, 1.0])
    dark = dj.MeanFieldState(cases.states_of(model, 3).m, jnp.zeros((3, 2), complex))
    found = by_kernel(gpu, model, dark, [0.0, END], max_steps=9)
    assert (found.status._value == np.asarray(dj.Status.stiff._value)).all()


def test_rows_do_not_depend_on_their_neighbours_nor_on_chunks(gpu):
    case = find("rates of each row, dense")
    whole = by_kernel(gpu, case.model, case.states, [0.0, END])
    few = row_of((case.model, case.states), slice(3, 5))
    part, chunks_ = by_kernel(gpu, *few, [0.0, END]), by_kernel(gpu, case.model, case.states, [0.0, END], chunk=3)
    for name in ("m", "alpha", "overlaps", "num_steps"):
        assert np.array_equal(getattr(whole, name)[3:5], getattr(part, name))
        assert np.array_equal(getattr(whole, name), getattr(chunks_, name))


def test_leading_axes_are_broadcast_and_progress_is_told(gpu):
    case, told = find("cube, M = 4", rows=6), []
    grid = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), case.states)
    found = by_kernel(gpu, case.model, grid, [0.0, 1.0], save="final", chunk=4, progress=lambda *n: told.append(n))
    flat = by_kernel(gpu, case.model, case.states, [0.0, 1.0], save="final")
    assert found.m.shape == (2, 3, 3, 8) and np.array_equal(found.m.reshape(6, 3, 8), flat.m)
    assert told == [(0, 6), (4, 6), (6, 6)]
    flat.m[0] = 0.0  # may be written to, as any result


def test_a_run_on_one_pattern_stays_there(gpu):
    """The other overlaps are exactly zero for ever, since sums run pairwise along the cube."""
    model = dj.examples.paper_model(g0=1.2)
    cue = dj.stored_pattern(model, pattern=2)
    found = by_kernel(gpu, model, jax.tree.map(lambda x: x[None], cue), [0.0, 20.0], save="final")
    assert abs(found.overlaps[0, 2]) > 0.1 and (found.overlaps[0, [0, 1, 3]] == 0).all()


# runs until nothing moves


def test_runs_end_where_nothing_moves(gpu):
    """Where Eq. 12 says; how long it takes and how many steps, as `steadystate` does."""
    model = dj.examples.paper_model(g0=1.3, num_patterns=2)
    states = jax.tree.map(lambda x: x[None], dj.stored_pattern(model))
    found = by_kernel(gpu, model, states, tol=1e-6, save=lambda end: (end.residual, end.time))
    kept = by_kernel(gpu, model, states, tol=1e-6)
    residual, time = found.reduced
    assert found.successful.all() and 0 < residual[0] < 1e-6 and 0 < time[0] < 5000
    assert abs(kept.overlaps[0, 0]) == pytest.approx(float(dj.retrieval_overlap(model, 0)), abs=1e-5)
    assert kept.m.shape == (1, 3, 2) and kept.num_steps == found.num_steps


@pytest.mark.slow
def test_runs_until_nothing_moves_are_those_of_jax(gpu):
    """Along one pattern, beside a mode that is fast, of whose dy/dt only a share counts."""
    model = dj.examples.paper_model(g0=1.3, num_patterns=2).replace(omega_mode=[1.5, 40.0])
    lengths, alpha = np.array([1.0, 0.95, 0.9])[:, None, None], np.array([[0, 0], [0.1j, 0], [0.2, 0]])
    states = dj.MeanFieldState(jnp.asarray(lengths * np.asarray(dj.stored_pattern(model).m)), jnp.asarray(alpha))

    def kept(end):
        return end.residual, end.time, end.state.m

    found, exact = both(gpu, model, states, tol=1e-5, save=kept)
    residual, time, m = exact.reduced
    assert found.successful.all() and exact.successful.all()
    assert np.abs(found.num_steps - exact.num_steps).max() <= 1
    assert np.allclose(found.reduced[1], time, rtol=1e-2) and np.allclose(found.reduced[0], residual, rtol=0.1)
    assert np.allclose(found.reduced[2], m, rtol=0, atol=1e-4)


@pytest.mark.parametrize("end", [60.0, pytest.param(700.0, marks=pytest.mark.slow)])
def test_what_moves_for_ever_and_what_is_on_its_way_is_told_as_by_jax(gpu, end):
    """Spins beside a pattern go on turning; averages over the last half of the run, and how they vary."""
    model = dj.examples.paper_model(g0=1.2, num_patterns=3)
    keys = jax.random.split(jax.random.key(2), 5)
    cues = jax.vmap(lambda key: dj.tilted_pattern(key, model, angle=0.3))(keys)
    cues = cases.with_bad_row(eqx.tree_at(lambda s: s.m, cues, cues.m.at[0].set(dj.stored_pattern(model).m)))

    def kept(end):
        return end.overlaps, end.occupations, end.fluctuations, end.residual

    found, exact = (
        by(model, cues, max_time=end, save=kept) for by in (lambda *a, **k: by_kernel(gpu, *a, **k), by_jax)
    )
    assert np.array_equal(found.status._value, exact.status._value)
    for ours, theirs in zip(found.reduced, exact.reduced, strict=True):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-6, equal_nan=True)
    assert np.isnan(found.reduced[0][1]).all() and np.isfinite(found.reduced[0][2:]).all()
    plain = by_kernel(gpu, model, cues, max_time=end)
    assert np.allclose(plain.overlaps, exact.reduced[0], rtol=0, atol=1e-6, equal_nan=True)


# which way is taken


def test_a_row_that_nothing_makes_rest_says_so_and_spoils_no_other(gpu):
    model = dj.examples.paper_model(g0=1.3, num_patterns=2)
    models = jax.vmap(lambda kappa: model.replace(kappa=kappa))(jnp.array([[1.0, 1.0], [1.0, 0.0], [0.8, 1.0]]))
    found, exact = both(gpu, models, dj.stored_pattern(model), tol=1e-6)
    assert found.successful.tolist() == [True, False, True] and np.isnan(found.overlaps[1]).all()
    assert np.array_equal(found.status._value, exact.status._value)
    assert np.allclose(found.overlaps[[0, 2]], exact.overlaps[[0, 2]], rtol=0, atol=1e-5)
