"""What the commands print and write."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from problems import paper

import dicke_jax as dj
from dicke_jax.cli.main import main

TRANSITION = ["transition", "--points", "6", "--g0-max", "1.2", "--patterns", "2"]
COUNTED = """
import json, sys, jax
from dicke_jax.cli.main import main
counts = {}
def count(name, *_, **__): counts[name.rpartition("/")[2]] = counts.get(name.rpartition("/")[2], 0) + 1
jax.monitoring.register_event_listener(count)
code = main()
print(json.dumps(counts))
raise SystemExit(code)
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An environment whose folder of compiled programs is empty at first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX", "XLA"))}
    return environment | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")), "MPLBACKEND": "agg"}


@pytest.fixture(scope="module")
def first_run(kept, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "new" / "folder"
    command = [sys.executable, "-m", "dicke_jax", *TRANSITION, "--out", str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, timeout=120, env=kept)


def test_command_in_a_process_of_its_own(first_run):
    """As a user would: exit code, table on stdout, bar on stderr, two files."""
    folder, run = first_run
    assert run.returncode == 0, run.stderr
    rows = re.findall(
        r"^\s+(\d) +([\d.]+) +([\d.]+) +([\d.]+) \.\. ([\d.]+) +([\d.e+-]+) +(\d+) of 6", run.stdout, re.M
    )
    assert [row[0] for row in rows] == ["1", "2"]
    assert float(rows[0][1]) == pytest.approx(np.sqrt(5 / 12), abs=1e-6)
    assert all(float(row[5]) < 1e-6 and row[6] == "0" for row in rows)
    assert "12/12" in run.stderr and "12/12" not in run.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["transition.nc", "transition.png"]
    data = dj.studies.open_results(folder / "transition.nc")
    assert data.attrs["precision"] == "float64"


def test_the_second_run_compiles_nothing(first_run, kept, tmp_path):
    assert first_run[1].returncode == 0
    command = [sys.executable, "-c", COUNTED, *TRANSITION, "--quiet", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, env=kept)
    assert run.returncode == 0, run.stderr
    counts = json.loads(run.stdout.splitlines()[-1])
    assert counts["cache_hits"] == counts["compile_requests_use_cache"] > 10
    assert not run.stderr


def test_command_critical_prints_the_thresholds(capsys):
    assert main(["critical", "--patterns", "2"]) == 0
    printed = capsys.readouterr().out
    for nu in range(2):
        for kind in ("existence", "stability"):
            assert f"{float(dj.critical_coupling(paper(1.0, 2), nu, kind=kind)):.8f}" in printed
    assert main(["critical", "--omega-mode", "1.5", "-2"]) == 0
    assert "never" in capsys.readouterr().out


def test_command_phases_writes_a_picture_and_its_data(tmp_path, capsys):
    options = ["phases", "--patterns", "2", "--points", "3", "--quiet", "--out", str(tmp_path)]
    assert main(options) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phases.nc", "phases.png"]
    assert "9 points, 0 of them" in capsys.readouterr().out
    for wrong, told in (
        (["--mode", "3"], "--mode must be from 1 to 2"),
        (["--g0-max", "0.1"], "--g0-min must be below"),
    ):
        assert main([*options, *wrong]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.slow
def test_command_exactness_at_small_size(tmp_path, capsys):
    options = ["--exact", "2", "3", "--levels", "6", "--samples", "50", "--end", "0.5", "--quiet"]
    assert main(["exactness", *options, "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exactness.nc", "exactness.png"]
    assert "E_N(t = 0.5) falls like" in capsys.readouterr().out


def test_help_teaches_and_version_is_told(capsys):
    for arguments, words in (
        (["--version"], ["dicke-jax 0"]),
        (["--help"], ["transition"]),
        (["transition", "--help"], ["critical", "--num-spins", "examples", "transition.nc"]),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        text = capsys.readouterr().out
        assert all(word in text for word in words)
