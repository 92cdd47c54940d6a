"""Waiting is shown in a terminal and in a notebook, nowhere else, and changes nothing."""

import os
import pty
import re
import subprocess
import sys
import threading

import jax
import nbformat
import numpy as np
import pytest
from compilations import compilations
from nbclient import NotebookClient
from problems import paper

import dicke_jax as dj
from dicke_jax import _progress
from dicke_jax._door import checked

KEY = jax.random.key(0)
WALK = """
import sys, time, jax, jax.numpy as jnp, dicke_jax as dj
from dicke_jax import _progress
from dicke_jax._door import checked
@checked
def walk(n: int):
    report = _progress.Loop(n, "steps")
    for i in range(n + 1):
        report(i)
        time.sleep(0.05)
@checked
def around(n: int):
    inner = [walk(n) for _ in range(2)]
"""
IN_A_TERMINAL = f"""{WALK}
_progress.AFTER, _progress.EVERY = 0.2, 0.02
def case(name): print(f"<{{name}}>", end="", file=sys.stderr, flush=True)
case("alone"); walk(10)
case("within"); around(6)
@checked
def breaks(error: type): walk(8); raise error("gone")
for error in (ValueError, KeyboardInterrupt):
    case(error.__name__)
    try: breaks(error)
    except error as told: print(told, file=sys.stderr)
@checked
def compiles(x: float):
    def slow(x): time.sleep(0.4); return x + 1
    return jax.jit(slow)(x)
case("compiles"); compiles(1.0)
def traced(x): walk(10); return x
case("traced"); jax.jit(traced)(1.0)
case("vmapped"); jax.vmap(traced)(jnp.ones(2))
@checked
def told(n: int, progress: None): walk(n)
case("own"); told(10, progress=print)
case("off"); dj.show_progress(False); walk(10); dj.show_progress(True)
case("file"); was, sys.stderr = sys.stderr, open("/dev/null", "w"); walk(10); sys.stderr = was
case("again"); walk(10)
import os, warnings
warnings.simplefilter("ignore")  # JAX has threads
case("forked")
with _progress._lock: child = os.fork()
if not child: walk(10); os._exit(0)
os.waitpid(child, 0)
from dicke_jax._door import begin, end
def door():
    start = time.perf_counter()
    for _ in range(1000):
        wait = begin("mfsolve")
        end(wait)
    return (time.perf_counter() - start) / 1000
print(min(door() for _ in range(20)))
"""


def in_a_terminal(code, **environment):
    """What a process prints on standard output, and what it writes to a terminal."""
    leader, follower = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DICKE"))}
    environment = kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | environment
    command = [sys.executable, "-c", code]
    run = subprocess.Popen(command, stdin=follower, stdout=subprocess.PIPE, stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        shown += part
        if not part:
            break
    out, _ = run.communicate(timeout=60)
    os.close(leader)
    assert run.returncode == 0, shown.decode()
    return out.decode(), shown.decode()


def test_in_a_terminal_a_long_call_is_shown_and_leaves_nothing():
    out, shown = in_a_terminal(IN_A_TERMINAL)
    of = dict(re.findall(r"<(\w+)>([^<]*)", shown))
    lines = {name: [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()] for name, text in of.items()}
    assert all(line.startswith("dicke_jax: walk, running ") for line in lines["alone"])
    steps = [int(re.search(r" (\d+)/10 steps, 0:00:0\d", line)[1]) for line in lines["alone"]]
    assert steps == sorted(steps) and len(steps) > 3 and steps[0] >= 3
    assert "█" in lines["alone"][0] and "░" in lines["alone"][0]
    assert any(line.endswith("left 0:00:00") for line in lines["alone"])  # no room for the rate
    # of calls within calls the outermost has the name, and the loop that is on its way the numbers
    assert lines["within"] and all(line.startswith("dicke_jax: around, running") for line in lines["within"])
    assert [line for line in lines["within"] if "1/6 steps" in line]
    assert any(line.startswith("dicke_jax: compiles, compiling, 0:00:00") for line in lines["compiles"])
    for name in ("ValueError", "KeyboardInterrupt"):
        assert lines[name][0].startswith("dicke_jax: breaks, ") and lines[name][-1] == "gone"
        assert re.search(r"\r +\rgone", of[name])  # the line is gone before the error is told
    assert lines["vmapped"] and lines["again"] and lines["forked"]
    assert not lines["traced"] and not lines["own"] and not lines["off"] and not lines["file"]
    assert all(of[name].endswith(" \r") for name in ("alone", "within", "compiles", "again"))  # wiped out
    assert max(map(len, lines["alone"])) < 80
    assert float(out) < 2e-5  # seconds that the door takes: a hundredth of the shortest run, 2 ms where it is loaded


def test_an_environment_variable_silences_it():
    code = f"{WALK}\n_progress.AFTER, _progress.EVERY = 0.1, 0.02\nwalk(8)"
    assert in_a_terminal(code, DICKE_JAX_PROGRESS="0") == ("", "")


@pytest.mark.slow
def test_what_takes_long_in_earnest_says_what_it_does():
    code = """
import jax, dicke_jax as dj
from dicke_jax._door import begin
jax.config.update("jax_enable_x64", True)
model = dj.examples.paper_model(g0=1.0, num_patterns=2)
branch = dj.continuation(model, dj.retrieval_state(model, 1), limits=(0.7, 1.0), direction=-1, step=0.002)
print(len(branch.parameter), begin("next") is not None)
"""
    out, shown = in_a_terminal(code)
    lines = [line.strip() for line in shown.split("\r") if line.strip()]
    assert any(line.startswith("dicke_jax: continuation, compiling, 0:00:0") for line in lines)
    points = [int(n) for n in re.findall(r"continuation, running, (\d+) points, 0:", shown)]
    assert points == sorted(points) and 1 < points[-1] <= int(out.split()[0]) and out.split()[1] == "True"
    assert all(line.startswith("dicke_jax: ") for line in lines) and shown.endswith(" \r")


@pytest.mark.slow
def test_in_a_notebook_it_is_an_output_that_ends_empty(monkeypatch):
    monkeypatch.delenv("PYTEST_VERSION", raising=False)
    cells = [f"{WALK}\n_progress.AFTER, _progress.EVERY = 0.2, 0.05\nwalk(20)", "walk(19)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    shown = {0: [], 1: []}

    class Client(NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("display_data", "update_display_data"):
                shown[cell_index].append(msg["content"]["data"]["text/plain"])
            return super().process_message(msg, cell, cell_index)

    Client(notebook, timeout=120, kernel_name="python3").execute()
    for cell, number in ((0, 20), (1, 19)):  # each call in its own cell, though one thread draws both
        *lines, last = shown[cell]
        assert last == "" and len(lines) > 3 and all(f"/{number} steps" in line for line in lines)
        assert [out["data"] for out in notebook.cells[cell].outputs] == [{"text/plain": ""}]


def test_in_tests_nothing_is_shown_and_no_thread_is_started():
    dj.critical_coupling(paper(1.0, 2))
    assert _progress._display() is None and _progress._thread is None and _progress._current() is None


@pytest.fixture
def shown(monkeypatch):
    """Whatever would be drawn, with a door that takes every call for one that someone sees."""
    lines = []

    class Display:
        def columns(self):
            return 80

        def show(self, text):
            lines.append(text)

        def erase(self):
            lines.append("")

    monkeypatch.setattr(_progress, "_display", lambda: Display)
    monkeypatch.setattr(_progress, "_place", (None, Display))
    monkeypatch.setattr(_progress, "AFTER", 0.0)
    return lines


def test_calls_that_are_watched_compile_nothing_and_say_the_same(shown, monkeypatch):
    model, waits, begin = paper(1.0, 2), [], _progress.begin

    def begin_and_note(*arguments, **named):
        waits.append(begin(*arguments, **named))
        return waits[-1]

    alone = dj.critical_coupling(model)
    monkeypatch.setattr(sys.modules["dicke_jax._door"], "begin", begin_and_note)
    with compilations() as names:
        again, batch = dj.critical_coupling(model), jax.jit(jax.vmap(dj.critical_coupling))
    assert (
        not names and float(again) == float(alone) and len(waits) == 1 and waits[0].name.endswith("critical_coupling")
    )
    models = jax.vmap(lambda g0: model.replace(g0=g0))(jax.numpy.array([1.0, 2.0]))
    assert batch(models)[0] == alone and _progress._current() is None


def test_a_loop_in_a_loop_is_silent_and_one_after_another_is_not(shown):
    told = []

    @checked
    def call(n: int):
        wait = _progress._current()

        def part(total):
            report = _progress.Loop(total, "parts")
            report(total)

        report = _progress.Loop(n, "whole", lambda done, total: told.append((done, total)))
        report(1)
        part(7)
        told.append((wait.done, wait.total, wait.unit))
        del report
        part(7)
        told.append((wait.done, wait.total, wait.unit))
        return wait.line()

    assert "7/7 parts" in call(4)
    assert told == [(1, 4), (1, 4, "whole"), (7, 7, "parts")]


def test_a_fit_tells_of_its_restarts_and_then_of_its_steps(shown, monkeypatch):
    told, tell = [], _progress.Wait.tell

    def note(self, done, total, unit="runs", at_most=False):
        told.append((done, total, unit))
        tell(self, done, total, unit, at_most)

    monkeypatch.setattr(_progress.Wait, "tell", note)
    g0 = np.linspace(0.7, 1.5, 9)
    curve = dj.StationaryCurve(g0, np.sqrt(1 - (0.6 / g0) ** 4), noise=0.01)
    dj.fit(paper(1.0, 2), curve, free=["omega_spin"], num_restarts=10)
    assert told[:2] == [(0, 10, "restarts"), (8, 10, "restarts")]
    assert {unit for *_, unit in told[2:]} == {"steps"} and told[2][0] < told[-1][0] <= told[-1][1]


def test_other_threads_do_not_tell_of_their_loops(shown):
    @checked
    def call(n: int):
        threads = [threading.Thread(target=lambda: _progress.Loop(n)(1)) for _ in range(3)]
        for thread in threads:
            thread.start()
            thread.join()
        return _progress._current()

    assert call(3).done == 0


def test_what_cannot_be_drawn_is_not_tried_again(shown, monkeypatch):
    def broken():
        raise OSError("no terminal any more")

    monkeypatch.setattr(_progress, "_place", (None, broken))
    wait = _progress.begin("call")
    wait.after = -1.0
    _progress._draw(wait)
    _progress.end(wait)
    assert wait.silent and wait.display is None


def test_the_time_left_is_what_the_parts_after_the_first_take(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(_progress, "time", type("Clock", (), {"monotonic": staticmethod(lambda: clock[0])}))
    wait = _progress.Wait("call")
    for clock[0], done, left in (
        (0.0, 0, ""),
        (10.0, 1, "at most 0:01:30"),
        (11.0, 2, "0:00:08"),
        (13.0, 4, "0:00:06"),
    ):
        wait.tell(done, 10)
        assert f"{done}/10 runs, {_progress._clock(clock[0])}{', left ' if left else ''}{left}" in wait.line()
    assert wait.line().endswith(", 1 a second") and "second" not in (short := wait.line(70)) and "░" in short
    assert wait.line(50) == "call, running, 4/10 runs, 0:00:13, left 0:00:06"
    clock[0] = 15.0  # between two parts it goes on
    assert "left 0:00:04," in wait.line()
    wait.tell(10, 10)
    assert "left" not in wait.line()


LONG = (  # what may take seconds to compile or to run
    "fit design sample_posterior invert_critical_coupling locate_critical_coupling mfsolve steadystate solve_ensemble "
    "lyapunov_exponent attractor stationary_states stationary_state stability critical_coupling continuation "
    "periodic_orbit orbit_continuation retrieval_probability mesolve mcsolve wigner_moments gaussian_moments "
    "stationary_covariance output_spectrum check_theorem to_operators find_boundary basin_proxy"
)


def test_whatever_may_take_long_has_a_door():
    assert all(hasattr(getattr(dj, name), "checks") for name in LONG.split())
