"""The benchmark of ensembles on a GPU: its stages, their supervisor and its page. What it measures needs a GPU."""

import argparse
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks are part of no package

from benchmarks.gpu_kernel import __main__ as script
from benchmarks.gpu_kernel.page import page

CHILD = """
import json, os, sys, time
out, names = sys.argv[sys.argv.index("--out") + 1], sys.argv[sys.argv.index("--stages") + 1 :]
for name in names:
    with open(out + "/gpu_kernel.jsonl", "a") as file:
        print(json.dumps(dict(stage=name, mark="begins")), file=file, flush=True)
        if name == "ceilings":
            os._exit(11)
        if name == "million":
            time.sleep(60)
        if name == "steady":
            print(json.dumps(dict(stage=name, failed="an error")), file=file, flush=True)
            sys.exit(1)
        print(json.dumps(dict(stage=name, found=1.5)), file=file)
        print(json.dumps(dict(stage=name, mark="ended")), file=file, flush=True)
"""


def test_a_stage_that_breaks_or_hangs_costs_no_other(tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(script, "LIMITS", dict.fromkeys(("about", "ceilings", "million", "steady", "single"), 1.0))
    monkeypatch.setattr(script, "SLACK", 0.0)
    file = script.results(tmp_path)
    options = argparse.Namespace(out=tmp_path, seconds=30.0, stages=None, quick=False)
    script.supervise(options, file, [str(tmp_path / "child.py")])
    rows = script.rows_of(file)
    failed = {row["stage"]: row["failed"] for row in rows if "failed" in row}
    assert set(failed) == {"ceilings", "million", "steady"}
    assert "11" in failed["ceilings"] and "long" in failed["million"]
    assert {row["stage"] for row in rows if "found" in row} == {"about", "single"}
    assert "an error" in file.with_suffix(".md").read_text()


def test_the_page_says_what_was_asked_for():
    both = "solve_ensemble", "solve_ensemble without the kernel"
    rows = [
        dict(stage="million", way=both[0], rows=10**6, s=0.5, error=dict(median=3e-9)),
        dict(stage="million", way=both[1], rows=10**6, s=2.8),
        dict(stage="million", tol=1e-9, way=both[0], rows=10**6, s=0.1, error=dict(median=1e-7)),
        dict(stage="ceilings", share_of_peak=0.4),
        dict(stage="by_diffrax", way=both[0], rows=10**5, us_a_row=0.5),
        dict(stage="by_diffrax", way="Dopri8 1e-10", rows=10**5, us_a_row=26.0),
        dict(stage="steady", num_patterns=4, rows=10**6, s=9.0, ends=dict(oscillating=7, not_converged=3)),
        dict(stage="about", log="long", mark="begins"),
    ]
    lines = page(rows)
    for text in ("1,000,000 rows in 0.500 s", "3.0e-09", "5.60 times", "40.0 %", "52.0 times", "not measured"):
        assert text in lines
    assert "1,000,000 in 9.00 s: 7 oscillating, 3 not_converged" in lines


@pytest.mark.slow
def test_the_whole_script_runs(tmp_path):
    arguments = ["x", "--quick", "--out", str(tmp_path), "--seconds", "1500"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        assert script.main() == 0
    rows = [json.loads(line) for line in (tmp_path / "gpu_kernel.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows if row.get("mark") == "ended"} == set(script.LIMITS)
    assert not [row for row in rows if isinstance(row.get("failed"), str)]
    apart = [row["apart_median"] for row in rows if "apart_median" in row]
    assert len(apart) > 5 and max(apart) < 1e-6
