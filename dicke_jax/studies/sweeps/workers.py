"""Who computes the chunks of a sweep: this process, or many on one machine or several, through Dask.

There a task is a chunk, which its worker writes to the store itself. Where a worker dies, Dask gives its task to
another. All that a task needs comes with it, so that workers may join late.
"""

import multiprocessing
import os
import pickle
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import jax

from ..._checks import check_count, refuse, told
from ...dynamics._loop import kernel_state, use_cpu_kernel
from .identity import differences, of_software
from .store import Numbers, Store

SETTINGS = (  # of JAX: what decides numbers, and where compiled programs are kept
    "jax_enable_x64", "jax_default_matmul_precision", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion",
    "jax_threefry_partitionable", "jax_default_prng_impl", "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs", "jax_persistent_cache_min_entry_size_bytes",
)  # fmt: skip
# chunks in the order in which they are there; None for what is written already
Found: TypeAlias = Generator[tuple[int, Numbers | None], None, None]


class ThisProcess:
    """Chunk after chunk, without Dask."""

    def software(self) -> dict[str, str]:
        return of_software()

    def compute(self, sweep: Any, chunk: int, numbers: Sequence[int], path: Path | None) -> Found:
        layout = sweep.layout(chunk)
        return ((number, sweep.compute_chunk(number, layout)) for number in numbers)


class Workers:
    """The workers of a Dask client."""

    def __init__(self, client: Any, own: bool) -> None:
        self.client, self.own = client, own

    def software(self) -> dict[str, str]:
        """Of a worker, where they are not this machine's: it may have devices that are not here."""
        return of_software() if self.own else self.client.submit(_software, _settings(), pure=False).result()

    def compute(self, sweep: Any, chunk: int, numbers: Sequence[int], path: Path | None) -> Found:
        import cloudpickle
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        packed = pickle.dumps((_settings(), self.software(), cloudpickle.dumps(sweep), chunk, path and path.absolute()))
        # a task of its own: workers give it to each other, and where all that had it are gone it is sent anew
        study = self.client.submit(bytes, packed, pure=False)
        tasks = self.client.map(_compute, numbers, study=study, pure=False)
        number_of = {task.key: number for task, number in zip(tasks, numbers, strict=True)}
        try:
            for task, chunk_of_rows in as_completed(tasks, loop=self.client.loop, with_results=True):
                yield number_of[task.key], chunk_of_rows
        except KilledWorker as error:
            lost = f"{error.allowed_failures + 1} workers died at one chunk; a smaller chunk takes less memory"
            raise ChildProcessError(lost) from None
        finally:
            self.client.cancel(tasks)


GUARDED = 'asked for within `if __name__ == "__main__":`, for they read the script again'
Crew: TypeAlias = ThisProcess | Workers


def crew_of(workers: Any, cluster: Any) -> AbstractContextManager[Crew]:
    """So many new processes, or the workers of a Dask cluster; without either this process."""
    if workers is None and cluster is None:
        return nullcontext(ThisProcess())
    if workers is not None:
        check_count("workers", workers)
    if cluster is not None and workers is not None:
        refuse("workers", "left out where there is a cluster, which has its own", told(workers))
    if cluster is not None and not isinstance(cluster, str) and not hasattr(cluster, "scheduler_address"):
        refuse("cluster", 'a Dask cluster, or its address such as "tcp://host:8786"', told(cluster))
    return _connected(workers, cluster)


@contextmanager
def _connected(workers: Any, cluster: Any) -> Iterator[Workers]:
    try:
        import distributed
    except ImportError as error:
        text = 'distributed must be installed for many workers: pip install "dicke-jax[studies]".'
        raise ImportError(text) from error
    with ExitStack() as opened:
        if own := cluster is None:
            if getattr(multiprocessing.current_process(), "_inheriting", False):  # a worker that reads a user's script
                refuse("workers", GUARDED, "a script that asks for them when it is read")
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            # memory is planned by chunks; Dask would take what JAX needs to compile for a leak
            how: dict[str, Any] = dict(threads_per_worker=1, memory_limit=0, preload=[__name__], silence_logs=50)
            how["env"] = {"NPROC": str(max(1, cores // workers))}  # threads of XLA
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # another cluster's dashboard has the usual port: then another
                    cluster = distributed.LocalCluster(n_workers=workers, **how)
            except RuntimeError as error:
                refuse("workers", f"processes that start, {GUARDED}", f"some that do not ({error})")
            opened.enter_context(cluster)
        try:
            client = opened.enter_context(distributed.Client(cluster, set_as_default=False))
        except (OSError, ValueError) as error:
            refuse("cluster", "the address of a Dask scheduler that answers", f"{cluster} ({error})")
        yield Workers(client, own)


def dask_setup(worker: Any) -> None:
    """What a worker of ours does before all else: Ctrl-C is for the process that started it."""
    with suppress(ValueError):  # elsewhere than in a main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _settings() -> dict[str, Any]:
    """What this process has set that changes numbers, for a worker to have it too."""
    kernel = dict(kernel="turned off" not in kernel_state())
    return {name: getattr(jax.config, name) for name in SETTINGS} | kernel


def _set(settings: dict[str, Any]) -> None:
    for name in SETTINGS:
        jax.config.update(name, settings[name])
    use_cpu_kernel(settings["kernel"])


def _software(settings: dict[str, Any]) -> dict[str, str]:
    _set(settings)
    return of_software()


@lru_cache(maxsize=1)
def _unpacked(study: bytes) -> tuple[Any, Any, Store | None]:
    """The sweep, its chunks and its store, once a worker. Settings come first: they decide what arrays become."""
    settings, software, sweep, chunk, path = pickle.loads(study)
    _set(settings)
    if different := list(differences(software, of_software())):
        refuse("cluster", "of workers that have the same software", f"one on which {'; '.join(different[:3])}")
    sweep = pickle.loads(sweep)
    return sweep, sweep.layout(chunk), None if path is None else Store(path, "r+")


def _compute(number: int, study: bytes) -> Numbers | None:
    """One chunk, written where there is a store."""
    sweep, layout, store = _unpacked(study)
    chunk = sweep.compute_chunk(number, layout)
    return chunk if store is None else store.write(number, chunk)
