"""The net itself: a few draws, and answers made wrong on purpose, which it must not let pass."""

import sys

import numpy as np
import pytest

from . import known_kinds, new_kinds, running, slow_route
from .drawing import QUESTIONS, draw
from .judging import judge
from .rates_in_time import Constant

REPLIES = """
import json, os, sys, time
for line in sys.stdin:
    number = int(line.split(":")[1])
    if number == 1: os._exit(3)
    if number == 2: time.sleep(60)
    for said in ({"seconds": 0.0}, {"verdict": "right", "found": "", "about": ""}): print(json.dumps(said), flush=True)
"""


@pytest.mark.parametrize("name", ["0:18", "0:35", "0:541"])
def test_small_draws_are_right(name):
    _, word, found = running.verdict_of(name)
    assert word == "right", found


def test_a_draw_depends_on_its_two_numbers_alone():
    assert str(draw(3, 7)) == str(draw(3, 7)) != str(draw(3, 8))
    assert {draw(0, number).question for number in range(300)} == set(QUESTIONS)


def exact(draw_):
    states = slow_route.trajectory(draw_)[0]
    K = draw_.w.size
    alpha = states[:, 3 * K : 3 * K + draw_.num_modes] + 1j * states[:, 3 * K + draw_.num_modes :]
    return {"said": "", "m": states[:, : 3 * K].reshape(-1, 3, K), "alpha": alpha}


def test_a_wrong_trajectory_is_found():
    question = draw(0, 35)
    answer = exact(question)
    assert judge(question, answer)[0] == "right"
    answer["m"][2, 0, 0] += 1e-4
    assert judge(question, answer)[0] == "wrong"
    answer["m"][2, 0, 0] = np.nan
    assert judge(question, answer)[0] == "wrong"
    assert judge(question, answer | {"said": "failed: so it says"})[0] == "refused"


def test_what_moves_is_not_stationary():
    question = next(d for d in (draw(0, n, "steady") for n in range(50)) if d.num_modes == 1 and not d.jumps)
    moving = {"said": "", "m": question.m, "alpha": question.alpha + 0.3, "time": np.array(1.0)}
    assert judge(question, moving)[0] == "wrong"


@pytest.mark.parametrize("factor, word", [(1, "right"), (1.001, "wrong"), (np.nan, "wrong")])
def test_a_wrong_threshold_is_found(factor, word):
    question = draw(0, 18)
    question.rates["omega_spin"] = Constant(np.array(0.5))
    (mode,), (kappa,) = question.rates["omega_mode"].value, question.rates["kappa"].value
    question.rates["omega_mode"] = Constant(np.array([mode := abs(mode)]))
    right = np.sqrt(0.5 * (mode**2 + kappa**2 / 4) / (2 * mode))
    assert judge(question, {"said": "", "g0": right * factor})[0] == word


def test_the_slow_route_knows_a_pulse_that_steps_could_miss():
    """Z = cos(2 area) for a spin at +z without g0: case 1 of the page of wrong numbers."""
    question = draw(1, 47)
    pulse = question.rates["omega_spin"]
    area = pulse.height * pulse.width * np.sqrt(np.pi)
    states, _ = slow_route.trajectory(question, question.times[[0, -1]])
    assert states[-1, 2] == pytest.approx(question.m[2, 0] * np.cos(2 * area), abs=1e-9)


WRONG = {
    "trace": {"value": 0.3},
    "complex": {"m": np.zeros(3)},
    "wigner": {"covariance": np.full((3, 5, 5), 3.4)},
    "fit": {"g0": np.array([1.30]), "interval": np.array([1.2995, 1.3005])},
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_answers_of_the_known_kinds_are_found(kind):
    question = known_kinds.draw(0, 1, kind)
    assert known_kinds.judge(question, {"said": ""} | WRONG[kind])[0] == "wrong"
    assert known_kinds.judge(question, {"said": "failed: so it says"} | WRONG[kind])[0] == "refused"


def test_a_vacuum_and_a_complex_argument_are_judged_right():
    question = known_kinds.draw(0, 1, "wigner")
    assert known_kinds.judge(question, {"said": "", "covariance": np.tile(np.eye(5) / 4, (3, 1, 1))})[0] == "right"
    assert running.verdict_of("0:3:complex")[1] == "refused"
    assert (*known_kinds.KINDS, *new_kinds.KINDS) == running.KINDS


@pytest.mark.parametrize("text, clear", [("g0 must be finite; got nan.", True), ("'NoneType' has no 'x'", False)])
def test_refusals_are_clear_or_not(text, clear):
    def refuses(question):
        raise ValueError(text)

    assert running.verdict_of("0:35", asked=refuses)[1] == ("refused" if clear else "unclear")


def test_crashes_and_hangs_are_counted_and_a_run_goes_on(tmp_path):
    command, path, lines = [sys.executable, "-c", REPLIES], tmp_path / "verdicts", []
    names = [f"0:{number}" for number in range(4)]
    verdicts = running.run(names, 1, 2.0, path, command, lines.append)
    assert [said["verdict"] for said in verdicts.values()] == ["right", "crashed", "hung", "right"]
    assert len(lines) == 2 and "--draw 0:1" in lines[0]
    assert running.run(names, 1, 2.0, path, ["no such command"]) == verdicts
    assert running.counts(verdicts).startswith("4 draws: 2 right, 0 refused, 0 wrong, 0 unclear, 1 crashed, 1 hung")
