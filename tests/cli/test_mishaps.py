"""What a command refuses, and what it leaves behind where something goes wrong: one line, and whole files or none."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import xarray as xr

import dicke_jax as dj
from dicke_jax import _interrupts
from dicke_jax.cli import critical, jax_setup
from dicke_jax.cli.main import main
from dicke_jax.cli.output import Output

RESULTS = xr.Dataset({"x": ("n", [1.0, 2.0])})


def refused(capsys, *arguments):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("dicke-jax: error: ")
    return error


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--kappa -1", "kappa must be not negative"),
        ("--kappa 0", "kappa must be positive"),
        ("--patterns 3 --omega-mode 1 2", "omega_mode must be"),
        ("--points 0", "--points must be"),
        ("--points 1000000000", "--points must be a whole number from 1 to"),
        ("--points many", "--points must be"),
        ("--g0-min 3", "--g0-min must be below"),
        ("--g0-max nan", "--g0-max must be a finite number"),
        ("--patterns 0", "--patterns must be"),
        ("--patterns 1000000", "--patterns must be a whole number from 1 to"),
        ("--tol -1", "tol must be"),
        ("--tol nan", "--tol must be positive"),
        ("--max-time 0", "--max-time must be positive"),
        ("--max-time nan", "--max-time must be positive"),
        ("--omega-spin 0", "--omega-spin must be finite and not zero"),
        ("--seed 99999999999999999999", "--seed must be a whole number from 0 to"),
        ("--num-spins 1000000000000000", "--num-spins must be a whole number"),
        ("--patterns 4 --num-spins 3000000000", "4 patterns of 3000000000 spins take 12 GB"),
        ("--precision half", "argument --precision: invalid choice"),
        ("--no-such-thing", "unrecognized arguments"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(capsys, tmp_path, arguments, told):
    assert told in refused(capsys, "transition", "--quiet", "--out", str(tmp_path), *arguments.split())
    assert not list(tmp_path.iterdir())


def test_an_unknown_command_is_refused_in_one_line(capsys):
    assert "invalid choice: 'transitoin'" in refused(capsys, "transitoin")
    assert "COMMAND" in refused(capsys)


def test_a_folder_that_cannot_be_written_is_found_out_before_the_work(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "transition.nc").mkdir()
    monkeypatch.setattr(dj.studies, "retrieval_transition", lambda *_, **__: pytest.fail("worked first"))
    error = refused(capsys, "transition", "--out", str(tmp_path / "file" / "folder"))
    assert "--out must be a folder that can be written" in error
    assert "without a folder transition.nc in it" in refused(capsys, "transition", "--out", str(tmp_path))


def test_a_device_that_is_not_there_is_refused_in_one_line():
    environment = os.environ | {"JAX_PLATFORMS": "tpu"}
    command = [sys.executable, "-m", "dicke_jax", "critical"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 2 and run.stderr.splitlines()[-1].startswith("dicke-jax: error: JAX must find a device")
    assert "Traceback" not in run.stderr


def test_without_a_home_nothing_is_kept_and_all_else_works(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    changed = {}
    jax_setup.keep_programs(SimpleNamespace(jax_compilation_cache_dir=None, update=changed.__setitem__))
    assert "jax_compilation_cache_dir" not in changed


def test_whoever_reads_the_table_may_stop_early():
    command = [sys.executable, "-m", "dicke_jax", "critical", "--patterns", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 0


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("--help > /dev/full", 1, "dicke-jax: error: No space left on device\n"),
        ("critical --patterns 0 2> /dev/full", 2, ""),
        ("critical --patterns 0 >&-", 2, "dicke-jax: error: --patterns must be a whole number from 1 to 18; got 0.\n"),
    ],
)
def test_streams_that_are_full_or_closed(line, code, told):
    narrow = os.environ | {"COLUMNS": "40", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    narrow.pop("HOME", None)
    command = f"{sys.executable} -m dicke_jax {line}"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, env=narrow)
    assert (run.returncode, run.stdout, run.stderr) == (code, "", told)


def test_help_fits_into_forty_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40


def test_an_interrupt_while_modules_load_is_told_in_one_line():
    """Python itself aborts, or shows a hundred lines: the interrupt is within compiled modules."""
    command = [sys.executable, "-m", "dicke_jax", "critical"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while "jaxlib" not in Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (130, "", "dicke-jax: interrupted; nothing was written\n")


def test_an_interrupt_that_a_callback_swallowed_comes_again(monkeypatch):
    class Callback:
        def __del__(self):
            raise KeyboardInterrupt

    for module, name in ((sys, "unraisablehook"), (_interrupts, "AGAIN")):
        monkeypatch.setattr(module, name, getattr(module, name))
    before = signal.getsignal(signal.SIGINT)
    try:
        _interrupts.raise_always()
        with pytest.raises(KeyboardInterrupt):
            Callback()
            time.sleep(10)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_table_that_cannot_be_printed_is_told_in_one_line(capsys, monkeypatch):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(critical, "run", lambda options: print("table"))
    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["critical"]) == 1
    assert capsys.readouterr().err == "dicke-jax: error: No space left on device\n"


def test_an_interrupted_command_says_what_it_wrote(capsys, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    def run(options):
        options.output.prepare(tmp_path, "name")
        options.output.save(RESULTS, lambda _: plt.plot([1, 2]))

    monkeypatch.setattr(critical, "run", interrupted)
    assert main(["critical"]) == 130
    assert capsys.readouterr().err == "dicke-jax: interrupted; nothing was written\n"
    monkeypatch.setattr(critical, "run", run)
    monkeypatch.setattr(plt, "savefig", interrupted)
    assert main(["critical"]) == 130
    assert capsys.readouterr().err == f"dicke-jax: interrupted; {tmp_path / 'name.nc'} was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["name.nc"]


def test_files_have_their_names_when_they_are_whole(tmp_path):
    output = Output()
    output.prepare(tmp_path, "name")
    for _ in range(2):  # the second time over the first
        output.save(RESULTS, lambda _: plt.plot([1, 2]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["name.nc", "name.png"]
    assert output.picture.read_bytes().startswith(b"\x89PNG") and output.picture.stat().st_size > 10_000
    assert dj.studies.open_results(output.data).identical(RESULTS)
