"""What may happen to a sweep's store, on purpose: `python -m tests.studies.sweep_faults --faults 100`, in minutes.

After every fault the sweep goes on; its store then has to equal one that nothing happened to, to the bit, nothing that
was whole may have been computed again, and nothing that was damaged accepted.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import dicke_jax as dj
from dicke_jax.studies.sweeps import Store

TABLE = """
[model]
num_patterns = 2
omega_spin = 0.5
omega_mode = [1.5, 2.0]
kappa = 1.0
"""
STUDY = f"""
compute = "critical_coupling"
{TABLE}
[axes]
omega_spin = {{ from = 0.1, to = 0.9, points = 100 }}
pattern = [0, 1]
"""
CHUNK, NUM_CHUNKS = 32, 7
MOST_WRITES = 16  # fewer than a store of so many chunks takes
SLOWLY = """
import signal, sys, time, jax
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background begins without
jax.config.update("jax_enable_x64", True)
import dicke_jax as dj
sweep = dj.Sweep.from_toml(sys.argv[1])
sweep.fill(sys.argv[2], resume=True, chunk=32, progress=lambda done, total: time.sleep(0.05))
"""


ON_WORKERS = """
import os, signal, sys, time
import jax
jax.config.update("jax_enable_x64", True)
import psutil
import dicke_jax as dj

def kill(done, total):
    if not left or done < left[0]:
        return
    left.pop(0)
    below = [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
    (below[0] if sys.argv[3] == "worker" else psutil.Process()).send_signal(signal.SIGKILL)

if __name__ == "__main__":
    left = [32 * int(sys.argv[4])]
    sweep = dj.Sweep.from_toml(sys.argv[1])
    sweep.fill(sys.argv[2], resume=True, chunk=32, workers=2, progress=kill)
    assert not left
"""


def refused(call):
    """The one line of a refusal."""
    with pytest.raises(ValueError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and " must be " in text and "; got " in text
    return text


def chunks_of(store: Path) -> list[Path]:
    """All files that hold numbers or marks."""
    return sorted(path for name in ("g_crit", "mark") for path in (store / name / "c").rglob("*") if path.is_file())


def some(store: Path, rng) -> Path:
    return chunks_of(store)[rng.integers(len(chunks_of(store)))]


def flip_a_bit(store, rng):
    path = some(store, rng)
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)
    return 1


def cut_a_file(store, rng):
    path = some(store, rng)
    os.truncate(path, rng.integers(path.stat().st_size))
    return 1


def remove_a_file(store, rng):
    some(store, rng).unlink()
    return 1


def exchange_two_chunks(store, rng):
    files = sorted(path for path in (store / "g_crit" / "c").iterdir())
    first, second = rng.choice(len(files), 2, replace=False)
    if files[first].read_bytes() == files[second].read_bytes():
        return 0
    shutil.move(files[first], store / "aside")
    shutil.move(files[second], files[first])
    shutil.move(store / "aside", files[second])
    return 2


def repeat_an_old_chunk(store, rng):
    """A file of another chunk in the place of this one, checksum and all."""
    files = sorted((store / "g_crit" / "c").iterdir())
    first, second = rng.choice(len(files), 2, replace=False)
    shutil.copy(files[first], files[second])
    return 1


def lose_all_numbers(store, rng):
    shutil.rmtree(store / "g_crit" / "c")
    return NUM_CHUNKS


def lose_a_description(store, rng):
    (store / ("g_crit", "mark", "row")[rng.integers(3)] / "zarr.json").unlink()
    return 0


def change_a_description(store, rng):
    path = store / "g_crit" / "zarr.json"
    path.write_text(path.read_text().replace("float64", "float32"))
    return 0


def lose_the_order_of_rows(store, rng):
    shutil.rmtree(store / "row" / "c")
    return 0


def leave_unfinished_files(store, rng):
    (store / "g_crit" / "c" / "1.abc.partial").write_bytes(b"half")
    return 0


DAMAGES = (
    flip_a_bit, cut_a_file, remove_a_file, exchange_two_chunks, repeat_an_old_chunk, lose_all_numbers,
    lose_a_description, change_a_description, lose_the_order_of_rows, leave_unfinished_files,
)  # fmt: skip


@contextlib.contextmanager
def failing_writes(error: OSError, after: int):
    """A disk that is full, or a folder that may not be written any more, after so many files."""
    from zarr.storage import _local

    put, written = _local._put, []

    def fail(*args, **options):
        written.append(1)
        if len(written) > after:
            raise error
        return put(*args, **options)

    _local._put = fail
    try:
        yield
    finally:
        _local._put = put


@contextlib.contextmanager
def counted(computed: list[int]):
    """The numbers of the chunks that are computed."""
    compute = dj.Sweep.compute_chunk

    def count(self, number, layout):
        computed.append(number)
        return compute(self, number, layout)

    dj.Sweep.compute_chunk = count
    try:
        yield
    finally:
        dj.Sweep.compute_chunk = compute


def numbers_of(store: Path) -> dict[str, bytes]:
    complete, arrays = Store(store, "r").read()
    assert complete.all()
    return {name: values.tobytes() for name, values in arrays.items()}


def goes_on(sweep, store: Path, expected: dict[str, bytes], most: int, least: int | None = None) -> None:
    """The sweep goes on, computes no more than is missing, and ends as if nothing had happened."""
    computed: list[int] = []
    missing = int((~Store.resumed(store, sweep.identity()).whole).sum()) if store.exists() else NUM_CHUNKS
    with counted(computed):
        sweep.fill(store, resume=True, chunk=CHUNK)
    assert len(computed) == missing <= most and len(computed) >= (most if least is None else least), (computed, most)
    assert numbers_of(store) == expected


def stopped_by(how: signal.Signals, study: Path, store: Path, wait_for: int) -> int:
    """A process of its own that is stopped after so many chunks; how many it left whole."""
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, str(study), str(store)], stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 300
    while len(list((store / "mark" / "c").glob("?"))) < wait_for and time.monotonic() < limit:
        time.sleep(0.005)
        assert process.poll() is None
    process.send_signal(how)
    process.wait()
    assert process.returncode != 0
    return int(Store(store, "r").whole.sum())


def killed_at_work(who: str, study: Path, store: Path, after: int) -> int:
    """Two workers, of which one is killed after so many chunks, or the process that asked them; what is whole then."""
    script = study.with_name("on_workers.py")
    script.write_text(ON_WORKERS)
    words = [sys.executable, str(script), str(study), str(store), who, str(after)]
    here = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(words, env=here, stderr=subprocess.DEVNULL, timeout=600, check=False)
    time.sleep(0 if who == "worker" else 1)  # workers end with who started them
    assert ended.returncode == (0 if who == "worker" else -signal.SIGKILL)
    return int(Store(store, "r").whole.sum())


def campaign(number: int, seed: int = 0) -> dict[str, int]:
    """So many faults of every kind in turn; how many of each."""
    rng, done = np.random.default_rng(seed), dict[str, int]()
    with tempfile.TemporaryDirectory() as folder:
        study, whole, store = (Path(folder) / name for name in ("study.toml", "whole", "store"))
        study.write_text(STUDY)
        sweep = dj.Sweep.from_toml(study)
        sweep.fill(whole, chunk=CHUNK)
        expected = numbers_of(whole)
        errors = (OSError(28, "No space left on device"), PermissionError(13, "Permission denied"))
        signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
        kinds = [*DAMAGES, *errors, *signals, "worker", "asking"]
        for i in range(number):
            kind = kinds[i % len(kinds)]
            shutil.rmtree(store, ignore_errors=True)
            if isinstance(kind, signal.Signals):
                left = stopped_by(kind, study, store, int(rng.integers(1, NUM_CHUNKS - 1)))
                goes_on(sweep, store, expected, NUM_CHUNKS - left)
                name = kind.name
            elif isinstance(kind, str):
                left = killed_at_work(kind, study, store, int(rng.integers(1, NUM_CHUNKS - 1)))
                assert left == NUM_CHUNKS or kind != "worker"  # another has done what the dead one had to
                goes_on(sweep, store, expected, NUM_CHUNKS - left)
                name = f"SIGKILL of a Dask {kind}" if kind == "worker" else "SIGKILL of who asked Dask"
            elif isinstance(kind, OSError):
                fails = False
                try:
                    with failing_writes(kind, int(rng.integers(1, MOST_WRITES))):
                        sweep.fill(store, chunk=CHUNK)
                except OSError:
                    fails = True
                assert fails
                goes_on(sweep, store, expected, NUM_CHUNKS, 1)
                name = kind.strerror
            else:
                shutil.copytree(whole, store)
                goes_on(sweep, store, expected, kind(store, rng))
                name = kind.__name__
            done[name] = done.get(name, 0) + 1
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for name, times in campaign(arguments.faults, arguments.seed).items():
        print(f"{times:4}  {name}")
    print(f"{arguments.faults} faults: every store went on to the numbers of one that nothing happened to")
