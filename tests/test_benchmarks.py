"""The benchmarks run, and measure what they say, or say why not."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


SOME = ("one_core",)
MORE = ("first_answer", "phases", "inference", "gradients", "flags", "devices", "scaling", "memory", "roofline", "cold")
ALL = (*SOME, *MORE)


@pytest.fixture(scope="module", params=[SOME, pytest.param(ALL, marks=pytest.mark.slow)], ids=["some", "all"])
def results(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", out, "--markdown", out / "page.md"]
    command += ["--sections", *request.param]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "benchmarks.png").stat().st_size > 10_000
    page = (out / "page.md").read_text()
    for title in ("## Targets", "## One core", *(("## One step", "## Peak memory") if request.param == ALL else ())):
        assert title in page and (title in done.stdout)
    found = json.loads((out / "benchmarks.json").read_text())
    assert set(found["sections"]) == set(request.param)
    return found


def rows_of(results, section):
    found = results["sections"][section]
    return found["rows"] if isinstance(found, dict) else found


def test_every_mode_is_measured_or_said_to_be_skipped(results):
    for section in results["sections"]:
        rows = rows_of(results, section)
        assert rows and any("skipped" not in row for row in rows)
        for row in rows:
            if "skipped" in row:
                assert row["skipped"]
            elif section == "memory":
                assert row["mb"] > 0
            else:
                assert 0 < row["ms"]["min"] <= row["ms"]["median"] <= row["ms"]["max"]


def test_peers_have_the_names_that_targets_look_for(results):
    """Measured or skipped: a target that finds no such row would call itself not measured for ever."""
    for section in {"one_core", "flags", "devices"} & set(results["sections"]):
        assert any("heyoka.py, 1e-9" in row["mode"] for row in rows_of(results, section))


def test_every_program_finds_the_same_trajectories(results):
    for section in {"one_core", "flags", "devices", "scaling", "gradients"} & set(results["sections"]):
        for row in rows_of(results, section):
            if "skipped" not in row and (section != "gradients" or "error" in row):
                assert row["error"]["median"] <= row["error"]["max"] < 1e-7, row
    assert [row["failed"] for row in rows_of(results, "one_core") if "failed" in row].count(0) >= 3


def test_targets_take_only_rows_that_are_as_accurate():
    targets = runpy.run_path(str(ROOT / "benchmarks" / "targets.py"))["targets"]
    targets_table = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))["targets_table"]

    def row(mode, ms, error):
        return dict(mode=mode, ms=dict(median=ms), error=dict(median=error, max=error))

    rows = [
        row("solve_ensemble, 1e-10", 1.0, 1e-9),
        row("solve_ensemble, 1e-12", 2.0, 1e-11),
        row("vmap(mfsolve), Dopri8 1e-10", 30.0, 1e-8),
        row("heyoka.py, 1e-9", 1.0, 1e-10),
        dict(mode="vmap(mfsolve), 1e-10", skipped="for a reason"),
    ]
    first = [dict(mode="mfsolve", found=1.1, limit=1.2, unit="times diffrax"), dict(mode="diffrax", ms={})]
    sections = {"one_core": rows, "flags": rows, "cold": {"failed": "it broke"}, "first_answer": first}
    found = {row["target"].split(",")[0]: row for row in targets(sections)}
    dopri8, heyoka, *_ = found.values()
    assert dopri8["found"] == pytest.approx(30) and dopri8["met"]
    assert heyoka["found"] == pytest.approx(2) and not heyoka["met"]
    assert "it broke" in found["the command of Fig. 3"]["how"] and found["the command of Fig. 3"]["met"] is None
    assert found["mfsolve: at most 1.2"]["met"] and found["mfsolve: at most 1.2"]["how"] == "times diffrax"
    assert "**no**" in targets_table(list(found.values()))
