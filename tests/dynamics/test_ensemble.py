"""Ensembles: every row is the run that it would be alone, whatever the chunk and the devices."""

import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import cpu_only, paper

import dicke_jax as dj

MODEL = paper(1.0, 2)
TIMES = jnp.linspace(0.0, 10.0, 4)
SWITCH = "jax_disable_most_optimizations"
AS_HERE = f"jax.config.update('{SWITCH}', {jax.config.values[SWITCH]})"  # other programs, other bits


def random_states(number, seed=0):
    return jax.vmap(lambda key: dj.random_state(key, MODEL))(jax.random.split(jax.random.key(seed), number))


STATES = random_states(40)


@pytest.fixture(scope="module")
def ensemble():
    return dj.solve_ensemble(MODEL, STATES, TIMES)


def test_every_row_is_its_own_run(ensemble):
    assert ensemble.m.shape == (40, 4, 3, 2) and ensemble.overlaps.shape == (40, 4, 2)
    assert ensemble.successful.all() and "40 of 40 successful" in repr(ensemble)
    for i in (0, 39):
        alone = dj.mfsolve(MODEL, jax.tree.map(lambda x, i=i: x[i], STATES), TIMES)
        np.testing.assert_allclose(ensemble.m[i], alone.m, atol=1e-12)
        np.testing.assert_allclose(ensemble.alpha[i], alone.alpha, atol=1e-12)
        assert int(ensemble.num_steps[i]) == int(alone.stats["num_steps"])


def test_no_bit_depends_on_the_chunk_or_on_neighbours(ensemble):
    told = []
    chunked = dj.solve_ensemble(MODEL, STATES, TIMES, chunk=32, progress=lambda *n: told.append(n))
    assert told[0] == (0, 40) and told[-1] == (40, 40) and len(told) > 2
    assert told[1] == (32, 40) or jax.default_backend() != "cpu"
    few = dj.solve_ensemble(MODEL, jax.tree.map(lambda x: x[7:12], STATES), TIMES)
    np.testing.assert_array_equal(chunked.m, ensemble.m)
    np.testing.assert_array_equal(few.m, ensemble.m[7:12])


@cpu_only
def test_no_bit_depends_on_the_number_of_devices(ensemble, tmp_path):
    """Two CPU devices, in a process of their own."""
    code = (
        "import sys, jax, jax.numpy as jnp, numpy as np\n"
        "jax.config.update('jax_enable_x64', True)\n"
        "jax.config.update('jax_num_cpu_devices', 2)\n"
        f"{AS_HERE}\n"
        "sys.path[:0] = [sys.argv[1], sys.argv[1] + '/..']\n"
        "from test_ensemble import MODEL, STATES, TIMES, dj\n"
        "assert len(jax.devices()) == 2\n"
        "run = dj.solve_ensemble(MODEL, STATES, TIMES, save='final')\n"
        "np.save(sys.argv[2], run.m)\n"
    )
    path = tmp_path / "m.npy"
    tests = os.path.dirname(__file__)
    run = subprocess.run([sys.executable, "-c", code, tests, str(path)], capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr
    np.testing.assert_array_equal(np.load(path), ensemble.m[:, -1])


@cpu_only
def test_two_hosts_do_a_share_each_and_both_get_all(ensemble, tmp_path):
    """Two processes that `jax.distributed` joins; 39 rows do not divide evenly."""
    code = (
        "import sys, jax, numpy as np\n"
        "jax.config.update('jax_enable_x64', True)\n"
        f"{AS_HERE}\n"
        "jax.distributed.initialize(sys.argv[3], num_processes=2, process_id=int(sys.argv[4]))\n"
        "sys.path[:0] = [sys.argv[1], sys.argv[1] + '/..']\n"
        "from test_ensemble import MODEL, STATES, TIMES, dj\n"
        "told = []\n"
        "states = jax.tree.map(lambda x: x[:39], STATES)\n"
        "run = dj.solve_ensemble(MODEL, states, TIMES, save='final', progress=lambda *n: told.append(n))\n"
        "assert told == [(0, 20), (20, 20)], told\n"
        "assert run.successful.all() and run.successful.shape == (39,)\n"
        "np.save(sys.argv[2] + sys.argv[4], run.m)\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = [sys.executable, "-c", code, os.path.dirname(__file__), str(tmp_path / "m"), address]
    hosts = [
        subprocess.Popen([*arguments, str(i)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    errors = [host.communicate(timeout=300)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], errors
    for i in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"m{i}.npy"), ensemble.m[:39, -1])


def test_models_and_states_are_broadcast():
    models = jax.vmap(lambda g: paper(g, 2))(jnp.array([0.5, 1.0, 1.5]))
    states = jax.tree.map(lambda x: x[:4, None], STATES)
    run = dj.solve_ensemble(models, states, TIMES, save="overlaps")
    assert run.overlaps.shape == (4, 3, 4, 2) and run.m is None
    alone = dj.mfsolve(paper(1.5, 2), jax.tree.map(lambda x: x[3], STATES), TIMES)
    np.testing.assert_allclose(run.overlaps[3, 2], alone.overlaps, atol=1e-12)


def test_what_is_kept_is_what_is_asked_for(ensemble):
    def largest(solution):
        return jnp.max(jnp.abs(solution.overlaps)), solution.occupations[-1]

    run = dj.solve_ensemble(MODEL, STATES, TIMES, save=largest)
    np.testing.assert_allclose(run.reduced[0], np.abs(ensemble.overlaps).max(axis=(1, 2)), atol=1e-12)
    np.testing.assert_allclose(run.reduced[1], ensemble.occupations[:, -1], atol=1e-12)
    assert run.m is None and run.overlaps is None and "reduced" in repr(run)


@cpu_only
def test_one_compilation_serves_every_chunk_and_other_rates():
    traced = []

    def last(solution):
        traced.append(solution)
        return solution.overlaps[-1]

    dj.solve_ensemble(MODEL, STATES, TIMES, save=last, chunk=32)
    once = len(traced)
    dj.solve_ensemble(paper(0.7, 2), jax.tree.map(lambda x: x[:35], STATES), 2 * TIMES, save=last, chunk=32)
    assert len(traced) == once <= 2


def test_until_nothing_moves():
    models = jax.vmap(lambda g: paper(g, 2))(jnp.array([0.55, 1.0]))
    run = dj.solve_ensemble(models, dj.stored_pattern(MODEL, 0))
    assert run.successful.all() and run.t is None
    np.testing.assert_allclose(np.abs(run.overlaps[:, 0]), [0, dj.retrieval_overlap(paper(1.0, 2), 0)], atol=1e-7)


def test_a_row_that_fails_says_so_and_spoils_no_other(ensemble):
    states = dj.MeanFieldState(STATES.m[:3], STATES.alpha[:3])
    broken = jax.tree.map(lambda x: x, states)
    object.__setattr__(broken, "m", broken.m.at[1].set(jnp.nan))
    run = dj.solve_ensemble(MODEL, broken, TIMES)
    np.testing.assert_array_equal(run.successful, [True, False, True])
    np.testing.assert_array_equal(run.m[[0, 2]], ensemble.m[[0, 2]])
    few_steps = dj.solve_ensemble(MODEL, states, TIMES, max_steps=3)
    assert not few_steps.successful.any()
    assert np.all(np.asarray(few_steps.status == dj.Status.max_steps_reached))


def test_slow_ways_to_rest_and_away_from_it_are_told_from_oscillations_in_every_row():
    """In a spectrum, as of a single run: within 100 time units nothing changes by a per cent, and nothing stays."""
    model = MODEL.replace(g0=0.05)
    ends = dj.solve_ensemble(model, STATES, max_time=100.0)
    assert np.all(ends.status == dj.Status.not_converged)
    traced = jax.vmap(lambda state: dj.steadystate(model, state, max_time=100.0))(STATES)
    assert np.any(traced.status == dj.Status.undecided)  # there is no spectrum within a program
    mixed = dj.solve_ensemble(MODEL.replace(omega_mode=jnp.array([1.5, -2.0])), STATES, max_time=400.0)
    moving = np.flatnonzero(np.asarray(mixed.status == dj.Status.oscillating))
    assert moving.size > 30
