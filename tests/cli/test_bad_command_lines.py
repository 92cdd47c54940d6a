"""Every option of every command with values that it cannot have: exit code 2, one line on stderr, nothing written."""

import argparse
import io
import sys
from collections import Counter

import pytest

from dicke_jax.cli.main import build_parser, main

NO_NUMBER = ("nan", "inf", "-inf", "many", "", "1j", "1e999")
NO_COUNT = ("0", "-1", "2.5", "nan", "many", "1e3", "99999999999999999999")
BAD = {
    **dict.fromkeys(("patterns", "num-spins", "points", "mode", "exact", "samples", "levels", "pattern"), NO_COUNT),
    "seed": ("-1", "2.5", "nan", "99999999999999999999"),
    **dict.fromkeys(("g0", "g0-min", "g0-max", "omega-min", "omega-max", "decay", "angle"), NO_NUMBER),
    "omega-mode": (*NO_NUMBER, "1 2 3 --patterns 2", "0 nan"),
    "kappa": (*NO_NUMBER, "1 2 3 4 5 6 7", "-1"),
    "omega-spin": (*NO_NUMBER, "0"),
    **dict.fromkeys(("tol", "max-time", "end"), (*NO_NUMBER, "0", "-1")),
    "precision": ("half", "64", ""),
    "out": ("/dev/null/folder", "/proc/no/folder"),
    "quiet": ("yes",),
    **dict.fromkeys(("reduce", "json"), ("yes",)),
    "cue": ("song", ""),
    "flip": (*NO_NUMBER, "-0.1", "1.5"),
    "strength": (*NO_NUMBER, "0", "-1", "0.5 nan"),
}


def options_of(command):
    return [s[2:] for a in command._actions for s in a.option_strings if s.startswith("--") and s != "--help"]


def commands():
    (choices,) = (a.choices for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    of_files = ("sweep", "status", "export", "plot", "fit")  # they have tests of their own
    return {name: options_of(command) for name, command in choices.items() if name not in of_files}


LINES = [
    (name, f"--{option}", *(value.split() or [value]))
    for name, options in commands().items()
    for option in options
    for value in BAD[option]
]


@pytest.mark.parametrize("name", commands())
def test_every_bad_command_line_is_refused_in_one_line(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = build_parser()  # once: the annotations that tests execute take their time with its many closures
    monkeypatch.setattr(sys.modules["dicke_jax.cli.main"], "build_parser", lambda: parser)
    endings = Counter()
    for line in (line for line in LINES if line[0] == name):
        code = main(line)
        out, error = capsys.readouterr()
        named = line[1].lstrip("-") in error.replace("_", "-") or f"unrecognized arguments: {line[2]}" in error
        # there what follows a flag is a file, and --patterns is no option
        named |= line[0] == "retrieve" and ("FILE must be a picture" in error or "arguments: --patterns" in error)
        clear = error.startswith("dicke-jax: error: ") and error.count("\n") == 1 and named
        endings["clear" if (code, out, clear) == (2, "", True) else f"{line}: {code}, {out}{error}"] += 1
    assert set(endings) == {"clear"} and not list(tmp_path.iterdir())


def test_there_are_many():
    assert len(LINES) > 200


def test_the_table_is_printed_where_only_ascii_can_be(monkeypatch, capsys):
    plain = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert main(["critical", "--patterns", "1"]) == 0
    plain.seek(0)
    assert "exists above" in plain.read() and capsys.readouterr().err == ""
