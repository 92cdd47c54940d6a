"""The trial of a GPU kernel, on a CPU whose fibres stand for a device's threads: the same source, the same host code.

What only a device can say, benchmarks/gpu_kernel/README.md lists.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import dicke_jax as dj

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks are part of no package

from benchmarks.gpu_kernel import __main__ as script
from benchmarks.gpu_kernel import cases
from benchmarks.gpu_kernel.cuda import CudaError
from benchmarks.gpu_kernel.ensemble import refusal, solve
from benchmarks.gpu_kernel.inputs import one_of
from benchmarks.gpu_kernel.page import page
from benchmarks.gpu_kernel.places import HERE, Emulator

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")),
    reason="no C++ compiler (g++ or clang++) to emulate a GPU with",
)
ROWS, END = 7, 4.0  # rows that do not fill the last warp


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Emulator(tmp_path_factory.mktemp("emulated"))


def find(name, rows=ROWS, end=END):
    return next(case for case in cases.all_cases(rows, end) if case.name == name)


def by_scipy(model, state, end):
    """The last m and alpha, from the equations written out in NumPy."""
    G, w = np.asarray(model.spins.couplings, float), np.asarray(model.spins.weights, float)
    omega, omega_mode, kappa, g0 = (np.asarray(rate, float) for rate in model.rates.values())
    T, c = np.zeros((3, 3, 1)), np.zeros((3, 1))
    if model.dissipation is not None:
        for linear, constant, rate in zip(
            model.dissipation.linear, model.dissipation.constant, model.dissipation.rates, strict=True
        ):
            T = T + np.asarray(linear)[:, :, None] * np.asarray(rate)
            c = c + np.asarray(constant)[:, None] * np.asarray(rate)

    def slope(_, flat):
        m, (re, im) = flat[: 3 * w.size].reshape(3, -1), flat[3 * w.size :].reshape(2, -1)
        x, y, z = m
        turn = 4 * g0 * (re @ G)
        dm = np.stack([-turn * y, turn * x - 2 * omega * z, 2 * omega * y]) + (T * m[None]).sum(axis=1) + c
        da = -(1j * omega_mode + kappa / 2) * (re + 1j * im) - 1j * g0 * (G @ (w * z))
        return np.concatenate([dm.ravel(), da.real, da.imag])

    alpha = np.asarray(state.alpha, complex)
    start = np.concatenate([np.asarray(state.m, float).ravel(), alpha.real, alpha.imag])
    flat = solve_ivp(slope, (0.0, end), start, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    re, im = flat[3 * w.size :].reshape(2, -1)
    return flat[: 3 * w.size].reshape(3, -1), re + 1j * im


def row_of(tree, row):
    return jax.tree.map(lambda x: x[row], tree)


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
def test_last_states_are_those_of_scipy(place, name):
    case, close = find(name), 2e-4 if name == "float32" else 1e-8
    how = dict(rtol=case.tol, atol=case.tol, first_step=0.05, poison=True)
    found = solve(case.model, case.states, (0.0, case.end), place=place, **how)
    assert found.successful.all() and found.m.dtype == one_of(case.model).dtype
    many = case.model.weights.ndim > 1
    for row in (0, ROWS - 1):
        model = row_of(case.model, row) if many else case.model
        m, alpha = by_scipy(model, row_of(case.states, row), case.end)
        assert np.allclose(found.m[row], m, rtol=0, atol=close) and np.allclose(found.alpha[row], alpha, atol=close)
        xi = np.asarray(model.spins.couplings, float) @ (np.asarray(model.spins.weights, float) * m[2])
        assert np.allclose(found.overlaps[row], xi, rtol=0, atol=close)
        assert np.allclose(found.occupations[row], np.abs(alpha) ** 2, rtol=0, atol=close)


@pytest.mark.slow
def test_dissipation_alone_is_a_linear_equation(place):
    """Without couplings m' = A m + c, whose solution is exp(A t)."""
    case = find("dissipation, cube")
    model = case.model.replace(g0=0.0)
    found = solve(model, case.states, (0.0, case.end), place=place)
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
def test_rows_end_as_those_of_solve_ensemble(place, rows):
    """Numbers, statuses and numbers of steps, of rows that are NaN and of runs that are too long as well."""
    model = dj.examples.uneven_model(2)
    states = cases.with_bad_row(cases.states_of(model, rows))
    for max_steps, good in ((1000, rows - 1), (9, None)):
        how = dict(max_steps=max_steps, rtol=1e-10, atol=1e-10)
        found = solve(model, states, (0.0, END), place=place, poison=True, **how)
        exact = dj.solve_ensemble(model, states, [0.0, END], save="final", **how)
        told = cases.compared(found, exact)
        assert told["statuses_alike"] and told["difference"] < 1e-9
        assert told["steps_alike"] > 0.98 and told["steps_apart"] <= 1
        assert told["good"] == good or good is None
        assert np.isnan(found.m[1]).all()
        long = found.status == np.asarray(dj.Status.max_steps_reached._value)
        assert np.isinf(found.m[long]).all() and (found.num_steps[long] == max_steps).all()
    assert long.any()


@pytest.mark.slow
def test_modes_that_are_too_fast_are_named(place):
    model = dj.examples.uneven_model(2).replace(omega_mode=[600.0, 1.0])
    dark = dj.MeanFieldState(cases.states_of(model, 3).m, jnp.zeros((3, 2), complex))
    found = solve(model, dark, (0.0, END), place=place, max_steps=9)
    assert (found.status == np.asarray(dj.Status.stiff._value)).all()


def test_rows_do_not_depend_on_their_neighbours(place):
    case = find("rates of each row, dense")
    whole = solve(case.model, case.states, (0.0, END), place=place)
    few = row_of((case.model, case.states), slice(3, 5))
    part = solve(*few, (0.0, END), place=place)
    for name in ("m", "alpha", "overlaps", "num_steps"):
        assert np.array_equal(getattr(whole, name)[3:5], getattr(part, name))
    assert place.allocations() == 0


def test_a_run_on_one_pattern_stays_there(place):
    """The other overlaps are exactly zero for ever, since sums run pairwise along the cube."""
    model = dj.examples.paper_model(g0=1.2)
    cue = dj.stored_pattern(model, pattern=2)
    found = solve(model, jax.tree.map(lambda x: x[None], cue), (0.0, 20.0), place=place)
    assert abs(found.overlaps[0, 2]) > 0.1 and (found.overlaps[0, [0, 1, 3]] == 0).all()


def test_runs_end_where_nothing_moves(place):
    """Where Eq. 12 says; how long it takes and how many steps, as `steadystate` does."""
    model = dj.examples.paper_model(g0=1.3, num_patterns=2)
    states = jax.tree.map(lambda x: x[None], dj.stored_pattern(model))
    found = solve(model, states, None, tol=1e-6, place=place, poison=True)
    assert found.status == np.asarray(dj.Status.event_occurred._value)
    assert abs(found.overlaps[0, 0]) == pytest.approx(float(dj.retrieval_overlap(model, 0)), abs=1e-5)
    assert 0 < found.residual[0] < 1e-6 and 0 < found.time[0] < 5000


@pytest.mark.slow
def test_runs_until_nothing_moves_are_those_of_solve_ensemble(place):
    """Along one pattern, beside a mode that is fast, of whose dy/dt only a share counts."""
    model = dj.examples.paper_model(g0=1.3, num_patterns=2).replace(omega_mode=[1.5, 40.0])
    lengths, alpha = np.array([1.0, 0.95, 0.9])[:, None, None], np.array([[0, 0], [0.1j, 0], [0.2, 0]])
    states = dj.MeanFieldState(jnp.asarray(lengths * np.asarray(dj.stored_pattern(model).m)), jnp.asarray(alpha))
    found = solve(model, states, None, tol=1e-5, place=place)
    exact = dj.solve_ensemble(model, states, tol=1e-5, save=lambda end: (end.residual, end.time, end.state.m))
    residual, time, m = exact.reduced
    assert (found.status == np.asarray(dj.Status.event_occurred._value)).all() and exact.successful.all()
    assert np.abs(found.num_steps - exact.num_steps).max() <= 1
    assert np.allclose(found.time, time, rtol=1e-2) and np.allclose(found.residual, residual, rtol=0.1)
    assert np.allclose(found.m, m, rtol=0, atol=1e-4)


def test_what_the_kernel_does_not_serve_is_left_to_jax(place):
    model = dj.examples.paper_model(num_patterns=2).replace(g0=lambda t: 1.0 + t)
    assert "time" in refusal(model)
    assert "32" in refusal(dj.examples.paper_model(num_patterns=7))
    assert "series" in refusal(dj.examples.paper_model(num_patterns=2), solver=object())
    own = jax.vmap(lambda G: dj.examples.paper_model(spins=dj.LargeSpins(dj.DenseCouplings(G), jnp.ones(1))))
    assert "row to row" in refusal(own(jnp.array([[[1.0]], [[0.5]]])))
    with pytest.raises(ValueError, match="time"):
        solve(model, cases.states_of(model, 2), (0.0, 1.0), place=place)


def test_lanes_that_do_not_exchange_together_are_found(tmp_path):
    """What a device may forgive once and not another time: an exchange that only some of a warp's lanes come to."""
    shutil.copy(HERE / "emulated.cpp", tmp_path)
    source, line = (HERE / "ensemble.cu").read_text(), "if (over) row = (long long)next;"
    assert line in source
    broken = source.replace(line, "if (over && lane < 2) row = (long long)__shfl_sync(ALL, next, 0, LANES);")
    (tmp_path / "ensemble.cu").write_text(broken)
    case = find("cube, M = 4", rows=2)
    with pytest.raises(CudaError, match="lane 2 is at line"):
        solve(case.model, case.states, (0.0, 1.0), place=Emulator(tmp_path, sources=tmp_path))


def test_what_does_not_compile_says_why(place):
    gpu = place.places[next(iter(place.places))] if place.places else None
    if gpu is None:
        solve(*find("cube, M = 4")[1:3], (0.0, 0.1), place=place)
        gpu = place.places[next(iter(place.places))]
    with pytest.raises(CudaError, match="NVRTC_ERROR_COMPILATION"):
        gpu.cuda.compile("#error on purpose", [])


CHILD = """
import json, os, sys, time
out, names = sys.argv[sys.argv.index("--out") + 1], sys.argv[sys.argv.index("--stages") + 1 :]
for name in names:
    with open(out + "/gpu_kernel.jsonl", "a") as file:
        print(json.dumps(dict(stage=name, mark="begins")), file=file, flush=True)
        if name == "blocks":
            os._exit(11)
        if name == "million":
            time.sleep(60)
        if name == "correct":
            print(json.dumps(dict(stage=name, failed="an error")), file=file, flush=True)
            sys.exit(1)
        print(json.dumps(dict(stage=name, found=1.5)), file=file)
        print(json.dumps(dict(stage=name, mark="ended")), file=file, flush=True)
"""


def test_a_stage_that_breaks_or_hangs_costs_no_other(tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(script, "LIMITS", dict.fromkeys(("about", "blocks", "million", "correct", "single"), 1.0))
    monkeypatch.setattr(script, "SLACK", 0.0)
    file = script.results(tmp_path)
    options = argparse.Namespace(out=tmp_path, seconds=30.0, stages=None, quick=False, emulated=False)
    script.supervise(options, file, [str(tmp_path / "child.py")])
    rows = script.rows_of(file)
    failed = {row["stage"]: row["failed"] for row in rows if "failed" in row}
    assert set(failed) == {"blocks", "million", "correct"} and "11" in failed["blocks"] and "long" in failed["million"]
    assert {row["stage"] for row in rows if "found" in row} == {"about", "single"}
    assert "an error" in file.with_suffix(".md").read_text()


def test_the_page_says_what_was_asked_for():
    rows = [
        dict(stage="million", way="kernel", rows=10**6, s=0.5, error=dict(median=3e-9)),
        dict(stage="million", way="solve_ensemble", rows=10**6, s=2.8),
        dict(stage="ceilings", share_of_peak=0.4),
        dict(stage="by_diffrax", way="kernel", rows=10**5, us_a_row=0.5),
        dict(stage="by_diffrax", way="Dopri8 1e-10", rows=10**5, us_a_row=26.0),
        dict(stage="about", log="long", mark="begins"),
    ]
    lines = page(rows)
    for text in ("1,000,000 rows in 0.500 s", "3.0e-09", "5.60 times", "40.0 %", "52.0 times", "not measured"):
        assert text in lines


@pytest.mark.slow
def test_the_whole_script_runs(tmp_path):
    arguments = ["x", "--emulated", "--quick", "--out", str(tmp_path), "--seconds", "1500"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        assert script.main() == 0
    rows = [json.loads(line) for line in (tmp_path / "gpu_kernel.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows if row.get("mark") == "ended"} == set(script.LIMITS)
    assert not [row for row in rows if "failed" in row and isinstance(row["failed"], str)]
    correct = [row for row in rows if row["stage"] == "correct" and "fine" in row]
    assert correct and all(row["fine"] for row in correct)
