"""Many processes and one writer: the same numbers to the bit, and nobody writes into another's store."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import dicke_jax as dj
from dicke_jax.cli.main import main
from dicke_jax.studies import open_store
from dicke_jax.studies.sweeps import Store
from dicke_jax.studies.sweeps.writer import FILE, only_writer

from .sweep_faults import CHUNK, NUM_CHUNKS, STUDY, TABLE, goes_on, killed_at_work, numbers_of


@pytest.fixture(scope="module")
def sweep():
    return dj.Sweep.from_toml(STUDY)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0, dashboard_address=None) as cluster:
        yield cluster


def test_a_dask_cluster_computes_the_same_numbers_to_the_bit(sweep, cluster, tmp_path):
    found, told = sweep.run(), []
    kept = sweep.run(cluster=cluster, store=tmp_path / "store", chunk=64, progress=lambda *done: told.append(done))
    assert found.identical(kept) and numbers_of(tmp_path / "store").keys() == {"g_crit"}
    assert sorted(told) == told and told[0] == (0, 200) and told[-1] == (200, 200)
    assert found.identical(sweep.run(cluster=cluster.scheduler_address, chunk=96))  # without a store
    assert not (tmp_path / "store" / FILE).exists()


def test_what_a_cluster_cannot_do_is_refused_in_one_line(sweep, cluster, tmp_path, monkeypatch):
    for wrong, named in (
        (dict(workers=0), "workers must be a whole number of at least 1; got 0"),
        (dict(workers=1.5), "workers must be a whole number or None; got 1.5"),
        (dict(workers=2, cluster="tcp://127.0.0.1:1"), "workers must be left out where there is a cluster"),
        (dict(cluster=3), "cluster must be a Dask cluster, or its address"),
        (dict(cluster="nowhere"), "cluster must be the address of a Dask scheduler that answers; got nowhere"),
    ):
        with pytest.raises(ValueError, match=named) as error:
            sweep.run(**wrong)
        assert "\n" not in str(error.value)
    sweep.run(cluster=cluster, store=tmp_path / "store")
    monkeypatch.setattr("dicke_jax.studies.sweeps.workers.Workers.software", lambda self: {"numpy": "0.1"})
    with pytest.raises(ValueError, match="cluster must be of workers that have the same software; got .*numpy is 0.1"):
        sweep.run(cluster=cluster)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match="distributed must be installed for many workers"):
        sweep.run(workers=2)


def test_a_second_writer_is_refused_and_a_reader_is_not(sweep, tmp_path):
    store, refused, seen = tmp_path / "store", [], []

    def look(done, total):
        with pytest.raises(ValueError) as error:
            sweep.fill(store, resume=True)
        refused.append(str(error.value))
        seen.append(int(np.isfinite(open_store(store).g_crit).sum()))

    sweep.fill(store, chunk=CHUNK, progress=look)
    assert len(set(refused)) == 1 and f"process {os.getpid()} on " in refused[0] and "\n" not in refused[0]
    assert refused[0].endswith(f"if that is no more, remove {store / FILE}.") and not (store / FILE).exists()
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 200


def test_a_writer_that_was_killed_is_followed_and_one_of_another_machine_is_not(sweep, tmp_path):
    store = tmp_path / "store"
    sweep.fill(store, chunk=CHUNK)
    killed = "from dicke_jax.studies.sweeps.writer import only_writer; import os, sys; "
    killed += "held = only_writer(sys.argv[1]); held.__enter__(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", killed, store], check=False).returncode == -9
    left = json.loads((store / FILE).read_text())
    with only_writer(store):
        assert json.loads((store / FILE).read_text())["process"] == os.getpid() != left["process"]
    (store / FILE).write_text(json.dumps(left | {"host": "elsewhere"}))
    with pytest.raises(ValueError, match=f"process {left['process']} on elsewhere writes since .* remove"):
        sweep.fill(store, resume=True)
    assert Store(store, "r").whole.all()
    (store / FILE).unlink()
    sweep.fill(store, resume=True)


def test_of_many_writers_at_once_one_writes(tmp_path):
    (tmp_path / FILE).touch()  # of one that was stopped
    inside, most, won = [], [], []

    def write():
        for _ in range(50):
            try:
                with only_writer(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                won.append(1)
            except ValueError:
                pass

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(won) > 1 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_workers_that_are_killed_change_nothing(sweep, tmp_path):
    sweep.fill(tmp_path / "whole", chunk=CHUNK)
    (tmp_path / "study.toml").write_text(STUDY)
    left = killed_at_work("worker", tmp_path / "study.toml", tmp_path / "store", 2)
    assert left == NUM_CHUNKS and numbers_of(tmp_path / "store") == numbers_of(tmp_path / "whole")
    Path(tmp_path / "store" / "mark" / "c" / "2").unlink()
    goes_on(sweep, tmp_path / "store", numbers_of(tmp_path / "whole"), 1)


RUNS = f"""
compute = "retrieval"
{TABLE}
[axes]
g0 = {{ from = 0.6, to = 1.4, points = 10 }}
flip = [0.1, 0.2]
seed = {{ count = 10 }}
[fixed]
pattern = 1
"""


@pytest.mark.slow
def test_runs_are_the_same_to_the_bit_with_two_and_three_workers_and_chunked_differently(tmp_path, capsys):
    sweep = dj.Sweep.from_toml(RUNS.replace("num_patterns = 2", "num_patterns = 2\nnum_spins = 40"))
    found = sweep.run()
    for workers, chunk in ((2, 32), (3, 64)):
        assert found.identical(sweep.run(workers=workers, chunk=chunk))
        assert found.identical(sweep.run(workers=workers, chunk=chunk, store=tmp_path / str(workers)))
    (tmp_path / "study.toml").write_text(sweep.to_toml())
    assert main(["sweep", f"{tmp_path / 'study.toml'}", "--out", f"{tmp_path / 'by line'}", "--workers", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("200 of 200 rows") and found.outcome.equals(open_store(tmp_path / "by line").outcome)


UNGUARDED = """
import sys
import jax
jax.config.update("jax_enable_x64", True)
import dicke_jax as dj
dj.Sweep.from_toml(sys.argv[1]).run(workers=1)
"""


@pytest.mark.slow
def test_a_script_that_its_workers_would_run_again_is_told_what_to_write(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "script.py").write_text(UNGUARDED)
    here = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "study.toml")]
    ended = subprocess.run(words, env=here, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode != 0 and ended.stderr.rstrip().splitlines()[-1].startswith("ValueError: workers must be ")
    assert 'if __name__ == "__main__":' in ended.stderr.rstrip().splitlines()[-1]
