"""The commands of sweeps: what they print and keep, and what they say of files and folders that do not fit."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from studies.sweep_faults import STUDY as LARGER

import dicke_jax as dj
from dicke_jax import _progress
from dicke_jax.cli import output
from dicke_jax.cli.main import main

ROOT = Path(__file__).parents[2]
STUDY = LARGER.replace("points = 100", "points = 50")


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(STUDY)


def test_sweep_status_export(study, capsys):
    assert main(["sweep", "study.toml", "--dry-run"]) == 0
    assert "100 rows in 2 chunks of 64" in capsys.readouterr().out and not Path("store").exists()
    assert main(["sweep", "study.toml", "--out", "store", "--chunk", "32"]) == 0
    told = capsys.readouterr()
    last = "100 of 100 rows, 4 of 4 chunks whole; 0 rows failed; next: dicke-jax export store study.nc"
    assert told.out.strip().splitlines()[-1] == last and "100/100" in told.err
    (Path("store") / "g_crit" / "c" / "1").write_bytes(b"damaged")
    assert main(["status", "store"]) == 0
    told = capsys.readouterr().out
    assert "critical_coupling over omega_spin: 50, pattern: 2" in told
    assert "68 of 100 rows, 3 of 4 chunks whole, 1 damaged; next: dicke-jax sweep STUDY --out store --resume" in told
    assert main(["sweep", "study.toml", "--out", "store", "--resume", "--quiet"]) == 0
    capsys.readouterr()
    for line, said in (
        (["status", "store"], {"rows": 100, "of_rows": 100, "damaged": 0, "complete": True}),
        (["sweep", "study.toml", "--dry-run"], {"num_rows": 100, "num_programs": 1}),
        (["sweep", "study.toml", "--out", "store", "--resume", "--quiet"], {"rows": 100, "complete": True}),
        (["export", "store", "all.nc"], {"missing": 0, "sizes": {"omega_spin": 50, "pattern": 2}, "wrote": ["all.nc"]}),
        (["plot", "store", "all.png"], {"wrote": ["all.png"]}),
    ):
        assert main([*line, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert {name: found[name] for name in said} == said
    assert main(["plot", "store"]) == 0 and Path("store.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["plot", "store", "one.pdf", "--at", "omega_spin=0.3"]) == 0
    assert main(["plot", "store", "one.xyz"]) == 2 and "FILE must be a picture" in capsys.readouterr().err
    assert main(["export", "store", "study.nc"]) == 0
    assert "0 rows missing" in capsys.readouterr().out
    found = dj.studies.open_results("study.nc")
    np.testing.assert_array_equal(found.g_crit, dj.Sweep.from_toml(STUDY).run().g_crit)


def test_status_of_what_no_file_describes_says_how_python_goes_on(study, capsys):
    sweep = dj.Sweep(
        lambda num_patterns: dj.examples.paper_model(1.0, num_patterns), {"num_patterns": [2, 3]}, num_modes
    )
    assert sweep.fill("store").summary().complete
    (Path("store") / "value" / "c" / "1").unlink()
    assert main(["status", "store"]) == 0
    told = capsys.readouterr().out
    assert "over num_patterns: 2, pattern 1\n" in told
    assert told.endswith("next: in Python sweep.run(store='store', resume=True)\n")


def num_modes(model, state):
    return model.num_modes + 0 * state.alpha.real.sum()


def test_a_command_that_is_stopped_says_what_goes_on(study, capsys, monkeypatch):
    compute = dj.Sweep.compute_chunk

    def stop_at_the_third(self, number, layout):
        if number == 2:
            raise stops.pop(0)
        return compute(self, number, layout)

    monkeypatch.setattr(dj.Sweep, "compute_chunk", stop_at_the_third)
    again = "to go on: dicke-jax sweep study.toml --out store --resume"
    stops = [KeyboardInterrupt(), OSError(28, "No space left on device")]
    for code in (130, 1):
        assert main(["sweep", "study.toml", "--out", "store", "--chunk", "32", "--resume", "--quiet"]) == code
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and error.strip().endswith(again)
    assert main(["status", "store"]) == 0
    assert "64 of 100 rows, 2 of 4 chunks whole" in capsys.readouterr().out


def test_the_first_chunk_tells_how_long_all_take(monkeypatch, capsys):
    """It compiles, which those after it need not do: at most so long, and from the second on what they take."""
    for times, left in (([0.0, 10.0], "left at most 0:01:30"), ([0.0, 10.0, 11.0], "left 0:00:08")):
        clock, lines = [0.0], []
        monkeypatch.setattr(_progress, "time", SimpleNamespace(monotonic=lambda clock=clock: clock[0]))

        def study(times=times, clock=clock, lines=lines):
            report = _progress.Loop(100)
            for i, clock[0] in enumerate(times):
                report(10 * i)
            lines.append(_progress._current().line())

        output.watched(False, study)
        last = capsys.readouterr().err
        assert left in lines[0] and f"{10 * len(times) - 10}/100" in last and "left" not in last


def changed(old, new):
    assert old in STUDY
    return STUDY.replace(old, new)


AXES = "omega_spin = { from = 0.1, to = 0.9, points = 50 }"
NUMBERS = ('"many"', "[1.0]", "nan", "true", "inf")
RANGES = ("{}", "{ from = 0.1 }", "{ from = 0.1, to = 0.9, points = 0 }", "{ from = 0.1, to = 0.9, points = 2.5 }",
          "{ from = 0.1, to = nan, points = 3 }", "{ count = 0 }", "{ count = true }",
          '{ from = 1, to = 2, points = 3, scale = "odd" }', '{ from = -1, to = 2, points = 3, scale = "log" }',
          "[]", "[[1.0]]", '["a"]', "[nan]",
          "3", "[true]", '"all"', "{ from = \"a\", to = 2, points = 3 }")  # fmt: skip
LINES = {
    "omega_spin": "omega_spin = 0.5",
    "omega_mode": "omega_mode = [1.5, 2.0]",
    "kappa": "kappa = 1.0",
    "num_patterns": "num_patterns = 2",
    "pattern": "pattern = [0, 1]",
    "compute": 'compute = "critical_coupling"',
}
KEYS = ("title", "precision", "cue", "zipped", "fixed", "options")
WRONG = ('"many"', '["a"]', "nan", "-inf", "true", "{ a = 1 }", "[[1.0], [2.0, 3.0]]", "1979-05-27")  # in no place good
BAD_STUDIES = [
    *(changed("omega_spin = 0.5", f"omega_spin = {x}") for x in NUMBERS),
    *(changed("kappa = 1.0", f"kappa = {x}") for x in ('"low"', "[1.0, 2.0, 3.0]", "-1.0", "nan")),
    *(changed("num_patterns = 2", f"num_patterns = {x}") for x in ("0", "2.5", '"two"', "true", "40")),
    *(changed(AXES, f"omega_spin = {x}") for x in RANGES),
    *(changed("pattern = [0, 1]", f"pattern = {x}") for x in ("[2]", "[-1]", "[0.5]", "{ count = 3 }")),
    *(changed('"critical_coupling"', x) for x in ('"everything"', "3", '"no_module:f"', '"math:nothing"', '"math:"')),
    *(f"{x}\n{STUDY}" for x in ('precision = "half"', 'cue = "song"', "zipped = 3", 'zipped = [["g0", "kappa"]]',
                                "model = 3", "colour = 1", 'zipped = [["omega_spin", "pattern"]]', "title = 3")),
    *(f"{STUDY}[options]\n{x}" for x in ("tol = 1.0", 'kind = "odd"', "kind = 3", 'method = "magic"')),
    *(f"{STUDY}[fixed]\n{x}" for x in ("g1 = 1.0", "angle = 0.1\nflip = 0.1", "pattern = 0", 'g0 = "a"', "flip = 2.0")),
    *(changed(line, f"{name} = {x}") for name, line in LINES.items() for x in WRONG),
    *(f"{name} = {x}\n{STUDY}" for name in KEYS for x in WRONG[2:]),
    *(f"{STUDY}[fixed]\ng0 = {x}" for x in WRONG),
    *(changed(AXES, f'"{name}" = [1.0]') for name in ("kappa[2]", "kappa[-1]", "omega_mode[a]", "jump[0]", "g2")),
    *(changed("num_patterns = 2", f"num_patterns = 2\nnum_spins = {x}") for x in WRONG),
    changed('"critical_coupling"', '"ramp"'),
    *(changed('"critical_coupling"', '"ramp"') + f"[fixed]\nduration = {x}\ng0_low = 0.3\ng0_high = {y}"
      for x, y in (("0.0", "1.0"), ("9.0", "0.2"), ("[9.0]", "1.0"), WRONG[:2])),
    *(changed('"critical_coupling"', '"exactness"') + f"[options]\ntime = 1.0\n{x}" for x in (
      'method = "odd"', 'method = "wigner"', "levels = 4", 'method = "master equation"\nlevels = 1.5')),
    *(changed('"critical_coupling"', '"exactness"') + f"[fixed]\nsubset_size = {x}\n[options]\ntime = 1.0"
      for x in (*WRONG, "0", "1.5")),
    changed("[axes]", "[axis]"),
    changed("[model]", "[models]"),
    changed("[axes]", "[axes"),
    changed("omega_mode = [1.5, 2.0]", ""),
    changed("omega_mode", "omega_modes"),
    "",
    "\0",
]  # fmt: skip


def test_every_bad_study_file_is_refused_in_one_line(study, capsys):
    endings = {}
    for i, text in enumerate(BAD_STUDIES):
        Path("bad.toml").write_text(text)
        code = main(["sweep", "bad.toml", "--out", "store", "--quiet"])
        out, error = capsys.readouterr()
        clear = error.startswith("dicke-jax: error: ") and error.count("\n") == 1 and " must be " in error
        if (code, out, clear) != (2, "", True):
            endings[f"{i}: {text.splitlines()[:1]}"] = (code, out, error)
    assert endings == {} and not Path("store").exists() and len(BAD_STUDIES) >= 100


BAD_LINES = [
    ["sweep"], ["sweep", "none.toml", "--out", "s"], ["sweep", ".", "--out", "s"], ["sweep", "study.toml"],
    ["sweep", "study.toml", "--out", "study.toml"], ["sweep", "study.toml", "--out", "study.toml", "--resume"],
    ["sweep", "study.toml", "--out", "s", "--chunk", "33"], ["sweep", "study.toml", "--out", "s", "--chunk", "many"],
    ["sweep", "study.toml", "--out", "s", "--resume", "yes"], ["sweep", "study.toml", "--dry-run", "--chunk", "0"],
    ["plot"], ["plot", "none"], ["plot", "study.toml"], ["plot", "none", "--pattern", "0"],
    ["transition", "--pattern", "3"],  # no short form of --patterns
    ["sweep", "study.toml", "--out", "s", "--workers", "0"], ["sweep", "study.toml", "--out", "s", "--cluster", "none"],
    ["sweep", "study.toml", "--out", "s", "--workers", "2", "--cluster", "tcp://127.0.0.1:1"],
    ["status"], ["status", "none"], ["status", "study.toml"], ["export", "none", "a.nc"], ["export", "none"],
]  # fmt: skip


def test_every_bad_command_line_is_refused_in_one_line(study, capsys):
    for line in BAD_LINES:
        code = main(line)
        out, error = capsys.readouterr()
        assert (code, out) == (2, "") and error.startswith("dicke-jax: error: ") and error.count("\n") == 1, line
    assert sorted(path.name for path in Path().iterdir()) == ["study.toml"]


@pytest.mark.parametrize("path", sorted((ROOT / "studies" / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_ready_studies_are_good(path, capsys):
    assert main(["sweep", str(path), "--dry-run"]) == 0
    assert "rows in" in capsys.readouterr().out


def test_the_commands_that_the_readme_shows(study, capsys):
    """Each as it stands there, but of a study that is quick."""
    section = (ROOT / "README.md").read_text().split("## Sweep")[1].split("\n## ")[0]
    lines = re.findall(r"^dicke-jax (.*)$", section, re.M)
    assert len(lines) == 6
    for line in lines:
        words = [re.sub(r"^studies/examples/\w+\.toml$", "study.toml", word) for word in line.split()]
        assert main(words) == 0, line
    assert "0 rows missing" in capsys.readouterr().out and Path("transition.nc").exists()
