"""The store of a sweep: nothing whole is lost, nothing damaged is accepted, and chunks change no bit."""

import builtins
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import dicke_jax as dj
from dicke_jax.studies import open_store
from dicke_jax.studies.sweeps import Store
from dicke_jax.studies.sweeps.identity import differences, of_values

from .sweep_faults import CHUNK, DAMAGES, NUM_CHUNKS, STUDY, campaign, failing_writes, goes_on, numbers_of, stopped_by


@pytest.fixture(scope="module")
def sweep():
    return dj.Sweep.from_toml(STUDY)


@pytest.fixture(scope="module")
def whole(sweep, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "whole"
    sweep.fill(path, chunk=CHUNK)
    return path


@pytest.fixture
def store(whole, tmp_path):
    import shutil

    return shutil.copytree(whole, tmp_path / "store")


def test_a_store_has_the_numbers_of_a_run_without_and_of_every_chunking(sweep, whole, tmp_path):
    found = sweep.run()
    assert found.identical(open_store(whole))
    for chunk in (64, 96, 224):
        assert found.identical(sweep.run(chunk=chunk)) and found.identical(
            sweep.run(store=tmp_path / str(chunk), chunk=chunk)
        )


def test_one_zarr_chunk_is_one_chunk_of_rows_with_a_checksum_and_without_shards(whole):
    array = Store(whole, "r").group["g_crit"]
    assert array.chunks == (CHUNK,) and array.shards is None and array.metadata.zarr_format == 3
    assert any("Crc32c" in type(codec).__name__ for codec in array.metadata.codecs)
    assert len(list((whole / "g_crit" / "c").iterdir())) == len(list((whole / "mark" / "c").iterdir())) == NUM_CHUNKS


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_is_damaged_is_computed_again_and_nothing_else(damage, sweep, whole, store):
    damaged = damage(store, np.random.default_rng(1))
    goes_on(sweep, store, numbers_of(whole), damaged)


def test_every_bit_of_a_chunk_s_file_counts(sweep, whole, store):
    path = store / "g_crit" / "c" / "3"
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 41):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert Store(store, "r")._chunk(3) is None
    path.write_bytes(data)
    assert Store(store, "r").whole.all()


@pytest.mark.parametrize("error", [OSError(28, "No space left"), PermissionError(13, "Permission denied")])
def test_a_full_disk_and_a_lost_permission_lose_nothing(error, sweep, whole, tmp_path):
    for after in (2, 9, 14):
        path = tmp_path / str(after)
        with pytest.raises(OSError), failing_writes(error, after):
            sweep.fill(path, chunk=CHUNK)
        goes_on(sweep, path, numbers_of(whole), NUM_CHUNKS, 1)


def test_a_process_that_is_killed_leaves_whole_chunks(sweep, whole, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    left = stopped_by(signal.SIGKILL, tmp_path / "study.toml", tmp_path / "store", 2)
    assert 2 <= left < NUM_CHUNKS
    found = open_store(tmp_path / "store")
    assert int(found.complete.sum()) == left * CHUNK and int(np.isnan(found.g_crit).sum()) == 200 - left * CHUNK
    goes_on(sweep, tmp_path / "store", numbers_of(whole), NUM_CHUNKS - left)


def test_a_reader_may_look_at_any_time(sweep, whole, tmp_path):
    seen, stop, path = [], threading.Event(), tmp_path / "store"

    def read():
        while not stop.is_set():
            if path.exists():
                found = open_store(path)
                seen.append(int(np.isfinite(found.g_crit).sum()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        sweep.fill(path, chunk=CHUNK)
    finally:
        stop.set()
        reader.join()
    assert seen == sorted(seen) and numbers_of(path) == numbers_of(whole)


OTHERS = {
    "axes omega_spin": STUDY.replace("points = 100", "points = 101"),
    "options kind": STUDY + '[options]\nkind = "stability"\n',
    "model kappa": STUDY.replace("kappa = 1.0", "kappa = 1.0000000000000002"),
    "compute": STUDY.replace("critical_coupling", "stability"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_store_of_another_study_is_refused_with_what_differs(what, whole):
    with pytest.raises(ValueError, match=f"store must be of the same study; got .*{what} is .* there and .* here"):
        dj.Sweep.from_toml(OTHERS[what]).fill(whole, resume=True)


def test_what_differs_is_said_so_that_it_can_be_read(sweep, monkeypatch):
    here = dj.Sweep.from_toml(STUDY.replace("num_patterns = 2", "num_patterns = 2\nnum_spins = 8"))
    told = list(differences(sweep.identity(), here.identity()))
    assert len(told) == 1 and "2 patterns, 2 subsets, infinitely many spins" in told[0] and "8 spins" in told[0]
    first = sweep.identity()
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_backend_extra_options=odd")
    (told,) = differences(first, sweep.identity())
    assert told.startswith("the compiler's flags XLA_FLAGS are nothing there and --xla_backend_extra_options=odd here")
    values = np.linspace(0.0, 1.0, 30)
    two = [{"g0": of_values(x)} for x in (values, np.append(values[:-1], 2.0))]
    (told,) = differences(*two)
    assert told.endswith("2.0 here") and len(told) < 150


def test_what_is_no_store_is_refused_and_left_alone(sweep, store, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    for path in ("file", "folder", "store"):
        with pytest.raises(ValueError, match="store must be a new or an empty folder; got"):
            sweep.fill(tmp_path / path)
    with pytest.raises(ValueError, match="to go on with it: --resume, or resume=True"):
        sweep.fill(store)
    for path in ("file", "folder"):
        with pytest.raises(ValueError, match="store must be the folder of a sweep's store; got"):
            sweep.fill(tmp_path / path, resume=True)
    text = (store / "zarr.json").read_text()
    for damaged in ("", text[:100], text.replace("omega_spin", "omega_spun"), "{}"):
        (store / "zarr.json").write_text(damaged)
        with pytest.raises(ValueError, match="store must be a sweep's store whose description is whole"):
            sweep.fill(store, resume=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_without_zarr_one_line_says_how_to_get_it(sweep, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r'zarr must be installed to keep sweeps: pip install "dicke-jax\[studies\]"'):
        sweep.fill(tmp_path / "store")
    assert sweep.run().g_crit.size == 200 and builtins.list(tmp_path.iterdir()) == []


MANY_ROWS = """
import resource, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
import dicke_jax as dj
def wide(model, state):
    return jnp.full(64, model.g0)
axes = {"g0": np.arange(1, int(sys.argv[1]) // 1000 + 1), "kappa": np.arange(1, 1001)}
sweep = dj.Sweep(dj.examples.paper_model(num_patterns=1), axes, wide)
sweep.fill(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024**2))
"""


@pytest.mark.slow
def test_a_million_rows_keep_a_bounded_resident_size(tmp_path):
    """Each of 512 bytes: 410 MB between the two, of which no more stays than what tells which row is where."""
    (tmp_path / "script.py").write_text(MANY_ROWS)
    here, most = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}, []
    for rows in (200_000, 1_000_000):
        words = [sys.executable, str(tmp_path / "script.py"), str(rows), str(tmp_path / str(rows))]
        told = subprocess.run(words, env=here, capture_output=True, text=True, timeout=900, check=True).stdout
        most.append(int(told.split()[-1]))
    assert most[1] - most[0] < 120, most
    assert Store(tmp_path / "1000000", "r").num_chunks == 245  # of 4,096 rows


@pytest.mark.slow
def test_a_hundred_faults():
    """As `python -m tests.studies.sweep_faults --faults 100` does."""
    assert sum(campaign(100).values()) == 100
