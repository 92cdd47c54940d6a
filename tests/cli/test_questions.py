"""The commands `retrieve`, `fit` and `basins`, and numbers as JSON."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image

import dicke_jax as dj
from dicke_jax.cli.main import build_parser, main
from dicke_jax.cli.output import as_json


def numbers(capsys, *arguments):
    """What a command prints with --json, which is nothing else."""
    assert main([*map(str, arguments), "--json"]) == 0
    out, error = capsys.readouterr()
    assert not error

    def refuse(word):
        raise ValueError(f"{word} is not JSON")

    return json.loads(out, parse_constant=refuse)


def refused(capsys, *arguments):
    assert main([*map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    assert not out and error.count("\n") == 1 and error.startswith("dicke-jax: error: "), error
    return error


def test_json_of_thresholds(capsys):
    """g_mu^2 = Omega (Omega_mu^2 + kappa^2 / 4) / (2 Omega_mu), for mu = 1; never where a mode turns the other way."""
    found = numbers(capsys, "critical", "--omega-mode", 1.5, -2)
    assert found["existence"][0] == pytest.approx(np.sqrt(0.5 * (1.5**2 + 0.25) / 3)) and found["wrote"] == []
    assert found["stability"] == [None, None]  # the second mode's energy is not bounded from below
    assert json.loads(as_json({"x": np.array([[1.0, np.nan]]), "y": (np.int64(2), np.True_)})) == {
        "x": [[1.0, None]],
        "y": [2, True],
    }


def test_retrieve_mends_pictures_from_files(capsys, tmp_path):
    pictures = np.asarray(dj.examples.pictures(8))
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, picture in zip(files, pictures, strict=True):
        Image.fromarray(((picture > 0) * 255).astype(np.uint8)).save(file)
    how = ["--pattern", 2, "--flip", 0.15, "--end", 100, "--quiet", "--out", tmp_path]
    found = numbers(capsys, "retrieve", *files, *how)
    data = dj.studies.open_results(tmp_path / "retrieve.nc")
    assert found["wrote"] == [str(tmp_path / name) for name in ("retrieve.nc", "retrieve.png")]
    # pixels of the cue, counted one by one; they flip back only with decay
    share = np.mean(data.sigma_z.isel(decay=0, time=0).values == pictures[1])
    assert 0.75 < share < 1 and found["picture"] == 1
    assert found["share_right"][0][0] == share and found["share_right"][0][-1] <= share
    assert found["share_right"][1][-1] == 1.0
    assert found["overlap"][0][0] == pytest.approx(2 * share - 1)  # of every spin 1 or -1
    assert main([*map(str, ("retrieve", *files, *how))]) == 0
    assert f"{100 * share:.1f} %" in capsys.readouterr().out


def test_pictures_that_do_not_fit_are_refused_in_one_line(capsys, tmp_path):
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "small.png")
    Image.fromarray(np.eye(5, dtype=np.uint8)).save(tmp_path / "large.png")
    Image.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "half.png").write_bytes((tmp_path / "small.png").read_bytes()[:40])
    before = sorted(tmp_path.iterdir())
    for names, told in (
        (["none.png"], "No such file"),
        (["small.png", "."], "Is a directory"),
        (["text.png"], "cannot identify image file"),
        (["half.png"], "FILE must be a picture that can be read"),
        (["grey.png"], "a uniform one"),
        (["small.png", "large.png"], "images must be pictures of one size"),
        (["small.png", "--pattern", 2], "--pattern must be from 1 to 1; got 2."),
        (["small.png", "--omega-mode", 1, 2], "omega_mode must be"),
    ):
        paths = [name if str(name).startswith("--") or name in (1, 2) else tmp_path / name for name in names]
        assert told in refused(capsys, "retrieve", *paths, "--out", tmp_path)
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def curve(tmp_path):
    """Overlaps and photons at a threshold of 0.7, from rates 0.588 and 1.5, without noise; two values are missing."""
    g0 = np.linspace(0.75, 1.5, 12)
    overlap = np.sqrt(1 - (0.7 / g0) ** 4)
    photons = (g0 * overlap) ** 2 / (1.5**2 + 0.25)
    lines = ["g0; Overlap 1; photons_1; photons 1 noise"]
    lines += [f"{g:.17g};{x:.17g};{n:.17g};0.001" for g, x, n in zip(g0, overlap, photons, strict=True)]
    lines[3], lines[7] = lines[3].replace(f"{overlap[2]:.17g}", ""), lines[7].replace(f"{photons[6]:.17g}", "nan")
    file = tmp_path / "curve.csv"
    file.write_text("\n".join(lines).replace(".", ",") + "\n")
    return file


def test_fit_finds_the_rates_of_a_curve(capsys, curve, tmp_path):
    how = ["--noise", 0.001, "--free", "omega_spin", "omega_mode[0]", "--quiet", "--out", tmp_path]
    found = numbers(capsys, "fit", curve, *how)
    assert list(found["rates"]) == ["omega_spin", "omega_mode[0]"] and found["num_points"] == 22
    for rate, truth in zip(found["rates"].values(), (0.588, 1.5), strict=True):
        assert rate["value"] == pytest.approx(truth, rel=1e-3) and rate["lower"] < truth < rate["upper"]
    kept = dj.load(tmp_path / "fit.nc")
    assert isinstance(kept, dj.FitResult) and float(kept.rates[0]) == found["rates"]["omega_spin"]["value"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "fit.nc", "fit.png"]
    # the overlap alone fixes the threshold and nothing else
    curve.write_text("\n".join(line.rsplit(";", 2)[0] for line in curve.read_text().splitlines()))
    assert main([*map(str, ("fit", curve, *how))]) == 0
    assert capsys.readouterr().out.count("not determined   not determined   not determined") == 2


@pytest.mark.slow
def test_fit_finds_the_rates_of_a_trace(capsys, tmp_path):
    """Two rates of SciPy's course of one pattern: x' = -2 g0 h y and so on, from m = (0, 0, 1)."""
    from scipy.integrate import solve_ivp

    def course(t, y, kappa=0.8, g0=1.2, spin=0.5, mode=1.5):
        x, s, z, q, p = y
        field = 4 * g0 * q
        return [-field * s, field * x - 2 * spin * z, 2 * spin * s, mode * p - kappa / 2 * q,
                -mode * q - kappa / 2 * p - g0 * z]  # fmt: skip

    t = np.linspace(0, 8, 33)
    run = solve_ivp(course, (0, 8), [0, 0, 1, 0, 0], t_eval=t, rtol=1e-10, atol=1e-10)
    table = np.column_stack([t, run.y[2], run.y[3] ** 2 + run.y[4] ** 2])
    np.savetxt(tmp_path / "trace.csv", table, delimiter=",", header="time,pattern 1,photons 1")
    found = numbers(capsys, "fit", tmp_path / "trace.csv", "--noise", 0.001, "--quiet", "--out", tmp_path)
    assert found["successful"] and list(found["rates"]) == ["kappa[0]", "g0"]
    for rate, truth in zip(found["rates"].values(), (0.8, 1.2), strict=True):
        assert rate["value"] == pytest.approx(truth, rel=1e-4)


BAD_TABLES = {
    "": "at least two lines",
    "overlap 1\n0.1\n0.2\n": "one column t or g0",
    "t,g0,overlap 1\n0,1,1\n1,1,1\n": "one column t or g0",
    "t,overlap 1,overlap 1\n0,1,1\n1,1,1\n": "none twice",
    "t\n0\n1\n": "columns of values",
    "t,overlap 1\n0,1\n": "at least two lines",
    "t,overlap 1\n0,1\n1\n": "2 columns in each line; got '1'",
    "t,overlap 1\n0,1\n1,many\n": "numbers below its first line; got '1,many'",
    "t,overlap 0\n0,1\n1,1\n": "got 'overlap 0'",
    "t,magnetisation\n0,1\n1,1\n": "got 'magnetisation'",
    "t,overlap 1,overlap 2 noise\n0,1,1\n1,1,1\n": "columns of values",
    "t,overlap 1\n1,1\n0,1\n": "t must be at least two increasing times",
    "t,overlap 1\n0,inf\n1,1\n": "values must be finite",
    "g0,overlap 1\n-1,1\n1,1\n": "g0 must be positive",
    "g0,overlap 1,overlap 1 noise\n1,1,0\n2,1,1\n": "noise must be positive",
}


def test_tables_that_do_not_fit_are_refused_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, good = tmp_path / "table.csv", "t,overlap 1\n0,1\n1,0.9\n"
    for text, told in BAD_TABLES.items():
        file.write_text(text)
        assert told in refused(capsys, "fit", file, "--noise", 0.1), text
    file.write_text(good)
    for options, told in (
        ([], "--noise must be given, or a column 'overlap 1 noise'"),
        (["--noise", "0"], "--noise must be positive"),
        (["--noise", 1, "--pattern", 2], "--pattern must be from 1 to 1"),
        (["--noise", 1, "--free", "speed"], "speed"),
        (["--noise", 1, "--free", "kappa[1]"], "kappa"),
        (["--noise", 1, "--g0", 0], "--g0 must be positive"),
        (["--noise", 1, "--restarts", 0], "--restarts must be"),
        (["--noise", 1, "--angle", "nan"], "--angle must be"),
    ):
        assert told in refused(capsys, "fit", file, *options), options
    file.write_text(good.replace("overlap 1", "overlap 3"))
    assert "at most 1 patterns; got one with 3" in refused(capsys, "fit", file, "--noise", 1, "--patterns", 1)
    file.write_bytes(b"\xff\xfe\x00\xd8")
    assert "FILE must be a table that can be read" in refused(capsys, "fit", file)
    assert "No such file" in refused(capsys, "fit", tmp_path / "none.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.slow
def test_basins_are_empty_below_the_threshold_and_full_above(capsys, tmp_path):
    how = ["--patterns", 2, "--points", 2, "--samples", 8, "--strength", 0.3, 0.5, "--quiet", "--out", tmp_path]
    found = numbers(capsys, "basins", *how)
    assert found["probability"] == [[0, 0], [1, 1]] and found["g0"] == [0.4, 1.6] and found["strength"] == [0.3, 0.5]
    assert np.all(np.array(found["lower"]) <= found["probability"])
    assert main([*map(str, ("basins", *how))]) == 0 and "tilt 0.5" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["basins.nc", "basins.png"]


def test_help_reads_well_in_eighty_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (choices,) = (a.choices for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in choices.items():
        text = command.format_help()
        assert max(map(len, text.splitlines())) <= 80, name
        assert "--json" in text and len(text.splitlines()) < 80, name
        undescribed = [a.dest for a in command._actions if not a.help and a.dest != "precision"]
        assert not undescribed, (name, undescribed)
